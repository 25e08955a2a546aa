"""The keys on a certificate: of the backups that held the rows, of archives, of pseudonyms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from handover.errors import KeyUnavailable
from handover.evidence import report_pseudonyms
from handover.model.destruction_facts import Key, KeyCopy
from handover.stages.archive_terms import keys_of
from handover.stages.backup_end import DESTROYED, backup_due
from handover.stages.certificate_backups import OtherBackup, other_backups
from handover.stages.context import Context
from handover.stages.erasures import ABORTED, ENDED, SEALED
from handover.stages.facts import LEGAL_TIME
from handover.vault.keyring import KeyState
from handover.vault.roots import FileRootProvider, Purpose


def certificate_keys(context: Context) -> Iterator[Key]:
    """Yield all keys under which something of the run lies, or lay when its rows went."""
    yield from _own(context)
    for one in other_backups(context):
        yield _of_another(context, one)
    for name, archived in keys_of(context).items():
        if archived.state is KeyState.ACTIVE:
            yield Key(name=name, purpose="archive", state="live")
    for entry in context.entries(report_pseudonyms.DESTROYED)[-1:]:
        for one_key in entry.body["keys"]:
            yield _dead(one_key["key"], "pseudonyms", one_key, fails=_is_gone(context, one_key["key"]))


def _own(context: Context) -> Iterator[Key]:
    known = [
        k for k in context.keyring.list() if (k.purpose, k.case) == (Purpose.BACKUP, context.backup_name)
    ]
    ended = {str(entry.body["key"]): entry.body for entry in context.entries(DESTROYED)}
    for one in known:
        said = ended.get(one.key_id)
        if said is None and one.state is KeyState.ACTIVE:
            yield Key(name=one.key_id, purpose="backup", state="live")
        elif said is not None:
            yield _dead(one.key_id, "backup", said, fails=bool(said["decryption_fails"]))


def _of_another(context: Context, one: OtherBackup) -> Key:
    name, of = one.key.key_id, one.past.name
    if one.lives:
        until = backup_due(one.past.context(context)) if SEALED in one.past.entries else None
        return Key(name=name, purpose="backup", state="live", backup=of, until=until)
    if ended := one.past.last(ENDED):
        made = _dead(name, "backup", ended.body, fails=bool(ended.body["decryption_fails"]))
    else:  # an abort does not tell when its key went, nor tries it
        aborted = one.past.entries[ABORTED][-1]
        said = {"at": aborted.at, "result": FileRootProvider.destruction, "copies": ()}
        made = _dead(name, "backup", said, fails=_is_gone(context, name))
    return made.model_copy(update={"backup": of})


def _dead(name: str, purpose: str, said: Mapping[str, Any], *, fails: bool) -> Key:
    unlinked = said["result"] == FileRootProvider.destruction
    return Key.model_validate(
        {
            "name": name,
            "purpose": purpose,
            "state": "unlinked" if unlinked else "destroyed",
            "at": datetime.fromisoformat(said["at"]).astimezone(LEGAL_TIME),
            "decryption_fails": fails,
            "copies": [KeyCopy(place=place, destroyed=False) for place in said["copies"]],
        }
    )


def _is_gone(context: Context, key: str) -> bool:
    try:
        context.keyring.key(key)
    except KeyUnavailable:
        return True
    return False
