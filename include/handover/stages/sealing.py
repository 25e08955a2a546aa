"""Sealing: the chunks of one generation become a backup, with an index; what else lies there is removed."""

from __future__ import annotations

import json

from handover.crashpoints import CrashPoint, passing
from handover.model.backup import BackupIndex, ObjectRef, SnapshotState
from handover.model.plan import Plan
from handover.stages.backup import back_up, finished_groups, group_key, receipts_of
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.plan import read_bounds
from handover.stages.snapshot import wait_for_state
from handover.stages.tally import tallies, tally_missing


def seal_backup(context: Context) -> BackupIndex:
    """Make the chunks of one generation a backup: complete it, write its index, remove debris."""
    with context.step("seal") as progress:
        if not context.entries("backup-sealed"):
            made, state = context.plan(), wait_for_state(context)  # a lost holder may just be replaced
            finished = finished_groups(context)
            missing = [g for g in made.groups() if group_key(state.generation, g) not in finished]
            if missing:  # lanes that ended under a generation which is void now
                back_up(context, made, state, missing, progress)
            tally_missing(context, state)
            _seal(context, made, state)
            passing(CrashPoint.BACKUP_SEALED)
        return read_index(context)


def _seal(context: Context, made: Plan, state: SnapshotState) -> None:
    index = BackupIndex(
        case=context.case.case,
        run=context.run,
        plan=made,
        bounds={label: tuple(found) for label, found in read_bounds(context, made).items()},
        state=state,
        chunks=tuple(receipts_of(context, state.generation)),
    )
    text = json.dumps(index.document(), ensure_ascii=False).encode()
    stored = context.put(context.label(state.generation, "index"), text, "index")
    removed = _remove_debris(context, index, stored)
    groups = made.groups()
    passing(CrashPoint.INDEX_UNRECORDED)
    context.record(
        "backup-sealed",
        {
            "generation": state.generation,
            "index": stored.document(),
            "rows": index.rows(groups)[0],
            "bytes": index.rows(groups)[1],
            "chunks": len(index.chunks),
            "chunks_shared": sum(chunk.shared is not None for chunk in index.chunks),
            "debris_removed": removed,
        },
        key=f"g{state.generation}",
    )


def _remove_debris(context: Context, index: BackupIndex, stored: ObjectRef) -> int:
    bounds = ObjectRef.model_validate(context.last("plan", "plan").body["bounds"])
    kept = {
        stored.name,
        bounds.name,
        index.state.schema_object.name,
        index.state.large_objects_object.name,
        *(tally.name for tally in tallies(context, index.state.generation)),
        *(reference.name for kept in index.state.keys for reference in kept.objects),
    } | {c.object.name for c in index.chunks}
    context.store.remove_partial()
    debris = [n for n in context.store.list(f"{context.case.case}/{context.run}/") if n not in kept]
    for name in debris:
        context.store.delete(name)
    return len(debris)
