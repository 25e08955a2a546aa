"""Checks of an audit: what cases wait for: documents, accounts, processors, certificates, holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial

from handover.errors import HandoverError
from handover.law.papers import verify_files
from handover.model.audit import Finding, Severity
from handover.model.case import Case
from handover.stages.account_records import RECORDS, missing_records
from handover.stages.audit_scope import COMPLIANCE, Audit, legal_date
from handover.stages.backup_end import ENDED
from handover.stages.certifying import ISSUED
from handover.stages.documents import read_document
from handover.stages.entity_certificates import KIND, found_certificates
from handover.stages.holds import ADDED, RELEASED

SOON = timedelta(days=30)
A_YEAR = timedelta(days=365)


def documents(audit: Audit) -> Iterator[Finding]:
    """Look at the documents of open cases: on file as registered, and not about to expire (A09)."""
    for told in audit.open_runs:
        case = audit.case_of(told)
        try:
            context = audit.context_of(told)
            _, wrong = verify_files(case.matter.documents, partial(read_document, context))
        except HandoverError as problem:
            said = problem.message
            yield _of_case(audit, case, "document", "error", told.case, f"文件无法读取：{said}", said)
            continue
        for (_, number, _), said in wrong:
            kind = case.matter.documents[int(number)].kind
            where = f"{told.case}: {kind} {case.matter.documents[int(number)].file}"
            yield _of_case(audit, case, "document", "error", where, f"登记文件不符：{said}", said)
        for what, until in _expiring(case):
            yield from _expires(audit, case, f"{told.case}: {what}", until)


def _expiring(case: Case) -> Iterator[tuple[str, date]]:
    for one in case.matter.documents:
        if one.expires != "never":
            yield f"{one.kind} {one.file}", one.expires
    flows = case.matter.exports.flows if case.matter.exports else None
    for flow in flows or ():
        if flow.valid_until:
            yield f"export mechanism {flow.mechanism_number or flow.recipient}", flow.valid_until


def _expires(audit: Audit, case: Case, where: str, until: date) -> Iterator[Finding]:
    if until < audit.on:
        zh, en = f"已于 {until} 失效。", f"expired on {until}."
        yield _of_case(audit, case, "document-expired", "error", where, zh, en)
    elif until - audit.on <= SOON:
        zh, en = f"将于 {until} 失效。", f"expires on {until}."
        yield _of_case(audit, case, "document-expires", "warning", where, zh, en)


def accounts(audit: Audit) -> Iterator[Finding]:
    """Look for accounts that may answer in an open case without the records that it requires (F01, G-R02)."""
    for told in audit.open_runs:
        case = audit.case_of(told)
        asked = case.approvals
        signoffs = (asked.execute, asked.accept, asked.dispose) if asked else ()
        names = {one.name for signoff in signoffs if signoff for one in signoff.approvers}
        context = audit.context_of(told)
        for name in sorted(names):
            for kind in missing_records(context, name, audit.on):
                where = f"{told.case}: {name}, {kind}"
                said = f"账号没有{RECORDS[kind].zh}，其答复不予采信。"
                yield _of_case(
                    audit,
                    case,
                    "account",
                    "error",
                    where,
                    said,
                    f"has no {RECORDS[kind].en}: its answers do not count.",
                )


def processors(audit: Audit) -> Iterator[Finding]:
    """Look for entrusted parties whose work has ended without certifying return or deletion (G-R08)."""
    for told in audit.newest_runs:
        case = audit.case_of(told)
        ended = [one.name for one in case.matter.processors or () if one.ended]
        if told.is_taken_back or not ended:
            continue
        given = {one.party for one in case.matter.documents if one.kind == KIND}
        given |= {one.entity for one in found_certificates(audit.context_of(told)) if one.entry}
        for name in ended:
            if name not in given:
                yield _of_case(
                    audit,
                    case,
                    "processor",
                    "warning" if told in audit.open_runs else "error",
                    f"{told.case}: {name}",
                    "受托人尚未出具返还或删除证明。",
                    "has not certified return or deletion.",
                )


def certificates(audit: Audit) -> Iterator[Finding]:
    """Look for runs whose backup has ended and whose certificate is still provisional, or not issued anew."""
    for told in audit.runs:
        issued = told.history.last(ISSUED)
        if told.has(ENDED) and issued.get("finality") != "final":
            points = "; ".join(issued.get("open_points", [])) or "none was issued since"
            yield audit.finding(
                "certificate",
                "warning",
                told.place,
                f"备份已终止，销毁证明仍为暂定：{points}",
                f"its backup has ended and its certificate is not final: {points}",
                COMPLIANCE,
            )


def stated_holds(audit: Audit) -> Iterator[Finding]:
    """Look for holds in open cases that nobody has released for a year."""
    for told in audit.open_runs:
        case = audit.case_of(told)
        for number, hold in enumerate(case.matter.holds or ()):
            if hold.is_open(audit.on) and audit.on - hold.opened > A_YEAR:
                where = f"{told.case}: matter.holds.{number} {hold.kind}"
                zh, en = f"自 {hold.opened} 起未解除，应复核。", f"is open since {hold.opened}: review it."
                yield _of_case(audit, case, "hold", "notice", where, zh, en)


def ledger_holds(audit: Audit) -> Iterator[Finding]:
    """Look for holds in the ledger that are past their day, or a year old, and that nobody has released."""
    for name in audit.ledger.cases():
        entries = audit.ledger.entries(name, kinds=(ADDED, RELEASED))
        released = {entry.body["hold"] for entry in entries if entry.kind == RELEASED}
        for entry in entries:
            hold, until = entry.body["hold"], entry.body.get("until")
            if hold in released or entry.kind == RELEASED:
                continue
            where = f"{name}: {hold}"
            if until and date.fromisoformat(until) <= audit.on:
                zh, en = f"已于 {until} 到期，未解除。", f"is over since {until}, and nobody has released it."
                yield audit.finding("hold-over", "warning", where, zh, en, COMPLIANCE)
            elif audit.on - (since := legal_date(entry.at)) > A_YEAR:
                zh, en = f"自 {since} 起未解除，应复核。", f"is open since {since}: review it."
                yield audit.finding("hold", "notice", where, zh, en, COMPLIANCE)


def _of_case(
    audit: Audit, case: Case, check: str, severity: Severity, where: str, zh: str, en: str
) -> Finding:
    return audit.finding(check, severity, where, zh, en, case.parties.giver.name)
