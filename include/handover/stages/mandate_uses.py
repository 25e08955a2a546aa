"""What went under a standing mandate: by the plans of the runs that used it, written down before rows go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from handover.evidence.ledger import Entry
from handover.model.plan import Plan
from handover.stages.facts import LEGAL_TIME

USED = "mandate-used"


def legal_day_of(entry: Entry) -> date:
    """Return the day, where the law counts, on which an entry was written."""
    return datetime.fromisoformat(entry.at).astimezone(LEGAL_TIME).date()


def plans_under(entries: Sequence[Entry], mandate: str, on: date, but: tuple[str, str]) -> Iterator[Plan]:
    """Yield the plans by which rows went under a mandate on a day, but that of a run and digest."""
    used = {
        (one.run, str(one.body["plan_digest"]))
        for one in entries
        if one.kind == USED and (one.body["what"], one.body["mandate"]) == ("dispose", mandate)
        if legal_day_of(one) == on
    }
    made = {(one.run, str(one.body["digest"])): one for one in entries if one.kind == "plan"}
    yield from (Plan.model_validate(made[name].body["plan"]) for name in sorted(used - {but}))
