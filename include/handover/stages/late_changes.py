"""Late changes: before anybody accepts, the source is read again and must still be what was backed up.

The same queries and bounds as the backup's, compared with its digests; a row changed, inserted or deleted
since, or one that came into scope or left it, is named. What a sequence or a materialised view does on its
own is no late change: no row of the case changes by it. Reading changes nothing, so it may be repeated; the
latest look at each part counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from psycopg import sql

from handover.codec.rows import split_rows
from handover.crashpoints import CrashPoint, passing
from handover.errors import DataRefused, LateChanges
from handover.evidence.ledger import Entry
from handover.evidence.progress import Meter
from handover.model.backup import BackupIndex, KeptKeys, SnapshotState
from handover.model.catalog import Table
from handover.model.plan import Group, TablePlan
from handover.postgres.keysets import read_keys
from handover.postgres.selection import Selection
from handover.postgres.session import Connection, connect, database_errors
from handover.postgres.types import Servers
from handover.stages.backup_index import read_index
from handover.stages.comparing import Reader, compare_group
from handover.stages.context import Context
from handover.stages.definitions import compare_definitions
from handover.stages.disposal import is_open
from handover.stages.freezing import not_frozen
from handover.stages.inventory import servers
from handover.stages.loading import Destination
from handover.stages.narrowing import Narrowing
from handover.stages.reading import begin_snapshot, kept_keys, scoped_session
from handover.stages.scope_changes import differences
from handover.stages.scoping import Scoping, prepare
from handover.stages.units import OBJECTS, SCOPE, unit_of

STEP = "recheck"
RECHECKED = "source-rechecked"


@dataclass(kw_only=True)
class _SourceReader(Reader):
    """Reads what the backup read, of the same rows, from the source as it is now."""

    context: Context
    state: SnapshotState
    tables: list[TablePlan]
    _selection: Selection = field(default_factory=Selection)
    _opened: ExitStack = field(default_factory=ExitStack)

    def session(self) -> Connection:
        if self._session is None or self._session.closed:
            self.close()
            opening = scoped_session(self.context, self.state, self.tables, now=True)
            self._session, self._selection = self._opened.enter_context(opening)
        return self._session

    def among(self, table: TablePlan) -> sql.Composable:
        self.session()
        return self._selection.of(table)

    def close(self) -> None:
        self._opened.close()


def recheck_lane(context: Context, number: int) -> int:
    """Read the groups of one lane at the source again; returns their rows. Raises LateChanges naming each."""
    with context.step(STEP, str(number)) as progress:
        index = read_index(context)
        if is_open(context):  # what goes from the source by this run is no change behind its back
            return 0
        groups = index.plan.lanes[number].groups
        progress.expect(*index.rows(groups))
        tables = [index.plan.table(group.table) for group in groups]
        source = Destination(context.source, STEP)
        changes: list[str] = []
        with closing(_SourceReader(source, context=context, state=index.state, tables=tables)) as reader:
            for group in groups:
                found = _compare(context, index, reader, group, progress)
                _write_down(context, index, unit_of(group), found)
                changes += found
        _refuse(changes)
        return index.rows(groups)[0]


def _compare(
    context: Context, index: BackupIndex, reader: Reader, group: Group, progress: Meter
) -> list[str]:
    """Compare one group; a table that was dropped or closed to us is a change like any other."""
    try:
        return compare_group(context, index, reader, group, progress)
    except DataRefused as refused:
        reader.close()  # its transaction takes no further statement
        return [refused.message]


def recheck_objects(context: Context) -> None:
    """Look at definitions, freeze and scope of the source again. Raises LateChanges naming each change."""
    with context.step("recheck_objects") as progress:
        index = read_index(context)
        if is_open(context):
            return
        definitions = [
            line.replace(" is not in the source", " is new in the source")
            for line in compare_definitions(context, index, context.source)
        ] + not_frozen(context)
        _write_down(context, index, OBJECTS, definitions)
        scope = _scope_changes(context, index, progress)
        _write_down(context, index, SCOPE, scope)
        _refuse(definitions + scope)


def _scope_changes(context: Context, index: BackupIndex, progress: Meter) -> list[str]:
    """Close the scope over the source as it is now; returns which rows came into it or left it."""
    planned = index.plan.scope
    if planned is None or context.case.scope is None:
        return []
    ends = Servers.of(servers(context))
    with closing(connect(context.source, read_only=True)) as connection:
        scoping = prepare(context, connection, ends)
        begin_snapshot(connection)
        now = scoping.found(progress=progress)
        lines = differences(planned, now)
        for kept in index.state.keys if lines else ():
            lines += _keys_changed(context, index.state, scoping, kept)
        return lines


def _keys_changed(context: Context, state: SnapshotState, scoping: Scoping, kept: KeptKeys) -> list[str]:
    """Name the rows of a table that came into scope or left it, as far as its keys were kept."""
    if scoping.closure is None or not kept.objects:
        return []
    table = kept.scoped.table
    numbers = [n for n, one in enumerate(scoping.graph.tables) if one.label == table.label]
    if not numbers:
        return []
    now = scoping.closure.key_sets[numbers[0]]
    narrowing = Narrowing(_of_keys(table), context.evidence_key)
    narrowing.expected.said, narrowing.found.said = "is in scope no more", "came into scope"
    then = (row for data in kept_keys(context, state, now, kept) for row in split_rows(data, "text"))
    with database_errors(f"{STEP}: naming changes of the scope in {table.label}"):
        return narrowing.lines(then, map(bytes, read_keys(scoping.connection, now)))


def _of_keys(table: Table) -> TablePlan:
    """Return the plan of a table as its key set is read: its key alone, with the mark of the scope."""
    return TablePlan(
        id=table.label,
        schema_name=table.schema_name,
        name=table.name,
        columns=(*(column.name for column in table.key), "mark"),
        key=table.key,
        format="text",
        text_because="",
        groups=1,
        rows_estimate=0,
    )


def _write_down(context: Context, index: BackupIndex, unit: str, differences: list[str]) -> None:
    body = {"unit": unit, "generation": index.state.generation, "differences": differences}
    passing(CrashPoint.COMPARISON_UNRECORDED)
    context.record(RECHECKED, body)


def _refuse(changes: list[str]) -> None:
    if changes:
        raise LateChanges(
            "the source changed after it was backed up:\n  " + "\n  ".join(changes),
            hint="keep it from changing (cutover.freeze: true in the case file does), abort this run and "
            "start a new one; where a change was taken back, clear the failed task with downstream",
            differences=changes,
        )


def latest_looks(entries: Iterable[Entry], generation: int) -> dict[str, Entry]:
    """Return the latest look at each part of the source, of those at what this generation backed up."""
    looks = (e for e in entries if e.kind == RECHECKED and e.body["generation"] == generation)
    return {str(entry.body["unit"]): entry for entry in looks}


def late_faults(context: Context) -> list[str]:
    """Return why the source may not be taken to be as it was backed up; empty when it was and stood still."""
    sealed = context.entries("backup-sealed")
    if not sealed:
        return ["step recheck is not done"]
    latest = latest_looks(context.entries(RECHECKED), int(sealed[-1].body["generation"]))
    units = parts_to_look_at(context)
    open_parts = [unit for unit in units if unit not in latest]
    faults = [f"the source was not read again: {len(open_parts)} of {len(units)} parts"] if open_parts else []
    changes = [line for unit in units if unit in latest for line in latest[unit].body["differences"]]
    return faults + [f"changed in the source after the backup: {line}" for line in changes]


def parts_to_look_at(context: Context) -> list[str]:
    """Return the units of a recheck."""
    return [*(unit_of(group) for group in context.plan().groups()), OBJECTS, SCOPE]
