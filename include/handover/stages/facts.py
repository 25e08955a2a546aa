"""Facts for the gates: persons counted in the source, columns and classes read off data map, plan and case.

What nobody counted or stated stays unknown, and what is unknown closes the gates that ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from psycopg import sql

from handover.law.facts import DataFacts, OutgoingColumn, Planned, Transform
from handover.law.facts import RowClass as JudgedClass
from handover.law.retention import Question, decide
from handover.model.case import Case
from handover.model.datamap import UNKNOWN, ColumnEntry, DataMap, DataSet
from handover.model.disposition import COPIED
from handover.model.kinds import KINDS
from handover.model.matter import Matter, Operation, RowClassRules
from handover.model.plan import ClassRows, Plan, PlannedScope
from handover.model.policy import Pack
from handover.model.reconciliation import TableName
from handover.postgres.consents import WITHOUT, ConsentTests
from handover.postgres.persons import PersonCount, PersonTable
from handover.postgres.session import Connection
from handover.stages.context import Context

# Periods and signatures of a case are those of the place whose law it is under, whatever the machine's clock.
LEGAL_TIME = timezone(timedelta(hours=8))
HOME = "CN"
CHILD_YEARS = 14
OF_PERSONS = (*WITHOUT.values(), "withdrawn", "minors")
ERASING = ("erase", "pseudonymise")
# Nothing of this can be planned for erasure where nothing is erased.
OF_ERASURE = (
    "young_trades_planned_for_erasure",
    "open_vouchers_planned_for_erasure",
    "young_contracts_planned_for_erasure",
    "accounting_rows_to_destroy",
)
# What a strategy of masking is to the law. What a key moves or picks can be made again by who has the key: it
# counts as a keyed form, which may never be called anonymised.
TRANSFORMS = {
    "token": "token",
    "fpe": "format_preserving",
    "permute": "format_preserving",
    "choice": "keyed_hash",
    "redact": "token",
    "shift": "keyed_hash",
    "noise": "keyed_hash",
    "mask": "mask",
    "generalise": "aggregate",
    "null": "suppress",
    "constant": "suppress",
    "drop": "suppress",
}
Condition = Callable[[TableName], sql.Composable]


def legal_day() -> date:
    """Return the day on which the law is asked."""
    return datetime.now(UTC).astimezone(LEGAL_TIME).date()


def judged_on(case: Case) -> date:
    """Return the day on which the law is asked about a case's rows."""
    return case.as_of or legal_day()


def count_facts(
    context: Context,
    connection: Connection,
    datamap: DataMap,
    in_scope: Condition,
    considered: Mapping[str, sql.Composable],
    tests: Sequence[ConsentTests],
) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """Count persons in the session's snapshot: by table those considered and in scope, and facts over all.

    ``in_scope`` gives the condition on the alias ``t`` that a row of a table is in scope; ``considered``, by
    the label of a root's table, that the roots name it, whoever consents. A fact that is not
    known of each table with persons in scope is left out; all are when the map leads to no table of persons.
    """
    counted = person_tables(datamap)
    if not counted and any(map(_has_persons, datamap.datasets)):
        return {}, {}  # the map leads to nobody, although what it names is somebody's
    by_table = {one.person.label: one for one in tests}
    persons: dict[str, tuple[int, int]] = {}
    facts: dict[str, int] = dict.fromkeys(("handler_persons", *OF_PERSONS), 0)
    for person in counted:
        context.honour_stop()
        label = person.table.label
        counting = PersonCount(connection, person, _years_before(legal_day(), CHILD_YEARS))
        found = counting.count(in_scope(person.table), considered.get(label), by_table.get(label))
        persons[label] = (found.considered, found.inside)
        facts["handler_persons"] += found.everyone
        for fact in OF_PERSONS if found.inside else ():
            if fact in facts and fact in found.facts:
                facts[fact] += found.facts[fact]
            else:
                facts.pop(fact, None)
    return persons, facts


