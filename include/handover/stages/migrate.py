"""Migrate: fill the target from the proven backup. Nothing is read from the source any more."""

from __future__ import annotations

from contextlib import closing

from handover.crashpoints import CrashPoint, passing
from handover.errors import VerificationFailed
from handover.postgres import preflight
from handover.postgres.session import connect, database_errors
from handover.stages.approvals import require_approval
from handover.stages.context import Context
from handover.stages.expectations import source_faults
from handover.stages.gates import require_gates
from handover.stages.hearings import require_passed
from handover.stages.inventory import preflight_failed
from handover.stages.loading import Destination, finish, load_groups, prepare
from handover.stages.proven import proven_index
from handover.stages.repair import repair
from handover.stages.tally import source_reconciliation_faults

STEP = "migrate"


def target_of(context: Context) -> Destination:
    """Return the case's target as a destination."""
    return Destination(context.target, STEP, masked=True)


def prepare_target(context: Context) -> None:
    """Create schemas, types and tables in the target, which must still be empty.

    Raises VerificationFailed when the source's own rows are not what the case expects of them.
    """
    with context.step("prepare"):
        require_approval(context, "execute")
        require_gates(context)
        index = proven_index(context)
        _refuse_faulty_source(context)
        with database_errors("looking at the target"), closing(connect(context.target)) as target:
            schemas = list(context.case.source.schemas)
            findings = list(
                preflight.check_target(
                    target,
                    schemas,
                    index.state.extensions,
                    context.case.source.large_objects,
                    context.holder,
                )
            )
        blocking = [f for f in findings if not f.acknowledgeable]
        if blocking:
            raise preflight_failed(blocking)
        prepare(context, index, target_of(context))


def _refuse_faulty_source(context: Context) -> None:
    faults = [*source_faults(context), *source_reconciliation_faults(context)]
    if faults:
        raise VerificationFailed(
            "the source's own rows are not what is expected of them:\n  " + "\n  ".join(faults),
            hint="correct them in the source, or list what is accepted under acknowledge in the case file "
            "(expectation:ID, reconciliation:NAME); then start a new run",
            differences=faults,
        )


def migrate_lane(context: Context, number: int) -> int:
    """Load the groups of one lane; returns their rows. Safe to repeat."""
    with context.step(STEP, str(number)) as progress:
        require_approval(context, "execute")
        require_passed(context)
        index = proven_index(context)
        groups = index.plan.lanes[number].groups
        progress.expect(*index.rows(groups))
        load_groups(context, index, target_of(context), groups, progress)
        return index.rows(groups)[0]


def finish_target(context: Context) -> None:
    """Mend what verification found different, build indexes and keys, set sequences, fill views."""
    with context.step("finish"):
        require_approval(context, "execute")
        require_passed(context)
        index = proven_index(context)
        repair(context, index, target_of(context))
        finish(context, index, target_of(context))
        passing(CrashPoint.TARGET_UNRECORDED)
        context.record("migrated", {"generation": index.state.generation}, key=f"g{index.state.generation}")
