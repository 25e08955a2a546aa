"""The audit of everything that is kept: all checks of all groups, and the report made of what they find.

Each group writes what it found into the ledger; ``conclude`` makes the page of that. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from itertools import chain, count
from pathlib import Path

from handover.errors import AuditFailed, NotReady
from handover.evidence.audit_paper import HTML_NAME, SEVERITIES, audit_files
from handover.evidence.ledger import Ledger
from handover.evidence.manifest import statement, write_evidence
from handover.model.audit import Finding
from handover.settings import Settings
from handover.stages import audit_access, audit_evidence, audit_matters, audit_reviews, audit_vault
from handover.stages.audit_scope import AUDITS, CHECKED, DONE, Audit
from handover.stages.context import Resolver
from handover.vault.keyring import Keyring

Check = Callable[[Audit], Iterator[Finding]]
GROUPS: dict[str, tuple[Check, ...]] = {
    "ledger": (audit_evidence.ledger_chains,),
    "evidence": (audit_evidence.evidence_folders, audit_evidence.evidence_is_there),
    "vault": (
        audit_vault.backup_objects,
        audit_vault.archive_bags,
        audit_vault.strange_objects,
        audit_vault.restores_unfinished,
    ),
    "keys": (audit_vault.backups_past_their_end, audit_vault.keys_and_ledger),
    "reviews": (
        audit_reviews.archive_reviews,
        audit_reviews.last_audit,
        audit_reviews.data_maps,
        audit_reviews.policy_packs,
        audit_reviews.calendar,
    ),
    "documents": (audit_matters.documents,),
    "access": (audit_access.grants,),
    "people": (audit_matters.accounts,),
    "outstanding": (
        audit_matters.processors,
        audit_matters.certificates,
        audit_matters.stated_holds,
        audit_matters.ledger_holds,
    ),
}


def open_audit(settings: Settings, resolve: Resolver, on: date, share: float = 1.0) -> Audit:
    """Open an audit on a day; ``share``: how much of the vault's objects is read."""
    if not 0 < share <= 1:
        raise NotReady(f"a share of {share} of the vault cannot be read", hint="give more than 0, at most 1")
    keyring = Keyring.open(settings.keyring)
    ledger = Ledger(settings.require("HANDOVER_LEDGER_URL"), keyring.signer())
    return Audit(settings, resolve, on, ledger, keyring, share)


def check_group(audit_context: Audit, group: str) -> list[Finding]:
    """Do the checks of a group and write down what they found; done again, the latest counts."""
    found = {one.id: one for check in GROUPS[group] for one in check(audit_context)}
    told = [one.document() for one in found.values()]
    audit_context.record(CHECKED, {"group": group, "share": str(audit_context.share), "findings": told})
    return list(found.values())


def findings(audit: Audit) -> dict[str, list[Finding]]:
    """Return what the groups last found on this day; raises NotReady while one was not looked at."""
    entries = audit.ledger.entries(AUDITS, run=audit.run, kinds=[CHECKED])
    latest = {str(entry.body["group"]): entry for entry in entries}
    if missing := [group for group in GROUPS if group not in latest]:
        raise NotReady(
            f"the audit of {audit.on} has not looked at {', '.join(missing)}", hint="run or clear its task"
        )
    return {
        group: [Finding.model_validate(one) for one in latest[group].body["findings"]] for group in GROUPS
    }


def conclude(audit_context: Audit) -> Path:
    """Write page, evidence and ledger entry; raises AuditFailed when there is an error."""
    groups = findings(audit_context)
    every = [one for found in groups.values() for one in found]
    counts = {str(name): sum(one.severity == name for one in every) for name in SEVERITIES}
    by_group = {group: len(found) for group, found in groups.items()}
    told: dict[str, object] = {"found": by_group, **counts}
    folder = _folder(audit_context)
    write_evidence(
        folder,
        statement=statement([], {"case": AUDITS, "run": audit_context.run, "status": "audited", **told}),
        ledger_lines=audit_context.ledger.lines(AUDITS),
        documents=audit_files(audit_context.on, _last(audit_context), groups),
        signer=audit_context.keyring.signer(),
    )
    audit_context.record(DONE, {"on": f"{audit_context.on}", "folder": str(folder), **told})
    if counts["error"]:
        raise AuditFailed(
            f"the audit of {audit_context.on} found {counts['error']} errors",
            hint=f"see {folder / HTML_NAME}: each names its owner and the day until which it is due",
            report=str(folder / HTML_NAME),
        )
    return folder


def _folder(audit: Audit) -> Path:
    """Return where this attempt writes: each has a folder of its own, none is ever changed."""
    folders = audit.settings.evidence / AUDITS
    names = chain([f"{audit.on}"], (f"{audit.on}-{number}" for number in count(2)))
    return next(folders / name for name in names if not (folders / name).exists())


def _last(audit: Audit) -> datetime:
    """Return the moment of the day's last look."""
    entries = audit.ledger.entries(AUDITS, run=audit.run, kinds=[CHECKED])
    return datetime.fromisoformat(entries[-1].at)


def audit(settings: Settings, resolve: Resolver, on: date, share: float = 1.0) -> list[Finding]:
    """Do all checks and write them down; the page is made by ``conclude``."""
    opened = open_audit(settings, resolve, on, share)
    return [one for group in GROUPS for one in check_group(opened, group)]
