"""Plan page: the plan of a run as its ledger has it, for people; also of a run that was only planned.

It needs neither the case's connections nor its keys, and shows the case as it was when the run was opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from handover.errors import EvidenceInvalid
from handover.evidence.ledger import Entry, Ledger
from handover.evidence.plan_text import Planned, plan_markdown
from handover.evidence.report_plan import plan_html, plan_policy
from handover.model.case import Case
from handover.model.plan import Plan
from handover.settings import Settings
from handover.stages.context import run_name
from handover.stages.hearings import JUDGED
from handover.stages.plan_documents import shown_gate

_OPENED, _PLAN = "run-opened", "plan"


@dataclass(frozen=True)
class PlanPage:
    """The page; ``policy`` is the Content-Security-Policy under which it works."""

    html: bytes
    policy: str


def read_plan(settings: Settings, case: str, run: str) -> PlanPage | None:
    """Return the plan of a run by its name in the ledger, None when the ledger has none.

    Raises EvidenceInvalid when another version wrote it and it cannot be shown any more.
    """
    if any(run_name(name) != name for name in (case, run)):
        return None
    ledger = Ledger(settings.require("HANDOVER_LEDGER_URL"), None)
    latest = _latest(ledger.entries(case, run=run, kinds=[_OPENED, _PLAN, JUDGED]))
    if _OPENED not in latest or _PLAN not in latest:
        return None
    try:
        made = _planned(latest, run)
    except (KeyError, ValidationError) as problem:
        raise EvidenceInvalid(
            f"the plan of run {run} was written by another version and cannot be shown here",
            hint="read plan.md, which that version wrote",
        ) from problem
    return PlanPage(plan_html(plan_markdown(made), case, run).encode(), plan_policy())


def _latest(entries: Iterable[Entry]) -> dict[str, Any]:
    return {entry.kind: entry.body for entry in entries}


def _planned(latest: dict[str, Any], run: str) -> Planned:
    judged = latest.get(JUDGED)
    return Planned(
        case=Case.model_validate(latest[_OPENED]["case"]),
        run=run,
        plan=Plan.model_validate(latest[_PLAN]["plan"]),
        gates=[shown_gate(one) for one in judged["verdicts"]] if judged else None,
    )
