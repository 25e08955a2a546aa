"""Asks a table which of some backed-up rows it has: by their keys, without a key by their whole text.

What is asked for lies in a temporary table that the transaction takes with it.
"""

from __future__ import annotations

from psycopg import sql

from handover.model.catalog import Table
from handover.model.plan import TablePlan
from handover.postgres.copying import copy_into, read_rows
from handover.postgres.keysets import KeySet
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, database_errors, qualified

_ROWS = sql.SQL("pg_temp.handover_living")


def rows_there(connection: Connection, table: Table, plan: TablePlan, data: bytes) -> bytes:
    """Return those of some rows of COPY text that are in the table, of which ``plan`` may be a partition.

    The session must be outside a transaction.
    """
    with (
        database_errors(f"looking for living rows in {table.label}"),
        connection.transaction(force_rollback=True),
    ):
        # With generated columns, for the key may have one.
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE handover_living (LIKE {} INCLUDING GENERATED)").format(
                qualified(plan.schema_name, plan.name)
            )
        )
        copy_into(connection, _ROWS, plan.columns, "text", data)
        return b"".join(map(bytes, read_rows(connection, _found(table, plan), "text")))


def _found(table: Table, plan: TablePlan) -> sql.Composable:
    key_set = KeySet(table, "handover_living")
    here = [sql.SQL("{} AS {}").format(e, sql.Identifier(name)) for name, e in key_set.columns().items()]
    names = [sql.SQL("t.{}").format(sql.Identifier(name)) for name in plan.columns]
    return sql.SQL(
        "SELECT {} FROM {} AS t WHERE EXISTS (SELECT FROM (SELECT {} FROM {} AS t) AS k WHERE {})"
    ).format(sql.SQL(", ").join(names), _ROWS, sql.SQL(", ").join(here), rows_of(table), key_set.same())
