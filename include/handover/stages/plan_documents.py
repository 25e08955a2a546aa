"""The documents about a run's plan, made of its ledger: the plan, the case brief, the sampling sheet."""

from __future__ import annotations

import json
from pathlib import Path

from handover.evidence.case_brief import case_brief
from handover.evidence.plan_text import Planned, plan_document, plan_markdown
from handover.law.gates import Step, Verdict
from handover.stages.context import Context
from handover.stages.hearings import JUDGED
from handover.stages.next_steps import stands
from handover.stages.sampling import SHEET
from handover.vault.files import make_private_folders, refusal, replace_private

_STEPS: tuple[Step, ...] = ("execution", "closing")


def planned(context: Context) -> Planned:
    """Return what the documents are made of; raises NotReady when nothing was planned."""
    plan = context.plan()
    judged = context.entries(JUDGED)
    return Planned(
        case=context.case,
        run=context.run,
        plan=plan,
        gates=[shown_gate(verdict) for verdict in judged[-1].body["verdicts"]] if judged else None,
    )


def shown_gate(document: dict[str, object]) -> dict[str, object]:
    """Return a verdict of the ledger with the steps that it hinders."""
    verdict = Verdict.model_validate(document)
    return {**verdict.document(), "hinders": [step for step in _STEPS if verdict.hinders(step)]}


def documents(context: Context) -> dict[str, bytes]:
    """Return the documents by the names of their files in the evidence folder; none before the plan."""
    if not context.entries("plan"):
        return {}
    made = planned(context)
    found = {
        "plan.md": plan_markdown(made).encode(),
        "plan.json": _pretty(plan_document(made)),
        "case-brief.md": brief(context).encode(),
    }
    if sheets := context.entries(SHEET):
        found["sampling-sheet.json"] = _pretty(sheets[-1].body)
    return found


def brief(context: Context) -> str:
    """Return the case brief of a run, planned or not."""
    made = planned(context) if context.entries("plan") else None
    return case_brief(context.case, context.run, made, stands(context, made))


def write_documents(context: Context) -> Path:
    """Write the documents of a run that has no evidence yet; returns the path of the plan."""
    folder = context.settings.home / "plans" / context.case.case / context.run
    try:
        make_private_folders(folder)
        for name, data in documents(context).items():
            replace_private(folder / name, data)
    except OSError as problem:
        raise refusal(problem, folder, "written") from problem
    return folder / "plan.md"


def _pretty(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n"
