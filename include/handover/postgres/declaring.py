"""Looks whether what a case declares for its reconciliation can be computed, before anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import psycopg
from psycopg import sql

from handover.model.catalog import Finding
from handover.model.reconciliation import (
    Balance,
    Count,
    Item,
    Parent,
    Reconciliation,
    Relation,
    TableName,
)
from handover.postgres.declared import place, query_of
from handover.postgres.figures import NUMERIC, Tables, read_relations
from handover.postgres.session import Connection, fetch, stripped

_DATES = frozenset(("date", "timestamp", "timestamptz"))
_UNIQUE = """
SELECT EXISTS (
  SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = %s AND c.relname = %s AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
    AND (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = i.indrelid
         AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1])) <@ %s::text[])
"""
# Column names of one table, with the types that they may have; none named means any.
Wanted = tuple[TableName, tuple[str, ...], frozenset[str]]
_ANY: frozenset[str] = frozenset()


def check_reconciliation(
    connection: Connection, reconciliation: Reconciliation, schemas: Iterable[str]
) -> Iterator[Finding]:
    """Yield a finding for each name that is not there, does not fit, or cannot be compared."""
    if not reconciliation.items():
        return
    tables = read_relations(connection, schemas)
    for item in reconciliation.items():
        problems = [*unknown(item, tables)] or [*_ambiguous(connection, item)]
        for problem in problems or [*_refused(connection, item, tables)]:
            yield Finding(
                id=f"reconciliation-impossible:{item.name}",
                message=f"reconciliation {item.name}: {problem}",
                remedy="correct that item in the case file (names are case-sensitive)",
            )


def unknown(item: Item, tables: Tables) -> Iterator[str]:
    """Yield what an item names that is not there, or has no fitting type."""
    wanted = list(_wanted(item))
    absent = {place(table): table.label for table, *_ in wanted if place(table) not in tables}
    yield from (f"{label} is no table of source.schemas" for label in absent.values())
    for table, columns, types in wanted:
        if place(table) in absent:
            continue
        found = tables[place(table)].types
        for name in columns:
            if name not in found:
                yield f"{table.label} has no column {name!r}"
            elif types and found[name] not in types:
                kinds = "a date or timestamp" if types is _DATES else "a number"
                yield f"column {name!r} of {table.label} is not {kinds}"


def _wanted(item: Item) -> Iterator[Wanted]:
    if isinstance(item, Count):
        yield item.table, item.by, _ANY
        yield item.table, (item.year,) if item.year else (), _DATES
    elif isinstance(item, Balance):
        yield item.table, (item.debit, item.credit), NUMERIC
        if isinstance(item.period, Parent):
            yield item.table, item.period.here, _ANY
            yield item.period.table, item.period.key, _ANY
            yield item.period.table, (item.period.column,), _DATES
        elif item.period:
            yield item.table, (item.period,), _DATES
    else:
        yield from _wanted_of_relation(item)


def _wanted_of_relation(item: Relation) -> Iterator[Wanted]:
    yield item.table, (*item.key, *item.show_by), _ANY
    numbers = [name for name in (item.total, item.equals) if isinstance(name, str)]
    yield item.table, tuple(numbers), NUMERIC
    for child in item.children():
        yield child.table, child.by or item.key, _ANY
        yield child.table, (child.column,), NUMERIC


def _ambiguous(connection: Connection, item: Item) -> Iterator[str]:
    """A row that met two parents would be summed twice."""
    if isinstance(item, Balance) and isinstance(item.period, Parent):
        parent = item.period
        if not fetch(connection, _UNIQUE, *place(parent.table), list(parent.key))[0][0]:
            yield f"{', '.join(parent.key)} is no unique key of {parent.table.label}"


def _refused(connection: Connection, item: Item, tables: Tables) -> Iterator[str]:
    """Let the server plan the query: it knows whether the columns that must meet can be compared."""
    try:
        connection.execute(sql.SQL("EXPLAIN {}").format(query_of(item, tables)))
    except psycopg.Error as problem:
        yield stripped(problem, "the server does not plan it").message
