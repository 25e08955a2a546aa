"""The epoch of holds: no hold is added while rows go, and whatever goes later goes under all holds so far.

Whoever erases or masks holds the epoch in share mode from asking the law until COMMIT. Adding a hold takes
it alone: it waits for the batch that is under way, and no batch begins meanwhile that has not asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from handover.evidence.connection import Connection, session
from handover.postgres.session import database_errors
from handover.stages.context import Context

RAISED = "hold-epoch-raised"
ERASING_PLANNED, ERASED = "erasing-planned", "erased"
CHUNK_MASKED, MASKED = "chunk-masked-here", "masked-here"
# What says that rows of a run began to go or to lose their identities, and what that all of them did.
_TAKING = {ERASED: (ERASING_PLANNED, ERASED), MASKED: (CHUNK_MASKED, MASKED)}
# Keeps these locks apart from the ledger's own in its database.
_LOCK_CLASS = 0x401D
_SHARED = "SELECT pg_advisory_xact_lock_shared(%s, hashtext(%s))"
_ALONE = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"
# When a hold came: before the first batch of any run of the case, between batches, or after the last one.
# Of a run that both erases and masks only what has begun counts.
Moment = Literal["before", "during", "after"]


@dataclass(frozen=True)
class Held:
    """The epoch that stands still, and what raises ConnectionLost when its lock was lost meanwhile."""

    number: int
    require: Callable[[], None]


@dataclass(frozen=True)
class Raised:
    """A new epoch, and whether rows of the case had gone by then."""

    number: int
    moment: Moment


@contextmanager
def held(context: Context) -> Iterator[Held]:
    """Keep holds of the case from being added; raises Busy when somebody does not stop adding one."""
    with _locked(context, _SHARED) as connection:

        def require() -> None:
            with database_errors("making sure that no hold was added"):
                connection.execute("SELECT 1")

        yield Held(epoch(context), require)


@contextmanager
def raise_epoch(context: Context) -> Iterator[Raised]:
    """Begin a new epoch; a hold is written down within the block, while nothing is erased.

    The epoch is raised first: who dies before the hold stands makes the law be asked once more, in vain.
    Raises Busy when the batch under way takes too long.
    """
    with _locked(context, _ALONE):
        raised = Raised(epoch(context) + 1, _moment(context))
        context.record(RAISED, {"epoch": raised.number, "moment": raised.moment})
        yield raised


def epoch(context: Context) -> int:
    """Return the number of the epoch; holds concern all runs of a case."""
    return len(context.ledger.entries(context.case.case, kinds=[RAISED]))


def _moment(context: Context) -> Moment:
    began: set[tuple[str, str]] = set()
    ended: set[tuple[str, str]] = set()
    for end, kinds in _TAKING.items():
        for entry in context.ledger.entries(context.case.case, kinds=kinds):
            began.add((end, entry.run))
            if entry.kind == end:
                ended.add((end, entry.run))
    if not began:
        return "before"
    return "after" if began == ended else "during"


@contextmanager
def _locked(context: Context, statement: str) -> Iterator[Connection]:
    with session(context.ledger_url) as connection, connection.transaction():
        connection.execute(statement.encode(), [_LOCK_CLASS, context.case.case])
        yield connection
