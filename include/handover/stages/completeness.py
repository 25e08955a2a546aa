"""Completeness: every reason why a run is not complete, by looking for what must be in the ledger."""

from __future__ import annotations

from handover.evidence.ledger import Entry
from handover.model.plan import Group, Plan
from handover.stages.absence import absence_faults
from handover.stages.approvals import accept_faults
from handover.stages.archive_proof import archive_faults
from handover.stages.certifying import certificate_faults
from handover.stages.context import Context
from handover.stages.destruction_listing import destruction_list_faults
from handover.stages.entity_certificates import entity_certificate_faults
from handover.stages.erase_here import erase_faults
from handover.stages.expectations import target_faults
from handover.stages.gates import gate_faults
from handover.stages.handover_signing import list_faults
from handover.stages.joins import join_faults
from handover.stages.late_changes import late_faults
from handover.stages.mask_here import mask_here_faults
from handover.stages.quarantine import restriction_faults
from handover.stages.reidentified import reidentification_faults
from handover.stages.requests import request_faults
from handover.stages.tally import reconciliation_faults
from handover.stages.units import OBJECTS, unit_of

# What every run does, and what one that hands something over does beside, each with its ledger kind.
_STEPS = {
    "inventory": "inventory",
    "plan": "plan",
    "backup-sealed": "backup",
    "restore-tested": "restore_test",
}
_HANDING_OVER = {"migrated": "migrate"}


def missing_steps(context: Context) -> list[str]:
    """Return every reason why the run is not complete; none when it is."""
    entries = context.entries()
    kinds = {entry.kind for entry in entries}
    steps = _STEPS | (_HANDING_OVER if context.target else {})
    reasons = [f"step {step} is not done" for kind, step in steps.items() if kind not in kinds]
    if not context.target:
        reasons += archive_faults(context)
    elif "plan" in kinds:
        reasons += _unverified(entries, context.plan())
    if "migrated" in kinds:
        reasons += _handed_over(context)
    if "backup-sealed" in kinds:
        # A living company's tables are written to all the time: each row is compared when it goes.
        reasons += [*([] if context.case.is_daily else late_faults(context)), *_disposed(context)]
    reasons += [*request_faults(context), *gate_faults(context)]
    return reasons + _failures(entries) if reasons else []


def _handed_over(context: Context) -> list[str]:
    """Return what is wrong with rows that arrived."""
    return [
        *reconciliation_faults(context),
        *target_faults(context),
        *absence_faults(context),
        *join_faults(context),
        *reidentification_faults(context),
        *accept_faults(context),
        *list_faults(context),
    ]


def _disposed(context: Context) -> list[str]:
    """Return what is wrong with rows that were to go from the source."""
    return [
        *destruction_list_faults(context),
        *restriction_faults(context),
        *mask_here_faults(context),
        *erase_faults(context),
        *certificate_faults(context),
        *entity_certificate_faults(context),
    ]


def _unverified(entries: list[Entry], plan: Plan) -> list[str]:
    """Return a reason for each unit whose latest verification is absent or found differences."""
    latest = {str(e.body["unit"]): list(e.body["differences"]) for e in entries if e.kind == "verified"}
    units = {unit_of(group): _described(plan, group) for group in plan.groups()} | {OBJECTS: "schema objects"}
    absent = [label for unit, label in units.items() if unit not in latest]
    differing = [line for unit in units for line in latest.get(unit, [])]
    return [f"not verified: {label}" for label in absent] + differing


def _described(plan: Plan, group: Group) -> str:
    table = plan.table(group.table)
    return table.label if table.groups == 1 else f"{table.label} {group.number + 1}/{table.groups}"


def _failures(entries: list[Entry]) -> list[str]:
    """Return what the failed steps said, each once and in one line, without the remedies."""
    said = [
        (e.body["stage"], str(e.body["message"]).split("\nHINT:")[0]) for e in entries if e.kind == "failure"
    ]
    return list(dict.fromkeys(f"{stage}: {' '.join(message.split())}" for stage, message in said))
