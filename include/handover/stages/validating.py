"""Validation: a named person, other than who asked, decides that the result of a disposal is good enough.

The decision is about one proof and one look at the residue; after another one it has to be made anew.
"""

from __future__ import annotations

from handover.classify.find import find
from handover.errors import LedgerRefused, NotReady
from handover.model.approval import Account
from handover.model.destruction_facts import Validated
from handover.model.policy import Text
from handover.stages.approval_standing import REQUESTED, is_account
from handover.stages.approvals import LONGEST_REASON, PRIVATE
from handover.stages.clean_residue import RESIDUE
from handover.stages.context import Context
from handover.stages.facts import legal_day
from handover.stages.proving import PROVED

VALIDATED = "result-validated"
_HOW = Text(zh="审阅复查、检索与残留表", en="proof, search and residue were reviewed")


def validate_result(context: Context, who: Account, *, good_enough: bool, reason: str) -> Validated:
    """Write down what a person decided; NotReady before there is a proof, LedgerRefused for who may not."""
    context.require_open()
    about = _about(context)
    if not about:
        raise NotReady("there is no proof to be validated", hint="run or clear the task prove")
    _refuse(context, who, reason.strip())
    body = {
        "about": about,
        "by": who.name,
        "account_id": who.id,
        "good_enough": good_enough,
        "reason": reason.strip(),
        "on": legal_day().isoformat(),
    }
    context.record(VALIDATED, body)
    return validation(context) or _of(body)


def validation(context: Context) -> Validated | None:
    """Return the latest decision about the proof in force; None while there is none."""
    about = _about(context)
    found = [entry.body for entry in context.entries(VALIDATED) if entry.body["about"] == about]
    return _of(dict(found[-1])) if found else None


def _of(body: dict[str, object]) -> Validated:
    fields = {"how": _HOW, "by": body["by"], "on": body["on"], "good_enough": body["good_enough"]}
    return Validated.model_validate(fields)


def _about(context: Context) -> list[str]:
    """Return the hashes of the entries that a decision is about."""
    found = [context.entries(kind)[-1:] for kind in (RESIDUE, PROVED)]
    return [entry.hash for some in found for entry in some] if all(found) else []


def _refuse(context: Context, who: Account, reason: str) -> None:
    rules = context.case.approvals
    known = (
        [*rules.execute.approvers, *(rules.dispose.approvers if rules and rules.dispose else ())]
        if rules
        else []
    )
    asked = [str(entry.body["by"]) for entry in context.entries(REQUESTED)]
    problems = {
        "this account is under neither approvals.execute nor approvals.dispose": who not in known,
        "who asked for the run does not validate it": any(is_account(who, name) for name in asked),
        "no reason was given": not reason,
        f"the reason is longer than {LONGEST_REASON} characters": len(reason) > LONGEST_REASON,
        "the reason names personal data": any(m.kind in PRIVATE for m in find(reason[:LONGEST_REASON])),
    }
    for problem, applies in problems.items():
        if applies:
            raise LedgerRefused(f"nothing was recorded: {problem}", hint="another person, or other words")
