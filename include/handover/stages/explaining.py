"""Explains one person: which of their rows are in scope and why, their classes, rules and holds.

The live source is read only. The scope of the case and that of this person alone, by the same ways, are
closed in one snapshot and compared. The key stays in memory: it is not printed back, logged or recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from handover.errors import CaseInvalid, NotReady
from handover.law.packs import load_packs, select
from handover.law.retention import Decision, Question, decide
from handover.model.datamap import DataMap, DataSet, SubjectPath, load_datamap
from handover.model.disposition import RowClass, classes_of
from handover.model.matter import RowClassRules
from handover.model.scope import Root, Scope
from handover.postgres.closure import Closure, scope_problems
from handover.postgres.keysets import KeySet, create_key_sets, load_keys, read_keys, scoped_rows
from handover.postgres.ordering import EVERY_ROW, rows_of
from handover.postgres.references import Graph
from handover.postgres.referring import read_graph
from handover.postgres.row_classes import checked_predicate, classify_rows
from handover.postgres.session import Connection, connect, database_errors, fetch
from handover.postgres.types import ALIKE
from handover.stages.context import Context
from handover.stages.facts import legal_day
from handover.stages.reading import begin_snapshot, join_snapshot
from handover.stages.scoping import Scoping, prepare

LONGEST_KEY = 200
NO_CLASS = "not in exactly one class"


@dataclass(frozen=True)
class _Person:
    """One person as a root of their own; ``row`` is the condition that finds them."""

    number: int
    row: sql.Composable
    closure: Closure
    key_sets: Mapping[int, KeySet]


def explain(context: Context, key: Sequence[str], table: str | None = None) -> dict[str, Any]:
    """Return what the case means for one person; raises NotReady when the source has nobody by this key."""
    person, path = _person_table(load_datamap(context.settings.datamaps, context.case.mapped_as), table)
    if len(key) != len(path.by) or any(not 0 < len(part) <= LONGEST_KEY for part in key):
        raise CaseInvalid(
            f"--subject needs a value for each of {', '.join(path.by)} of {person.table.label}",
            hint="give them in this order, each as it stands in the column",
        )
    with (
        closing(connect(context.source, read_only=True)) as everything,
        closing(connect(context.source, read_only=True)) as alone,
    ):
        scoping = prepare(context, everything, ALIKE)
        roots = scoping.closure.considered().get(person.table.label) if scoping.closure else None
        one = _prepare_person(scoping, alone, person, path, key)
        begin_snapshot(everything)
        with database_errors("exporting a snapshot"):
            snapshot = str(fetch(everything, "SELECT pg_export_snapshot()")[0][0])
        join_snapshot(alone, snapshot)
        if not _holds(everything, scoping.graph, one.number, one.row):
            raise NotReady(
                f"{person.table.label} has nobody by this key",
                hint="see --subject and --table; the value itself",
            )
        one.closure.compute(lambda rows: None)
        for number, ours in one.key_sets.items():
            load_keys(
                everything, ours, (bytes(row) for row in read_keys(alone, one.closure.key_sets[number]))
            )
        if scoping.closure:
            scoping.closure.compute(lambda rows: None)
        return {
            "case": context.case.case,
            "person_table": person.table.label,
            **_standing(scoping, one, roots, person),
            **_rows(context, scoping, one),
        }


def _person_table(datamap: DataMap, wanted: str | None) -> tuple[DataSet, SubjectPath]:
    """Return the data set whose rows are persons, and the columns that identify them."""
    found = {d.table.label: (d, p) for d in datamap.datasets for p in reversed(d.subject) if p.to is None}
    if wanted is None and len(found) == 1:
        return next(iter(found.values()))
    if wanted in found:
        return found[wanted]
    raise CaseInvalid(
        "the data map does not say which table the person is in"
        if wanted is None
        else f"{wanted} is no table of persons in the data map",
        hint=f"--table with one of {', '.join(sorted(found)) or 'none: the map names no subject'}",
    )


def _prepare_person(
    scoping: Scoping, alone: Connection, person: DataSet, path: SubjectPath, key: Sequence[str]
) -> _Person:
    where = " AND ".join(
        "\"{}\" = '{}'".format(column.replace('"', '""'), value.replace("'", "''"))
        for column, value in zip(path.by, key, strict=True)
    )
    root = Root(table=person.table, where=where)
    case = scoping.context.case
    # Whole tables that were decided on belong to nobody in particular.
    scope = (
        case.scope.model_copy(update={"roots": (root,), "decided": ()})
        if case.scope
        else Scope(roots=(root,))
    )
    graph = read_graph(alone, case.source.schemas, scope, ALIKE)
    problems = scope_problems(alone, graph, scope)
    if problems:
        raise CaseInvalid(f"--subject cannot be looked up: {problems[0].said}", hint=problems[0].remedy)
    row = checked_predicate(scoping.connection, person.table.schema_name, person.table.name, where)
    closure = Closure(alone, graph, scope)
    key_sets = {number: KeySet(ours.table, f"person_{number}") for number, ours in closure.key_sets.items()}
    create_key_sets(scoping.connection, key_sets.values())
    return _Person(graph.place(person.table)[0], row, closure, key_sets)


def _holds(connection: Connection, graph: Graph, number: int, *conditions: sql.Composable) -> bool:
    """Say whether a table has a row for which all conditions are true."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} AS t WHERE {})").format(
        rows_of(graph.tables[number]), sql.SQL(" AND ").join([sql.SQL("({})").format(c) for c in conditions])
    )
    with database_errors("looking at the person's row"):
        return bool(fetch(connection, query)[0][0])


