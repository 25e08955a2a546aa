"""Treatments: which columns a run masks, decided when it is planned, for the target and for the source.

Nothing is masked that the plan does not name, and the plan is refused where a column that tells who somebody
is would arrive as it is without a word in data map or policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing

import yaml

from handover.errors import DataMapInvalid
from handover.law.packs import load_packs, select
from handover.model.catalog import Server
from handover.model.datamap import ColumnEntry, DataMap, map_path
from handover.model.disposition import COPIED, RowClass, classes_of
from handover.model.expectation import TableFacts
from handover.model.masking import NO_MASKS, MaskedColumn, Masks, Treatment
from handover.model.plan import PlannedScope
from handover.model.policy import Pack
from handover.model.strict_yaml import StrictLoader, line_of
from handover.postgres.references import Graph
from handover.postgres.referring import read_graph
from handover.postgres.rules import read_facts
from handover.postgres.session import connect, database_errors
from handover.postgres.types import Servers
from handover.pseudonymise.deciding import (
    CLEAR,
    Defaults,
    Holding,
    Undecided,
    decide,
    strategy_of,
)
from handover.pseudonymise.joining import SHARED, Place
from handover.pseudonymise.strategy import Room
from handover.stages.context import Context
from handover.stages.facts import legal_day
from handover.stages.pseudonyms import ensure_keys
from handover.stages.scoping import EVERYTHING

HERE = "pseudonymise"
AWAY = "copy_pseudonymised"
TableKey = tuple[str, str]


def plan_masks(
    context: Context, ends: Sequence[Server], datamap: DataMap | None, scope: PlannedScope | None
) -> Masks:
    """Return what the run masks, with its keys made; raises DataMapInvalid naming every column in the way."""
    classes = context.case.classes
    if not any(one.target == AWAY or one.source == HERE for one in classes):
        return NO_MASKS
    if datamap is None:
        raise DataMapInvalid(
            f"case {context.case.case} pseudonymises rows, and there is no data map that says how",
            hint=f"`handover classify {context.case.case}` proposes one; a person completes and confirms it",
        )
    with (
        closing(connect(context.source, read_only=True)) as connection,
        database_errors("reading what is to be masked"),
    ):
        declared = context.case.scope or EVERYTHING
        graph = read_graph(connection, context.case.source.schemas, declared, Servers.of(ends))
        facts = read_facts(connection, context.case.source.schemas)
    deciding = _Deciding(
        graph, facts, datamap, classes, scope, _defaults(context), closed=context.case.scope is not None
    )
    away, here = deciding.away(), deciding.here()
    if deciding.problems:
        raise _refused(context, datamap, deciding.problems)
    ensure_keys(context, [*away.values(), *here.values()])
    return Masks(deciding.by_table(away), deciding.by_table(here))


def _defaults(context: Context) -> Defaults:
    packs: Sequence[Pack] = ()
    if context.case.policy:
        packs = select(load_packs(context.settings.policies), context.case.policy, legal_day())
    kinds: dict[str, list[Treatment]] = {}
    for pack in packs:
        for rule in pack.pseudonyms.values():
            for kind in rule.kinds:
                kinds.setdefault(kind, []).extend(rule.treatments)
    return Defaults(kinds, frozenset(context.case.pseudonyms.realistic))


class _Deciding:
    """What is known of the tables of a case, and what was decided about their columns."""

    def __init__(
        self,
        graph: Graph,
        facts: Mapping[TableKey, TableFacts],
        datamap: DataMap,
        classes: tuple[RowClass, ...],
        scope: PlannedScope | None,
        defaults: Defaults,
        *,
        closed: bool,
    ) -> None:
        self.graph, self.facts, self.classes, self.defaults = graph, facts, classes, defaults
        self.entries: dict[Place, ColumnEntry] = {
            (label, name): entry
            for dataset in datamap.datasets
            for label in dataset.labels
            for name, entry in dataset.columns.items()
        }
        self.rows = {one.table: one.rows for one in scope.tables} if scope else {}
        self.closed = closed
        self.problems: list[Undecided] = []

    def away(self) -> dict[Place, MaskedColumn]:
        """Decide about what arrives. Classes of one table that arrive must arrive alike."""
        masked: dict[int, bool] = {}
        for number, table in enumerate(self.graph.tables):
            targets = {
                one.target
                for one in classes_of(self.classes, (table.schema_name, table.name))
                if one.target in COPIED
            }
            if len(targets) > 1:
                self.problems.append(
                    Undecided(
                        (table.label, ""),
                        "has classes that arrive in clear and others that arrive pseudonymised",
                        "give all its classes that arrive one target: one table holds one form of a column",
                    )
                )
            if targets and self._arrives(table.label):
                masked[number] = targets == {AWAY}
        columns = self._columns(masked)
        found, problems = decide(columns, self._references(columns), self.defaults)
        self.problems += problems
        return found

    def _arrives(self, label: str) -> bool:
        """Say whether rows of a table arrive at all; a scope is found again before any is read."""
        return self.closed is False or self.rows.get(label, 0) > 0

    def here(self) -> dict[Place, MaskedColumn]:
        """Decide about rows that stay. Keys and references stay as they are, for other rows refer by them."""
        masked = {
            number: True
            for number, table in enumerate(self.graph.tables)
            if any(one.source == HERE for one in classes_of(self.classes, (table.schema_name, table.name)))
        }
        columns = self._columns(masked)
        everywhere = self._columns(dict.fromkeys(range(len(self.graph.tables)), False))
        bound = {place for pair in self._references(everywhere) for place in pair}
        keys = {(table.label, column.name) for table in self.graph.tables for column in table.key}
        for place in (bound | keys) & columns.keys():
            entry = columns[place].entry
            if place in bound and entry and entry.kind in SHARED and not _is_clear(entry):
                self.problems.append(
                    Undecided(
                        place,
                        f"holds {entry.kind} and is referred to, so that it cannot be replaced in place",
                        "erase these rows, or write treatment: {strategy: clear} where it may stay",
                    )
                )
            if place in bound or not (entry and entry.kind in SHARED):
                del columns[place]
        found, problems = decide(columns, (), self.defaults)
        self.problems += [*problems, *self._colliding(found)]
        return found

    def _colliding(self, found: Mapping[Place, MaskedColumn]) -> Iterable[Undecided]:
        """Yield unique columns whose pseudonyms can be values that other rows still have."""
        for place, one in found.items():
            if one.pseudonym.strategy == "redact" or not self._room(place).unique:
                continue
            strategy = strategy_of(one.pseudonym.treatment)
            if strategy.strategy == "permute" or getattr(strategy, "realistic", False):
                said = f"{strategy.strategy} makes values that rows not yet masked can have, and it is unique"
                yield Undecided(place, said, "take token or another range in the data map")

    def _columns(self, masked: Mapping[int, bool]) -> dict[Place, Holding]:
        return {
            (table.label, column.name): Holding(
                self._room((table.label, column.name)),
                masked[number],
                self.entries.get((table.label, column.name)),
            )
            for number, table in enumerate(self.graph.tables)
            if number in masked
            for column in table.columns
            if not column.generated
        }

    def _room(self, place: Place) -> Room:
        table = next(one for one in self.graph.tables if one.label == place[0])
        facts = self.facts[table.schema_name, table.name]
        column = next(one for one in facts.columns if one.name == place[1])
        return Room(
            column.plain_type,
            unique=any(place[1] in names for names in facts.unique),
            nullable=not column.not_null,
            distinct=max(self.rows.get(table.label, table.rows_estimate), 1),
        )

    def _references(self, columns: Mapping[Place, Holding]) -> list[tuple[Place, Place]]:
        pairs = []
        for reference in self.graph.references:
            child, parent = (
                self.graph.tables[side.table].label for side in (reference.child, reference.parent)
            )
            for mine, theirs in zip(reference.child.columns, reference.parent.columns, strict=True):
                if (child, mine) in columns and (parent, theirs) in columns:
                    pairs.append(((child, mine), (parent, theirs)))
        return pairs

    def by_table(self, found: Mapping[Place, MaskedColumn]) -> dict[TableKey, tuple[MaskedColumn, ...]]:
        """Return the masked columns of every table that is planned; a partition has those of its table."""
        numbers = {name: number for name, (number, _) in self.graph.places.items()}
        return {
            name: masked
            for name, number in numbers.items()
            if (
                masked := tuple(
                    one for (label, _), one in found.items() if label == self.graph.tables[number].label
                )
            )
        }


def _is_clear(entry: ColumnEntry) -> bool:
    return bool(entry.treatment) and (entry.treatment or {}).get("strategy") == CLEAR


def _refused(context: Context, datamap: DataMap, problems: Sequence[Undecided]) -> DataMapInvalid:
    """Return one error that names line, column and remedy of each problem."""
    path = map_path(context.settings.datamaps, context.case.mapped_as)
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    places = {
        (label, name): ("datasets", number, "columns", name)
        for number, dataset in enumerate(datamap.datasets)
        for label in dataset.labels
        for name in dataset.columns
    }
    lines = []
    for one in sorted(problems, key=lambda problem: problem.place):
        line = line_of(root, places.get(one.place, ("datasets",)))
        name = ".".join(part for part in one.place if part)
        lines.append(f"line {line}, {name} {one.said}; {one.remedy}")
    return DataMapInvalid(
        f"what data map {path.name} and policy say of pseudonyms cannot be done:\n  " + "\n  ".join(lines),
        hint="correct the columns named above; a changed map needs a new run",
        columns=[".".join(one.place) for one in problems],
    )
