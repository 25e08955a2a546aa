"""Receipts in the database where the effect happens: inserted before the effect, in its transaction.

A second session that tries the same step waits on the unique key until the first one has ended, so a
zombie can never do a step twice. The schema is dropped at closing and left out of every comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from handover.model.case import RECEIPTS_SCHEMA
from handover.postgres.session import Connection, database_errors, fetch

_SCHEMA = sql.Identifier(RECEIPTS_SCHEMA)
_CREATE = sql.SQL(
    "CREATE SCHEMA IF NOT EXISTS {0};"
    "CREATE TABLE IF NOT EXISTS {0}.receipt (run text NOT NULL, step text NOT NULL, unit text NOT NULL,"
    " rows bigint NOT NULL, digest text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(),"
    " PRIMARY KEY (run, step, unit))"
).format(_SCHEMA)


def create_receipts(connection: Connection) -> None:
    """Create the receipts' schema in a database; does nothing when it is there."""
    with database_errors("creating the receipts' schema"):
        connection.execute(_CREATE)


def drop_receipts(connection: Connection) -> None:
    """Drop the receipts' schema; does nothing when it is not there."""
    with database_errors("dropping the receipts' schema"):
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(_SCHEMA))


def runs_with_receipts(connection: Connection) -> set[str]:
    """Return the runs that left receipts in a database, none when the schema is not there."""
    if fetch(connection, "SELECT to_regclass(%s)", f"{RECEIPTS_SCHEMA}.receipt")[0][0] is None:
        return set()
    query = sql.SQL("SELECT DISTINCT run FROM {}.receipt").format(_SCHEMA)
    return {str(run) for (run,) in fetch(connection, query)}


@contextmanager
def once(
    connection: Connection, run: str, step: str, unit: str, rows: int = 0, digest: str = ""
) -> Iterator[bool]:
    """Open a transaction that holds the receipt of one step; yields whether the step is still to be done."""
    insert = sql.SQL(
        "INSERT INTO {}.receipt (run, step, unit, rows, digest) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING"
    ).format(_SCHEMA)
    with connection.transaction():
        done = connection.execute(insert, (run, step, unit, rows, digest))
        yield done.rowcount == 1


def receipts(connection: Connection, run: str, step: str) -> dict[str, tuple[int, str]]:
    """Return rows and digest of each unit that a step has done."""
    query = sql.SQL("SELECT unit, rows, digest FROM {}.receipt WHERE run = %s AND step = %s").format(_SCHEMA)
    return {
        str(unit): (int(str(rows)), str(digest)) for unit, rows, digest in fetch(connection, query, run, step)
    }
