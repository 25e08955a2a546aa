"""The backup that a restore has proven: what anything that rests on a backup may start from."""

from __future__ import annotations

from handover.errors import NotReady
from handover.model.backup import BackupIndex
from handover.stages.backup_index import read_index
from handover.stages.context import Context


def proven_index(context: Context) -> BackupIndex:
    """Return the index of a backup of this very plan that a restore has proven (C02), else raise NotReady."""
    index = read_index(context)
    if not any(e.body["generation"] == index.state.generation for e in context.entries("restore-tested")):
        raise NotReady(
            "the backup has not been proven by a restore", hint="run or clear the task restore_test"
        )
    if index.plan.sha256_of_json() != context.plan().sha256_of_json():
        raise NotReady(
            "the backup was made by another plan than the one in force",
            hint="abort this run, start a new one",
        )
    return index
