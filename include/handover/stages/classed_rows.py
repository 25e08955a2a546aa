"""Rows of a sealed backup by the class that the case puts them into: what of a table went, what stayed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from psycopg import sql

from handover.errors import NotReady
from handover.model.backup import BackupIndex, ChunkReceipt
from handover.model.catalog import Table
from handover.model.disposition import GOING, RowClass, SourceTreatment, classes_of
from handover.model.plan import ScopedTable, TablePlan
from handover.postgres.classified import rows_by_class
from handover.postgres.selection import class_condition
from handover.postgres.session import Connection, database_errors
from handover.stages.context import Context
from handover.stages.loading import read_chunk

ERASED_ONLY: tuple[SourceTreatment, ...] = ("erase",)
MASKED_ONLY: tuple[SourceTreatment, ...] = ("pseudonymise",)


@dataclass(frozen=True)
class ClassedRows:
    """The backed-up rows of a run, told apart by a session at the source that may make temporary tables."""

    context: Context
    index: BackupIndex
    source: Connection

    def tables(self, wanted: Collection[SourceTreatment] = GOING) -> list[TablePlan]:
        """Return the tables, or partitions of tables, that have a class with one of these ends."""
        return [
            plan
            for plan in self.index.plan.tables
            if self.whole(plan) and any(one.source in wanted for one in self.classes(plan))
        ]

    def whole(self, plan: TablePlan) -> ScopedTable | None:
        """Return the table whose rows these are, of which the plan's may be a partition."""
        return self._places.get((plan.schema_name, plan.name))

    def classes(self, plan: TablePlan) -> tuple[RowClass, ...]:
        """Return the classes of a table's rows."""
        table = self.table(plan)
        return classes_of(self.context.case.classes, (table.schema_name, table.name))

    def table(self, plan: TablePlan) -> Table:
        """Return the whole table as the catalog reads it."""
        return self._places[plan.schema_name, plan.name].table

    def condition(self, plan: TablePlan, wanted: Collection[SourceTreatment]) -> sql.Composable:
        """Return which rows of the alias ``t`` have one of these ends; NotReady for a table out of scope."""
        if self.whole(plan) is None:
            raise NotReady(f"{plan.label} is in no scope of this run", hint="start a new run")
        classes = [one for one in self.classes(plan) if one.source in wanted]
        tests = [class_condition(one, self.table(plan)) for one in classes]
        return sql.SQL("({})").format(sql.SQL(") OR (").join(tests))

    def chunks(self, plan: TablePlan) -> list[ChunkReceipt]:
        """Return the receipts of a table's chunks, in the order in which they were read."""
        found = [one for one in self.index.chunks if one.table == plan.id]
        return sorted(found, key=lambda one: (one.group, one.chunk))

    def of(self, plan: TablePlan) -> Iterator[Mapping[str, bytes]]:
        """Yield the rows of each chunk of a table by the name of their class, as COPY text."""
        for receipt in self.chunks(plan):
            self.context.honour_stop()
            data = read_chunk(self.context, self.index, receipt)
            doing = f"telling apart the rows of {plan.label}"
            with database_errors(doing), self.source.transaction(force_rollback=True):
                found = rows_by_class(self.source, plan, self.table(plan), self.classes(plan), data)
            yield found

    @cached_property
    def _places(self) -> dict[tuple[str, str], ScopedTable]:
        found: dict[tuple[str, str], ScopedTable] = {}
        for kept in self.index.state.keys:
            table = kept.scoped.table
            found |= dict.fromkeys([(table.schema_name, table.name), *kept.scoped.parts], kept.scoped)
        return found
