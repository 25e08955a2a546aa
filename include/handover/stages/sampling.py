"""The sampling sheet: random rows in scope, by keyed token, for a supervisor to compare (A07, C03).

A token is the one by which verification names the row (stages/narrowing.py): over its key, or over the whole
row where there is none, as the row travels. Values stay in memory. Whoever has the seed and the rows can draw
the same sample again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from secrets import randbits
from typing import Any

from psycopg import sql

from handover.codec.rows import fields
from handover.errors import NotReady
from handover.evidence.digest import token
from handover.model.catalog import Table
from handover.model.plan import CopyFormat, copy_format
from handover.postgres.catalog import read_whole_tables
from handover.postgres.copying import read_rows
from handover.postgres.keysets import KeySet
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, database_errors, fetch
from handover.stages.context import Context

SHEET = "sampling-sheet"
# As many as a person looks at in an hour or two.
ROWS_A_TABLE = 3
MOST_TABLES = 40
# Canonical JSON carries whole numbers of this size.
SEED_BITS = 53
# Of a table without a key set, so much is read at random places before rows are drawn.
READ_BYTES = 16 * 1024 * 1024
Parts = tuple[bytes, ...]


def sampling_sheet(
    context: Context,
    connection: Connection,
    tables: Iterable[tuple[Table, KeySet | None]],
    *,
    same_major: bool,
    seed: int | None = None,
) -> dict[str, Any]:
    """Return the sheet of tables with rows in scope; a table without a key set is in scope as a whole.

    ``same_major`` as for the plan: whether both servers have one major version. For a session that is in the
    snapshot in which the key sets were filled.
    """
    seed = randbits(SEED_BITS) if seed is None else seed
    considered = list(tables)
    chosen = sorted(considered, key=lambda one: hashlib.sha256(f"{seed} {one[0].label}".encode()).digest())
    drawn = [
        _drawn(context, connection, table, key_set, copy_format(table, same_major)[0], seed)
        for table, key_set in chosen[:MOST_TABLES]
    ]
    return {
        "seed": seed,
        "rows_a_table": ROWS_A_TABLE,
        "tables_in_scope": len(considered),
        "tables": sorted(drawn, key=lambda one: str(one["table"])),
    }


def _drawn(
    context: Context,
    connection: Connection,
    table: Table,
    key_set: KeySet | None,
    form: CopyFormat,
    seed: int,
) -> dict[str, object]:
    found = draw_sample(connection, table, key_set, form, ROWS_A_TABLE, seed)
    return {
        "table": table.label,
        "form": form,
        "named_by": "key" if _has_name(table) else "whole row",
        # In no order that tells where a row lies.
        "tokens": sorted({token(context.evidence_key, *parts) for parts in found}),
    }


def draw_sample(
    connection: Connection, table: Table, key_set: KeySet | None, form: CopyFormat, count: int, seed: int
) -> list[Parts]:
    """Return what names each of at most ``count`` random rows."""
    with database_errors(f"drawing a sample of {table.label}"):
        if key_set is not None:
            return list(_parts(connection, table, _of_key_set(table, key_set, count, seed), form))
        # Pages are drawn by the size of all that belongs to a table; where most of it is long values kept
        # beside the rows, none may be drawn.
        for share in (min(1.0, READ_BYTES / max(1, table.bytes)), 1.0):
            if found := list(_parts(connection, table, _of_pages(table, share, count, seed), form)):
                return found
    return []


def _of_pages(table: Table, share: float, count: int, seed: int) -> sql.Composable:
    """Return the query for random rows of a share of a table's pages."""
    return sql.SQL(
        "SELECT {} FROM {} AS t TABLESAMPLE SYSTEM ({}) REPEATABLE ({})"
        " ORDER BY hashtextextended(t.tableoid::text || t.ctid::text, {}) LIMIT {}"
    ).format(
        _columns(table),
        rows_of(table),
        sql.Literal(100.0 * share),
        sql.Literal(seed),
        sql.Literal(seed),
        sql.Literal(count),
    )


