"""Erases what was approved, one transaction after the other; killed at any point and begun again, it goes on.

Each transaction holds its receipts in the source. A session that was thought dead and one that has taken its
place claim the same receipt, and the second one gives up. What was done already is not there any more when a
run begins again, and the receipts say that it was us: so every row asked for is deleted, gone, or stays.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from psycopg import sql

from handover.crashpoints import CrashPoint, passing
from handover.errors import Busy
from handover.postgres.columns import require_same_columns
from handover.postgres.erasing.batch import Eraser
from handover.postgres.erasing.batches import Work, Works, find, load_backup
from handover.postgres.erasing.breaker import check_asked, check_deleted, check_found
from handover.postgres.erasing.deleting import Span
from handover.postgres.erasing.effects import require_counting
from handover.postgres.erasing.emptying import Emptier, NotSoSimpleError, Replacer, replaceable
from handover.postgres.erasing.foreign_keys import ForeignKey, read_foreign_keys
from handover.postgres.erasing.pace import Throttle, blocked_by_us
from handover.postgres.erasing.reporting import table_report, whole_report
from handover.postgres.erasing.request import Change, Effect, Erased, ErasedTable, Request
from handover.postgres.erasing.staying import mark_declared
from handover.postgres.receipts import create_receipts, once, receipts
from handover.postgres.session import Connection, database_errors, fetch


def erase(connection: Connection, request: Request) -> Erased:
    """Erase all rows of a request that may go; the session must be outside a transaction.

    Raises ScopeChanged when something else would go, or change, than was approved; Busy when a lock was not
    to be had or another session does the same. What was committed stays so, and the next call goes on.
    """
    require_counting(connection)
    create_receipts(connection, request.run)
    require_same_columns(connection, [(unit.plan, unit.columns) for unit in request.units])
    works = load_backup(connection, request)
    check_asked(works, request.approved)
    keys = read_foreign_keys(connection, request.graph, works.tables)
    emptied = frozenset(n for n, work in works.tables.items() if work.table.label in request.emptied)
    if works.end and _replaced(connection, request, works, keys, emptied):
        return _report(
            connection,
            request,
            [whole_report(work, deleted) for work, deleted in _told(connection, request, works)],
        )
    works = find(connection, works)
    mark_declared(connection, works, 0)
    check_found(connection, works, request.approved, deleted_so_far(connection, request))
    if not emptied:
        _erase_in_batches(connection, request, works, Eraser(connection, request.graph, works, keys))
    elif works.end:
        emptier = Emptier(connection, request.graph, works, keys, emptied=emptied)
        rows, _ = _commit(connection, request, emptier, Span(0, works.end))
        request.progress(rows)
    return _report(
        connection,
        request,
        [
            table_report(connection, work, rows, request.token)
            for work, rows in _told(connection, request, works)
        ],
    )


def _replaced(
    connection: Connection,
    request: Request,
    works: Works,
    keys: tuple[ForeignKey, ...],
    emptied: frozenset[int],
) -> bool:
    """Say whether all could be erased by emptying tables as a whole; if not so, nothing was done."""
    if not emptied or not replaceable(connection, works, emptied):
        return False
    replacer = Replacer(connection, request.graph, works, keys, emptied=emptied, approved=request.approved)
    try:
        rows, _ = _commit(connection, request, replacer, Span(0, works.end))
    except NotSoSimpleError:
        return False
    request.progress(rows)
    return True


def _erase_in_batches(connection: Connection, request: Request, works: Works, eraser: Eraser) -> None:
    throttle = Throttle(request.pace, request.honour_stop)
    here = _next(connection, works, 0)
    while here is not None:
        throttle.before(connection)
        span = Span(here, here + throttle.width - 1)
        began = time.monotonic()
        rows, blocked = _commit(connection, request, eraser, span)
        request.progress(rows)
        throttle.after(rows, time.monotonic() - began, blocked)
        here = _next(connection, works, span.last + 1)


def deleted_so_far(connection: Connection, request: Request) -> Counter[str]:
    """Return the rows that the run has deleted, by label of a table, as its receipts say."""
    found: Counter[str] = Counter()
    for unit, (rows, _) in receipts(connection, request.run, request.step).items():
        found[unit.partition("/")[2]] += rows
    return found


def _batches(request: Request) -> str:
    return f"{request.step}/batch"


def _effects(request: Request) -> str:
    return f"{request.step}/effect"


def _next(connection: Connection, works: Works, start: int) -> int | None:
    """Return the lowest number from a number on that some row has."""
    found = []
    for work in works.tables.values():
        query = sql.SQL("SELECT min(batch) FROM {} WHERE batch >= {}").format(work.place, sql.Literal(start))
        found += [int(str(number)) for (number,) in fetch(connection, query) if number is not None]
    return min(found, default=None)


def _commit(connection: Connection, request: Request, eraser: Eraser, span: Span) -> tuple[int, int]:
    """Erase a span in a transaction of its own; returns its rows, and how many sessions waited for us."""
    unit = str(len(receipts(connection, request.run, _batches(request))))
    timeout = sql.SQL("SET LOCAL lock_timeout = {}").format(
        sql.Literal(f"{request.pace.lock_seconds * 1000:.0f}ms")
    )
    with request.holding() as require_held:
        with (
            database_errors(f"{request.step}: erasing batch {unit}"),
            once(connection, request.run, _batches(request), unit) as todo,
        ):
            if not todo:
                raise Busy(
                    f"{request.step}: batch {unit} was erased by another session of the same run",
                    hint="let one session erase; trying again goes on where it ended",
                )
            connection.execute(timeout)
            with request.through():
                deleted, effects = eraser.erase(span)
            _write_down(connection, request, unit, deleted, effects)
            check_deleted(deleted_so_far(connection, request), request.approved)
            blocked = blocked_by_us(connection)
            passing(CrashPoint.ERASED_UNCOMMITTED)
            require_held()
        passing(CrashPoint.ERASED_COMMITTED)
    return sum(deleted.values()), blocked


def _write_down(
    connection: Connection, request: Request, unit: str, deleted: dict[str, int], effects: tuple[Effect, ...]
) -> None:
    for label, rows in deleted.items():
        with once(connection, request.run, request.step, f"{unit}/{label}", rows):
            pass
    for effect in effects:
        with once(
            connection, request.run, _effects(request), f"{unit}/{effect.change}/{effect.table}", effect.rows
        ):
            pass


def _told(connection: Connection, request: Request, works: Works) -> list[tuple[Work, int]]:
    """Return the tables in their order, and how many rows of each were deleted."""
    deleted = deleted_so_far(connection, request)
    return [
        (works.tables[number], deleted[works.tables[number].table.label]) for number in sorted(works.tables)
    ]


def _report(connection: Connection, request: Request, tables: Iterable[ErasedTable]) -> Erased:
    effects = Counter[tuple[str, Change]]()
    for unit, (rows, _) in receipts(connection, request.run, _effects(request)).items():
        _, change, label = unit.split("/", 2)
        effects[label, change] += rows  # type: ignore[index]
    return Erased(
        tables=tuple(tables),
        effects=tuple(Effect(table=t, change=c, rows=rows) for (t, c), rows in sorted(effects.items())),
        batches=len(receipts(connection, request.run, _batches(request))),
    )
