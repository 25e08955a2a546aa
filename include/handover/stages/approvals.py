"""Approvals: signed answers by others to exactly this plan or this result, and the lock that they open.

The requester is the account whose token started the DAG run, as Airflow recorded it; no conf, clearing or
resuming changes that, and a run deleted and started again by another account under the same id contradicts
the ledger and is refused. Whoever has role `user` or `op` can mark tasks as successful, forge XComs, clear
tasks, and (`op`) point a connection elsewhere: nothing of that is a signed entry, and an answer is bound to
plan, case and addresses. Whoever holds the signing key, administers Airflow or can start runs by its
command line (which records a system account) can forge everything; certificates say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from handover.classify.find import find
from handover.errors import NotReady
from handover.model.approval import What
from handover.stages.account_records import unfit
from handover.stages.approval_standing import (
    APPROVED,
    ASKED,
    REFUSED,
    REJECTED,
    REQUESTED,
    Standing,
    rule_of,
    standing,
)
from handover.stages.context import Context
from handover.stages.mandate_standing import SCHEDULE, Issued
from handover.stages.mandate_uses import USED

ROUND, NOT_REQUIRED = "approval-round", "approval-not-required"
AGAIN = "clear the task `rounds` before it, with downstream: that asks anew"
LONGEST_REASON = 1000
# Clocks of Airflow's server and of a worker differ by less than this.
CLOCKS_DIFFER = timedelta(minutes=5)
# Kinds that no reason needs to hold; names of officers and of firms it may well need.
PRIVATE = frozenset(
    {"resident_id", "residence_permit", "passport", "travel_permit", "mobile", "phone", "email", "bank_card"}
)


class Outcome(StrEnum):
    """What became of an answer; ``REJECTED`` is one that does not count, so that it must be asked again."""

    APPROVED = APPROVED
    REFUSED = REFUSED
    REJECTED = REJECTED


@dataclass(frozen=True)
class Answer:
    """What a person answered. ``code`` is the one that stood on the button, empty for a refusal."""

    name: str
    account_id: str
    auth_manager: str
    yes: bool
    code: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class Recorded:
    """An answer in the ledger: its entry's number, what became of it, and why it did not count."""

    outcome: Outcome
    seq: int
    problem: str


def record_requester(context: Context, name: str | None) -> None:
    """Write down, once for a run, who asked for it; raises LedgerRefused when it was somebody else.

    A run that needs no approval may have been started by no person, for instance by another DAG; a sweep by
    its schedule, and then everybody whom the source names may approve it.
    """
    if not name and context.case.approvals is None:
        return
    if context.case.kind == "retention":
        name = name or SCHEDULE
    if not name:
        raise NotReady(
            "Airflow names nobody who started this run, so nobody can be kept from approving it himself",
            hint="start the run in the UI or through the REST API, with an account of your own",
        )
    context.record(REQUESTED, {"by": name}, key="requester")


def open_round(context: Context, what: What) -> list[int]:
    """Begin to ask anew; returns the numbers of all rounds, of which only the last one still asks.

    Airflow writes a task's question once: clearing the task shows the old text, buttons and accounts again.
    Each round is therefore put by tasks of its own.
    """
    context.require_open()
    context.record(ROUND, {"what": what})
    return list(range(1, _rounds(context, what) + 1))


def ask(context: Context, what: What, round_number: int, task: str) -> Standing | None:
    """Record that a task asks people; returns None when it needs to ask nobody in this round any more.

    So it is too when it was answered and died before Airflow knew: the next task asks the others.

    Raises NotReady when too few are left beside the requester, and when the task still shows a question of
    before that would now be another one.
    """
    unasked = context.case.approvals is None or (what == "dispose" and not context.plan().disposes)
    if unasked or round_number < _rounds(context, what):
        return None
    if round_number > _rounds(context, what):
        raise NotReady(f"{what}: no round {round_number} was opened", hint=AGAIN)
    said = [entry for entry in context.entries(ROUND, REFUSED) if entry.body["what"] == what]
    if said[-1].kind == REFUSED:  # asking in vain until somebody gives in is no approval
        raise NotReady(f"{what}: refused by {said[-1].body['by']} in this round", hint=AGAIN)
    now = standing(context, what)
    if not now.is_open:
        return None
    missing = now.needed - len(now.given)
    if len(now.eligible) < missing:
        raise NotReady(
            f"{what}: {missing} more must say yes, but only {len(now.eligible)} of those in the case may: "
            f"the requester {now.requester} may not, and nobody may twice",
            hint=f"name others under approvals.{what}.approvers and start a new run",
        )
    place: dict[str, object] = {"what": what, "round": round_number, "task": task}
    body = {**place, "digest": now.digest, "of": [account.name for account in now.eligible]}
    for shown in (e.body for e in context.entries(ASKED) if place.items() <= e.body.items()):
        if shown["digest"] == now.digest and _answered_since(shown["of"], now):
            return None
        if shown["digest"] != now.digest or shown["of"] != body["of"]:
            raise NotReady(f"{what}: the question that this task shows is out of date", hint=AGAIN)
    if now.cover.reasons:
        body["no_mandate"] = list(now.cover.reasons)
    context.record(ASKED, {**body, "subject": now.subject})
    return now


