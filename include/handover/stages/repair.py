"""Repair: parts of the target that verification found different get the rows of the backup again."""

from __future__ import annotations

from contextlib import closing

from handover.crashpoints import CrashPoint, passing
from handover.errors import DataRefused, Terminal
from handover.model.backup import BackupIndex
from handover.model.plan import LARGE_OBJECTS, Group
from handover.postgres.mending import Mended, mend
from handover.postgres.objects import load_large_objects
from handover.postgres.ordering import ends
from handover.postgres.session import Connection, connect, database_errors
from handover.stages.context import Context
from handover.stages.loading import Destination, read_chunk
from handover.stages.masking import Masking
from handover.stages.rekeyed import masked_chunks, masked_group
from handover.stages.units import unit_of


def repair(context: Context, index: BackupIndex, destination: Destination) -> None:
    """Mend every part that the latest verification found different; safe to repeat.

    What refers to rows of another part waits until that one is mended.
    """
    waiting = _different(context, index)
    while waiting:
        refused: list[tuple[Group, Terminal]] = []
        for group in waiting:
            context.honour_stop()
            try:
                _mend(context, index, destination, group)
            except DataRefused as problem:
                refused.append((group, problem))
        if len(refused) == len(waiting):
            raise refused[0][1]
        waiting = [group for group, _ in refused]


def _different(context: Context, index: BackupIndex) -> list[Group]:
    latest = {str(e.body["unit"]): e.body for e in context.entries("verified")}
    return [g for g in index.plan.groups() if latest.get(unit_of(g), {}).get("differences")]


def _mend(context: Context, index: BackupIndex, destination: Destination, group: Group) -> None:
    table = index.plan.table(group.table)
    with (
        database_errors(f"{destination.step}: mending {table.label}"),
        closing(connect(destination.url)) as connection,
        connection.transaction(),
    ):
        mended = (
            _large_objects(context, index, connection, group)
            if table.id == LARGE_OBJECTS
            else _rows(context, index, destination, connection, group)
        )
        passing(CrashPoint.REPAIR_UNCOMMITTED)
    context.record("repaired", {"unit": unit_of(group), "table": table.label, **vars(mended)})


def _rows(
    context: Context, index: BackupIndex, destination: Destination, connection: Connection, group: Group
) -> Mended:
    """Give a part its rows again; one whose keys are masked has no bounds, so that its table is mended."""
    table = index.plan.table(group.table)
    bounds = ends([tuple(bound) for bound in index.bounds.get(table.label, ())], group.number)
    if not (destination.masked and table.masked):
        chunks = (read_chunk(context, index, receipt) for receipt in index.of(group))
        return mend(connection, table, chunks, *bounds)
    masking = Masking(context, index)
    if table.rekeyed:
        return mend(connection, table, masked_chunks(context, masking, destination.url, table), None, None)
    return mend(connection, table, masked_group(context, masking, destination.url, group), *bounds)


def _large_objects(context: Context, index: BackupIndex, connection: Connection, group: Group) -> Mended:
    """Replace all of them: the target held none before the run."""
    gone = connection.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata").rowcount
    pages = sum(
        load_large_objects(connection, read_chunk(context, index, receipt)) for receipt in index.of(group)
    )
    return Mended(deleted=gone, updated=0, inserted=pages)
