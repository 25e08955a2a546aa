"""Gates: the law as the case's policy packs state it, asked of a run before it goes on and before it closes.

Each hearing goes to the ledger with all it looked at. What was planned decides, with persons and consents
counted again before the target is written; documents are read, and the day is that of the hearing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from handover.errors import GateBlocked, HandoverError, LateChanges, NotReady, PolicyInvalid
from handover.law.facts import Facts, VerifiedFile
from handover.law.gates import Step, Verdict, evaluate, hindrances
from handover.law.impact import impact_assessment
from handover.law.packs import Affected, load_packs, newer_packs, select
from handover.law.papers import verify_files
from handover.law.references import unknown_ids, unknown_parts
from handover.law.special import scope_digest
from handover.model.backup import BackupIndex
from handover.model.case import Case
from handover.model.datamap import DataMap
from handover.model.plan import Plan
from handover.model.policy import Pack
from handover.postgres.session import database_errors
from handover.settings import Settings
from handover.stages.backup_index import read_index
from handover.stages.class_decisions import class_decisions
from handover.stages.consents import consents_of
from handover.stages.context import Context
from handover.stages.datamaps import planned_datamap
from handover.stages.destruction_signing import with_coming_list, with_destruction_list
from handover.stages.destruction_volumes import declared_ledger, needs_list
from handover.stages.documents import read_document
from handover.stages.entity_certificates import with_entity_certificates
from handover.stages.facts import count_facts, data_facts, judged_on, legal_day, person_tables
from handover.stages.handover_entries import with_handover
from handover.stages.hearings import JUDGED, NOT_JUDGED, has_passed, sealed_generation, subject
from handover.stages.notice_results import cover_notices, with_notices
from handover.stages.reading import begin_snapshot, scoped_session
from handover.stages.refusal import in_matter, refused


@dataclass(frozen=True)
class Hearing:
    """What the packs of a case say of its facts on a day; ``newer``: packs in force that it does not name."""

    facts: Facts
    packs: tuple[Pack, ...]
    datamap: DataMap
    verdicts: tuple[Verdict, ...]
    newer: tuple[Affected, ...]

    def document(self) -> dict[str, object]:
        """Return everything as plain JSON types; of the case's own words only names of who accepted."""
        return {
            "date": self.facts.on.isoformat(),
            "verdicts": [one.document() for one in self.verdicts],
            "policy": {pack.label: pack.digest for pack in self.packs},
            "newer": [one.document() for one in self.newer],
            "inputs": {
                "data": self.facts.data.document(),
                "matter_sha256": self.facts.matter.sha256_of_json(),
                "verified": [one.document() for one in self.facts.verified],
                "scope_sha256": scope_digest(self.facts),
            },
        }


def policy_digests(case: Case, settings: Settings, on: date) -> dict[str, str]:
    """Return the digest of each pack that the case names, for its plan; none where it names none."""
    if not case.policy:
        return {}
    return {pack.label: pack.digest for pack in select(load_packs(settings.policies), case.policy, on)}


def judge(context: Context, step: Step) -> tuple[Verdict, ...]:
    """Ask all gates about the run as it was planned; raises GateBlocked that names each one in the way."""
    with context.step("gates"):
        return _judge(context, step, ahead=step == "execution")


def require_gates(context: Context, *, ahead: bool = False) -> None:
    """Ask the gates of execution again, with persons and consents counted in the source as it is now."""
    _judge(context, "execution", ahead=ahead)


def gate_faults(context: Context) -> list[str]:
    """Return why the gates keep the run from being complete; each time the ledger gets the hearing."""
    if not context.entries("plan"):
        return []
    if not context.case.policy:
        _judge(context, "closing", ahead=False)
        return []
    lines = [] if has_passed(context) else ["the gates were not passed before execution"]
    try:
        plan = context.plan()
        hearing = hear(context, plan)
    except HandoverError as error:
        return [*lines, f"gates: {' '.join(error.message.split())}"]
    about = subject(plan, sealed_generation(context))
    return lines + [_line(one) for one in _record(context, "closing", hearing, about)]


def impact_text(context: Context) -> str | None:
    """Return the impact assessment for the evidence; None where gates are not or cannot be asked.

    Why they cannot be asked is among the gate faults.
    """
    if not context.case.policy or not context.entries("plan"):
        return None
    try:
        return assessment(context, hear(context, context.plan()))
    except HandoverError:
        return None


def assessment(context: Context, hearing: Hearing) -> str:
    """Return the impact assessment, pre-filled for a person to conclude."""
    classes: Counter[str] = Counter(entry.jrt0171 for _, _, entry in hearing.datamap.entries())
    return impact_assessment(context.case.case, hearing.facts, classes, hearing.verdicts, hearing.packs)


def hear(context: Context, plan: Plan, *, ahead: bool = False) -> Hearing:
    """Ask all gates and record nothing; ``ahead``: long before anything goes, so that gates which wait for
    this run's own destruction list alone do not hinder yet.

    Raises CaseInvalid for what the matter names and nobody has, PolicyInvalid or DataMapInvalid when packs or
    data map are not those of the plan.
    """
    case, on = context.case, judged_on(context.case)
    every = load_packs(context.settings.policies)
    packs = select(every, case.policy, legal_day())  # the law is today's, on whatever day it is asked
    _refuse_other_packs(plan, packs)
    datamap = _datamap(context, plan)
    classes = {one.name for one in case.classes}
    classes |= {one.name for table in plan.scope.tables for one in table.classes} if plan.scope else set()
    known = {one.table.label for one in datamap.datasets}
    wrong = [*unknown_ids(case.matter, packs), *unknown_parts(case.matter, known, classes)]
    verified = _verified(context, wrong)  # first: the arithmetic of retention knows only the packs' rules
    facts = Facts(
        transaction=case.transaction,
        on=on,
        matter=case.matter,
        data=data_facts(case, plan, datamap, packs, on),
        verified=verified,
    )
    facts = with_destruction_list(context, with_handover(context, facts))
    facts = with_notices(context, with_entity_certificates(context, facts))
    newer = newer_packs({case.case: case.policy}, every, on)
    coming = _with_own_list(context, facts) if ahead else None
    return Hearing(facts, packs, datamap, evaluate(packs, facts, coming), newer)


