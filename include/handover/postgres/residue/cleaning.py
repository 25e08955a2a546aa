"""Cleaning: views refreshed, statistics renewed, tables rewritten, statement texts reset, WAL written over.

The order matters: each step may write down once more what the steps after it take away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

import psycopg
from psycopg import sql

from handover.model.policy import Text
from handover.model.reconciliation import TableName
from handover.model.residue import Begun, Cleaning, Place, Rewritten, Wal, Window
from handover.postgres.residue.rewriting import Clock, check_window, rewrite, within
from handover.postgres.residue.statistics import renew_statistics
from handover.postgres.residue.storage import CATALOGS
from handover.postgres.residue.wal import overwrite_wal
from handover.postgres.session import Connection, database_errors, fetch, qualified

Record = Callable[[Rewritten], None]
RIGHT_TO_REFRESH = Text(
    zh="缺少权限：须为物化视图的所有者（或有MAINTAIN权限），并可读其来源表",
    en="missing right: ownership of the view (or MAINTAIN), and SELECT on what it reads",
)
RIGHT_TO_RESET = Text(
    zh="缺少权限：执行pg_stat_statements_reset",
    en="missing right: EXECUTE on pg_stat_statements_reset",
)
RIGHT_TO_SWITCH = Text(
    zh="缺少权限：执行pg_switch_wal和pg_ls_waldir，以及pg_checkpoint角色（或超级用户）",
    en="missing right: EXECUTE on pg_switch_wal and pg_ls_waldir, and the role pg_checkpoint (or superuser)",
)
STATEMENTS = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""


def clean(
    connection: Connection,
    begun: Begun,
    window: Window,
    clock: Clock,
    done: Iterable[Rewritten] = (),
    record: Record = lambda _: None,
) -> Cleaning:
    """Clean what the role may clean. Safe to repeat: ``done`` are tables that ``record`` was given before.

    Raises NotReady outside the window, Busy when a lock was not to be had.
    """
    refused: dict[Place, Text] = {}
    if not _refresh(connection, begun, window, clock):
        refused["materialized-views"] = RIGHT_TO_REFRESH
    statistics = renew_statistics(connection, [*begun.tables, *begun.above, *begun.views])
    finished = {one.table: one for one in done if not one.held_by}
    for table in (*begun.tables, *CATALOGS):
        if table not in finished or table in CATALOGS:
            finished[table] = rewrite(connection, begun, table, window, clock)
            record(finished[table])
    if not _reset_statements(connection):
        refused["statement-texts"] = RIGHT_TO_RESET
    wal = _overwrite(connection, window, clock)
    if wal is None:
        refused["wal"] = RIGHT_TO_SWITCH
    return Cleaning(
        begun=begun,
        rewritten=tuple(finished.values()),
        statistics=statistics,
        wal=wal,
        refused=refused,
    )


def _refresh(connection: Connection, begun: Begun, window: Window, clock: Clock) -> bool:
    """Fill the views anew; a view of older rows would show the erased ones."""
    return all([_refresh_one(connection, view, window, clock) for view in begun.views])


def _refresh_one(connection: Connection, view: TableName, window: Window, clock: Clock) -> bool:
    query = sql.SQL("REFRESH MATERIALIZED VIEW {}").format(qualified(view.schema_name, view.name))
    what = f"refreshing {view.label}"
    with database_errors(what), within(connection, window, clock, what):
        return _allowed(lambda: connection.execute(query))


def _reset_statements(connection: Connection) -> bool:
    """Forget all statement texts: a part cannot be taken out of the file that holds them."""
    with database_errors("forgetting the texts of statements"):
        for (schema,) in fetch(connection, STATEMENTS):
            query = sql.SQL("SELECT {}()").format(qualified(str(schema), "pg_stat_statements_reset"))
            # Created, but the server does not load it: there are none.
            with suppress(psycopg.errors.ObjectNotInPrerequisiteState):
                return _allowed(partial(connection.execute, query))
    return True


def _overwrite(connection: Connection, window: Window, clock: Clock) -> Wal | None:
    what = "writing over old write-ahead log"
    with database_errors(what):
        try:
            return overwrite_wal(connection, lambda: check_window(window, clock, what))
        except psycopg.errors.InsufficientPrivilege:
            return None


def _allowed(run: Callable[[], object]) -> bool:
    """Run it; says whether the role might."""
    try:
        run()
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True
