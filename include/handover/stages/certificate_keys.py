"""The keys on a certificate: of the backups that held the rows, of archives, of pseudonyms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from handover.errors import KeyUnavailable
from handover.evidence import report_pseudonyms
from handover.model.destruction_facts import Key, KeyCopy
from handover.stages.archive_terms import keys_of
from handover.stages.backup_end import DESTROYED, backup_due
from handover.stages.certificate_backups import OtherBackup, other_backups
from handover.stages.context import Context
from handover.stages.erasures import ABORTED, ENDED, SEALED
from handover.stages.facts import LEGAL_TIME
from handover.vault.copies import declared_copies
from handover.vault.keyring import KeyState
from handover.vault.roots import FileRootProvider, Purpose

Purposes = Literal["backup", "pseudonyms", "archive"]


def certificate_keys(context: Context) -> Iterator[Key]:
    """Yield all keys under which something of the run lies, or lay when its rows went."""
    yield from _own(context)
    for one in other_backups(context):
        yield _of_another(context, one)
    for name, archived in keys_of(context).items():
        if archived.state is KeyState.ACTIVE:
            yield _live(context, name, "archive")
    for entry in context.entries(report_pseudonyms.DESTROYED)[-1:]:
        for one_key in entry.body["keys"]:
            yield _dead(context, one_key["key"], "pseudonyms", one_key, _is_gone(context, one_key["key"]))


def _own(context: Context) -> Iterator[Key]:
    known = [
        k for k in context.keyring.list() if (k.purpose, k.case) == (Purpose.BACKUP, context.backup_name)
    ]
    ended = {str(entry.body["key"]): entry.body for entry in context.entries(DESTROYED)}
    for one in known:
        said = ended.get(one.key_id)
        if said is None and one.state is KeyState.ACTIVE:
            yield _live(context, one.key_id, "backup")
        elif said is not None:
            yield _dead(context, one.key_id, "backup", said, bool(said["decryption_fails"]))


def _of_another(context: Context, one: OtherBackup) -> Key:
    name = one.key.key_id
    if one.lives:
        until = backup_due(one.past.context(context)) if SEALED in one.past.entries else None
        made = _live(context, name, "backup").model_copy(update={"until": until})
    elif ended := one.past.last(ENDED):
        made = _dead(context, name, "backup", ended.body, bool(ended.body["decryption_fails"]))
    else:  # an abort does not tell when its key went, nor of copies, nor tries it
        copies = [each.place for each in declared_copies(context.settings.variables)]
        at = one.past.entries[ABORTED][-1].at
        said = {"at": at, "result": FileRootProvider.destruction, "copies": copies}
        made = _dead(context, name, "backup", said, _is_gone(context, name))
    return made.model_copy(update={"backup": one.past.name})


def _live(context: Context, name: str, purpose: Purposes) -> Key:
    places = [one.place for one in declared_copies(context.settings.variables) if one.destroyed is None]
    return Key(name=name, purpose=purpose, state="live", copies=tuple(_copies(context, places)))


def _dead(context: Context, name: str, purpose: Purposes, said: Mapping[str, Any], fails: bool) -> Key:
    return Key(
        name=name,
        purpose=purpose,
        state="unlinked" if said["result"] == FileRootProvider.destruction else "destroyed",
        at=datetime.fromisoformat(said["at"]).astimezone(LEGAL_TIME),
        decryption_fails=fails,
        copies=tuple(_copies(context, said["copies"])),
    )


def _copies(context: Context, places: Iterable[str]) -> Iterator[KeyCopy]:
    """Yield the copies of a key; one that is not declared any more counts as there."""
    gone = {one.place: one.destroyed for one in declared_copies(context.settings.variables)}
    for place in places:
        yield KeyCopy(place=place, destroyed=gone.get(place) is not None, on=gone.get(place))


def _is_gone(context: Context, key: str) -> bool:
    try:
        context.keyring.key(key)
    except KeyUnavailable:
        return True
    return False
