"""The facts of a certificate of destruction, gathered from ledger, plan, case and keyring.

Where something is not known the weaker word stands; what is missing is for the certificate itself to refuse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from handover import __version__
from handover.errors import NotReady
from handover.evidence import report_pseudonyms
from handover.model.approval import What
from handover.model.destruction_acts import Execution, Supervised
from handover.model.destruction_facts import (
    CertificateFacts,
    Involved,
    Key,
    ListReference,
    Part,
    ResidueLine,
    Search,
    Store,
    residue_line,
)
from handover.model.disposal import DeclaredStore
from handover.model.policy import Text
from handover.stages.approval_standing import APPROVED, REQUESTED, given_before
from handover.stages.backup_end import ENDED, backup_due
from handover.stages.certificate_counts import Counts
from handover.stages.certificate_keys import certificate_keys
from handover.stages.clean_residue import last_disposal, residue_lines
from handover.stages.context import Context
from handover.stages.datamaps import planned_datamap
from handover.stages.destruction_signing import destruction_standing
from handover.stages.disposal import OPENED
from handover.stages.documents import read_document
from handover.stages.facts import LEGAL_TIME
from handover.stages.mandate_uses import USED
from handover.stages.proving import PROVED, proof
from handover.stages.tombstones import DESTROYED as TOMBSTONES_DESTROYED
from handover.stages.tombstones import WRITTEN as TOMBSTONES
from handover.stages.validating import validation

_SEARCHED = Text(zh="按键复查并按值检索", en="looked for by key, searched for values")
_BY_VALUE = Text(zh="按值检索", en="searched for values")
_ATTESTED = Text(zh="持有人或销毁商书面证明", en="attested in writing by its holder or by who destroyed it")
_OPEN = Text(zh="尚无检索或证明", en="neither searched nor attested")
_UNFIT = Text(zh="证明文件缺失或与登记的摘要不符", en="its attestation is missing or has other bytes")
_METHOD = Text(
    zh="逐库逐列读取，与内存中的密钥化代号比对；姓名、出生日期、住址不单独检索",
    en="every column of every table read and compared with keyed tokens in memory, values that are one "
    "person's; names, birth dates and addresses are not searched for",
)
_ACCOUNT = Text(zh="调度平台账户", en="account of the scheduler")
_UNRECORDED = "未登记 / not recorded"


def certificate_facts(context: Context) -> CertificateFacts:
    """Return the facts as they are now; raises NotReady before it was proven that what went is gone."""
    plan, body = context.plan(), proof(context)
    datamap = planned_datamap(context, plan)
    if body is None or datamap is None:
        raise NotReady("it is not proven that what went is gone", hint="run or clear the task prove")
    now = datetime.now(UTC).astimezone(LEGAL_TIME)
    erased_at = _moment(context, last_disposal(context))
    keys = tuple(certificate_keys(context))
    counts = Counts(context, datamap, body, erased_at.date(), _shredded(keys))
    stores = tuple(_stores(context, body))
    made = destruction_standing(context)
    return CertificateFacts(
        number=f"{context.case.case}/{context.run}",
        case=context.case.case,
        run=context.run,
        title=context.case.title,
        unit=context.case.parties.giver.name,
        uscc=made.made.uscc if made.made else None,
        issued_at=now,
        verification_url=None,
        tool=f"Handover {__version__}",
        packs=plan.policy,
        plan_sha256=plan.sha256_of_json(),
        ledger_head=context.ledger.entries(context.case.case)[-1].hash,
        erased_at=erased_at,
        treated=counts.treated(validation(context)),
        retained=tuple(counts.retained()),
        skipped=counts.skipped(),
        stores=stores,
        undeclared=() if _is_declared(context) else (context.case.source.connection,),
        search=_search(context, body, stores),
        residue=tuple(_residue(context, keys)),
        keys=keys,
        identity_test=None,
        media=(),
        lists=(
            (ListReference(number=made.made.number, sha256=made.made.sha256, state=made.state),)
            if made.made
            else ()
        ),
        involved=tuple(_involved(context, erased_at.date())),
        also_not_covered=tuple(_not_covered(context, body)),
    )


def _moment(context: Context, seq: int) -> datetime:
    entry = next(one for one in context.entries() if one.seq == seq)
    return datetime.fromisoformat(entry.at).astimezone(LEGAL_TIME)


def _shredded(keys: Iterable[Key]) -> bool:
    """Say whether no backup that held the rows opens any more."""
    backups = [one for one in keys if one.purpose == "backup"]
    dead = (one.state != "live" and one.decryption_fails and one.copies_gone for one in backups)
    return bool(backups) and all(dead)


def _is_declared(context: Context) -> bool:
    return any(one.connection == context.case.source.connection for one in context.case.stores)


def _stores(context: Context, body: Mapping[str, Any]) -> Iterator[Store]:
    searched = {one["connection"] for one in body["stores"]}
    source = context.case.source.connection
    if not _is_declared(context):
        yield Store(name=source, kind="database", state="searched", how=_SEARCHED)
    for one in context.case.stores:
        if one.connection in searched:
            how = _SEARCHED if one.connection == source else _BY_VALUE
            yield Store(name=one.name, kind=one.kind, state="searched", how=how)
        else:
            yield _attested(context, one)


def _attested(context: Context, store: DeclaredStore) -> Store:
    """Return a store out of reach: attested by a paper whose file is on record, else open."""
    paper = store.attestation
    if paper is None:
        return Store(name=store.name, kind=store.kind, state="open", how=_OPEN)
    digest = hashlib.sha256()
    for piece in read_document(context, paper.file) or ():
        digest.update(piece)
    if digest.hexdigest() != paper.sha256:
        return Store(name=store.name, kind=store.kind, state="open", how=_UNFIT)
    return Store(name=store.name, kind=store.kind, state="attested", how=_ATTESTED, attestation=paper)


def _search(context: Context, body: Mapping[str, Any], stores: Iterable[Store]) -> Search:
    found = sum(one["cells"] for store in body["stores"] for one in store["findings"])
    retained = sum(int(store["of_retained"]) for store in body["stores"])
    entry = context.entries(PROVED)[-1]
    return Search(
        stores=tuple(one.name for one in stores if one.state == "searched"),
        method=_METHOD,
        values=max(sum(store["values"].values()) for store in body["stores"]),
        matches=found + retained,
        of_retained=retained,
        on=_moment(context, entry.seq).date(),
    )


def _residue(context: Context, keys: Iterable[Key]) -> Iterator[ResidueLine]:
    for found in residue_lines(context):
        yield residue_line(found, context.case.disposal.mandatory)
    ended = bool(context.entries(ENDED))
    left = sum(1 for _ in context.store.list(f"{context.case.case}/{context.run}/"))
    due = backup_due(context)
    yield ResidueLine(
        place=Text(zh="本系统的备份库（本批次）", en="this system's vault: the backup of this run"),
        outcome="cleared" if ended and not left else "not cleared",
        how=Text(zh="列出保管库中的文件", en="files of the vault listed"),
        reasons=()
        if ended and not left
        else (
            Text(zh=f"备份保留至 {due}，尚有 {left} 个文件", en=f"kept until {due}, {left} files are there"),
        ),
    )
    if others := [one for one in keys if one.backup]:
        yield _other_vaults(others)
    yield ResidueLine(
        place=Text(
            zh="本系统的日志、调度记录和记录链", en="this system's logs, scheduler's records and ledger"
        ),
        outcome="cannot be verified",
        how=Text(
            zh="按设计只写计数和密钥化代号，未逐一检索", en="written to with counts and keyed tokens only"
        ),
        reasons=(Text(zh="未检索", en="they were not searched"),),
    )


def _other_vaults(others: Iterable[Key]) -> ResidueLine:
    alive = [str(one.backup) for one in others if one.state == "live"]
    return ResidueLine(
        place=Text(
            zh="本系统的备份库（同一数据库的其他备份）",
            en="this system's vault: other backups of the database",
        ),
        outcome="not cleared" if alive else "cleared",
        how=Text(zh="查阅记录链", en="the ledger read"),
        reasons=(Text(zh=f"尚存：{'、'.join(alive)}", en=f"still there: {', '.join(alive)}"),)
        if alive
        else (),
    )


def _involved(context: Context, on: date) -> Iterator[Involved]:
    """Yield who asked, approved, executed and supervised: accounts, and who signed a destruction list."""
    now = destruction_standing(context)
    for entry in context.entries(REQUESTED):
        yield _person(context, "requester", str(entry.body["by"]), entry.at)
    for name, at in _approvers(context, "execute").items():
        yield _person(context, "approver", name, at)
    yield Involved(
        part="executor",
        name=f"Handover {__version__}",
        title="系统账户 / system account",
        organisation=context.case.parties.giver.name,
        location=f"签名密钥 / signing key {context.keyring.signer().key_id}",
        on=on,
    )
    for act in now.acts(Execution):
        for name in act.executors:
            yield _person(context, "executor", name, act.finished.isoformat())
    signed = now.acts(Supervised)
    for seal in signed:
        made = _person(context, "supervisor", seal.name, context.entries(OPENED)[0].at)
        yield made.model_copy(update={"on": seal.on, "title": seal.role, "signature_sha256": seal.sha256})
    for name, at in _approvers(context, "dispose").items() if not signed else ():
        yield _person(context, "supervisor", name, at)


def _approvers(context: Context, what: What) -> dict[str, str]:
    """Return whose yes to what was in force held when rows could go, or who signed its mandate, and when."""
    opened = context.entries(OPENED)[0]
    about = [e for e in context.entries(APPROVED, USED) if e.body["what"] == what and e.seq < opened.seq]
    if not about:
        return {}
    if about[-1].kind == USED:
        return {str(name): str(at) for name, at in about[-1].body["signed_by"]}
    said = given_before(context, what, about[-1].body["digest"], opened)
    # The law is heard between the approval's check and the entry; what ran out meanwhile did hold.
    return {str(e.body["by"]): e.at for e in said or about[-1:]}


def _person(context: Context, part: Part, name: str, at: str) -> Involved:
    return Involved(
        part=part,
        name=name,
        title=f"{_ACCOUNT.zh} / {_ACCOUNT.en}",
        organisation=context.case.parties.giver.name,
        location=_UNRECORDED,
        on=datetime.fromisoformat(at).astimezone(LEGAL_TIME).date(),
    )


def _not_covered(context: Context, body: Mapping[str, Any]) -> Iterator[Text]:
    if context.entries(TOMBSTONES) and not context.entries(TOMBSTONES_DESTROYED):
        yield Text(
            zh="为防止旧备份恢复，已删除行的密钥化代号保留至最后一份备份消失；仍属个人信息",
            en="keyed tokens of the erased rows, by which a restored backup is recognised: kept until the "
            "last backup is gone, personal information still",
        )
    if context.entries(report_pseudonyms.KEPT):
        yield Text(
            zh="去标识化密钥按案件约定保留，持有者可还原",
            en="the keys of the pseudonyms, kept as the case says: who has them finds the persons again",
        )
    unsearchable = sum(sum(store["unsearchable"].values()) for store in body["stores"][:1])
    if unsearchable:
        yield Text(
            zh=f"{unsearchable} 个值过短或无固定格式，未能检索",
            en=f"{unsearchable} values that are too short or have no form, and were not searched for",
        )
