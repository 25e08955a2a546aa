"""Disposal: the lock before anything is erased or pseudonymised at the source, and what opens it.

Nothing goes before the backup was proven by a restore, the target was read back and matched, the source read
again, the receiving side accepted, others than the requester approved exactly this, and the law was asked on
the day. What nobody has judged stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing

from handover.crashpoints import CrashPoint, passing
from handover.errors import GateBlocked, NotReady
from handover.law.gates import hindrances
from handover.model.backup import BackupIndex
from handover.model.disposition import GOING
from handover.model.plan import ClassRows, Plan
from handover.postgres.outcomes import create_outcomes
from handover.postgres.session import connect
from handover.stages.approvals import require_approval
from handover.stages.archive_proof import require_archive_verified
from handover.stages.context import Context
from handover.stages.destruction_listing import require_list_cleared
from handover.stages.freezing import not_frozen
from handover.stages.gates import Hearing, hear, require_gates
from handover.stages.handover_signing import list_faults
from handover.stages.hearings import sealed_generation, subject
from handover.stages.held_rows import HeldRows, held_rows
from handover.stages.proven import proven_index
from handover.stages.quarantine import require_quarantine_over

OPENED, HEARD = "disposal-opened", "disposal-heard"
FREE = ("may_erase", "must_erase")


def open_disposal(context: Context) -> None:
    """Open the lock for this run and make the source ready for receipts, where anything goes from there.

    Safe to repeat.
    """
    if context.entries("plan") and not context.disposes:
        return
    with context.step("dispose"):
        require_disposal(context)
        # First the entry: from it on nobody aborts the run, whose backup may be all that is left of a row.
        context.record(OPENED, {"plan_digest": context.plan().sha256_of_json()}, key=OPENED)
        passing(CrashPoint.DISPOSAL_OPENED)
        with closing(connect(context.source)) as source:
            create_outcomes(source, context.holder)


def is_open(context: Context) -> bool:
    """Say whether rows of the source may be gone by this run."""
    return bool(context.entries(OPENED))


def require_open(context: Context) -> BackupIndex:
    """Return the index of the proven backup; raises NotReady or GateBlocked unless rows may go now."""
    if not is_open(context):
        raise NotReady("the source is not open for disposal", hint="run or clear the task dispose")
    return require_disposal(context)


def require_disposal(context: Context) -> BackupIndex:
    """Return the index of the proven backup if rows of exactly this plan may go from the source now.

    Raises NotReady for what is not done or not approved, GateBlocked for what the law keeps.
    """
    if context.case.approvals is None:
        raise NotReady(
            f"case {context.case.case} asks nobody, and nothing goes from the source without approval",
            hint="add approvals with dispose to the case file and start a new run",
        )
    require_approval(context, "execute")
    index = proven_index(context)
    if context.target:  # read back, beside a source that stood still
        require_approval(context, "accept")
    elif not context.case.is_daily:
        require_archive_verified(context)
        if not is_open(context):
            require_quarantine_over(context)
    if not context.target and not is_open(context):  # afterwards the list says what was carried out
        require_list_cleared(context)
    if faults := [*list_faults(context), *not_frozen(context)]:
        raise NotReady(
            "the source cannot be disposed of yet:\n  " + "\n  ".join(faults),
            hint="do what each line says, then clear the task dispose",
        )
    require_approval(context, "dispose")
    require_law(context)
    return index


def require_law(context: Context) -> None:
    """Ask gates, retention and holds on this day; raises GateBlocked naming what stays.

    Persons and consents are counted again while all of them are there.
    """
    if not context.case.policy:
        raise GateBlocked(
            f"case {context.case.case} names no policy, so nobody has judged whether its rows may go",
            hint="name the packs under policy and the rules of each class under matter.retention",
            gates=[],
        )
    plan = context.plan()
    hearing = hear(context, plan)
    hindered = [one.gate for one in hindrances(hearing.verdicts, "execution")]
    kept = kept_by_law(_classes(plan), _outcomes(hearing))
    held = held_rows(context)
    _record(context, plan, hearing, hindered, kept, held)
    require_nothing_held(context, held)
    if lines := [f"gate {gate}" for gate in hindered] + kept:
        raise GateBlocked(
            "the law keeps rows at the source:\n  " + "\n  ".join(lines),
            hint=f"`handover case gates {context.case.case}` shows what is missing; give a class that has to "
            "stay source: restrict, and start a new run",
            gates=hindered,
        )
    if not is_open(context):  # afterwards pseudonyms would be counted
        require_gates(context)


def require_nothing_held(context: Context, held: Sequence[HeldRows]) -> None:
    """Raise GateBlocked naming hold, table and rows when any row that is to go is held."""
    if held:
        raise GateBlocked(
            "legal holds keep rows that are to go:\n  " + "\n  ".join(one.line for one in held),
            hint="`handover hold list` shows them; start a new run that leaves these rows, or have the holds "
            "released by two persons",
            gates=[],
            holds=sorted({one.hold for one in held}),
        )


def kept_by_law(classes: Iterable[ClassRows], outcomes: Mapping[str, str | None]) -> list[str]:
    """Return a line for each class that is to go and may not; what nobody has judged may not."""
    going = dict.fromkeys((one.name, one.source) for one in classes if one.source in GOING)
    return [
        f"row class {name} is to be {what}d, its retention decision is {outcomes.get(name) or 'not known'}"
        for name, what in going
        if outcomes.get(name) not in FREE
    ]


def _outcomes(hearing: Hearing) -> dict[str, str | None]:
    return {one.name: one.outcome for one in hearing.facts.data.row_classes or ()}


def _record(
    context: Context,
    plan: Plan,
    hearing: Hearing,
    hindered: list[str],
    kept: list[str],
    held: Sequence[HeldRows],
) -> None:
    outcomes = _outcomes(hearing)
    names = sorted({one.name for one in _classes(plan) if one.source in GOING})
    context.record(
        HEARD,
        {
            **subject(plan, sealed_generation(context)),
            "date": hearing.facts.on.isoformat(),
            "matter_sha256": hearing.facts.matter.sha256_of_json(),
            "outcomes": [[name, outcomes.get(name) or "not known"] for name in names],
            "hindered": hindered,
            "kept": kept,
            "held": [[one.hold, one.table, one.rows] for one in held],
        },
    )


def _classes(plan: Plan) -> list[ClassRows]:
    return [one for table in (plan.scope.tables if plan.scope else ()) for one in table.classes]
