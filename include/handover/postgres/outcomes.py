"""Outcomes beside receipts: what an effect came to, kept in its transaction until the ledger knows of it too.

A process that dies after the commit leaves the effect and its outcome together, so that whoever repeats the
step can tell the ledger what happened although nobody can find it out again.
"""

from __future__ import annotations

from typing import Any, cast

from psycopg import sql
from psycopg.types.json import Jsonb

from handover.model.case import RECEIPTS_SCHEMA
from handover.postgres.receipts import create_receipts
from handover.postgres.session import Connection, database_errors, fetch, qualified

_TABLE = qualified(RECEIPTS_SCHEMA, "outcome")


def create_outcomes(connection: Connection, run: str) -> None:
    """Create the schema with the table of outcomes, unless they are there, and keep them for a run."""
    with database_errors("creating the receipts' schema"), connection.transaction():
        create_receipts(connection, run)
        connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (run text NOT NULL, step text NOT NULL, unit text NOT NULL,"
                " outcome jsonb NOT NULL, PRIMARY KEY (run, step, unit))"
            ).format(_TABLE)
        )


def keep_outcome(connection: Connection, run: str, step: str, unit: str, outcome: dict[str, object]) -> None:
    """Write an outcome down; in the transaction that holds the receipt of the same unit."""
    insert = sql.SQL("INSERT INTO {} (run, step, unit, outcome) VALUES (%s, %s, %s, %s)").format(_TABLE)
    connection.execute(insert, (run, step, unit, Jsonb(outcome)))


def outcomes(connection: Connection, run: str, step: str) -> dict[str, dict[str, Any]]:
    """Return the outcome of each unit that a step has done."""
    query = sql.SQL("SELECT unit, outcome FROM {} WHERE run = %s AND step = %s").format(_TABLE)
    return {str(unit): cast(dict[str, Any], outcome) for unit, outcome in fetch(connection, query, run, step)}
