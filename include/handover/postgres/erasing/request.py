"""What the erase engine is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

from handover.model.base import Frozen
from handover.model.catalog import Column
from handover.model.plan import TablePlan
from handover.postgres.keysets import KeySet
from handover.postgres.references import Graph
from handover.postgres.session import LOCK_SECONDS

# Why a row of the approved set is still there: its content is not that of the backup, or a row that stays
# refers to it.
Why = Literal["differs", "needed"]
Change = Literal["inserted", "updated", "deleted"]
# A lock that is held for a while; what it gives raises when it was lost meanwhile.
Holding = Callable[[], AbstractContextManager[Callable[[], None]]]
# A person who looks into rows that stayed needs some, not all.
MOST_NAMED = 50


@dataclass(frozen=True)
class Unit:
    """A table, or the partition that was backed up in its place, and the rows that may go.

    ``columns``: all that its table had when it was backed up, generated ones too; with others nothing goes.
    ``rows``: its backed-up rows in the COPY form of the plan, in any order and whole, many at a time; one by
    one where ``staging.has_stored_key`` says no. Read once.
    ``keys``: a filled key set of the same session; backed-up rows that it does not name stay. None: all go.
    """

    plan: TablePlan
    columns: tuple[Column, ...]
    rows: Iterable[bytes]
    keys: KeySet | None = None


@dataclass(frozen=True)
class Approved:
    """How many rows of a table may go, and how many it had when that was approved."""

    rows: int
    total: int


@dataclass(frozen=True)
class Pace:
    """How much others are spared. 0 rows a second: no limit. Lag: of the slowest replica, in WAL and time."""

    rows_per_second: int = 0
    seconds_per_batch: float = 2.0
    lock_seconds: float = LOCK_SECONDS
    most_lag: int = 256 << 20
    most_lag_seconds: float = 30.0


@dataclass(frozen=True)
class Request:
    """One run's erasing.

    ``run``: as receipts name it, together with its case. ``graph``: tables of the case and their references;
    ``roots``: the numbers of the tables whose rows are the subjects, so that a subject goes with everything
    that hangs on it. ``approved``: by label of a table of the graph. ``holding`` is entered before a
    transaction begins and left after it ended: the epoch of holds is locked there, and it may raise; what it
    gives is called right before COMMIT. ``honour_stop`` may raise between transactions, ``progress`` is told
    the rows of each. ``token`` makes the publishable name of a row from its key, a COPY row in the form of
    its table's plan. ``emptied``: labels of the tables for which ``method.choose`` says so; then all rows go
    in one transaction. ``through``: entered within each transaction while it writes, to get through a freeze.
    """

    run: str
    step: str
    graph: Graph
    roots: frozenset[int]
    units: tuple[Unit, ...]
    approved: Mapping[str, Approved]
    holding: Holding
    honour_stop: Callable[[], None]
    token: Callable[[TablePlan, bytes], str]
    pace: Pace = field(default_factory=Pace)
    emptied: frozenset[str] = frozenset()
    through: Callable[[], AbstractContextManager[None]] = nullcontext
    progress: Callable[[int], None] = lambda rows: None


class Stayed(Frozen):
    """Rows of a table that stayed for one reason; ``tokens`` name the first of them."""

    why: Why
    rows: int
    tokens: tuple[str, ...]


class ErasedTable(Frozen):
    """What became of a table's rows: asked = deleted + gone already + all that stayed.

    ``deleted`` counts every attempt of the run, as its receipts in the database do, without rows that others
    made again afterwards and that stayed.
    """

    table: str
    asked: int
    deleted: int
    gone: int
    stayed: tuple[Stayed, ...]


class Effect(Frozen):
    """Rows that triggers changed while others were deleted."""

    table: str
    change: Change
    rows: int


class Erased(Frozen):
    """The end of a run's erasing."""

    tables: tuple[ErasedTable, ...]
    effects: tuple[Effect, ...]
    batches: int