def _with_own_list(context: Context, facts: Facts) -> Facts | None:
    """Return the facts with the list that this run will make; None where it makes none.

    The list is made after the backup, and nothing is disposed of before all opinions on it are given.
    """
    case = context.case
    if case.kind != "deregistration" or not needs_list(context, class_decisions(context, facts.on)):
        return None
    return with_coming_list(facts, declared_ledger(context).number)


def _verified(
    context: Context, wrong: Iterable[tuple[tuple[str | int, ...], str]]
) -> tuple[VerifiedFile, ...]:
    """Return the documents whose bytes are as registered; raises CaseInvalid for all that is wrong."""
    verified, unfit = verify_files(context.case.matter.documents, lambda name: read_document(context, name))
    if problems := in_matter([*wrong, *unfit]):
        raise refused(context, problems)
    return verified


def _refuse_other_packs(plan: Plan, packs: Iterable[Pack]) -> None:
    now = {pack.label: pack.digest for pack in packs}
    if other := sorted({*plan.policy.items()} ^ {*now.items()}):
        labels = ", ".join(dict.fromkeys(label for label, _ in other))
        raise PolicyInvalid(
            f"the run was planned under other packs: {labels}",
            hint="put the packs back as they were, or clear the task plan: the new plan is approved anew",
            packs=sorted({label for label, _ in other}),
        )


def _datamap(context: Context, plan: Plan) -> DataMap:
    """Return the map of a case that names packs: such a case is planned with one."""
    datamap = planned_datamap(context, plan)
    if datamap is None:
        raise NotReady("the run was planned without a data map", hint="clear the task plan with downstream")
    return datamap


def _judge(context: Context, step: Step, *, ahead: bool) -> tuple[Verdict, ...]:
    if not context.case.policy:
        context.record(NOT_JUDGED, {"reason": "the case names no policy"}, key=NOT_JUDGED)
        return ()
    plan, generation = context.plan(), sealed_generation(context)
    cover_notices(context, plan)
    hearing = hear(context, _of_today(context, plan) if generation else plan, ahead=ahead)
    if found := _record(context, step, hearing, subject(plan, generation)):
        raise GateBlocked(
            f"{len(found)} gates do not let the {step} happen:\n  " + "\n  ".join(map(_line, found)),
            hint=f"do what each line says, then start a new run; `handover case gates {context.case.case}` "
            "shows all gates",
            gates=[one.gate for one in found],
        )
    return hearing.verdicts


def _record(context: Context, step: Step, hearing: Hearing, about: dict[str, object]) -> tuple[Verdict, ...]:
    """Write a hearing to the ledger; returns the verdicts in the way of the step."""
    found = hindrances(hearing.verdicts, step)
    body = {"step": step, **about, "hindered": [one.gate for one in found], **hearing.document()}
    context.record(JUDGED, body)
    return found


def _line(verdict: Verdict) -> str:
    remedy = f"; {verdict.remedy.en}" if verdict.remedy else ""
    return f"{verdict.gate} ({verdict.basis.source}): {'; '.join(verdict.lacking)}{remedy}"


def _of_today(context: Context, plan: Plan) -> Plan:
    """Return the plan with the facts of now about the persons who are in the backup."""
    if plan.scope is None:
        return plan
    scope = plan.scope.model_copy(update={"facts": _recounted(context, plan)})
    return plan.model_copy(update={"scope": scope})


def _recounted(context: Context, plan: Plan) -> dict[str, int]:
    """Count persons and consents in the source as it is now, by the keys under which the backup was made.

    Raises LateChanges when they are not as many as in the backup: nobody could say whether all consent.
    """
    datamap, index = _datamap(context, plan), read_index(context)
    persons_of = {one.table for one in person_tables(datamap)}
    labels = {one.table.label: one.labels for one in datamap.datasets if one.table in persons_of}
    tables = [one for one in plan.tables if one.label in {name for some in labels.values() for name in some}]
    with (
        database_errors("counting persons and consents again"),
        scoped_session(context, index.state, tables, now=True) as (connection, selection),
    ):
        connection.execute("COMMIT")  # the keys stay; consents are proven outside a transaction
        tests = consents_of(context, connection)
        begin_snapshot(connection)
        persons, facts = count_facts(
            context,
            connection,
            datamap,
            lambda table: selection.of((table.schema_name, table.name)),
            {},
            tests,
        )
    _refuse_missing(index, labels, persons)
    return facts


def _refuse_missing(
    index: BackupIndex, labels: Mapping[str, Sequence[str]], persons: Mapping[str, tuple[int, int]]
) -> None:
    lines = []
    for label, names in labels.items():
        groups = [one for one in index.plan.groups() if index.plan.table(one.table).label in names]
        kept, found = index.rows(groups)[0], persons[label][1]
        if groups and found != kept:  # without groups it is a table of other schemas: nobody of it moves
            lines.append(f"{label}: {kept} persons were backed up, {found} of them are there now")
    if lines:
        raise LateChanges(
            "persons changed in the source after it was backed up:\n  " + "\n  ".join(lines),
            hint="abort this run and start a new one",
            differences=lines,
        )