def _standing(
    scoping: Scoping, one: _Person, roots: sql.Composable | None, person: DataSet
) -> dict[str, object]:
    """Return whether the person is in scope, and each reason that was looked at; None: not asked."""

    def of_person(condition: sql.Composable) -> bool:
        return _holds(scoping.connection, scoping.graph, one.number, one.row, condition)

    inside = of_person(scoping.condition(one.number))
    named = of_person(roots) if roots else None
    tests = next((tests for tests in scoping.consents if tests.person == person.table), None)
    consent = of_person(tests.given) if tests and tests.given else None
    withdrawn = of_person(tests.withdrawn) if tests and tests.withdrawn else None
    return {
        "in_scope": inside,
        "reasons": _reasons(scoping, inside, named, consent, withdrawn),
        "named_by_a_root": named,
        "separate_consent": consent,
        "consent_withdrawn": withdrawn,
    }


def _reasons(
    scoping: Scoping, inside: bool, named: bool | None, consent: bool | None, withdrawn: bool | None
) -> list[str]:
    if scoping.context.case.scope is None:
        return ["the case has no scope: every row is in it"]
    reasons = []
    if named:
        reasons.append("the condition of a root names the person")
    elif named is None:
        reasons.append("no root is about this table: persons are in scope only by what leads to them")
    else:
        reasons.append("no condition of a root names the person")
    if withdrawn:
        reasons.append("the consent on record was withdrawn")
    elif consent is not None:
        reasons.append("a separate consent is on record" if consent else "no separate consent is on record")
    if inside and not (named and consent is not False):
        reasons.append("reached: rows in scope refer to the person, or the person's row to one that is owned")
    return reasons


def _rows(context: Context, scoping: Scoping, one: _Person) -> dict[str, object]:
    """Return the person's rows by table and class, what they rest on, and the rules of each class met."""
    tables, shared, met = [], {}, dict[str, RowClass]()
    for number, ours in one.key_sets.items():
        label = scoping.graph.tables[number].label
        classes = classes_of(context.case.classes, _pair(scoping, number))
        counts = _by_class(scoping, number, classes, scoped_rows(ours, "owned"))
        inside = _by_class(scoping, number, classes, scoped_rows(ours, "owned"), scoping.condition(number))
        if counts[NO_CLASS]:
            tables.append(
                {"table": label, "class": None, "rows": counts[NO_CLASS], "in_scope": inside[NO_CLASS]}
            )
        for part in classes:
            if counts[part.name]:
                met[part.name] = part
                rows = {"rows": counts[part.name], "in_scope": inside[part.name]}
                tables.append(
                    {"table": label, "class": part.name, **rows, "target": part.target, "source": part.source}
                )
        needed = _by_class(scoping, number, classes, scoped_rows(ours, "needed"))
        if sum(needed.values()):
            shared[label] = sum(needed.values())
    return {"tables": tables, "rests_on": shared, "classes": _decisions(context, list(met))}


def _pair(scoping: Scoping, number: int) -> tuple[str, str]:
    table = scoping.graph.tables[number]
    return table.schema_name, table.name


def _by_class(
    scoping: Scoping, number: int, classes: Sequence[RowClass], *within: sql.Composable
) -> dict[str, int]:
    conditions = {part.name: scoping.classes.get((number, part.name), EVERY_ROW) for part in classes}
    rows = rows_of(scoping.graph.tables[number])
    condition = sql.SQL(" AND ").join([sql.SQL("({})").format(test) for test in within])
    found = classify_rows(scoping.connection, rows, conditions, condition)
    return {**found.by_class, NO_CLASS: found.rows - sum(found.by_class.values())}


def _decisions(context: Context, names: Sequence[str]) -> dict[str, object]:
    """Return for each class what the packs of the case say today."""
    case = context.case
    if not case.policy:
        return {name: {"doubts": ["the case names no policy"]} for name in names}
    today = legal_day()
    packs = select(load_packs(context.settings.policies), case.policy, today)
    given = {rules.row_class: rules for rules in case.matter.retention or ()}
    found: dict[str, object] = {}
    for name in names:
        holds = case.matter.holds
        over = [h for h in holds or () if h.row_classes is None or name in h.row_classes]
        question = Question(
            rows=given.get(name) or RowClassRules(row_class=name),
            on=today,
            aml_obliged=case.matter.aml_obliged,
            holds=None if holds is None else tuple(over),
        )
        found[name] = _told(decide(packs, question))
    return found


def _told(decision: Decision) -> dict[str, object]:
    """Return what a person needs of a decision."""
    document = decision.document()
    wanted = ("outcome", "free_from", "erase_by", "permanent", "open_holds", "doubts", "before_destruction")
    rules = [
        {name: rule[name] for name in ("rule", "pack", "direction", "start", "ends", "permanent")}
        for rule in decision.model_dump(mode="json")["rules"]
    ]
    return {name: document[name] for name in wanted} | {"rules": rules}
