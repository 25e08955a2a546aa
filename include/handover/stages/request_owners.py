"""What a request leaves to the office that owns a source, until that office's result is registered.

Handover corrects no row, and erases none that no data map leads to the person. The ledger has the request, or
its answer with the rows that were counted, and so is the list of what waits for whom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from handover.errors import CaseInvalid, LedgerRefused, NotReady
from handover.evidence.answer import NamedRows
from handover.model.approval import Account
from handover.model.request import PersonRequest
from handover.stages.request_subjects import ANSWERED, SETTLED
from handover.stages.requests import Desk, all_requests, find_request
from handover.stages.two_persons import words


@dataclass(frozen=True)
class Passed:
    """What waits for an office, or waited; ``rows``: what names the person, of an erasure or restriction.

    ``refused``: why the office did not do it.
    """

    request: PersonRequest
    source: str
    office: str
    rows: Sequence[NamedRows] = ()
    settled_at: str = ""
    refused: str = ""


def passed_on(desk: Desk) -> list[Passed]:
    """Return what was passed on of all requests, oldest first."""
    return [found for one in all_requests(desk) for found in passed_of(desk, one)]


def passed_of(desk: Desk, one: PersonRequest) -> Iterator[Passed]:
    """Yield what a request passes on: a correction at once, rows that name a person with the answer."""
    for name in (each for each in one.sources if each not in one.missing):
        context = desk.at(name, one.id)
        answers, results = context.entries(ANSWERED), context.entries(SETTLED)
        named = answers[-1].body.get("named", ()) if answers else ()
        if named or (one.kind == "correction" and name in one.subjects):
            rows = [NamedRows(**each) for each in named]
            done = (results[-1].at, results[-1].body["refused"]) if results else ("", "")
            yield Passed(one, name, desk.source(name).office, rows, *done)


def corrected(desk: Desk, one: PersonRequest) -> list[Passed]:
    """Return what the offices made of a correction; raises NotReady while one has not said it."""
    found = list(passed_of(desk, one)) if one.kind == "correction" else []
    if waiting := [f"{each.office} ({each.source})" for each in found if not each.settled_at]:
        raise NotReady(
            f"request {one.id} cannot be answered yet: nobody has said what became of the correction in "
            + ", ".join(waiting),
            hint=f"`handover request settled {one.id}` records it, --refused-because why it was refused",
        )
    return found


def settle(desk: Desk, who: Account, request: str, source: str | None = None, refused: str = "") -> list[str]:
    """Record that the offices did what was passed to them, or why one refused it; returns the sources.

    Each is recorded once. ``source``: there only; raises LedgerRefused where nothing waits.
    """
    one = find_request(desk, request)
    waiting = [
        each.source for each in passed_of(desk, one) if not each.settled_at and source in (None, each.source)
    ]
    if not waiting:
        raise LedgerRefused(
            f"nothing of request {one.id} waits for an office" + (f" in {source}" if source else ""),
            hint="`handover request passed` shows what does",
        )
    if refused and len(waiting) > 1:
        raise CaseInvalid(
            f"request {one.id} waits in {', '.join(waiting)}", hint="name with --source who refuses it"
        )
    body = {
        "request": one.id,
        "refused": words("refusal", refused) if refused else "",
        "by": who.name,
        "account_id": who.id,
    }
    for name in waiting:
        context = desk.at(name, one.id)
        context.record(SETTLED, body, key=one.id)
    return waiting
