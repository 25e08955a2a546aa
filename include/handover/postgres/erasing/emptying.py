"""Erases everything in one transaction: some tables are emptied and what is kept of them is put back.

Nobody else gets at the tables meanwhile. Rows are compared with the backup before, those that differ are kept
with what they need, and triggers of the emptied tables rest: for them nothing happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from handover.errors import DataRefused
from handover.model.plan import TablePlan
from handover.postgres.erasing.batch import Eraser, deleted_by_label, refuse_kept_back, refuse_more_deleted
from handover.postgres.erasing.batches import Work, Works
from handover.postgres.erasing.breaker import is_share
from handover.postgres.erasing.deleting import Seen, Span, by_place, delete, read
from handover.postgres.erasing.effects import beyond, changes
from handover.postgres.erasing.request import Approved, Effect
from handover.postgres.erasing.staying import look_again, mark_needed, require_backed_up, require_same_files
from handover.postgres.mending import at_rest
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, fetch

# Foreign keys that the server does not enforce, as versions from 18 on may have: they count all the same.
_UNCHECKED = """
SELECT EXISTS (SELECT FROM pg_constraint k WHERE contype = 'f'
               AND NOT coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true))
"""


@dataclass
class Emptier(Eraser):
    """An eraser that empties the tables with the numbers ``emptied``."""

    emptied: frozenset[int] = frozenset()

    def erase(self, span: Span) -> tuple[dict[str, int], tuple[Effect, ...]]:
        """Erase a span that takes all numbers; the caller's transaction must wait for locks in time."""
        self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self._shut_out()
        require_same_files(self.connection, self.works)
        seen = self._compared(span)
        emptied = self._in_order()
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

    def _shut_out(self) -> None:
        tables = [rows_of(work.table) for work in self.works.tables.values()]
        self.connection.execute(
            sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(tables))
        )
        require_backed_up(self.connection, self.works)

    def _in_order(self) -> list[Work]:
        """Return the emptied tables, children first."""
        return [self.works.tables[n] for circle in self.circles for n in circle if n in self.emptied]

    def _compared(self, span: Span) -> dict[int, Seen]:
        """Look at all rows that go until every one is as it was found and nothing that stays needs one."""
        while True:
            seen: dict[int, Seen] = {}
            for work in self.works.tables.values():
                seen |= read(self.connection, work, span)
            moved = look_again(self.connection, self.works, span, seen)
            if not moved and not mark_needed(self.connection, self.works, self.keys, span):
                return seen

    def _empty(self, emptied: list[Work], span: Span) -> None:
        for work in emptied:
            going = sql.SQL("SELECT FROM {} AS k WHERE {} AND (k.part, k.place) = (t.tableoid, t.ctid)")
            self._keep(work, going.format(work.place, span.rows()))
        self._truncate(emptied)

    def _keep(self, work: Work, going: sql.Composable) -> int:
        """Set the rows ``t`` aside for which a query finds nothing; returns how many."""
        return self.connection.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} AS t WHERE NOT EXISTS ({})"
            ).format(_kept(work), _columns(work), rows_of(work.table), going)
        ).rowcount

    def _truncate(self, emptied: list[Work]) -> None:
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


class NotSoSimpleError(Exception):
    """Something is not as it was backed up: row by row it has to be found out what."""


@dataclass
class Replacer(Emptier):
    """An emptier for when all tables are emptied and every row is as it was backed up: none is looked for."""

    approved: Mapping[str, Approved] = field(default_factory=dict)

    def erase(self, span: Span) -> tuple[dict[str, int], tuple[Effect, ...]]:
        """Erase everything that was loaded; raises NotSoSimpleError, and the transaction is to be taken back.

        What is kept are the rows that the backup has not, or not so; if that leaves as many as were to go,
        these are they. Rows that are kept and need one that went are refused by the server.
        """
        self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self._shut_out()
        emptied = self._in_order()
        kept = {work.number: self._set_aside(work) for work in emptied}
        with ExitStack() as resting:
            for work in emptied:
                resting.enter_context(at_rest(self.connection, _whole(work)))
            try:
                with self.connection.transaction():
                    self._truncate(emptied)
                    self._put_back(emptied)
            except (psycopg.IntegrityError, psycopg.errors.FeatureNotSupported) as refused:
                raise NotSoSimpleError from refused
        for work in emptied:
            self._check(work, kept[work.number])
        return {work.table.label: work.asked for work in emptied if work.asked}, ()

    def _set_aside(self, work: Work) -> int:
        (stage,) = work.stages
        going = sql.SQL("SELECT FROM {} AS s WHERE {} AND NOT {}").format(
            stage.place, stage.same(), stage.unlike()
        )
        total = self._count(work)
        kept = self._keep(work, going)
        approved = self.approved.get(work.table.label, Approved(0, 0))
        if total - kept != work.asked or not is_share(approved, total):
            raise NotSoSimpleError
        return kept


def replaceable(connection: Connection, works: Works, emptied: frozenset[int]) -> bool:
    """Say whether a replacer could do it: it needs keys, whole tables, and references that are checked."""
    return (
        emptied == works.tables.keys()
        and all(
            len(work.stages) == 1 and work.stages[0].keyed and work.stages[0].plan.label == work.table.label
            for work in works.tables.values()
        )
        and not fetch(connection, _UNCHECKED)[0][0]
    )


def _whole(work: Work) -> TablePlan:
    """Return a plan of the table with all its partitions."""
    name = {"schema_name": work.table.schema_name, "name": work.table.name}
    return work.stages[0].plan.model_copy(update=name)


def _kept(work: Work) -> sql.Identifier:
    return sql.Identifier(f"erase_kept_{work.number}")


def _stored(work: Work) -> list[str]:
    """Return the columns to put back: those that were found in the table once nobody could change it."""
    return [column.name for column in work.stages[0].unit.columns if not column.generated]


def _names(work: Work) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, _stored(work)))


def _columns(work: Work) -> sql.Composable:
    return sql.SQL(", ").join([sql.SQL("t.{}").format(sql.Identifier(name)) for name in _stored(work)])
