"""Checks of an audit: what lies in the vault is what the ledger says, and keys live while they should."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import islice
from typing import Any

from handover.archive.bag import check_fixity
from handover.errors import VaultCorrupt
from handover.model.audit import Finding
from handover.model.backup import ObjectRef
from handover.stages.archive_terms import HELD, held_apart
from handover.stages.archiving import SEALED
from handover.stages.audit_scope import COMPLIANCE, Audit, Told, legal_date
from handover.stages.backup_end import ENDED
from handover.stages.disposal import OPENED
from handover.stages.notices import MAILED
from handover.stages.restore import BEGUN, RESTORED
from handover.vault.keyring import KeyState
from handover.vault.roots import Purpose

MOST = 100
# Folders of the vault that hold no runs, as that of the archives, have names that no case can have.
NO_CASE = "_"
DESTROYING = (
    "backup-key-destroyed",
    "archive-keys-destroyed",
    "pseudonym-keys-destroyed",
    "tombstones-destroyed",
    "key-destroyed",
)


def backup_objects(audit: Audit) -> Iterator[Finding]:
    """Read every object of a backup that lives, or a share of them, and compare it with its receipt."""
    for told in audit.runs:
        if told.has("backup-sealed") and not told.has(ENDED) and not told.is_taken_back:
            damaged = (fault for one in _sampled(audit, _objects(told)) for fault in _damage(audit, one))
            yield from islice(damaged, MOST)


def _objects(told: Told) -> list[ObjectRef]:
    """Return what the sealed generation put into the vault."""
    history, generation = told.history, told.history.generation
    found: list[Any] = [chunk["object"] for chunk in history.chunks()]
    found += [body["object"] for body in history.counting("tallied")]
    found += [body["index"] for body in history.counting("backup-sealed")]
    found += [body["bounds"] for body in [history.last("plan")] if body]
    found += [history.state["schema_object"], history.state["large_objects_object"]]
    found += [one for kept in history.state["keys"] for one in kept["objects"]]
    found += [
        body["definitions"]["object"]
        for body in (entry.body for entry in history.all("restore-tested"))
        if "definitions" in body and body["generation"] == generation
    ]
    return [ObjectRef.model_validate(one) for one in found]


def _sampled(audit: Audit, objects: list[ObjectRef]) -> list[ObjectRef]:
    """Return a share of the objects, others on each day."""
    return [one for one in objects if _drawn(f"{audit.on} {one.name}") < audit.share]


def _drawn(text: str) -> float:
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12


def _damage(audit: Audit, one: ObjectRef) -> Iterator[Finding]:
    try:
        found = hashlib.sha256(audit.store.get(one.name)).hexdigest()
    except VaultCorrupt:
        yield audit.finding(
            "vault-object", "error", one.name, "备份文件缺失或不可读。", "is missing or cannot be read."
        )
        return
    if found != one.sha256:
        yield audit.finding(
            "vault-object", "error", one.name, "备份文件已被改动。", "was changed after it was written."
        )


def archive_bags(audit: Audit) -> Iterator[Finding]:
    """Check the fixity of every archive bag, whole, against the digest in the ledger."""
    for body in _sealed_bags(audit):
        bag = audit.settings.vault / str(body["bag"])
        if not bag.is_dir():
            yield audit.finding(
                "archive",
                "error",
                str(body["bag"]),
                "档案包缺失。",
                "the archive bag is missing.",
                COMPLIANCE,
            )
            continue
        for damage in check_fixity(bag, str(body["tag_manifest_sha256"]))[:MOST]:
            yield audit.finding(
                "archive",
                "error",
                f"{body['bag']}: {damage.file}",
                f"档案包文件异常：{damage.what}。",
                f"a file of the archive bag is {damage.what}.",
                COMPLIANCE,
            )


def _sealed_bags(audit: Audit) -> Iterator[Mapping[str, Any]]:
    """Yield what the ledger says of each run's archive, and of those into which its held rows went."""
    for told in audit.runs:
        if told.has(SEALED) and not told.is_taken_back:
            yield told.history.last(SEALED)
        if told.has(HELD):
            for context in held_apart(audit.context_of(told)).values():
                yield from (entry.body for entry in context.entries(SEALED)[-1:])


