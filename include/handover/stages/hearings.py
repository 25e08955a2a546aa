"""Hearings of the gates in the ledger: whether the latest one lets the run execute what is planned now.

A hearing speaks of one plan, and once a backup is sealed of the persons in that backup: what was said of
another plan, or before rows were read, opens nothing later.
"""

from __future__ import annotations

from handover.errors import NotReady
from handover.model.plan import Plan
from handover.stages.context import Context

JUDGED, NOT_JUDGED = "gates", "gates-not-judged"


def sealed_generation(context: Context) -> int:
    """Return the generation of the sealed backup, 0 while there is none."""
    sealed = context.entries("backup-sealed")
    return int(sealed[-1].body["generation"]) if sealed else 0


def require_passed(context: Context) -> None:
    """Raise NotReady unless the ledger says that the latest hearing of gates lets the run execute."""
    if context.case.policy and not has_passed(context):
        raise NotReady(
            "the gates have not been passed",
            hint="run or clear the task gates, after the backup the task prepare",
        )


def has_passed(context: Context) -> bool:
    """Say whether the latest hearing for execution was about what is in force now, and nothing hindered."""
    heard = [entry.body for entry in context.entries(JUDGED) if entry.body["step"] == "execution"]
    if not heard or heard[-1]["hindered"]:
        return False
    return subject(context.plan(), sealed_generation(context)).items() <= heard[-1].items()


def subject(plan: Plan, generation: int) -> dict[str, object]:
    """Return what a hearing is about, as it stands in the ledger."""
    return {"plan_digest": plan.sha256_of_json(), "generation": generation}
