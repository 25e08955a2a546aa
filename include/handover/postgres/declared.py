"""Figures that a case declares: counts by columns, trial balances, relations of totals and their parts.

One query for each item, made from names that the catalog knows. Each returns groups of rows: labels,
number of rows, sums, and how many rows break the item's rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from psycopg import sql

from handover.errors import CaseInvalid
from handover.model.figures import Amount, Group, ItemFigures
from handover.model.reconciliation import (
    Balance,
    Children,
    Count,
    Item,
    Parent,
    Reconciliation,
    Relation,
    TableName,
)
from handover.postgres.figures import Between, Place, Tables, counted_rows, exact, others_than_zero
from handover.postgres.session import Connection, database_errors

# More groups than this are a list of rows, not a table for people.
MOST_GROUPS = 2_000
# A label of these types says what the schema says anyway; a text or number may be a person's own.
_COARSE = ("enum", "bool")


def place(table: TableName) -> Place:
    """Return how the catalog's tables are looked up."""
    return table.schema_name, table.name


def read_items(
    connection: Connection, reconciliation: Reconciliation, tables: Tables, between: Between
) -> Iterator[ItemFigures]:
    """Yield the figures of every item. Raises CaseInvalid when an item has far too many groups."""
    for item in reconciliation.items():
        between(0)
        with database_errors(f"reconciling {item.name} over {item.table.label}"):
            rows = connection.execute(query_of(item, tables)).fetchall()
        if len(rows) > MOST_GROUPS:
            raise CaseInvalid(
                f"reconciliation {item.name} parts {item.table.label} into more than {MOST_GROUPS} groups",
                hint="name columns with fewer different values, or a coarser grain, and start a new run",
            )
        yield ItemFigures(
            name=item.name, coarse=_coarse(item, tables), groups=tuple(_group(row) for row in rows)
        )


def _group(row: tuple[object, ...]) -> Group:
    labels, rows, totals, others, broken = row
    found = zip(cast(list[str | None], totals), cast(list[int], others), strict=True)
    return Group(
        labels=tuple(cast(list[str | None], labels)),
        rows=cast(int, rows),
        amounts=tuple(Amount(total=total, others=count) for total, count in found),
        broken=cast(int, broken),
    )


def _coarse(item: Item, tables: Tables) -> tuple[bool, ...]:
    types = tables[place(item.table)].types
    if isinstance(item, Balance):
        return (True,) if item.period else ()
    by = item.by if isinstance(item, Count) else item.show_by
    coarse = [types[column] in _COARSE for column in by]
    return tuple([*coarse, True] if isinstance(item, Count) and item.year else coarse)


def query_of(item: Item, tables: Tables) -> sql.Composed:
    """Return the query of one item, whose names must all be known."""
    if isinstance(item, Count):
        return _count(item, tables)
    return _balance(item, tables) if isinstance(item, Balance) else _relation(item, tables)


def _column(alias: str, name: str) -> sql.Composed:
    return sql.SQL("{}.{}").format(sql.SQL(alias), sql.Identifier(name))


def _from(table: TableName, alias: str, tables: Tables) -> sql.Composed:
    return counted_rows(table.schema_name, table.name, tables[place(table)], alias)


def _amount(table: TableName, alias: str, name: str, tables: Tables) -> sql.Composable:
    return exact(_column(alias, name), tables[place(table)].types[name])


def _label(column: sql.Composable) -> sql.Composed:
    return sql.SQL('{}::text COLLATE "C"').format(column)


def _period(column: sql.Composable, grain: str) -> sql.Composed:
    """Return year or month of a date as text; a year BC is negative, an infinite date is its own period."""
    year = sql.SQL("extract(year FROM {})::text").format(column)
    if grain == "year":
        return year
    month = sql.SQL("coalesce('-' || lpad(extract(month FROM {})::text, 2, '0'), '')").format(column)
    return sql.SQL("{} || {}").format(year, month)


