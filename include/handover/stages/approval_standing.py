"""How far an approval is: what it is about, who asked, who said yes and still holds to it, who may be asked.

Read from the ledger alone, after its chain and signatures were checked; what an answer is bound to changes
with the plan, the case file, each address and every result of the verification.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from handover.errors import LedgerRefused, NotReady
from handover.evidence.canonical import canonical
from handover.evidence.ledger import Entry, verify_chain
from handover.model.approval import Account, Signoff, What
from handover.model.datamap import load_datamap, map_path
from handover.model.plan import Plan
from handover.stages.context import Context
from handover.stages.mandate_standing import NOBODY_ASKED, Cover, cover
from handover.stages.units import OBJECTS, unit_of

REQUESTED, ASKED = "requested", "approval-asked"
APPROVED, REFUSED, REJECTED = "approved", "refused", "answer-rejected"
# What a connection may hold that must not be written down; all else of it is part of what is approved.
SECRETS = frozenset({"password", "passfile", "sslpassword", "sslkey", "oauth_client_secret"})
# So much of a digest stands on the button that means yes: too much to find a second plan with the same.
CODE = 16


@dataclass(frozen=True)
class Standing:
    """How far an approval is: what it is about, who asked, who said yes, who may still be asked.

    ``cover``: the standing mandate that stands in for a sweep's missing yes, or why none does.
    """

    what: What
    digest: str
    subject: Mapping[str, object]
    requester: str
    needed: int
    given: tuple[Entry, ...]
    eligible: tuple[Account, ...]
    cover: Cover = NOBODY_ASKED

    @property
    def code(self) -> str:
        """The beginning of the digest, as people see it and give it back with their yes."""
        return self.digest[:CODE]

    @property
    def is_open(self) -> bool:
        """Say whether a yes is still missing."""
        return len(self.given) < self.needed and not self.cover.issued


def standing(context: Context, what: What) -> Standing:
    """Return how far an approval is, from signed entries alone.

    Raises NotReady when the case asks for none, or there is nothing to be approved yet; LedgerRefused when
    the ledger does not verify.
    """
    rule_of(context, what)
    context.require_open()
    every = signed_entries(context)
    entries = [entry for entry in every if entry.run == context.run]
    now = _standing(context, what, entries)
    if not now.is_open or any(e.kind == REFUSED and e.body["what"] == what for e in entries):
        return now  # where a person said no, no mandate says yes
    return replace(now, cover=cover(context, every, _plan(entries), now.requester))


def _standing(context: Context, what: What, entries: Sequence[Entry]) -> Standing:
    rule = rule_of(context, what)
    requester = _last(entries, REQUESTED, "inventory").body["by"]
    subject = _subject(context, what, entries)
    digest = hashlib.sha256(canonical(subject, LedgerRefused, "what is to be approved")).hexdigest()
    given = _given(rule, entries, what, digest, requester, datetime.now(UTC))
    said = {entry.body["account_id"] for entry in given}
    eligible = [a for a in rule.approvers if not is_account(a, requester) and a.id not in said]
    needed = _needed(context, what, _plan(entries))
    return Standing(what, digest, subject, requester, needed, tuple(given), tuple(eligible))


def rule_of(context: Context, what: What) -> Signoff:
    """Return whom the case asks; raises NotReady when it asks nobody."""
    if context.case.approvals is None:
        raise NotReady(
            f"case {context.case.case} names nobody who may approve",
            hint="add approvals to the case file and start a new run",
        )
    rule = context.case.approvals.of(what)
    if rule is None:
        raise NotReady(
            f"case {context.case.case} names nobody who may say yes to {what}",
            hint=f"add approvals.{what} to the case file and start a new run",
        )
    return rule


def signed_entries(context: Context) -> list[Entry]:
    """Return the case's entries after its whole chain was checked with our own public key."""
    entries = context.ledger.entries(context.case.case)
    findings = verify_chain((entry.line for entry in entries), [context.keyring.signer().public_pem])
    if findings:
        raise LedgerRefused(
            f"the ledger of case {context.case.case} does not verify, so nothing in it counts: {findings[0]}",
            hint="find out who changed it before anything goes on",
            findings=findings,
        )
    return entries


def _last(entries: Sequence[Entry], kind: str, task: str) -> Entry:
    found = [entry for entry in entries if entry.kind == kind]
    if not found:
        raise NotReady(f"the ledger holds no {kind} of this run", hint=f"run or clear the task {task}")
    return found[-1]


def _plan(entries: Sequence[Entry]) -> Plan:
    return Plan.model_validate(_last(entries, "plan", "plan").body["plan"])


def _subject(context: Context, what: What, entries: Sequence[Entry]) -> dict[str, object]:
    """Return what an answer is bound to, in words that an auditor can compute again from the ledger."""
    plan = _plan(entries)
    subject: dict[str, object] = {
        "what": what,
        "case": context.case.case,
        "run": context.run,
        "case_digest": context.case.sha256_of_json(),
        "plan_digest": plan.sha256_of_json(),
        "source": _address(context.source),
        "target": _address(context.target) if context.target else {},
        "restore_test": _address(context.scratch),
    }
    if what != "execute" and context.target:
        subject["verification"] = _verification(context, plan, entries)
    if what == "dispose":
        subject |= _kept(context, entries)
    return subject