def _answered_since(asked: Sequence[str], now: Standing) -> bool:
    """Say whether of those whom a task asked, just who has said yes since is not to be asked any more."""
    left = {account.name for account in now.eligible}
    return left < set(asked) and set(asked) - left <= {str(entry.body["by"]) for entry in now.given}


def _rounds(context: Context, what: What) -> int:
    return sum(entry.body["what"] == what for entry in context.entries(ROUND))


def record_answer(context: Context, what: What, answer: Answer) -> Recorded:
    """Check an answer against the ledger and sign what became of it; never raises for a bad answer."""
    now = standing(context, what)
    problem = _problem(context, now, answer)
    if problem:
        outcome, more = Outcome.REJECTED, {"problem": problem}
    else:
        outcome = Outcome.APPROVED if answer.yes else Outcome.REFUSED
        expires = answer.at + timedelta(hours=rule_of(context, what).expires_hours)
        more = {"reason": answer.reason.strip(), "expires_at": _iso(expires)}
    body: dict[str, object] = {
        "what": what,
        "digest": now.digest,
        "by": answer.name,
        "account_id": answer.account_id,
        "auth_manager": answer.auth_manager,
        "answered_at": _iso(answer.at),
        "requester": now.requester,
        **more,
    }
    return Recorded(outcome, context.record(outcome.value, body).seq, problem)


def require_approval(context: Context, what: What) -> None:
    """Raise NotReady unless enough others said yes to exactly what is in force now; asks the ledger alone.

    For a sweep a standing mandate that covers its plan stands in for them, and its use is written down.
    """
    context.require_open()
    if context.case.approvals is None:
        said = {"what": what, "said": "nobody approved: not required by the case file"}
        context.record(NOT_REQUIRED, said, key=what)
        return
    now = standing(context, what)
    if now.is_open:
        who = ", ".join(account.name for account in now.eligible) or "nobody whom the case names"
        raise NotReady(
            f"{what} is not approved: {len(now.given)} of {now.needed} said yes to {now.code}, which is in "
            "force now, and still hold to it" + "".join(f"; {reason}" for reason in now.cover.reasons),
            hint=f"{AGAIN}; who may answer under Required Actions: {who}",
        )
    if now.cover.issued:
        _use_mandate(context, now, now.cover.issued)


def _use_mandate(context: Context, now: Standing, used: Issued) -> None:
    """Write down, once for a plan, under which mandate it is carried out and whose signatures that are."""
    body = {
        "what": now.what,
        "mandate": used.mandate.id,
        "mandate_digest": used.mandate.sha256_of_json(),
        "signed_by": [list(one) for one in now.cover.signed_by],
        "digest": now.digest,
        "plan_digest": now.subject["plan_digest"],
        "rows": dict(now.cover.rows),
    }
    moments = "/".join(at for _, at in now.cover.signed_by)
    context.record(USED, body, key=f"{now.what}/{used.mandate.id}/{now.digest}/{moments}")


def accept_faults(context: Context) -> list[str]:
    """Return why the receiving side has not accepted what was delivered; empty also where nobody is asked."""
    try:
        require_approval(context, "accept")
    except NotReady as missing:
        return [f"not accepted by the receiving side: {' '.join(missing.message.split())}"]
    return []


def _problem(context: Context, now: Standing, answer: Answer) -> str:
    """Return why an answer does not count, empty when it does; what was written in it is not repeated."""
    rule = rule_of(context, now.what)
    account = rule.find(answer.name, answer.account_id)
    age = datetime.now(UTC) - answer.at
    problems = {
        "the requester cannot approve": answer.name.casefold() == now.requester.casefold(),
        f"this account is not under approvals.{now.what}.approvers with this id": account is None,
        "this account said yes already": account is not None and account not in now.eligible,
        "it was given to something else than what is in force now": answer.yes and answer.code != now.code,
        "it is older than the case allows": age >= timedelta(hours=rule.expires_hours),
        "it comes from the future": age < -CLOCKS_DIFFER,
        (lacking := unfit(context, answer.name)): bool(lacking),
        "no reason was given": not answer.reason.strip(),
        f"the reason is longer than {LONGEST_REASON} characters": len(answer.reason) > LONGEST_REASON,
        "the reason holds signs that are no text": not _is_text(answer.reason),
        "the reason names personal data": any(
            mention.kind in PRIVATE for mention in find(answer.reason[:LONGEST_REASON])
        ),
    }
    return next((problem for problem, applies in problems.items() if applies), "")


def _is_text(reason: str) -> bool:
    return all(sign.isprintable() or sign in "\n\r\t" for sign in reason)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
