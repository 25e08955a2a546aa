"""The backup's end: its key is destroyed, it is shown that nothing opens any more, its files are deleted.

From then on rows that were erased cannot come back from this run. As long as they can from another backup of
the database, the erasure has no effective date. The archive of what must be kept has other keys and lies
elsewhere.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from handover.crashpoints import CrashPoint, passing
from handover.errors import KeyUnavailable, NotReady, VaultCorrupt
from handover.model.backup import ChunkReceipt
from handover.stages.certificate_backups import other_backups
from handover.stages.context import Context
from handover.stages.erasures import spent
from handover.stages.facts import LEGAL_TIME, legal_day
from handover.stages.tombstones import destroy_tombstones
from handover.vault.keyring import KeyState
from handover.vault.roots import Purpose

STEP = "backup-end"
DESTROYED, ENDED = "backup-key-destroyed", "backup-ended"


def backup_due(context: Context) -> date:
    """Return the day from which on the run's backup may end."""
    sealed = datetime.fromisoformat(context.last("backup-sealed", "seal").at).astimezone(LEGAL_TIME)
    return sealed.date() + timedelta(days=context.case.disposal.backup_days)


def backup_end(context: Context) -> dict[str, Any]:
    """End the backup of a run that is complete; returns what was done. Safe to repeat.

    Raises NotReady before its day, and while the run is not complete: then the backup may be needed.
    """
    with context.step(STEP):
        if not has_ended(context):
            _require_over(context)
            _end(context, _destroy(context))
        for one in spent(context):
            destroy_tombstones(one.context(context))
        return dict(context.last(ENDED, STEP).body)


def _end(context: Context, destroyed: dict[str, Any]) -> None:
    context.store.remove_partial()
    for name in list(context.store.list(f"{context.case.case}/{context.run}/")):
        context.store.delete(name)
    passing(CrashPoint.BACKUP_EMPTIED)
    told = {name: destroyed[name] for name in ("key", "at", "result", "copies", "decryption_fails")}
    gone = datetime.fromisoformat(destroyed["at"]).astimezone(LEGAL_TIME).date().isoformat()
    others = any(one.lives for one in other_backups(context))
    context.record(ENDED, {**told, "effective_erasure_date": "" if others else gone}, key=ENDED)


def has_ended(context: Context) -> bool:
    """Say whether the backup's key and files are gone."""
    return bool(context.entries(ENDED))


def _require_over(context: Context) -> None:
    closed = context.entries("run-closed")
    if not closed or closed[-1].body["status"] != "complete":
        raise NotReady(
            f"run {context.run} is not complete, so that its backup may be needed",
            hint="close the run first; `handover abort` takes back one that has not disposed of anything",
        )
    due = backup_due(context)
    if legal_day() < due:
        raise NotReady(
            f"the backup of run {context.run} is kept until {due}",
            hint=f"`handover backup end {context.case.case} --run {context.run}` on that day",
        )


def _destroy(context: Context) -> dict[str, Any]:
    """Destroy the key, unless that is done, and try to open a file that it opened."""
    if done := context.entries(DESTROYED):
        return dict(done[-1].body)
    keys = [
        one
        for one in context.keyring.list()
        if (one.purpose, one.case) == (Purpose.BACKUP, context.backup_name)
    ]
    if not keys:
        raise KeyUnavailable(
            f"the keyring has never had a key of the backup of run {context.run}",
            hint="use the keyring of the installation that made the backup",
        )
    tried = _tried(context)
    if keys[-1].state is KeyState.ACTIVE and not _opens(context, tried):
        raise VaultCorrupt(
            f"{tried.object.name} does not open although its key lives, so that its end would show nothing",
            hint="`handover verify FOLDER --vault` names what is damaged",
            object=tried.object.name,
        )
    destroyed = context.keyring.destroy(keys[-1].key_id)
    passing(CrashPoint.BACKUP_KEY_DESTROYED)
    fails = not _opens(context, tried)
    body = {
        "key": destroyed.key_id,
        "at": destroyed.at,
        "result": destroyed.result,
        "copies": list(destroyed.copies),
        "tried": tried.object.name,
        "decryption_fails": fails,
    }
    return dict(context.record(DESTROYED, body, key=DESTROYED).body)


def _tried(context: Context) -> ChunkReceipt:
    """Return a backed-up chunk of the sealed generation, the first of those with rows."""
    generation = int(context.last("backup-sealed", "seal").body["generation"])
    entries = context.entries("chunk-backed-up")
    found = [e for e in entries if str(e.key).startswith(f"g{generation}/") and e.body["rows"]]
    if not found:
        raise NotReady("the backup holds no rows to try its key on", hint="there is nothing to end")
    return ChunkReceipt.model_validate(found[0].body)


def _opens(context: Context, receipt: ChunkReceipt) -> bool:
    generation = int(context.last("backup-sealed", "seal").body["generation"])
    try:
        context.get_chunk(generation, receipt)
    except KeyUnavailable:
        return False
    return True
