"""Erasing at the source: rows that the plan lets go, as they were backed up, and no others.

The lock of disposal is open; each batch is erased while the epoch of holds stands still, and under the law as
it is then. Rows that changed since the backup stay with what they need, are named by token, and keep the
case from being complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from handover.codec.rows import fields, split_rows
from handover.crashpoints import CrashPoint, passing
from handover.model.backup import BackupIndex
from handover.model.plan import Plan, TablePlan, TableScope
from handover.postgres.erasing.engine import erase
from handover.postgres.erasing.method import choose
from handover.postgres.erasing.request import Approved, Pace, Request, Unit
from handover.postgres.erasing.rights import require_rights
from handover.postgres.erasing.room import bytes_beside, require_room
from handover.postgres.erasing.shares import read_shares
from handover.postgres.erasing.staging import has_stored_key
from handover.postgres.references import Graph
from handover.postgres.referring import read_graph
from handover.postgres.session import LOCK_SECONDS, Connection, connect, database_errors
from handover.stages.classed_rows import ClassedRows
from handover.stages.clean_residue import data_folder
from handover.stages.context import Context
from handover.stages.datamaps import planned_datamap
from handover.stages.disposal import is_open, require_open
from handover.stages.estimating import free_space
from handover.stages.facts import person_tables
from handover.stages.freezing import through_freeze
from handover.stages.hold_epoch import ERASED, ERASING_PLANNED
from handover.stages.narrowing import Narrowing
from handover.stages.scoping import EVERYTHING
from handover.stages.under_law import UnderLaw

STEP = "erase-here"


def erase_here(context: Context) -> int:
    """Erase what the plan lets go; returns the rows that are gone by this run.

    Safe to repeat: rows that stayed are looked at again. Raises ScopeChanged when something else would go,
    GateBlocked when the law keeps rows by then, Busy when a lock or the disk's space was not to be had.
    """
    if not context.disposes or not (going := rows_going(context.plan())):
        return 0
    with context.step(STEP) as progress:
        if not erase_faults(context):
            return _deleted(_latest(context))
        index = require_open(context)
        progress.expect(sum(going.values()), 0)
        with (
            closing(connect(context.source)) as source,
            closing(connect(context.source)) as reader,
        ):
            work = _Work.of(context, index, source, reader)
            _require_room(work, sum(going.values()))
            methods = _settle_methods(context, work, going)
            emptied = frozenset(label for label, method in methods.items() if method != "delete")
            erased = erase(source, work.request(emptied, lambda rows: progress.add(rows, 0)))
        passing(CrashPoint.ERASED_UNRECORDED)
        tables = [{**table.document(), "method": methods[table.table]} for table in erased.tables]
        return _deleted(
            context.record(
                ERASED,
                {**erased.document(), "tables": tables, "generation": index.state.generation},
            ).body
        )


def rows_going(plan: Plan) -> dict[str, int]:
    """Return how many rows of each table are to be erased, where any are."""
    tables = plan.scope.tables if plan.scope else ()
    counts = {table.table: _going(table) for table in tables}
    return {label: rows for label, rows in counts.items() if rows}


def erase_faults(context: Context) -> list[str]:
    """Return why erasing at the source is not complete; empty also where none was planned."""
    if not context.entries("plan") or not (going := rows_going(context.plan())):
        return []
    if not is_open(context) or not context.entries(ERASED):
        return ["erased at the source: not done"]
    found = {table["table"]: table for table in _latest(context)["tables"]}
    return [line for label, rows in going.items() for line in _table_faults(label, rows, found.get(label))]


def _table_faults(label: str, planned: int, found: dict[str, Any] | None) -> list[str]:
    if found is None or found["asked"] != planned:
        asked = found["asked"] if found else 0
        return [f"{label}: {planned} rows were to be erased, the backup has {asked} of them"]
    if found["deleted"] == planned and not found["stayed"]:
        return []
    stayed = {one["why"]: one for one in found["stayed"]}
    rows = {why: stayed[why]["rows"] if why in stayed else 0 for why in ("differs", "needed")}
    line = (
        f"{label}: not erased at the source: {rows['differs']} rows that differ from the backup, "
        f"{rows['needed']} to which rows that stay refer; {found['gone']} were gone already"
    )
    return [
        line,
        *(f"at the source: {name} is still there" for one in stayed.values() for name in one["tokens"]),
    ]


def _latest(context: Context) -> dict[str, Any]:
    return dict(context.last(ERASED, STEP).body)


def _deleted(body: Mapping[str, Any]) -> int:
    return sum(int(table["deleted"]) for table in body["tables"])


def _going(table: TableScope) -> int:
    return sum(one.rows for one in table.classes if one.source == "erase")


def _require_room(work: _Work, rows: int) -> None:
    """Raise Busy when the server's disk is known and too small; one out of sight is its owner's to watch."""
    folder = data_folder(work.context)
    if folder is not None and folder.is_dir():
        require_room(bytes_beside(work.source, work.tables, rows), free_space(folder))


def _settle_methods(context: Context, work: _Work, going: dict[str, int]) -> dict[str, str]:
    """Choose, once for the run, how rows of each table go, and write it down before any does."""
    if not context.entries(ERASING_PLANNED):
        shares = {share.table: share for share in read_shares(work.source, work.graph, going)}
        tables = [
            {**choice.document(), "rows": shares[choice.table].going, "total": shares[choice.table].total}
            for choice in choose(shares.values())
        ]
        context.record(ERASING_PLANNED, {"tables": tables}, key=STEP)
    chosen = context.last(ERASING_PLANNED, STEP).body["tables"]
    return {str(one["table"]): str(one["method"]) for one in chosen}


@dataclass(frozen=True)
class _Work:
    """What erases rows of a run: ``source`` is the session that does, ``reader`` tells classes apart."""

    context: Context
    index: BackupIndex
    source: Connection
    reader: Connection
    graph: Graph
    tables: tuple[TablePlan, ...] = field(default=())

    @classmethod
    def of(cls, context: Context, index: BackupIndex, source: Connection, reader: Connection) -> _Work:
        """Read the references of the source; raises PreflightFailed when its role may not erase."""
        case = context.case
        with database_errors("reading the references between tables"):
            graph = read_graph(source, case.source.schemas, case.scope or EVERYTHING)
        going = rows_going(index.plan)
        tables = tuple(
            table
            for table in index.plan.tables
            if (place := graph.places.get((table.schema_name, table.name)))
            and graph.tables[place[0]].label in going
        )
        require_rights(source, tables)
        return cls(context, index, source, reader, graph, tables)

    def request(self, emptied: frozenset[str], progress: Callable[[int], None]) -> Request:
        """Return what the engine is asked to do."""
        scope = self.index.plan.scope
        disposal = self.context.case.disposal
        return Request(
            run=self.context.holder,
            step=STEP,
            graph=self.graph,
            roots=self._roots(),
            units=tuple(self._unit(table) for table in self.tables),
            approved={t.table: Approved(_going(t), t.total) for t in (scope.tables if scope else ())},
            holding=UnderLaw(self.context).enter,
            honour_stop=self.context.honour_stop,
            token=self._token,
            pace=Pace(
                rows_per_second=disposal.rows_per_second or 0,
                lock_seconds=LOCK_SECONDS,
                most_lag_seconds=disposal.most_lag_seconds,
            ),
            emptied=emptied,
            through=lambda: through_freeze(self.context, self.source),
            progress=progress,
        )

    def _whole(self, table: TablePlan) -> int:
        return self.graph.places[table.schema_name, table.name][0]

    def _roots(self) -> frozenset[int]:
        """Return the tables of persons of which rows go; without any, those that refer to no other one."""
        mine = {self._whole(table) for table in self.tables}
        datamap = planned_datamap(self.context, self.index.plan)
        persons = {
            self.graph.places[one.table.schema_name, one.table.name][0]
            for one in (person_tables(datamap) if datamap else ())
            if (one.table.schema_name, one.table.name) in self.graph.places
        }
        children = {
            one.child.table
            for one in self.graph.references
            if one.parent.table in mine and one.parent.table != one.child.table
        }
        return frozenset(mine & persons or mine - children)

    def _unit(self, table: TablePlan) -> Unit:
        classed = ClassedRows(self.context, self.index, self.reader)
        return Unit(table, classed.table(table).columns, self._rows(table, classed))

    def _rows(self, table: TablePlan, classed: ClassedRows) -> Iterator[bytes]:
        """Yield the backed-up rows of a table that are of a class to be erased, as the engine wants them."""
        names = [one.name for one in classed.classes(table) if one.source == "erase"]
        for found in classed.of(table):
            for rows in (found.get(name, b"") for name in names):
                yield from [rows] if has_stored_key(table) else split_rows(rows, table.format)

    def _token(self, table: TablePlan, key: bytes) -> str:
        return Narrowing(table, self.context.evidence_key).name(tuple(fields(key, table.format)))
