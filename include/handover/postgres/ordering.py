"""Ordered queries over tables: the same rows come in the same order on every server.

A table with a key is ordered by it, text byte by byte. A table without a key is ordered by the text
of its whole rows: rows that tie are equal to the last byte, so the stream's digest is a digest of the
exact multiset. Between servers of different encodings the bytes are those of UTF-8.
"""

from __future__ import annotations

from typing import Literal

from psycopg import sql

from handover.model.catalog import KeyColumn, Table
from handover.model.plan import LARGE_OBJECTS, TablePlan
from handover.postgres.session import Connection, qualified

# A bound is one text literal for each key column; a group reaches from its lower bound (inclusive) to
# the next group's (exclusive), None is open.
Bound = tuple[str, ...]
EVERY_ROW = sql.SQL("true")
# Page of a large object; a whole number of pg_largeobject's own 2 KiB pages.
PAGE = 1 << 20
# Rows looked at for each wanted group when bounds are drawn; more only evens the groups out.
SAMPLE_PER_GROUP = 500

_LARGE_OBJECTS = sql.SQL(
    "WITH RECURSIVE page(oid, at, data) AS ("
    " SELECT oid, 0::bigint, lo_get(oid, 0, {page}) FROM pg_largeobject_metadata"
    " UNION ALL SELECT oid, at + {page}, lo_get(oid, at + {page}, {page}) FROM page"
    " WHERE length(data) = {page}) SELECT oid, at, data FROM page ORDER BY oid, at"
).format(page=sql.Literal(PAGE))


def _expression(column: KeyColumn) -> sql.Composable:
    name = sql.SQL("t.{}").format(sql.Identifier(column.name))
    if column.order == "natural":
        return name
    if column.order == "utf8":
        return sql.SQL("convert_to({}::text, 'UTF8')").format(name)
    cast = name if column.order == "bytes" else sql.SQL("{}::text").format(name)
    return sql.SQL('{} COLLATE "C"').format(cast)


def order_by(key: tuple[KeyColumn, ...], row_order: Literal["bytes", "utf8"] = "bytes") -> sql.Composable:
    """Return what to order the alias ``t`` by; ``row_order`` counts where there is no key."""
    if key:
        return sql.SQL(", ").join(map(_expression, key))
    if row_order == "utf8":
        return sql.SQL("convert_to(ROW(t.*)::text, 'UTF8')")
    return sql.SQL('ROW(t.*)::text COLLATE "C"')


def _literals(key: tuple[KeyColumn, ...], bound: Bound) -> sql.Composable:
    # The type's name comes quoted from format_type(); the value is a quoted literal.
    parts = []
    for column, text in zip(key, bound, strict=True):
        cast = "text" if column.order in ("text", "utf8") else column.type
        literal = sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(cast))
        parts.append(sql.SQL("convert_to({}, 'UTF8')").format(literal) if column.order == "utf8" else literal)
    return sql.SQL(", ").join(parts)


def within(key: tuple[KeyColumn, ...], lower: Bound | None, upper: Bound | None) -> sql.Composable:
    """Return the condition that a row of the alias ``t`` lies between two bounds."""
    row = sql.SQL("ROW({})").format(order_by(key))
    tests = []
    for sign, bound in ((">=", lower), ("<", upper)):
        if bound is not None:
            tests.append(sql.SQL("{} {} ROW({})").format(row, sql.SQL(sign), _literals(key, bound)))
    return sql.SQL(" AND ").join(tests) if tests else sql.SQL("true")


def ordered_rows(
    table: TablePlan,
    lower: Bound | None = None,
    upper: Bound | None = None,
    among: sql.Composable = EVERY_ROW,
) -> sql.Composable:
    """Return the query for one group of a table, rows in the order both sides agree on.

    ``among`` is a further condition on the alias ``t``, as a selection gives it.
    """
    if table.id == LARGE_OBJECTS:
        return _LARGE_OBJECTS
    columns = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(c)) for c in table.columns)
    return sql.SQL("SELECT {} FROM {} AS t WHERE {} AND {} ORDER BY {}").format(
        columns,
        rows_of(table),
        within(table.key, lower, upper),
        among,
        order_by(table.key, table.row_order),
    )


def rows_of(table: Table | TablePlan) -> sql.Composable:
    """Return the table alone, without inheritance children; with its partitions where they count as one."""
    only = sql.SQL("" if table.partitioned else "ONLY ")
    return sql.SQL("{}{}").format(only, qualified(table.schema_name, table.name))


def draw_bounds(connection: Connection, table: Table, groups: int, rows: int) -> list[Bound]:
    """Draw at most ``groups - 1`` bounds that part a table's key range evenly.

    Bounds come from a sample of whole blocks: they decide only how even the groups are, never whether
    a row is in exactly one of them.
    """
    percent = min(100.0, 100.0 * SAMPLE_PER_GROUP * groups / max(rows, 1))
    texts = sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(c.name)) for c in table.key)
    query = sql.SQL("SELECT {} FROM {} AS t TABLESAMPLE SYSTEM ({}) REPEATABLE (1) ORDER BY {}").format(
        texts, rows_of(table), sql.Literal(max(percent, 0.01)), order_by(table.key)
    )
    sample = [tuple(str(v) for v in row) for row in connection.execute(query)]
    picked = [sample[len(sample) * n // groups] for n in range(1, groups)] if sample else []
    # Picks of a sorted sample can only repeat next to each other; an equal bound would be an empty group.
    return list(dict.fromkeys(picked))


def ends(bounds: list[Bound], number: int) -> tuple[Bound | None, Bound | None]:
    """Return the lower and upper bound of a group."""
    lower = bounds[number - 1] if number > 0 else None
    upper = bounds[number] if number < len(bounds) else None
    return lower, upper
