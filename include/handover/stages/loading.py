"""Loading: a database made from the vault alone. The restore test and the migration are this, twice.

Every effect is in one transaction with its receipt, so that any step may be killed and repeated.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from queue import SimpleQueue

from handover.crashpoints import CrashPoint, passing
from handover.errors import Busy, DataRefused, VaultCorrupt
from handover.evidence.progress import Meter
from handover.model.backup import BackupIndex, ChunkReceipt
from handover.model.catalog import LargeObject
from handover.model.plan import LARGE_OBJECTS, Group, TablePlan
from handover.postgres.copying import Chunk, copy_into
from handover.postgres.objects import (
    adopt,
    create_extensions,
    describe_large_objects,
    load_large_objects,
    refresh,
    set_sequences,
)
from handover.postgres.receipts import create_receipts, once
from handover.postgres.schema import SchemaEntry, apply_entry, read_entries
from handover.postgres.session import Connection, connect, database_errors, qualified
from handover.postgres.undoing import remember
from handover.stages.context import Context
from handover.stages.masking import Masking

# Two keys over the same pair of tables can deadlock; the server breaks the tie within a second.
ATTEMPTS_AT_A_KEY = 10


@dataclass(frozen=True)
class Destination:
    """A database that is being filled; ``step`` names the stage in receipts and messages.

    ``masked``: what the plan masks arrives with pseudonyms; else everything as it was backed up.
    """

    url: str
    step: str
    masked: bool = False


def read_chunk(context: Context, index: BackupIndex, receipt: ChunkReceipt) -> bytes:
    """Return the plain bytes of a chunk, checked against every digest we have of it."""
    data = context.get_chunk(index.state.generation, receipt)
    if context.digest(Chunk(receipt.rows, data).digest) != receipt.digest:
        raise VaultCorrupt(
            f"{receipt.object.name} does not hold the rows that were backed up",
            hint="restore the file from a copy of the vault, or start a new run",
        )
    return data


def prepare(context: Context, index: BackupIndex, destination: Destination) -> None:
    """Create receipts, extensions and every object that must be there before the rows."""
    archive = context.get(context.label(index.state.generation, "schema"), index.state.schema_object)
    with closing(connect(destination.url)) as connection:
        with connection.transaction():  # a schema without a receipt would be nobody's: an abort must find it
            create_receipts(connection, context.holder)
            remember(connection, context.holder, destination.step, context.case.source.schemas)
            passing(CrashPoint.RECEIPTS_UNCOMMITTED)
        with once(connection, context.holder, f"{destination.step}/schema", "extensions") as todo:
            if todo:
                create_extensions(connection, index.state.extensions)
        for entry in read_entries(archive, "pre-data"):
            _apply_once(context, connection, destination, entry)


def load_groups(
    context: Context, index: BackupIndex, destination: Destination, groups: Iterable[Group], progress: Meter
) -> None:
    """Load the chunks of some groups, each exactly once."""
    masking = Masking(context, index) if destination.masked else None
    with closing(connect(destination.url)) as connection:
        for group in groups:
            table = index.plan.table(group.table)
            for receipt in index.of(group):
                context.honour_stop()
                _load_chunk(context, index, destination, connection, table, receipt, masking)
                progress.add(receipt.rows, receipt.bytes)
            _confirm(context, index, destination, group)


def _load_chunk(
    context: Context,
    index: BackupIndex,
    destination: Destination,
    connection: Connection,
    table: TablePlan,
    receipt: ChunkReceipt,
    masking: Masking | None,
) -> None:
    doing = f"{destination.step}: loading chunk {receipt.unit} of {table.label}"
    with (
        database_errors(doing),
        once(
            connection, context.holder, destination.step, receipt.unit, receipt.rows, receipt.digest
        ) as todo,
    ):
        if not todo:
            return
        data = read_chunk(context, index, receipt)
        if masking and table.masked:
            made = masking.arriving(connection, table, data)
            masking.record(table, receipt, made)
            data = made.data
        loaded = _copy(connection, table, data)
        if loaded != receipt.rows:
            raise DataRefused(
                f"{doing}: {loaded} rows arrived, expected {receipt.rows}",
                hint="a rule or trigger on the target drops rows; remove it, then clear the task",
            )
        passing(CrashPoint.ROWS_UNCOMMITTED)


def _copy(connection: Connection, table: TablePlan, data: bytes) -> int:
    if table.id == LARGE_OBJECTS:
        return load_large_objects(connection, data)
    name = qualified(table.schema_name, table.name)
    return copy_into(connection, name, table.columns, table.format, data)


def _confirm(context: Context, index: BackupIndex, destination: Destination, group: Group) -> None:
    """Copy what the database confirmed to the ledger."""
    chunks = index.of(group)
    passing(CrashPoint.ROWS_UNRECORDED)
    context.record(
        "group-loaded",
        {"step": destination.step, "table": group.table, "group": group.number, "chunks": len(chunks)}
        | {"generation": index.state.generation, "rows": sum(c.rows for c in chunks)},
        key=f"{destination.step}/g{index.state.generation}/{group.table}/{group.number}",
    )


def read_descriptions(context: Context, index: BackupIndex) -> list[LargeObject]:
    """Return comments and grants of the backed-up large objects."""
    label = context.label(index.state.generation, "large-objects")
    found = json.loads(context.get(label, index.state.large_objects_object))
    return [LargeObject.model_validate(item) for item in found]


def finish(context: Context, index: BackupIndex, destination: Destination) -> None:
    """Build indexes, keys and the rest in parallel, then set sequences and fill materialised views."""
    archive = context.get(context.label(index.state.generation, "schema"), index.state.schema_object)
    entries = read_entries(archive, "post-data")
    _apply_in_parallel(context, destination, entries)
    passing(CrashPoint.OBJECTS_COMMITTED)
    with closing(connect(destination.url)) as connection:
        set_sequences(connection, index.state.sequences)
        describe_large_objects(connection, read_descriptions(context, index))
        with database_errors(f"{destination.step}: gathering statistics"):
            connection.execute("ANALYZE")
        adopt(connection, index.state.view_settings)
        for view in index.state.views:
            context.honour_stop()
            if view.populated:
                refresh(connection, view.schema_name, view.name)


def _apply_once(
    context: Context, connection: Connection, destination: Destination, entry: SchemaEntry
) -> None:
    doing = f"{destination.step}: creating"
    with (
        database_errors(f"{doing} {entry.label}"),
        once(connection, context.holder, f"{destination.step}/schema", str(entry.id)) as todo,
    ):
        if todo:
            apply_entry(connection, entry, doing)
            passing(CrashPoint.OBJECT_UNCOMMITTED)


def _apply_alone(
    context: Context, destination: Destination, sessions: SimpleQueue[Connection], entry: SchemaEntry
) -> None:
    """Create one object in a session that is free; a deadlock between keys is tried again."""
    connection = sessions.get()
    try:
        for attempt in range(1, ATTEMPTS_AT_A_KEY + 1):
            try:
                return _apply_once(context, connection, destination, entry)
            except Busy:
                if attempt == ATTEMPTS_AT_A_KEY:
                    raise
    finally:
        sessions.put(connection)


def _apply_in_parallel(context: Context, destination: Destination, entries: list[SchemaEntry]) -> None:
    """Create objects as soon as all that they rest on are there, as many at once as the case has lanes."""
    by_id = {entry.id: entry for entry in entries}
    order = _order(destination, by_id)
    ready: deque[int] = deque()
    running: dict[Future[None], int] = {}
    sessions: SimpleQueue[Connection] = SimpleQueue()
    with ExitStack() as opened, ThreadPoolExecutor(context.case.lanes) as pool:
        for _ in range(min(context.case.lanes, len(entries))):
            sessions.put(opened.enter_context(closing(connect(destination.url))))
        while order.is_active():
            ready.extend(order.get_ready())
            # No more than can run: waiting for thousands of futures costs more than what they do.
            while ready and len(running) < context.case.lanes:
                entry = by_id[ready.popleft()]
                running[pool.submit(_apply_alone, context, destination, sessions, entry)] = entry.id
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                order.done(running.pop(future))
                future.result()
                context.honour_stop()


def _order(destination: Destination, entries: Mapping[int, SchemaEntry]) -> TopologicalSorter[int]:
    """Return what says which objects may be created next."""
    order = TopologicalSorter({e.id: e.depends & entries.keys() - {e.id} for e in entries.values()})
    try:
        order.prepare()
    except CycleError as problem:
        labels = [entries[number].label for number in problem.args[1][1:]]
        raise DataRefused(
            f"{destination.step}: {len(labels)} schema objects wait for each other",
            hint="drop the circular dependency in the source, or report this schema",
            objects=labels,
        ) from None
    return order
