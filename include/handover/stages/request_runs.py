"""The run that erases what a person asked to have erased, in one source: that of a case made for it.

What is asked between its tasks is answered from the ledger, so that each can be repeated.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from handover.errors import CaseInvalid, VerificationFailed
from handover.law.packs import load_packs, select
from handover.model.registered import load_source
from handover.model.request import PersonRequest
from handover.settings import Settings
from handover.stages.context import Context, Resolver, open_case
from handover.stages.daily_cases import erasure_case
from handover.stages.facts import LEGAL_TIME, legal_day
from handover.stages.request_answer import answer
from handover.stages.request_decided import sources_waiting
from handover.stages.request_subjects import OVERDUE
from handover.stages.requests import Desk, all_requests, find_request, overdue_requests, require_complete


def open_erasure(
    settings: Settings, source: str, request: str, run_id: str, resolve: Resolver, on: date
) -> Context:
    """Open the erasure of a request in a source, judged by the law of a day.

    Raises CaseInvalid unless it is a request for erasure by somebody whom the source knows.
    """
    desk = Desk(settings, resolve)
    one = find_request(desk, request)
    require_complete(one)
    _require_erasure(one, source)
    registered = load_source(settings.sources, source)
    packs = select(load_packs(settings.policies), registered.policy, on)
    return open_case(settings, erasure_case(registered, packs, on, request), run_id, resolve)


def source_of(desk: Desk, request: str, named: str) -> str:
    """Return the source in which a request is carried out: the one that was named, or the only one."""
    one = find_request(desk, request)
    known = tuple(one.subjects) or one.sources
    if named and named not in one.sources:
        raise CaseInvalid(
            f"request {request} was not opened in {named}", hint=f"its sources: {', '.join(one.sources)}"
        )
    if not named and one.kind == "erasure" and len(known) > 1:
        raise CaseInvalid(
            f"request {request} is about {len(known)} sources", hint=f"name one of {', '.join(known)}"
        )
    return named or known[0]


def erases(desk: Desk, request: str, source: str) -> bool:
    """Say whether a request has something erased in a source, as far as the law lets it go."""
    one = find_request(desk, request)
    return one.kind == "erasure" and source in one.subjects


def answer_when_due(desk: Desk, request: str, source: str) -> str:
    """Write the answer and return its file, unless another source has still to erase: its own run writes it.

    Returns what is awaited then; raises NotReady, naming the run, when that is one of this source.
    """
    one = find_request(desk, request)
    require_complete(one)
    waiting = sources_waiting(desk, one)
    if waiting and source not in waiting:
        return "not answered yet: " + "; ".join(f"{name}: {lacking}" for name, lacking in waiting.items())
    return answer(desk, request).file


def require_none_overdue(desk: Desk) -> int:
    """Return how many requests wait for their answer; raises VerificationFailed when one waits too long."""
    if late := overdue_requests(desk, legal_day()):
        raise _overdue(late)
    return 0


def over_at(settings: Settings, request: str) -> datetime | None:
    """Return the moment at which the last day for the answer is over; None for what is no request."""
    desk = Desk(settings, lambda name: "")  # only ledgers are read, whatever source cannot be reached
    for one in all_requests(desk):
        if one.id == request:
            return datetime.combine(one.due + timedelta(days=1), time(), LEGAL_TIME)
    return None


def note_overdue(desk: Desk, request: str) -> None:
    """Write down, once in each source, that a run still works on a request that is overdue.

    Raises VerificationFailed then, and does nothing about a request that was answered.
    """
    one = find_request(desk, request)
    if not one.is_overdue(legal_day()):
        return
    for name in _opened_in(one):
        context = desk.at(name, request)
        context.record(OVERDUE, {"request": request, "due": one.due.isoformat()}, key=request)
    raise _overdue([one])


def _overdue(late: list[PersonRequest]) -> VerificationFailed:
    named = (f"{one.id} ({one.kind}), due {one.due}, in {', '.join(_opened_in(one))}" for one in late)
    return VerificationFailed(
        "requests of persons are overdue:\n  " + "\n  ".join(named),
        hint="answer them: trigger the DAG subject_request, or `handover request answer ID`",
        requests=[one.id for one in late],
    )


def _opened_in(one: PersonRequest) -> list[str]:
    return [name for name in one.sources if name not in one.missing]


def _require_erasure(one: PersonRequest, source: str) -> None:
    if one.kind != "erasure" or source not in one.subjects:
        raise CaseInvalid(
            f"request {one.id} has nothing erased in {source}",
            hint="only a request for erasure does, and only where the person is known",
        )
