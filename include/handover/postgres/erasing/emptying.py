"""Erases everything in one transaction: some tables are emptied and what is kept of them is put back.

Nobody else gets at the tables meanwhile. Rows are compared with the backup before, those that differ are kept
with what they need, and triggers of the emptied tables rest: for them nothing happens.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from psycopg import sql

from handover.errors import DataRefused
from handover.model.plan import TablePlan
from handover.postgres.erasing.batch import Eraser, deleted_by_label, refuse_kept_back, refuse_more_deleted
from handover.postgres.erasing.batches import Work
from handover.postgres.erasing.deleting import Seen, Span, by_place, delete, read
from handover.postgres.erasing.effects import beyond, changes
from handover.postgres.erasing.request import Effect
from handover.postgres.erasing.staying import look_again, mark_needed, mark_unlike
from handover.postgres.mending import at_rest
from handover.postgres.ordering import rows_of
from handover.postgres.session import fetch


@dataclass
class Emptier(Eraser):
    """An eraser that empties the tables with the numbers ``emptied``."""

    emptied: frozenset[int] = frozenset()

    def erase(self, span: Span) -> tuple[dict[str, int], tuple[Effect, ...]]:
        """Erase a span that takes all numbers; the caller's transaction must wait for locks in time."""
        self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        tables = [rows_of(work.table) for work in self.works.tables.values()]
        self.connection.execute(
            sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(tables))
        )
        seen = self._compared(span)
        emptied = [self.works.tables[n] for circle in self.circles for n in circle if n in self.emptied]
        totals = {work.number: self._count(work) for work in emptied}
        with ExitStack() as resting:
            for work in emptied:
                resting.enter_context(at_rest(self.connection, _whole(work)))
            self._empty(emptied, span)
            effects = self._delete_others(span)
            self._put_back(emptied)
        for work in emptied:
            gone = sum(seen[stage.number].wanted for stage in work.stages if stage.number in seen)
            self._check(work, totals[work.number] - gone)
        return deleted_by_label(list(self.works.tables.values()), seen), effects

    def _compared(self, span: Span) -> dict[int, Seen]:
        """Read all rows that go until every one is as it was backed up and nothing that stays needs one."""
        while True:
            seen: dict[int, Seen] = {}
            for work in self.works.tables.values():
                seen |= read(self.connection, work, span)
            moved = look_again(self.connection, self.works, span, seen)
            marked = 0 if moved else mark_unlike(self.connection, self.works, span, seen)
            if not moved and not marked:
                marked = mark_needed(self.connection, self.works, self.keys, span)
            if not moved and not marked:
                return seen

    def _empty(self, emptied: list[Work], span: Span) -> None:
        for work in emptied:
            self.connection.execute(
                sql.SQL(
                    "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} AS t WHERE NOT EXISTS"
                    " (SELECT FROM {} AS k WHERE {} AND (k.part, k.place) = (t.tableoid, t.ctid))"
                ).format(_kept(work), _columns(work), rows_of(work.table), work.place, span.rows())
            )
        names = sql.SQL(", ").join([rows_of(work.table) for work in emptied])
        self.connection.execute(sql.SQL("TRUNCATE {}").format(names))

    def _delete_others(self, span: Span) -> tuple[Effect, ...]:
        """Delete from the tables that are not emptied; returns what else changed by that."""
        before = changes(self.connection, self.graph)
        seen: dict[int, Seen] = {}
        others = [[self.works.tables[n] for n in circle if n not in self.emptied] for circle in self.circles]
        with by_place(self.connection):
            for works in filter(None, others):
                alone = self._alone([work.number for work in works])
                seen |= delete(self.connection, works, span, alone)
        refuse_kept_back(self.works, seen)
        deleted = deleted_by_label([work for works in others for work in works], seen)
        effects = beyond(before, changes(self.connection, self.graph), deleted)
        refuse_more_deleted(effects)
        return effects

    def _put_back(self, emptied: list[Work]) -> None:
        """Insert what is kept, parents first; tables that refer to each other in one statement."""
        mine = {work.number: work for work in emptied}
        for circle in reversed(self.circles):
            works = [mine[number] for number in circle if number in mine]
            inserts = [
                sql.SQL("{} AS (INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} AS t)").format(
                    sql.Identifier(f"back_{work.number}"),
                    sql.Identifier(work.table.schema_name, work.table.name),
                    _names(work),
                    _columns(work),
                    _kept(work),
                )
                for work in works
            ]
            if inserts:
                self.connection.execute(sql.SQL("WITH {} SELECT").format(sql.SQL(", ").join(inserts)))

    def _count(self, work: Work) -> int:
        query = sql.SQL("SELECT count(*) FROM {}").format(rows_of(work.table))
        return int(str(fetch(self.connection, query)[0][0]))

    def _check(self, work: Work, expected: int) -> None:
        rows = self._count(work)
        if rows != expected:
            raise DataRefused(
                f"{work.table.label}: {rows} rows were put back, expected {expected}",
                hint="nothing was erased; choose to delete the rows of this table",
                table=work.table.label,
            )


def _whole(work: Work) -> TablePlan:
    """Return a plan of the table with all its partitions."""
    name = {"schema_name": work.table.schema_name, "name": work.table.name}
    return work.stages[0].plan.model_copy(update=name)


def _kept(work: Work) -> sql.Identifier:
    return sql.Identifier(f"erase_kept_{work.number}")


def _names(work: Work) -> sql.Composable:
    return sql.SQL(", ").join([sql.Identifier(c.name) for c in work.table.columns if not c.generated])


def _columns(work: Work) -> sql.Composable:
    names = [c.name for c in work.table.columns if not c.generated]
    return sql.SQL(", ").join([sql.SQL("t.{}").format(sql.Identifier(name)) for name in names])
