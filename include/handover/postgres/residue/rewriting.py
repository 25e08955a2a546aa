"""Rewriting of tables: VACUUM FULL writes table, TOAST and indexes anew, without dead rows, under the window.

VACUUM FULL locks the table ACCESS EXCLUSIVE: nobody reads or writes it meanwhile. Settings are the session's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import cast

import psycopg
from psycopg import sql

from handover.errors import Busy, NotReady
from handover.model.estimate import duration_text
from handover.model.reconciliation import TableName
from handover.model.residue import Begun, RewriteEstimate, Rewritten, Window
from handover.postgres.residue.horizon import holders
from handover.postgres.residue.late import reported
from handover.postgres.residue.storage import size_of
from handover.postgres.session import LOCK_SECONDS, Connection, database_errors, fetch, qualified

# 90 to 180 MB/s were measured on two cores, wide and narrow rows with two indexes each; disks may be slower.
BYTES_A_SECOND = 60_000_000
# Up to 1.7 times the size was measured, with checksums: pages are logged when made and when marked.
WAL_SHARE = 2
SECONDS_A_TABLE = 0.1
_LONGEST_TIMEOUT = 2**31 - 1  # milliseconds: PostgreSQL knows no longer one
CATALOG_SCHEMA = "pg_catalog"
Clock = Callable[[], datetime]
_SET_TIMEOUTS = "SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false)"
_TIMEOUTS = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
# What VACUUM has counted of a table and its TOAST; NULL unless it came to every one of them since then.
_DEAD = """
SELECT CASE WHEN bool_and(pg_stat_get_last_vacuum_time(r.oid) >= %s)
            THEN sum(pg_stat_get_dead_tuples(r.oid))::bigint END
FROM pg_class c, LATERAL (SELECT c.oid UNION ALL SELECT c.reltoastrelid WHERE c.reltoastrelid <> 0) AS r
WHERE c.oid = to_regclass(%s)
"""
_LOGGED = "SELECT current_setting('wal_level') <> 'minimal'"


def estimate_rewriting(connection: Connection, tables: Iterable[TableName]) -> RewriteEstimate:
    """Say what rewriting will take, before it is done: at most, as if no row had gone.

    The old file of a table lives until the new one is complete, so the disk is that of the largest one.
    """
    with database_errors("looking at the sizes of what is to be rewritten"):
        sizes = [size_of(connection, table) for table in tables]
        logged = bool(fetch(connection, _LOGGED)[0][0])
    return RewriteEstimate(
        tables=len(sizes),
        bytes=sum(sizes),
        disk=max(sizes, default=0),
        wal=WAL_SHARE * sum(sizes) if logged else 0,
        seconds=sum(map(_seconds, sizes)),
        longest_lock=max(map(_seconds, sizes), default=0.0),
    )


def _seconds(size: int) -> float:
    return size / BYTES_A_SECOND + SECONDS_A_TABLE


def check_window(window: Window, clock: Clock, what: str, needed: float = 0.0) -> datetime:
    """Return the time; raises NotReady unless something that takes ``needed`` seconds fits the window."""
    now = clock()
    if not window.begins <= now < window.ends or now + timedelta(seconds=needed) > window.ends:
        raise NotReady(
            f"{what} takes {duration_text(needed)} and does not fit the window",
            hint=f"start it between {window.begins.isoformat()} and {window.ends.isoformat()}, early enough",
            seconds=round(needed, 1),
        )
    return now


@contextmanager
def within(
    connection: Connection, window: Window, clock: Clock, what: str, needed: float = 0.0
) -> Iterator[None]:
    """Let a step run only inside the window, and cancel it when the window ends.

    Raises NotReady outside, Busy when a lock was not to be had or the window ended meanwhile.
    """
    now = check_window(window, clock, what, needed)
    before = fetch(connection, _TIMEOUTS)[0]
    left = min(max(int((window.ends - now).total_seconds() * 1000), 1), _LONGEST_TIMEOUT)
    connection.execute(_SET_TIMEOUTS, (f"{LOCK_SECONDS}s", f"{left}ms"))
    try:
        yield
    except psycopg.errors.QueryCanceled:
        raise Busy(
            f"{what} was cancelled when the window ended; nothing of it has changed",
            hint="name a longer window; what was finished before is not done again",
        ) from None
    finally:
        if not connection.closed:
            connection.execute(_SET_TIMEOUTS, before)


def rewrite(
    connection: Connection, begun: Begun, table: TableName, window: Window, clock: Clock
) -> Rewritten:
    """Write a table anew, unless somebody still sees its erased rows: then it would keep them."""
    catalog = table.schema_name == CATALOG_SCHEMA
    name = qualified(table.schema_name, table.name)
    with database_errors(f"rewriting {table.label}"):
        size = size_of(connection, table)
        if held := holders(connection, begun.transaction, catalog=catalog):
            return Rewritten(table=table, held_by=held, bytes=size)
        started = time.monotonic()
        with within(connection, window, clock, f"rewriting {table.label}", _seconds(size)):
            connection.execute(sql.SQL("VACUUM (FULL) {}").format(name))
            since = fetch(connection, "SELECT clock_timestamp()")[0][0]
            connection.execute(sql.SQL("VACUUM (DISABLE_PAGE_SKIPPING) {}").format(name))
        seconds = time.monotonic() - started
        text = name.as_string(connection)
        dead = reported(connection, lambda: cast(int | None, fetch(connection, _DEAD, since, text)[0][0]))
        return Rewritten(table=table, dead=dead, bytes=size, seconds=seconds)
