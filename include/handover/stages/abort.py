"""Abort: end a run so that target, scratch and vault are as before it; the source may be written to again.

The tasks of the run must have ended before. Safe to repeat after a crash.
"""

from __future__ import annotations

from contextlib import closing

from handover.crashpoints import CrashPoint, passing
from handover.errors import NotReady
from handover.postgres.session import connect
from handover.postgres.undoing import undo
from handover.stages.archive_proof import abandon_archive
from handover.stages.context import Context
from handover.stages.disposal import is_open
from handover.stages.freezing import lift_freeze
from handover.stages.migrate import STEP
from handover.stages.quarantine import lift_quarantine, lift_restriction
from handover.stages.restore_test import drop_database, scratch_name
from handover.vault.roots import Purpose


def abort_run(context: Context) -> list[str]:
    """Take everything back and return what was removed. Raises NotReady when the run is complete."""
    context.require_same_case()  # another file could name schemas that this run never touched
    if any(entry.body["status"] == "complete" for entry in context.entries("run-closed")):
        raise NotReady(
            f"run {context.run} is complete and is not taken back",
            hint="drop the target's schemas yourself if they are not wanted; the evidence stays",
        )
    if is_open(context):
        raise NotReady(
            f"run {context.run} has begun to dispose of rows at the source, and its backup may be all that "
            "is left of them",
            hint=f"go on with it (`handover resume {context.case.case}`); only a restore brings rows back",
        )
    # First: somebody may be waiting to work there.
    removed = lift_freeze(context) + lift_quarantine(context) + lift_restriction(context)
    drop_database(context, scratch_name(context))
    if context.target:
        with closing(connect(context.target)) as target:
            undone = undo(target, context.holder, STEP, context.case.source.schemas)
        removed += [f"target: {what}" for what in undone]
    passing(CrashPoint.ABORT_TARGET_EMPTIED)
    removed += abandon_archive(context)
    removed += _empty_vault(context)
    passing(CrashPoint.ABORT_VAULT_EMPTIED)
    removed += _destroy_key(context)
    context.record("run-aborted", {"removed": removed})
    return removed


def _empty_vault(context: Context) -> list[str]:
    context.store.remove_partial()
    names = list(context.store.list(f"{context.case.case}/{context.run}/"))
    for name in names:
        context.store.delete(name)
    return [f"vault: {len(names)} files"] if names else []


def _destroy_key(context: Context) -> list[str]:
    found = context.keyring.find(Purpose.BACKUP, context.backup_name)
    if found is None:
        return []
    done = context.keyring.destroy(found.key_id)
    passing(CrashPoint.ABORT_KEY_DESTROYED)
    context.record("key-destroyed", {"key": done.key_id, "result": done.result})
    return [f"key {done.key_id}: {done.result}"]