def _of_key_set(table: Table, key_set: KeySet, count: int, seed: int) -> sql.Composable:
    """Return the query for rows whose keys were drawn; of rows that are equal to the last byte, for one."""

    def keys(alias: str) -> sql.Composable:
        return sql.SQL(", ").join(sql.Identifier(alias, name) for name in key_set.columns())

    chosen = sql.SQL(
        "SELECT {} FROM (SELECT {}{} FROM {} AS r) AS s"
        " ORDER BY hashtextextended({} || ROW({})::text, {}) LIMIT {}"
    ).format(
        keys("s"),
        sql.SQL("" if table.key else "DISTINCT "),
        keys("r"),
        key_set.place,
        sql.Literal(table.label),  # else tables with equal keys would all give the same ones
        keys("s"),
        sql.Literal(seed),
        sql.Literal(count),
    )
    return sql.SQL("SELECT DISTINCT ON ({}) {} FROM {} AS t JOIN ({}) AS k ON {}").format(
        keys("k"), _columns(table), rows_of(table), chosen, key_set.same()
    )


def find_rows(context: Context, connection: Connection, wanted: str) -> list[dict[str, str]]:
    """Return table, place and key of each sampled row that has this token, by reading the sampled tables.

    Rows of several tables with equal keys have one token. For the eyes of the one who asks: never to be
    logged or recorded. Raises NotReady when there is none.
    """
    sheet = context.last(SHEET, "plan").body
    listed = {one["table"]: one for one in sheet["tables"] if wanted in one["tokens"]}
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    with database_errors("reading the catalog for the sampled tables"):
        tables = read_whole_tables(connection, list(context.case.source.schemas))
    found = []
    for table in tables:
        if table.label in listed:
            place = _place(context, connection, table, listed[table.label]["form"], wanted)
            if place is not None:
                found.append(_shown(connection, table, place))
    if found:
        return found
    raise NotReady(
        "no row with this token is on the sampling sheet and at the source",
        hint="copy the whole token from sampling-sheet.json; the row may also have changed or gone since",
    )


def _place(
    context: Context, connection: Connection, table: Table, form: CopyFormat, wanted: str
) -> int | None:
    """Return where the row is when a table is read in its physical order; all of it is read."""
    query = sql.SQL("SELECT {} FROM {} AS t ORDER BY t.tableoid, t.ctid").format(
        _columns(table), rows_of(table)
    )
    found = None
    with database_errors(f"looking for a token in {table.label}"):
        for number, parts in enumerate(_parts(connection, table, query, form)):
            if found is None and token(context.evidence_key, *parts) == wanted:
                found = number
    return found


def _shown(connection: Connection, table: Table, place: int) -> dict[str, str]:
    names = [column.name for column in table.key]
    texts: list[sql.Composable] = [sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names]
    texts += [sql.SQL("t.tableoid::regclass::text"), sql.SQL("t.ctid::text")]
    query = sql.SQL("SELECT {} FROM {} AS t ORDER BY t.tableoid, t.ctid OFFSET {} LIMIT 1").format(
        sql.SQL(", ").join(texts), rows_of(table), sql.Literal(place)
    )
    with database_errors(f"looking for a token in {table.label}"):
        row = [str(value) for value in fetch(connection, query)[0]]
    return {"table": table.label, **dict(zip([*names, "tableoid", "ctid"], row, strict=True))}


def _has_name(table: Table) -> bool:
    """Say whether rows are named by their key; a generated part of it does not travel."""
    stored = {column.name for column in table.columns if not column.generated}
    return bool(table.key) and all(column.name in stored for column in table.key)


def _columns(table: Table) -> sql.Composable:
    names = (
        [c.name for c in table.key]
        if _has_name(table)
        else [c.name for c in table.columns if not c.generated]
    )
    return sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in names)


def _parts(connection: Connection, table: Table, query: sql.Composable, form: CopyFormat) -> Iterator[Parts]:
    """Yield what the token of each row of a query is made of."""
    for row in read_rows(connection, query, form):
        if _has_name(table):
            yield tuple(part or b"" for part in fields(bytes(row), form))
        else:
            yield (bytes(row),)
