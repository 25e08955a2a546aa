"""Asks a table whether rows that were erased are gone: by their keys, without a key by their whole text.

What is asked for lies in temporary tables of the session. They are never analysed: statistics would write
values of the erased rows into the catalog again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from psycopg import sql

from handover.model.plan import TablePlan
from handover.postgres.copying import copy_into
from handover.postgres.keysets import KeySet, create_key_sets, scoped_rows
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, database_errors, fetch, qualified

_ROWS = sql.SQL("pg_temp.handover_asked")


def drop_asked(connection: Connection, asked: KeySet) -> None:
    """Forget what was asked for."""
    with database_errors("dropping a temporary table"):
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(asked.place))


def ask_for(connection: Connection, asked: KeySet, parts: Iterable[tuple[TablePlan, bytes]]) -> int:
    """Make a key set of rows in COPY text, each of the table or of a partition of it; returns how many."""
    create_key_sets(connection, [asked])
    rows = 0
    with database_errors(f"laying out the keys of {asked.table.label}"):
        for plan, data in parts:
            with connection.transaction():
                rows += _add(connection, asked, plan, data)
    return rows


def _add(connection: Connection, asked: KeySet, plan: TablePlan, data: bytes) -> int:
    # With generated columns, for the key may have one.
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE handover_asked (LIKE {} INCLUDING GENERATED) ON COMMIT DROP").format(
            qualified(plan.schema_name, plan.name)
        )
    )
    rows = copy_into(connection, _ROWS, plan.columns, plan.format, data)
    columns = asked.columns()
    connection.execute(
        sql.SQL("INSERT INTO {} ({}, owned) SELECT {}, true FROM {} AS t").format(
            asked.place,
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(columns.values()),
            _ROWS,
        )
    )
    return rows


def count_there(connection: Connection, asked: KeySet) -> int:
    """Return how many rows of the table are among those that were asked for."""
    query = sql.SQL("SELECT count(*) FROM {} AS t WHERE {}").format(rows_of(asked.table), scoped_rows(asked))
    with database_errors(f"looking for erased rows in {asked.table.label}"), connection.transaction():
        # Without statistics the planner takes the keys for a few, and would look each up by itself.
        connection.execute("SET LOCAL enable_nestloop = off")
        return cast(int, fetch(connection, query)[0][0])


def count_rows(connection: Connection, asked: KeySet) -> int:
    """Return how many rows the table has."""
    query = sql.SQL("SELECT count(*) FROM {} AS t").format(rows_of(asked.table))
    with database_errors(f"counting the rows of {asked.table.label}"):
        return cast(int, fetch(connection, query)[0][0])
