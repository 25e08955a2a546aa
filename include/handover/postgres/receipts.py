"""Receipts in the database where the effect happens: inserted before the effect, in its transaction.

A second session that tries the same step waits on the unique key until the first one has ended, so a
zombie can never do a step twice. Runs of several cases may work in one database: each is named together with
its case, and takes away what is its own at closing. The last one drops the schema, which is left out of every
comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from handover.model.case import RECEIPTS_SCHEMA
from handover.postgres.session import Connection, database_errors, fetch, qualified

_SCHEMA = sql.Identifier(RECEIPTS_SCHEMA)
_TABLES = ("receipt", "outcome")
_CREATE = sql.SQL(
    "CREATE SCHEMA IF NOT EXISTS {0};"
    "CREATE TABLE IF NOT EXISTS {0}.receipt (run text NOT NULL, step text NOT NULL, unit text NOT NULL,"
    " rows bigint NOT NULL, digest text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(),"
    " PRIMARY KEY (run, step, unit))"
).format(_SCHEMA)
# From the moment on at which it made the schema sure a run has this receipt, of no step: nobody drops the
# schema between two statements of it.
_STAY = sql.SQL(
    "INSERT INTO {}.receipt (run, step, unit, rows, digest) VALUES (%s, '', '', 0, '') ON CONFLICT DO NOTHING"
).format(_SCHEMA)
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"


def create_receipts(connection: Connection, run: str) -> None:
    """Create the receipts' schema in a database, unless it is there, and keep it there for a run."""
    with database_errors("creating the receipts' schema"), _one_by_one(connection):
        connection.execute(_CREATE)
        connection.execute(_STAY, (run,))


def drop_receipts(connection: Connection, run: str) -> bool:
    """Drop what a run left in the receipts' schema, and the schema if no other run has anything in it.

    Returns whether it dropped the schema; safe to repeat.
    """
    with database_errors("dropping the receipts' schema"), _one_by_one(connection):
        there = [name for name in _TABLES if _is_there(connection, name)]
        for name in there:
            own = sql.SQL("DELETE FROM {} WHERE run = %s").format(qualified(RECEIPTS_SCHEMA, name))
            connection.execute(own, (run,))
        if not there or runs_with_receipts(connection):
            return False
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(_SCHEMA))
        return True


@contextmanager
def _one_by_one(connection: Connection) -> Iterator[None]:
    """Open a transaction in which no other session creates or drops the schema."""
    with connection.transaction():
        connection.execute(_ALONE, (f"{RECEIPTS_SCHEMA} receipts",))
        yield


def _is_there(connection: Connection, name: str) -> bool:
    return fetch(connection, "SELECT to_regclass(%s)", f"{RECEIPTS_SCHEMA}.{name}")[0][0] is not None


def runs_with_receipts(connection: Connection) -> set[str]:
    """Return the runs that left receipts in a database, none when the schema is not there."""
    if not _is_there(connection, "receipt"):
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