def _kept(context: Context, entries: Sequence[Entry]) -> dict[str, object]:
    """Return where the rows are that go: accepted by somebody, or in an archive that was read back."""
    if context.target:
        return {"accepted": _accepted(context, entries)}
    if context.case.is_daily:  # their time is over: nobody has to have them
        return {}
    from handover.stages.archive_proof import VERIFIED, archive_faults
    from handover.stages.late_changes import late_faults

    if faults := [*archive_faults(context), *late_faults(context)]:
        raise NotReady(
            "nothing may be disposed of yet:\n  " + "\n  ".join(faults),
            hint="put right what is named, then clear the task that found it, with downstream",
        )
    return {"archived": [entry.hash for entry in entries if entry.kind == VERIFIED][-1:]}


def _accepted(context: Context, entries: Sequence[Entry]) -> list[str]:
    """Return the hashes of the acceptances in force; raises NotReady while one is missing."""
    now = _standing(context, "accept", entries)
    if now.is_open:
        raise NotReady(
            "the receiving side has not accepted what was delivered, so nothing may be disposed of",
            hint="see Required Actions for who may accept",
        )
    return [entry.hash for entry in now.given]


def _address(url: str) -> str:
    """Return where a connection leads, with all its settings but the secret ones."""
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if name not in SECRETS}
    place = f"{parts.pop('host', '')}:{parts.pop('port', '')}/{parts.pop('dbname', '')}"
    return " ".join([place, *(f"{name}={value}" for name, value in sorted(parts.items()))])


def _verification(context: Context, plan: Plan, entries: Sequence[Entry]) -> list[str]:
    """Return the hashes of the results in force; raises NotReady while one is missing or differs."""
    # Here, because these stages rest on the backup, which itself asks for an approval.
    from handover.stages.expectations import CHECKED, target_faults
    from handover.stages.late_changes import late_faults, latest_looks, parts_to_look_at
    from handover.stages.tally import reconciliation_faults

    latest = {str(e.body["unit"]): e for e in entries if e.kind == "verified"}
    units = [*(unit_of(group) for group in plan.groups()), OBJECTS]
    open_units = [unit for unit in units if unit not in latest or latest[unit].body["differences"]]
    faults = [f"not verified, or different: {unit}" for unit in open_units]
    faults += [*reconciliation_faults(context), *target_faults(context), *late_faults(context)]
    if faults:
        raise NotReady(
            "there is nothing to accept yet:\n  " + "\n  ".join(faults),
            hint="put right what differs, then clear finish with downstream",
        )
    looks = latest_looks(entries, int(_last(entries, "backup-sealed", "seal").body["generation"]))
    reconciled = _last(entries, "reconciled", "reconcile")
    checked = [entry for entry in entries if entry.kind == CHECKED and entry.body["side"] == "target"][-1]
    rechecked = (looks[unit] for unit in parts_to_look_at(context))
    return [e.hash for e in (*(latest[unit] for unit in units), reconciled, checked, *rechecked)]


def given_before(context: Context, what: What, digest: str, moment: Entry) -> list[Entry]:
    """Return the yes of each different account to a digest that held when an entry was written."""
    entries = [entry for entry in context.entries() if entry.seq < moment.seq]
    requester = _last(entries, REQUESTED, "inventory").body["by"]
    at = datetime.fromisoformat(moment.at)
    return _given(rule_of(context, what), entries, what, digest, requester, at)


def _given(
    rule: Signoff, entries: Sequence[Entry], what: What, digest: str, requester: str, at: datetime
) -> list[Entry]:
    """Return the yes of each different account that holds at a moment; a no takes all before it away."""
    given: dict[str, Entry] = {}
    for entry in entries:
        body = entry.body
        if entry.kind not in (APPROVED, REFUSED) or (body["what"], body["digest"]) != (what, digest):
            continue
        if entry.kind == REFUSED:
            given.clear()
        elif _counts(rule, body, requester, at):
            given[body["account_id"]] = entry
    return list(given.values())


def _counts(rule: Signoff, body: Mapping[str, Any], requester: str, at: datetime) -> bool:
    account = rule.find(body["by"], body["account_id"])
    in_time = at < datetime.fromisoformat(body["expires_at"])
    return account is not None and not is_account(account, requester) and in_time


def is_account(account: Account, name: str) -> bool:
    """Say whether a name is that account's, or could be taken for it."""
    return account.folded == name.casefold()


def _needed(context: Context, what: What, plan: Plan) -> int:
    """Return how many must say yes: what the case says, at least two where sensitive data may leave or go."""
    count = rule_of(context, what).count
    return max(count, 2) if what != "accept" and _may_be_sensitive(context, plan) else count


def _may_be_sensitive(context: Context, plan: Plan) -> bool:
    """Say whether sensitive data may leave: what no confirmed data map rules out, may.

    A map that is not the one of the plan rules nothing out.
    """
    folder = context.settings.datamaps
    name = context.case.mapped_as
    if not map_path(folder, name).exists():
        return True
    datamap = load_datamap(folder, name)
    if datamap.sha256_of_json() != plan.datamap_digest:
        return True
    return bool(datamap.unconfirmed()) or any(entry.pipl_sensitive for _, _, entry in datamap.entries())
