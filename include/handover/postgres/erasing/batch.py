"""One transaction: the rows of some numbers go together, or stay for a reason that is written down.

It is tried in a savepoint. Where a row is not as it was found, a reference holds, or something else changed
than was meant, the savepoint is rolled back, the rows that must stay are marked, and the rest is tried again;
each time fewer rows are going, so this ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from handover.errors import DataRefused, ScopeChanged
from handover.postgres.erasing.batches import Work, Works
from handover.postgres.erasing.circles import components
from handover.postgres.erasing.deleting import Seen, Span, by_place, delete, lock
from handover.postgres.erasing.effects import beyond, changes
from handover.postgres.erasing.foreign_keys import ForeignKey
from handover.postgres.erasing.request import Effect
from handover.postgres.erasing.staying import (
    look_again,
    mark_declared,
    mark_needed,
    require_backed_up,
    require_same_files,
)
from handover.postgres.references import Graph
from handover.postgres.session import Connection


@dataclass
class Eraser:
    """Erases spans of numbers in a session. ``careful``: references are looked at before anything is deleted.

    That is needed where triggers update rows: the server's count cannot tell them from ON DELETE SET NULL.
    And it tells what others did and took back from what the server will always refuse.
    """

    connection: Connection
    graph: Graph
    works: Works
    keys: tuple[ForeignKey, ...]
    careful: bool = False
    circles: list[tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        edges = [(key.child, key.parent) for key in self.keys if key.child is not None]
        self.circles = components(self.works.tables, edges)

    def erase(self, span: Span) -> tuple[dict[str, int], tuple[Effect, ...]]:
        """Erase a span in the caller's transaction; returns rows deleted by table, and what else changed."""
        # Deferred checks and triggers act at once, inside the savepoint.
        self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        require_same_files(self.connection, self.works)
        require_backed_up(self.connection, self.works)
        while True:
            attempt = self._attempt(span)
            if attempt.done:
                return attempt.deleted, attempt.effects
            self._settle(span, attempt)

    def _attempt(self, span: Span) -> _Attempt:
        attempt = _Attempt()
        try:
            with self.connection.transaction() as savepoint:
                self._try(span, attempt)
                if not attempt.done:
                    raise psycopg.Rollback(savepoint)
        except psycopg.IntegrityError as refused:
            attempt.refused = refused
        return attempt

    def _try(self, span: Span, attempt: _Attempt) -> None:
        tables = self.works.tables
        with by_place(self.connection):
            for number in {key.parent for key in self.keys}:
                lock(self.connection, tables[number], span)
        if self.careful and mark_needed(self.connection, self.works, self.keys, span):
            attempt.marked = True  # the marks are in the savepoint: make them again outside
            return
        before = changes(self.connection, self.graph)
        with by_place(self.connection):
            for circle in self.circles:
                works = [tables[number] for number in circle]
                attempt.seen |= delete(self.connection, works, span, self._alone(circle))
                if attempt.unsettled:
                    return
        attempt.deleted = deleted_by_label(list(tables.values()), attempt.seen)
        attempt.effects = beyond(before, changes(self.connection, self.graph), attempt.deleted)
        suspect = {"deleted"} if self.careful else {"deleted", "updated"}
        attempt.done = not any(effect.change in suspect for effect in attempt.effects)

    def _alone(self, circle: Sequence[int]) -> bool:
        """Say whether no row of the tables refers to a row of another unit of them."""
        only = self.works.tables[circle[0]]
        refers = any((key.child, key.parent) == (only.number, only.number) for key in self.keys)
        return len(circle) == 1 and not (refers and len(only.stages) > 1)

    def _settle(self, span: Span, attempt: _Attempt) -> None:
        """Mark what must stay after an attempt was taken back; raises where nothing explains it."""
        if attempt.unsettled and look_again(self.connection, self.works, span, attempt.seen):
            mark_declared(self.connection, self.works, span.first)
            return
        refuse_kept_back(self.works, attempt.seen)
        marked = mark_needed(self.connection, self.works, self.keys, span)
        if marked or attempt.marked:
            return
        if self.careful:
            if attempt.refused is not None:
                raise attempt.refused
            refuse_more_deleted(attempt.effects)
        # Perhaps a row referred to one that goes and was gone again when we looked: looked at beforehand,
        # while what it refers to is locked, none can come, and what is then in the way is something else.
        self.careful = True


@dataclass
class _Attempt:
    """What came of trying once."""

    done: bool = False
    marked: bool = False
    seen: dict[int, Seen] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    refused: psycopg.Error | None = None

    @property
    def unsettled(self) -> bool:
        """Say whether rows are missing."""
        return any(one.missing for one in self.seen.values())


def deleted_by_label(works: Sequence[Work], seen: Mapping[int, Seen]) -> dict[str, int]:
    return {
        work.table.label: rows
        for work in works
        if (rows := sum(seen[stage.number].rows for stage in work.stages if stage.number in seen))
    }


def refuse_kept_back(works: Works, seen: Mapping[int, Seen]) -> None:
    """Raise DataRefused where rows are there and yet were not deleted."""
    stages = [stage for work in works.tables.values() for stage in work.stages]
    missing = [stage.plan.label for stage in stages if stage.number in seen and seen[stage.number].missing]
    if missing:
        raise DataRefused(
            f"the server does not delete rows of {', '.join(missing)}: a trigger or rule keeps them",
            hint="disable it while the run erases, or take the rows out of what is erased",
            tables=missing,
        )


def refuse_more_deleted(effects: Sequence[Effect]) -> None:
    """Raise ScopeChanged where more was deleted than what was meant."""
    extra = {effect.table: effect.rows for effect in effects if effect.change == "deleted"}
    if extra:
        said = ", ".join(f"{rows} of {table}" for table, rows in extra.items())
        raise ScopeChanged(
            f"triggers delete rows that nobody approved: {said}; nothing of this batch was erased",
            hint="disable the triggers while the run erases, or bring those rows into the scope",
            rows=extra,
        )
