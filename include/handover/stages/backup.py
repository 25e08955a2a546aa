"""Backup: each lane reads its groups under the one snapshot into encrypted chunks; sealing makes it one.

A chunk counts once its receipt is in the ledger. What lies in the vault without a receipt is debris of a
killed attempt and is removed when the backup is sealed, as are the files of void generations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from handover.crashpoints import CrashPoint, passing
from handover.errors import LedgerRefused, VaultCorrupt
from handover.evidence.progress import Meter
from handover.model.backup import ChunkReceipt, ObjectRef, Shared, SnapshotState
from handover.model.plan import Group, Plan
from handover.postgres.copying import Chunk, cut_by_content, cut_by_size, read_rows
from handover.postgres.ordering import ends, ordered_rows
from handover.postgres.selection import Selection
from handover.postgres.session import Connection, database_errors
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.earlier_backup import Earlier, earlier_backup
from handover.stages.plan import Bounds, read_bounds
from handover.stages.reading import scoped_session
from handover.stages.snapshot import wait_for_state


def backup_lane(context: Context, number: int) -> int:
    """Back up the groups of one lane; returns the rows of the lane. Safe to repeat."""
    made = context.plan()
    lane = made.lanes[number]
    with context.step("backup", str(number)) as progress:
        if context.entries("backup-sealed"):
            return read_index(context).rows(lane.groups)[0]
        state = wait_for_state(context)
        progress.expect(
            sum(made.table(g.table).rows_estimate // made.table(g.table).groups for g in lane.groups), 0
        )
        return back_up(context, made, state, lane.groups, progress)


def back_up(
    context: Context, made: Plan, state: SnapshotState, groups: Iterable[Group], progress: Meter
) -> int:
    finished = finished_groups(context)
    groups = tuple(groups)
    with scoped_session(context, state, [made.table(group.table) for group in groups]) as (source, selection):
        reader = _Reader(
            context=context,
            connection=source,
            selection=selection,
            plan=made,
            generation=state.generation,
            bounds=read_bounds(context, made),
            done=receipts_of(context, state.generation),
            earlier=earlier_backup(context),
            progress=progress,
        )
        return sum(reader.back_up(g, group_key(state.generation, g) in finished) for g in groups)


@dataclass(frozen=True)
class _Reader:
    """Reads groups under one snapshot; ``done`` are the receipts that stood when the task began."""

    context: Context
    connection: Connection
    selection: Selection
    plan: Plan
    generation: int
    bounds: Bounds
    done: list[ChunkReceipt]
    earlier: Earlier | None
    progress: Meter

    def back_up(self, group: Group, finished: bool) -> int:
        """Bring a group's chunks into the vault, but those that are there; returns its rows."""
        receipts = [c for c in self.done if (c.table, c.group) == (group.table, group.number)]
        for receipt in receipts:
            self.progress.add(receipt.rows, receipt.bytes)
        if not finished:
            receipts += self._read(group, receipts)
            self._confirm(group, receipts)
        return sum(receipt.rows for receipt in receipts)

    def _read(self, group: Group, there: list[ChunkReceipt]) -> list[ChunkReceipt]:
        table = self.plan.table(group.table)
        bounds = ends(self.bounds.get(table.label, []), group.number)
        query = ordered_rows(table, *bounds, self.selection.of(table))
        cut = cut_by_content if self.context.case.kind == "backup" else cut_by_size
        receipts = []
        with database_errors(f"reading {table.label} from the source"):
            stream = iter(read_rows(self.connection, query, table.format))
            _skip(stream, sum(c.rows for c in there))
            for number, chunk in enumerate(cut(stream), start=len(there)):
                self.context.honour_stop()
                receipts.append(self._store(group, number, chunk))
                self.progress.add(chunk.rows, len(chunk.data))
        return receipts

    def _store(self, group: Group, number: int, chunk: Chunk) -> ChunkReceipt:
        """Put one chunk into the vault and its receipt into the ledger, exactly once."""
        context, generation = self.context, self.generation
        stored, shared = self._stored(group, number, chunk, digest := context.digest(chunk.digest))
        passing(CrashPoint.FILE_UNRECORDED)
        receipt = ChunkReceipt(
            table=group.table,
            group=group.number,
            chunk=number,
            rows=chunk.rows,
            bytes=len(chunk.data),
            digest=digest,
            object=stored,
            shared=shared,
        )
        try:
            context.record("chunk-backed-up", receipt.document(), key=f"g{generation}/{receipt.unit}")
        except LedgerRefused:
            return _adopt(context, generation, receipt)
        return receipt

    def _stored(
        self, group: Group, number: int, chunk: Chunk, digest: str
    ) -> tuple[ObjectRef, Shared | None]:
        name = f"{group.table}/{group.number:03}-{number:06}"
        if self.earlier:
            found = self.earlier.share(self.context, self.generation, digest, chunk.data, name)
            if found:
                return found
        label = self.context.label(self.generation, "rows", f"{group.table}/{group.number}", number)
        return self.context.put(label, chunk.data, name), None

    def _confirm(self, group: Group, receipts: list[ChunkReceipt]) -> None:
        passing(CrashPoint.GROUP_UNRECORDED)
        self.context.record(
            "group-backed-up",
            {
                "generation": self.generation,
                "table": group.table,
                "group": group.number,
                "rows": sum(receipt.rows for receipt in receipts),
                "chunks": len(receipts),
            },
            key=group_key(self.generation, group),
        )


def _skip(stream: Iterator[memoryview | bytes], rows: int) -> None:
    """Pass over rows whose chunks are in the vault: under one snapshot the order repeats exactly."""
    for _ in islice(stream, rows):
        pass


def group_key(generation: int, group: Group) -> str:
    return f"g{generation}/{group.table}/{group.number}"


def finished_groups(context: Context) -> set[str]:
    return {str(entry.key) for entry in context.entries("group-backed-up")}


def _adopt(context: Context, generation: int, mine: ChunkReceipt) -> ChunkReceipt:
    """Take over the receipt of another attempt that was faster; it must say the same of the rows."""
    for theirs in receipts_of(context, generation):
        same = theirs.model_copy(update={"object": mine.object, "shared": mine.shared})
        if theirs.unit == mine.unit and same == mine:
            context.store.delete(mine.object.name)
            return theirs
    raise VaultCorrupt(
        f"two attempts read chunk {mine.unit} under one snapshot and got different rows",
        hint="the snapshot did not hold; abort the run and start a new one",
    )


def receipts_of(context: Context, generation: int) -> list[ChunkReceipt]:
    prefix = f"g{generation}/"
    found = [e for e in context.entries("chunk-backed-up") if str(e.key).startswith(prefix)]
    return sorted(
        (ChunkReceipt.model_validate(e.body) for e in found), key=lambda c: (c.table, c.group, c.chunk)
    )


def abandon_backup(context: Context) -> None:
    """Tell the holder that nobody will seal this generation."""
    generations = [int(e.body["state"]["generation"]) for e in context.entries("snapshot-exported")]
    if generations and not context.entries("backup-sealed"):
        newest = max(generations)
        context.record("backup-abandoned", {"generation": newest}, key=f"g{newest}")