def person_tables(datamap: DataMap) -> list[PersonTable]:
    """Return the tables each row of which identifies a person itself."""
    return [
        PersonTable(one.table, tuple(_of_kind(one, "birth_date")), tuple(_of_kind(one, "resident_id")))
        for one in datamap.datasets
        if any(path.to is None for path in one.subject)
    ]


def _of_kind(dataset: DataSet, kind: str) -> list[str]:
    return [name for name, entry in dataset.columns.items() if entry.kind == kind]


def _years_before(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return date(day.year - years, 3, 1)  # there was no 29 February


def data_facts(case: Case, plan: Plan, datamap: DataMap, packs: Sequence[Pack], on: date) -> DataFacts:
    """Return what plan, data map and case say about the data on a day; without a counted scope, little."""
    stated = _stated(case.matter, on)
    if plan.scope is None:
        return DataFacts.model_validate(stated)
    parts = list(_parts(case, plan.scope, datamap))
    outgoing = tuple(_outgoing(case.matter, parts))
    uncounted = any(not dataset.subject and _has_persons(dataset) for dataset, _ in parts)
    clear = any(
        _has_persons(one) and any(part.target == "copy" for part in classes) for one, classes in parts
    )
    found: dict[str, Any] = {
        # What is personal, but leads to nobody, belongs to persons whom nobody has counted.
        **({} if uncounted else _persons(case.matter, plan.scope, outgoing, clear=clear)),
        "accounting_regions": _regions(case.matter),
        "operations": tuple(_operations(parts)),
        "outgoing": outgoing,
        "row_classes": tuple(_row_classes(case, parts, packs, on)),
        "transforms": tuple(_transforms(plan)),
    }
    if not any(one.source in ERASING for _, classes in parts for one in classes):
        found |= dict.fromkeys(OF_ERASURE, 0)
    return DataFacts.model_validate(found | stated)


def _transforms(plan: Plan) -> Iterator[Transform]:
    """Yield each kind of masking once; while keys are in use and nothing was tested, none is anonymous."""
    masked = [one for table in plan.tables for one in (*table.masked, *table.masked_here)]
    made = (here for one in masked for here in (one.pseudonym, *one.mentions.values(), *one.paths.values()))
    for kind in sorted({TRANSFORMS[one.strategy] for one in made}):
        yield Transform.model_validate({"kind": kind, "label": "de-identified"})


def _stated(matter: Matter, on: date) -> dict[str, Any]:
    """Return what a named person stands for by this day."""
    if matter.stated is None or matter.stated.on > on:
        return {}
    said = matter.stated.model_dump(exclude={"by", "on"})
    return {name: value for name, value in said.items() if value is not None}


def _persons(
    matter: Matter, scope: PlannedScope, outgoing: Sequence[OutgoingColumn], *, clear: bool
) -> dict[str, Any]:
    """``clear``: rows of persons leave as they are, not pseudonymised alone."""
    if "handler_persons" not in scope.facts:  # nobody has counted: no table of persons is not zero persons
        return {}
    inside = sum(within for _, within in scope.persons.values())
    return {
        **scope.facts,
        "scope_persons": sum(all_ for all_, _ in scope.persons.values()),
        "persons": inside,
        "copied_persons": inside if outgoing and clear else 0,
        "sensitive_persons": inside if any(one.sensitive for one in outgoing) else 0,
        "exported_persons": _exported(matter, inside),
    }


def _exported(matter: Matter, inside: int) -> int | None:
    """Return the persons of the batch who leave the country: all of them as soon as any way leads out."""
    flows = matter.exports.flows if matter.exports else None
    regions = _regions(matter)
    if flows or any(region != HOME for region in regions or ()):
        return inside
    return None if flows is None or regions is None else 0


def _regions(matter: Matter) -> tuple[str, ...] | None:
    """Return every region to which data may come: those of stores and of recipients."""
    recipients = None if matter.recipients is None else [one.region for one in matter.recipients]
    if matter.store_regions is None or recipients is None or None in recipients:
        return None
    return tuple(sorted({*matter.store_regions, *(one for one in recipients if one)}))


def _parts(
    case: Case, scope: PlannedScope, datamap: DataMap
) -> Iterator[tuple[DataSet, tuple[ClassRows, ...]]]:
    """Yield each data set with its classes, but those of which no row can be in scope.

    A class that happens to have no row today counts: what is judged must not hang on who paid yesterday.
    """
    by_label = {label: one for one in datamap.datasets for label in one.labels}
    decided = case.scope.decided if case.scope else ()
    left_out = {one.table.label for one in decided if one.rows == "none"}
    for table in scope.tables:
        if table.table in by_label and table.table not in left_out:
            yield by_label[table.table], table.classes


def _is_personal(entry: ColumnEntry) -> bool:
    return entry.gdpr != "none" or entry.jrt0171 != "none" or entry.pipl_sensitive


def _has_persons(dataset: DataSet) -> bool:
    return bool(dataset.subject) or any(map(_is_personal, dataset.columns.values()))


def _leaves(classes: Sequence[ClassRows]) -> bool:
    return any(one.target in COPIED for one in classes)


def _outgoing(
    matter: Matter, parts: Sequence[tuple[DataSet, Sequence[ClassRows]]]
) -> Iterator[OutgoingColumn]:
    for dataset, classes in parts:
        collected = None if dataset.purpose == UNKNOWN else dataset.purpose
        for name, entry in dataset.columns.items() if _leaves(classes) else ():
            if _is_personal(entry):
                kinds = (entry.kind, *(one.kind for one in entry.contains))
                yield OutgoingColumn(
                    data_set=dataset.table.label,
                    column=name,
                    sensitive=entry.pipl_sensitive,
                    authentication="C3" in (entry.jrt0171, *(KINDS[kind].levels.jrt0171 for kind in kinds)),
                    purpose=matter.purposes.get(dataset.table.label, collected),
                    collected_for=collected,
                )


def _operations(parts: Sequence[tuple[DataSet, Sequence[ClassRows]]]) -> list[tuple[str, Operation]]:
    found: dict[tuple[str, Operation], None] = {}
    for dataset, classes in parts:
        name = dataset.table.label
        if not _has_persons(dataset):
            continue
        if _leaves(classes):
            found |= {(name, "transfer"): None, (name, "backup"): None}
        for one in classes:
            if one.source != "keep":
                found |= {(name, one.source): None, (name, "backup"): None}
    return list(found)


def _row_classes(
    case: Case,
    parts: Sequence[tuple[DataSet, Sequence[ClassRows]]],
    packs: Sequence[Pack],
    on: date,
) -> Iterator[JudgedClass]:
    """Yield a class once for what happens to it in the target, and once for the source.

    A table without personal data that no class names stays as it is, so nobody is asked for its rules.
    """
    declared = {one.name for one in case.classes}
    matter = case.matter
    rules = {one.row_class: one for one in matter.retention or ()}
    for dataset, classes in parts:
        for one in classes:
            if one.name not in declared and not _has_persons(dataset):
                continue
            holds = matter.holds and tuple(
                hold for hold in matter.holds if hold.row_classes is None or one.name in hold.row_classes
            )
            question = Question(
                rows=rules.get(one.name, RowClassRules(row_class=one.name)),
                on=on,
                aml_obliged=matter.aml_obliged,
                holds=holds,
                deletion_duty=case.deletion_duty,
            )
            outcome = decide(packs, question).outcome
            planned: list[Planned] = [] if one.target == "nothing" else [one.target]
            for what in (*planned, one.source):
                yield JudgedClass(name=one.name, data_set=dataset.table.label, planned=what, outcome=outcome)