def _grouped(
    labels: list[sql.Composed],
    amounts: list[sql.Composable],
    broken: sql.Composable,
    source: sql.Composable,
) -> sql.Composed:
    """Return rows of (labels, rows, totals, values other than 0, broken), one more than there may be."""
    comma = sql.SQL(", ")
    totals = [sql.SQL("sum({})::text").format(amount) for amount in amounts]
    return sql.SQL(
        "SELECT ARRAY[{}]::text[], count(*), ARRAY[{}]::text[], ARRAY[{}]::bigint[], {} FROM {}"
        " GROUP BY 1 ORDER BY 1 LIMIT {}"
    ).format(
        comma.join(labels),
        comma.join(totals),
        comma.join([others_than_zero(amount) for amount in amounts]),
        broken,
        source,
        sql.Literal(MOST_GROUPS + 1),
    )


_NONE_BROKEN = sql.SQL("0::bigint")


def _count(item: Count, tables: Tables) -> sql.Composed:
    labels = [_label(_column("t", name)) for name in item.by]
    if item.year:
        labels.append(_period(_column("t", item.year), "year"))
    return _grouped(labels, [], _NONE_BROKEN, _from(item.table, "t", tables))


def _balance(item: Balance, tables: Tables) -> sql.Composed:
    source = _from(item.table, "t", tables)
    labels = []
    if isinstance(item.period, Parent):
        parent = item.period
        meets = [
            sql.SQL("{} = {}").format(_column("p", there), _column("t", here))
            for there, here in zip(parent.key, parent.here, strict=True)
        ]
        source = sql.SQL("{} LEFT JOIN {} ON {}").format(
            source, _from(parent.table, "p", tables), sql.SQL(" AND ").join(meets)
        )
        labels = [_period(_column("p", parent.column), item.grain)]
    elif item.period:
        labels = [_period(_column("t", item.period), item.grain)]
    amounts = [_amount(item.table, "t", name, tables) for name in (item.debit, item.credit)]
    return _grouped(labels, amounts, _NONE_BROKEN, source)


def _relation(item: Relation, tables: Tables) -> sql.Composed:
    source = _from(item.table, "t", tables)
    for number, child in enumerate(item.children()):
        source = sql.SQL("{} LEFT JOIN {}").format(source, _summed(child, item.key, f"c{number}", tables))
    if isinstance(item.total, Children):
        total: sql.Composable = sql.SQL("coalesce(c0.total, 0)")
        minus = sql.SQL("coalesce(c1.total, 0)")
    else:
        total = _amount(item.table, "t", item.total, tables)
        minus = sql.SQL("coalesce(c0.total, 0)")
    rest = sql.SQL("{} - {}").format(total, minus)
    broken: sql.Composable = _NONE_BROKEN
    if item.equals is not None:
        wanted = (
            sql.SQL("0") if isinstance(item.equals, int) else _amount(item.table, "t", item.equals, tables)
        )
        broken = sql.SQL("count(*) FILTER (WHERE ({} = {}) IS NOT TRUE)").format(rest, wanted)
    labels = [_label(_column("t", name)) for name in item.show_by]
    return _grouped(labels, [total, minus, rest], broken, source)


def _summed(child: Children, key: tuple[str, ...], alias: str, tables: Tables) -> sql.Composed:
    """Return the children's sums by their key, and how they meet the row that they belong to."""
    by = [_column("x", name) for name in child.by or key]
    named = [sql.SQL("{} AS k{}").format(c, sql.Literal(n)) for n, c in enumerate(by)]
    meets = [
        sql.SQL("{}.k{} = {}").format(sql.SQL(alias), sql.Literal(n), _column("t", c))
        for n, c in enumerate(key)
    ]
    return sql.SQL("(SELECT {}, sum({}) AS total FROM {} GROUP BY {}) AS {} ON {}").format(
        sql.SQL(", ").join(named),
        _amount(child.table, "x", child.column, tables),
        _from(child.table, "x", tables),
        sql.SQL(", ").join(by),
        sql.SQL(alias),
        sql.SQL(" AND ").join(meets),
    )