def strange_objects(audit: Audit) -> Iterator[Finding]:
    """Look for files of runs that nobody knows, and of backups that have ended."""
    known = {(one.case, one.run): one for one in audit.runs}
    mailings = {
        (case, entry.run)
        for case in audit.ledger.cases()
        for entry in audit.ledger.entries(case, kinds=[MAILED])
    }
    found = {tuple(name.split("/")[:2]) for name in audit.store.list("")}
    for place in sorted(found):
        case, run = place if len(place) == 2 else ("", place[0])
        told = known.get((case, run))
        if case.startswith(NO_CASE) or (case, run) in mailings:
            continue
        if told is None:
            yield audit.finding(
                "vault-strange",
                "warning",
                "/".join(place),
                "账本不认识的文件。",
                "the ledger does not know it.",
            )
        elif told.has(ENDED) or told.is_taken_back:
            yield audit.finding(
                "vault-left",
                "error",
                told.place,
                "备份已终止，文件仍在。",
                "files of a backup that has ended are still there.",
            )


def restores_unfinished(audit: Audit) -> Iterator[Finding]:
    """Look for restores that did not end: rows that were erased may be in those databases."""
    for case in audit.ledger.cases():
        begun: dict[tuple[str, str], str] = {}
        for entry in audit.ledger.entries(case, kinds=[BEGUN, RESTORED]):
            place = (entry.run, str(entry.body.get("database", "")))
            if entry.kind == BEGUN:
                begun[place] = entry.at
            else:
                begun.pop(place, None)
        for (run, _), at in begun.items():
            yield audit.finding(
                "restore-open",
                "error",
                f"{case}, {run}, {at[:19]}",
                "恢复未完成：已删除的数据可能在该数据库中；请重新恢复到同一数据库。",
                "a restore did not end: erased rows may be in that database; restore into it again.",
            )


def backups_past_their_end(audit: Audit) -> Iterator[Finding]:
    """Look for backups whose day is over and whose key lives: rows that went could come back from them."""
    alive = {
        one.case
        for one in audit.keyring.list()
        if one.purpose is Purpose.BACKUP and one.state is KeyState.ACTIVE
    }
    for told in audit.runs:
        if f"{told.case}/{told.run}" not in alive or not told.has("backup-sealed"):
            continue
        if told.is_taken_back:
            yield audit.finding(
                "key-lives", "error", told.place, "已撤回，备份密钥仍在。", "was aborted and its key lives."
            )
            continue
        case = told.opened_with
        days = case.disposal.backup_days if case else 0
        due = legal_date(told.history.at("backup-sealed")) + timedelta(days=days)
        if audit.on > due:
            yield audit.finding(
                "backup-end",
                "error" if told.has(OPENED) else "warning",
                told.place,
                f"备份应于 {due} 终止，密钥仍在。",
                f"its backup was to end on {due}, and its key lives.",
            )


def keys_and_ledger(audit: Audit) -> Iterator[Finding]:
    """Compare the keyring with what the ledger says was made and destroyed."""
    made, destroyed = set(), set()
    for case in audit.ledger.cases():
        for entry in audit.ledger.entries(case, kinds=("key-created", *DESTROYING)):
            named = set(_named(dict(entry.body)))
            made |= named if entry.kind == "key-created" else set()
            destroyed |= named if entry.kind != "key-created" else set()
    for key in sorted(made - audit.keys.keys()):
        yield audit.finding(
            "key-lost",
            "error",
            key,
            "密钥环中没有该密钥。",
            "is not in the keyring: what it protects is lost.",
        )
    for key in sorted(destroyed):
        if audit.keys.get(key) is KeyState.ACTIVE:
            yield audit.finding(
                "key-back",
                "error",
                key,
                "账本记载已销毁，密钥环中仍可用：旧的密钥环被恢复。",
                "the ledger says it was destroyed, and it lives: an older keyring was put back.",
            )
    for key in sorted(made - destroyed):
        if audit.keys.get(key) is KeyState.DESTROYED:
            yield audit.finding(
                "key-untold",
                "warning",
                key,
                "已销毁，账本没有记载。",
                "was destroyed, and the ledger was not told.",
            )


def _named(body: dict[str, Any]) -> Iterator[str]:
    """Yield the ids of keys in an entry, whichever way its kind has them."""
    yield from (str(body[name]) for name in ("key", "key_id") if body.get(name))
    yield from (str(one["key"]) for one in body.get("keys", []))
