"""Revealing who is behind pseudonyms: one asks and says why, another approves, the first may look once.

The ledger alone says what was asked, approved and used, and that before anything is shown. It holds keyed
digests of the pseudonyms, for pseudonyms are personal data, and nothing of what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from handover.errors import KeyUnavailable, LedgerRefused, NotReady
from handover.evidence.digest import token
from handover.model.approval import Account
from handover.stages.context import Context
from handover.stages.pseudonyms import domain_keys, key_name
from handover.stages.two_persons import Request, TwoPersons
from handover.stages.unmasking import Behind, behind, can_be_found, domains_of

REQUESTED, APPROVED, USED = "reveal-requested", "reveal-approved", "reveal-used"
REFUSED = "reveal-refused"
# More than a person can look at is no look at single people any more.
MOST_AT_ONCE = 1000


def request(
    context: Context, who: Account, domain: str, pseudonyms: Iterable[str], ticket: str, purpose: str
) -> str:
    """Ask to know who is behind pseudonyms of a domain; returns the id of the request."""
    context.require_open()
    wanted = distinct(pseudonyms)
    _require_possible(context, domain)
    body = {"domain": domain, "digests": _digests(context, domain, wanted), "count": len(wanted)}
    return _pair(context).ask(who, ticket, purpose, body)


def approve(context: Context, who: Account, name: str) -> Request:
    """Let the one who asked look, once and within a day; only another person may."""
    one, context = _find(context, name)
    context.require_open()
    _require_possible(context, one.wanted["domain"])
    return _pair(context).approve(who, name)


def reveal(context: Context, who: Account, name: str, pseudonyms: Iterable[str]) -> dict[str, Behind]:
    """Return who is behind the pseudonyms of an approved request, after its one use was written down."""
    one, context = _find(context, name)
    context.require_open()
    pair, domain, wanted = _pair(context), one.wanted["domain"], distinct(pseudonyms)
    pair.require_usable(who, name)
    if _digests(context, domain, wanted) != list(one.wanted["digests"]):
        pair.refuse(who, one, "these are other pseudonyms than those asked for", "give the same, or ask")
    _require_possible(context, domain)
    found = behind(context, domain, wanted)
    told = {
        "found": sum(bool(each.values) for each in found.values()),
        "values": sum(len(each.values) for each in found.values()),
    }
    pair.use(who, name, told)  # asks again: a large backup takes its time
    return found


def reveals(context: Context) -> list[Request]:
    """Return all requests of the case, oldest first; raises LedgerRefused when the ledger does not verify."""
    return _pair(context).all()


def newest_run(context: Context) -> str:
    """Return the case's newest run that has a backup and was not taken back."""
    entries = context.ledger.entries(context.case.case, kinds=("backup-sealed", "run-aborted"))
    taken_back = {entry.run for entry in entries if entry.kind == "run-aborted"}
    found = [e.run for e in entries if e.kind == "backup-sealed" and e.run not in taken_back]
    if not found:
        raise NotReady(
            f"no run of case {context.case.case} has made pseudonyms yet", hint="nothing can be revealed"
        )
    return found[-1]


def distinct(pseudonyms: Iterable[str]) -> list[str]:
    """Return pseudonyms without blanks around them, each once, in their order."""
    found = list(dict.fromkeys(filter(None, (one.strip() for one in pseudonyms))))
    if not 1 <= len(found) <= MOST_AT_ONCE:
        raise LedgerRefused(
            f"{len(found)} pseudonyms were given, 1 to {MOST_AT_ONCE} can be asked for at once",
            hint="write one on each line of standard input",
        )
    return found


def _pair(context: Context) -> TwoPersons:
    return TwoPersons(context, "reveal", "rv", f"handover reveal {context.case.case} list", by_anybody=True)


def _find(context: Context, name: str) -> tuple[Request, Context]:
    """Return a request, and the context of the run that it is about."""
    one = _pair(context).find(name)
    return one, replace(context, run=one.run)


def _require_possible(context: Context, domain: str) -> None:
    """Raise unless the domain is one of the plan, its key is there, and there is anything to look into."""
    known = domains_of(context.plan())
    if domain not in known:
        raise LedgerRefused(
            f"run {context.run} makes no pseudonyms in such a domain",
            hint=f"one of {', '.join(known) or 'none'}",
        )
    for key in domain_keys(context):
        if key.case == key_name(context.case.case, domain):
            context.keyring.key(key.key_id)  # says when it was destroyed
    if not can_be_found(context, domain):
        raise KeyUnavailable(
            f"what is behind pseudonyms of domain {domain} cannot be found any more: they cannot be turned "
            "back, and the key of the backup was destroyed",
            hint="this is final",
        )


def _digests(context: Context, domain: str, pseudonyms: Sequence[str]) -> list[str]:
    key = context.evidence_key
    return sorted(token(key, b"pseudonym", domain.encode(), one.encode()) for one in pseudonyms)
