"""Reading who is written to: key, name and ways to reach each person of a table, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from psycopg import sql

from handover.model.notice import CHANNELS, Addressee, Elsewhere
from handover.model.reconciliation import TableName
from handover.postgres.consents import rows_named
from handover.postgres.session import Connection, database_errors

Row = tuple[str | None, ...]


def read_keys_of(
    connection: Connection, person: TableName, key: Sequence[str], condition: sql.Composable
) -> Iterator[Row]:
    """Yield the key of each person for whom the condition on the alias ``t`` holds."""
    yield from _stream(connection, person, [_text("t", name) for name in key], condition)


def read_addressees(
    connection: Connection, addressee: Addressee, key: Sequence[str], condition: sql.Composable
) -> Iterator[Row]:
    """Yield key, name, mobile, e-mail and address of each person for whom the condition holds."""
    columns = [_text("t", name) for name in (*key, addressee.name)]
    for channel in CHANNELS:
        columns.append(_channel(connection, getattr(addressee, channel), key))
    yield from _stream(connection, addressee.person, columns, condition)


def _stream(
    connection: Connection, person: TableName, columns: Sequence[sql.Composable], condition: sql.Composable
) -> Iterator[Row]:
    rows = rows_named(connection, person.schema_name, person.name, "addressees")
    query = sql.SQL("SELECT {} FROM {} AS t WHERE {}").format(sql.SQL(", ").join(columns), rows, condition)
    with database_errors(f"reading persons of {person.label}"), connection.cursor() as cursor:
        for row in cursor.stream(query):
            yield cast(Row, row)


def _text(alias: str, column: str) -> sql.Composable:
    return sql.SQL("{}::text").format(sql.Identifier(alias, column))


def _channel(connection: Connection, where: str | Elsewhere | None, key: Sequence[str]) -> sql.Composable:
    if where is None:
        return sql.SQL("NULL::text")
    if isinstance(where, str):
        return _text("t", where)
    same = [
        sql.SQL("{} = {}").format(sql.Identifier("a", there), sql.Identifier("t", here))
        for there, here in zip(where.matches, key, strict=True)
    ]
    order = [sql.SQL('{} COLLATE "C"').format(_text("a", where.column))]
    if where.newest_by:
        order.insert(0, sql.SQL("{} DESC NULLS LAST").format(sql.Identifier("a", where.newest_by)))
    return sql.SQL("(SELECT {} FROM {} AS a WHERE {} AND {} IS NOT NULL ORDER BY {} LIMIT 1)").format(
        _text("a", where.column),
        rows_named(connection, where.table.schema_name, where.table.name, "addressees"),
        sql.SQL(" AND ").join(same),
        sql.Identifier("a", where.column),
        sql.SQL(", ").join(order),
    )
