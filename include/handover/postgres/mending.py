"""Mends rows: what a part of a table must hold is loaded beside it, and only rows that differ are changed.

Keys, indexes and triggers are there already, so rows are not simply loaded again: deleting a row that others
refer to would fail or take those along. Triggers and rules of the table rest meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from handover.model.plan import TablePlan
from handover.postgres.copying import copy_into
from handover.postgres.ordering import Bound, rows_of, within
from handover.postgres.session import Connection, fetch, qualified

_EXPECTED = sql.SQL("pg_temp.handover_expected")
# What can act on a change of the table or its partitions, with the word that brings it back as it was.
_ACTORS = """
WITH part AS (
  SELECT %(table)s::regclass AS oid UNION SELECT relid FROM pg_partition_tree(%(table)s::regclass)
), actor(kind, relation, name, state) AS (
  SELECT 'TRIGGER', tgrelid, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT 'RULE', ev_class, rulename, ev_enabled FROM pg_rewrite WHERE rulename <> '_RETURN'
)
SELECT a.kind, n.nspname, c.relname, a.name,
       CASE a.state WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END
FROM actor a JOIN part ON part.oid = a.relation JOIN pg_class c ON c.oid = a.relation
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE a.state <> 'D'
ORDER BY 1, 2, 3, 4
"""
_FIXED = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attidentity = 'a'"


@dataclass(frozen=True)
class Mended:
    """How many rows were deleted, updated and inserted."""

    deleted: int
    updated: int
    inserted: int


def mend(
    connection: Connection,
    table: TablePlan,
    chunks: Iterable[bytes],
    lower: Bound | None,
    upper: Bound | None,
) -> Mended:
    """Give the rows between two bounds the content of ``chunks``; in the caller's transaction.

    Raises psycopg.Error as the server does, for instance where two rows swapped values of a unique column.
    """
    connection.execute("SET CONSTRAINTS ALL DEFERRED")
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE handover_expected ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA"
        ).format(_names(table.columns), rows_of(table))
    )
    for chunk in chunks:
        copy_into(connection, _EXPECTED, table.columns, table.format, chunk)
    connection.execute(sql.SQL("ANALYZE {}").format(_EXPECTED))
    with at_rest(connection, table):
        if {column.name for column in table.key} - set(table.columns) or not table.key:
            return _mend_multiset(connection, table)
        return _mend_by_key(connection, table, within(table.key, lower, upper))


def _names(columns: Iterable[str], alias: str = "") -> sql.Composable:
    start = sql.SQL("{}.").format(sql.Identifier(alias)) if alias else sql.SQL("")
    return sql.SQL(", ").join(start + sql.Identifier(name) for name in columns)


def _text(columns: Iterable[str], alias: str) -> sql.Composable:
    """The text of some columns: equal to the last byte, unlike ``=``, and there for types without ``=``."""
    return sql.SQL('ROW({})::text COLLATE "C"').format(_names(columns, alias))


def _mend_by_key(connection: Connection, table: TablePlan, where: sql.Composable) -> Mended:
    named = qualified(table.schema_name, table.name).as_string(connection)
    # A column that cannot be updated is matched like the key: its row is deleted and inserted.
    fixed = [str(name) for (name,) in fetch(connection, _FIXED, named)]
    key = list(dict.fromkeys([*(column.name for column in table.key), *fixed]))
    others = [name for name in table.columns if name not in key]
    parts = {
        "table": rows_of(table),
        "expected": _EXPECTED,
        "where": where,
        "same": sql.SQL("{} = {}").format(_text(key, "e"), _text(key, "t")),
    }
    deleted = connection.execute(
        sql.SQL(
            "DELETE FROM {table} AS t WHERE {where} AND NOT EXISTS (SELECT FROM {expected} e WHERE {same})"
        ).format(**parts)
    ).rowcount
    updated = 0
    if others:
        values = sql.SQL(", ").join(
            sql.SQL("{} = e.{}").format(sql.Identifier(name), sql.Identifier(name)) for name in others
        )
        change = (
            "UPDATE {table} AS t SET {values} FROM {expected} e"
            " WHERE {where} AND {same} AND {here} <> {there}"
        )
        updated = connection.execute(
            sql.SQL(change).format(**parts, values=values, here=_text(others, "t"), there=_text(others, "e"))
        ).rowcount
    inserted = _insert(
        connection,
        table,
        sql.SQL("NOT EXISTS (SELECT FROM {table} AS t WHERE {same})").format(**parts),
        _EXPECTED,
    )
    return Mended(deleted, updated, inserted)


def _mend_multiset(connection: Connection, table: TablePlan) -> Mended:
    """Match equal rows one by one: without a key the first of three is as good as the last."""
    numbered = sql.SQL(
        "SELECT {what} {text} AS _text_,"
        " row_number() OVER (PARTITION BY {text}) AS _copy_"
        " FROM {rows} AS {alias}"
    )
    there = numbered.format(
        what=sql.SQL("t.tableoid AS _part_, t.ctid AS _place_,"),
        text=_text(table.columns, "t"),
        rows=rows_of(table),
        alias=sql.Identifier("t"),
    )
    expected = numbered.format(
        what=sql.SQL("").join(_names([name], "e") + sql.SQL(",") for name in table.columns),
        text=_text(table.columns, "e"),
        rows=_EXPECTED,
        alias=sql.Identifier("e"),
    )
    deleted = connection.execute(
        sql.SQL(
            "DELETE FROM {table} AS t USING ({there}) AS h WHERE (t.tableoid, t.ctid) = (h._part_, h._place_)"
            " AND NOT EXISTS"
            " (SELECT FROM ({expected}) AS x WHERE (x._text_, x._copy_) = (h._text_, h._copy_))"
        ).format(table=rows_of(table), there=there, expected=expected)
    ).rowcount
    lacking = sql.SQL(
        "NOT EXISTS (SELECT FROM ({}) AS h WHERE (h._text_, h._copy_) = (e._text_, e._copy_))"
    ).format(there)
    return Mended(deleted, 0, _insert(connection, table, lacking, sql.SQL("({})").format(expected)))


def _insert(connection: Connection, table: TablePlan, where: sql.Composable, rows: sql.Composable) -> int:
    if not table.columns:
        insert = sql.SQL("INSERT INTO {table} SELECT FROM {rows} AS e WHERE {where}")
    else:
        insert = sql.SQL(
            "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE"
            " SELECT {values} FROM {rows} AS e WHERE {where}"
        )
    return connection.execute(
        insert.format(
            table=qualified(table.schema_name, table.name),
            names=_names(table.columns),
            values=_names(table.columns, "e"),
            rows=rows,
            where=where,
        )
    ).rowcount


@contextmanager
def at_rest(connection: Connection, table: TablePlan) -> Iterator[None]:
    """Keep triggers and rules from acting, in this transaction alone."""
    named = {"table": qualified(table.schema_name, table.name).as_string(connection)}
    actors = connection.execute(_ACTORS, named).fetchall()
    for kind, schema, relation, name, _ in actors:
        _switch(connection, "DISABLE", str(kind), (str(schema), str(relation)), str(name))
    yield
    for kind, schema, relation, name, how in actors:
        _switch(connection, f"ENABLE {how}", str(kind), (str(schema), str(relation)), str(name))


def _switch(connection: Connection, verb: str, kind: str, relation: tuple[str, str], name: str) -> None:
    connection.execute(
        sql.SQL("ALTER TABLE ONLY {} {} {}").format(
            qualified(*relation), sql.SQL(f"{verb} {kind}"), sql.Identifier(name)
        )
    )
