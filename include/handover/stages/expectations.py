"""Expectations: the source's rows are held against suites before anything is moved, the target's after it.

The source is looked at in the scratch database of the restore test, just proven equal to it at the snapshot.
What fails there is the source's own and may be acknowledged; what fails otherwise in the target than in the
source came with the move, whatever was acknowledged. Of masked columns each side is asked what holds there:
the source the form of raw values, the target that of pseudonyms.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from handover.crashpoints import CrashPoint, passing
from handover.errors import NotReady
from handover.evidence.canonical import canonical
from handover.evidence.digest import token
from handover.evidence.progress import Meter
from handover.model.backup import BackupIndex
from handover.model.catalog import Finding
from handover.model.expectation import Outcome, Rule, Side, TableFacts, TableName
from handover.model.image import MaskedTable
from handover.model.plan import LARGE_OBJECTS, Plan
from handover.postgres.rules import read_facts
from handover.postgres.session import Connection, connect, database_errors
from handover.pseudonymise.images import column_image
from handover.quality.suites import documents, load_suites, make_rules, rules_of
from handover.quality.validation import Database, missing_from, validate
from handover.stages.context import Context
from handover.stages.datamaps import planned_datamap
from handover.stages.loading import Destination

CHECKED = "expectations-checked"
MADE = "expectations-made"


def profile(
    context: Context, index: BackupIndex, destination: Destination, side: Side, progress: Meter | None = None
) -> None:
    """Hold one side's rows against all suites and record what came of each expectation.

    Raises CaseInvalid for a suite and DataMapInvalid for a data map that cannot be read or is another than
    that of the plan, ConnectionLost when nothing could be learnt.
    """
    with (
        database_errors(f"{destination.step}: reading what the schema declares"),
        closing(connect(destination.url, read_only=True)) as connection,
    ):
        facts = read_facts(connection, context.case.source.schemas)
        suites = _made(context, index, facts) if side == "source" else _recorded(context, index)
        rules = [rule for rule in rules_of(suites) if rule.of in ("both", side)]
        database = Database(
            url=destination.url,
            connection=connection,
            facts=facts,
            plans={(plan.schema_name, plan.name): plan for plan in index.plan.tables},
            token=lambda *parts: token(context.evidence_key, *parts),
        )
        outcomes = validate(database, rules, context.honour_stop)
        if progress:
            progress.add(*index.rows(index.plan.groups()))
        passing(CrashPoint.EXPECTATIONS_UNRECORDED)
        context.record(
            CHECKED,
            {
                "side": side,
                "generation": index.state.generation,
                "suite_digest": _digest(suites),
                "results": [outcome.document() for outcome in outcomes],
            },
        )


def _made(context: Context, index: BackupIndex, facts: dict[TableName, TableFacts]) -> list[dict[str, Any]]:
    """Make the suites of this backup and record them, so that the target is held against the same."""
    rows_of: Counter[str] = Counter()
    for chunk in index.chunks:
        rows_of[chunk.table] += chunk.rows
    rows = {(p.schema_name, p.name): rows_of[p.id] for p in index.plan.tables if p.id != LARGE_OBJECTS}
    written = load_suites(context.settings.expectations, context.case.expectations)
    datamap, masked = planned_datamap(context, index.plan), _masked(index.plan, facts)
    suites = documents(make_rules(facts, rows, written, datamap, masked))
    body = {"generation": index.state.generation, "suite_digest": _digest(suites), "suites": suites}
    if not any(entry.body == body for entry in context.entries(MADE)[-1:]):
        context.record(MADE, body)
    return suites


def _masked(plan: Plan, facts: dict[TableName, TableFacts]) -> dict[TableName, MaskedTable]:
    """Return what is known of the tables that arrive with pseudonyms; what does not travel is generated."""
    return {
        (table.schema_name, table.name): MaskedTable(
            columns={one.column: column_image(one) for one in table.masked},
            generated=frozenset(
                fact.name
                for fact in facts[table.schema_name, table.name].columns
                if fact.name not in table.columns
            ),
        )
        for table in plan.tables
        if table.masked
    }


def _recorded(context: Context, index: BackupIndex) -> list[dict[str, Any]]:
    found = [e.body for e in context.entries(MADE) if e.body["generation"] == index.state.generation]
    if not found:
        raise NotReady(
            "the source was not held against any expectations", hint="run or clear the task restore_test"
        )
    return list(found[-1]["suites"])


def _digest(suites: list[dict[str, Any]]) -> str:
    return hashlib.sha256(canonical({"suites": suites}, NotReady, "the suites")).hexdigest()


def check_expectations(context: Context, source: Connection) -> list[Finding]:
    """Return a finding for each expectation of a written suite about a table or column that is not there.

    Raises CaseInvalid when a suite cannot be read.
    """
    facts = read_facts(source, context.case.source.schemas)
    rules = make_rules(facts, {}, load_suites(context.settings.expectations, context.case.expectations))
    return [
        Finding(
            id=f"expectation-unknown:{rule.id}",
            message=f"suite {rule.suite}: {said}",
            remedy=f"correct include/expectations/{rule.suite}.json, or take the expectation out",
        )
        for rule in rules
        if (said := missing_from(facts.get((rule.schema_name, rule.table)), rule))
    ]


def source_faults(context: Context) -> list[str]:
    """Return a line for each critical fault of the source that the case does not acknowledge."""
    outcomes = _latest(context, "source")
    if outcomes is None:
        return ["the source was not held against any expectations"]
    return [
        f"{_described(outcome)}; the source's own: correct it there, or acknowledge expectation:{outcome.id}"
        for outcome in outcomes.values()
        if not outcome.success
        and outcome.severity == "critical"
        and f"expectation:{outcome.id}" not in context.case.acknowledge
    ]


def target_faults(context: Context) -> list[str]:
    """Return a line for each fault that the move made, then those of the source that nobody acknowledged."""
    source, target = _latest(context, "source"), _latest(context, "target")
    if source is None:
        return source_faults(context)
    if target is None:
        return ["the target was not held against any expectations", *source_faults(context)]
    return [
        *_differing(source.values(), target),
        *_of_target_alone(_rules_of_target(context), target),
        *source_faults(context),
    ]


def _rules_of_target(context: Context) -> list[Rule]:
    """Return the rules of the backup that counts of which the source was never asked."""
    generation = _generation(context)
    made = [entry.body["suites"] for entry in context.entries(MADE) if entry.body["generation"] == generation]
    return [rule for rule in rules_of(made[-1] if made else ()) if rule.of == "target"]


def _of_target_alone(rules: Iterable[Rule], target: dict[str, Outcome]) -> list[str]:
    """Return a line for each rule of the target that does not hold, whatever the source is like."""
    lines = []
    for rule in rules:
        outcome = target.get(rule.id)
        if outcome is None:
            lines.append(f"{rule.id}: not checked in the target")
        elif not outcome.success:
            lines.append(f"{_described(outcome)}; it is masked, and holds what is no pseudonym")
    return lines


def _differing(source: Iterable[Outcome], target: dict[str, Outcome]) -> list[str]:
    lines = []
    for before in source:
        if before.of == "source":
            continue
        after = target.get(before.id)
        if after is None:
            lines.append(f"{before.id}: not checked in the target")
        elif (after.success, after.failing, after.error) != (before.success, before.failing, before.error):
            lines.append(
                f"{_described(after)}; {_counted(before)} in the source: the move made the difference"
            )
    return lines


def _described(outcome: Outcome) -> str:
    columns = f" ({', '.join(outcome.columns)})" if outcome.columns else ""
    rows = f", among them {', '.join(outcome.tokens)}" if outcome.tokens else ""
    return f"{outcome.table}{columns}: {outcome.kind} fails for {_counted(outcome)}{rows}"


def _counted(outcome: Outcome) -> str:
    if outcome.error:
        return f"an unknown number of rows: {outcome.error}"
    return "1 row" if outcome.failing == 1 else f"{outcome.failing} rows"


def _latest(context: Context, side: Side) -> dict[str, Outcome] | None:
    """Return what came last of each rule on one side, for the backup that counts; None when nothing did."""
    generation = _generation(context)
    found = [
        entry.body
        for entry in context.entries(CHECKED)
        if entry.body["side"] == side and entry.body["generation"] == generation
    ]
    if not found:
        return None
    return {str(result["id"]): Outcome.model_validate(result) for result in found[-1]["results"]}


def _generation(context: Context) -> int | None:
    sealed = context.entries("backup-sealed")
    return sealed[-1].body.get("generation") if sealed else None
