"""The re-identification test: how far pseudonymised rows still tell whose they are, as a receiver sees them.

Blocks a run that exceeds what its policy allows, and says which generalisation would reach it. A person may
accept the excess by its id in the case; de-identified rows stay personal data either way.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

from psycopg import sql

from handover.errors import VerificationFailed
from handover.model.masking import Thresholds
from handover.postgres.class_sizes import RECORDS, class_sizes, class_values
from handover.postgres.rules import read_facts
from handover.postgres.session import Connection, connect, database_errors, fetch
from handover.risk.classes import CLASSES, classes_counted
from handover.risk.figures import RiskFigures
from handover.risk.generalising import Proposal, propose
from handover.risk.measuring import measure
from handover.stages.absence import masked_datamap, unaccepted
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.reidentified import NOT_TESTED, STEP, TESTED, described
from handover.stages.tested_records import Receiver, Tested
from handover.stages.thresholds import require_thresholds, thresholds_of

# With more classes than these their values would fill the memory of a task.
MOST_CLASSES = 1_000_000


def measure_target(context: Context) -> None:
    """Test what the receiver sees in the target; raises VerificationFailed naming every excess."""
    if not context.masks:
        return
    with context.step(STEP):
        context.last("migrated", "finish")
        index = read_index(context)
        thresholds = thresholds_of(context)
        if thresholds is None:
            require_thresholds(context)
            context.record(NOT_TESTED, {"generation": index.state.generation}, key=NOT_TESTED)
            return
        datamap = masked_datamap(context, index)
        with closing(connect(context.target, read_only=True)) as connection:
            with database_errors("beginning the re-identification test"):
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                facts = read_facts(connection, context.case.source.schemas)
            receiver = Receiver(datamap, index.plan.tables, facts, context.case.scope)
            figures: list[RiskFigures] = []
            proposals: dict[str, str] = {}
            for tested in receiver.tested():
                context.honour_stop()
                figure, proposal = _measured(connection, tested, thresholds)
                figures.append(figure)
                proposals |= {figure.label: proposal} if proposal else {}
                if not figure.records and _starts(connection, tested):
                    receiver.unjoined.append(figure.label)
        body: dict[str, Any] = {
            "generation": index.state.generation,
            "plan": index.plan.sha256_of_json(),
            "figures": [_written(one.document()) for one in figures],
            "proposals": proposals,
            "unseen": receiver.unseen,
            "unjoined": receiver.unjoined,
        }
        lines = described(body)
        body["passed"] = not lines
        body["acknowledged"] = [one for one in lines if one in context.case.acknowledge]
        context.record(TESTED, body)
        _refuse(unaccepted(lines, context.case.acknowledge))


def _written(value: Any) -> Any:
    """Return figures as the ledger takes them: shares and risks as decimal texts."""
    if isinstance(value, dict):
        return {name: _written(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_written(part) for part in value]
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def _measured(connection: Connection, tested: Tested, limits: Thresholds) -> tuple[RiskFigures, str]:
    """Return the figures of some records, and what would bring their classes to k if they are too small."""
    records = tested.records
    sizes = classes_counted(class_sizes(connection, records), tuple(records.sensitive))
    figures = measure(records.label, tuple(records.quasi), sizes, limits)
    if not len(sizes) or int(sizes[RECORDS].min()) >= limits.smallest_class:
        return figures, ""
    if int(sizes[CLASSES].sum()) > MOST_CLASSES:
        return figures, f"no generalisation was looked for: more than {MOST_CLASSES:,} classes"
    values = class_values(connection, records)
    return figures, _proposed(propose(values, RECORDS, tested.ladders, limits.smallest_class), limits)


def _starts(connection: Connection, tested: Tested) -> bool:
    """Say whether there are rows that should have found those of a person."""
    if tested.start is None:
        return False
    with database_errors(f"reading {tested.records.label}"):
        query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(tested.start)
        return bool(fetch(connection, query)[0][0])


def _proposed(proposal: Proposal, limits: Thresholds) -> str:
    if not proposal.found:
        return f"no generalisation reaches classes of {limits.smallest_class}: there are fewer records"
    steps = ", ".join(f"{column} to {step}" for column, step in proposal.steps.items())
    least = "with the least loss" if proposal.least else "with a small loss, perhaps not the least"
    return f"classes of {limits.smallest_class} are reached {least} ({proposal.loss:.2f}) by {steps}"


def _refuse(lines: list[str]) -> None:
    if lines:
        raise VerificationFailed(
            "pseudonymised rows tell more than the policy allows of whose they are:\n  " + "\n  ".join(lines),
            hint="make these columns coarser in the data map and start a new run with an empty target; who "
            "answers for an excess lists its id under acknowledge in the case",
            differences=lines,
        )
