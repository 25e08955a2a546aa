"""Scoping: which rows a run is about, found when it is planned, and found again under its snapshot.

Both times the closure is computed at the source in one read-only transaction; what the plan says of rows,
keys and classes must still hold when rows are read. Keys lie in the vault alone, for the lanes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import cast

from psycopg import sql

from handover.errors import CaseInvalid, ScopeChanged
from handover.evidence.progress import Meter
from handover.model.backup import KeptKeys
from handover.model.catalog import Server, Table
from handover.model.datamap import DataMap
from handover.model.disposition import RowClass, classes_of
from handover.model.plan import ClassRows, PlannedScope, ScopedTable, TableScope
from handover.model.reconciliation import TableName
from handover.model.scope import Scope, ScopeProblem
from handover.postgres.closure import Closure, leading_nowhere, scope_problems
from handover.postgres.consents import ConsentTests
from handover.postgres.copying import cut_by_size
from handover.postgres.expiring import Expiring
from handover.postgres.keysets import KeySet, read_keys, scoped_rows
from handover.postgres.ordering import EVERY_ROW, rows_of
from handover.postgres.orphans import left_out, orphan_problems
from handover.postgres.references import Graph, Part, undecided
from handover.postgres.referring import read_graph
from handover.postgres.row_classes import checked_predicate, class_problems, classify_rows
from handover.postgres.selection import NO_ROW, key_set_of
from handover.postgres.session import Connection, connect, database_errors
from handover.postgres.types import Servers
from handover.stages.consents import consents_of, given_by_table, without_consent
from handover.stages.context import Context
from handover.stages.facts import count_facts
from handover.stages.holds import held_closure
from handover.stages.reading import begin_snapshot
from handover.stages.refusal import refused
from handover.stages.request_subjects import own_closure
from handover.stages.sampling import SHEET, sampling_sheet
from handover.stages.scope_changes import differences
from handover.stages.sweep_findings import record_findings, require_sound

# Without a scope all rows are in it: nothing leads anywhere, and no key has to be kept.
EVERYTHING = Scope.model_construct(roots=())
WHOLE = sql.SQL("SELECT count(*) FROM {}")


@dataclass(frozen=True)
class Scoping:
    """A scope made ready in a session outside a transaction; everything else happens in a snapshot of it."""

    context: Context
    connection: Connection
    graph: Graph
    closure: Closure | None
    consents: tuple[ConsentTests, ...]
    classes: Mapping[tuple[int, str], sql.Composable]

    def found(self, datamap: DataMap | None = None, progress: Meter | None = None) -> PlannedScope:
        """Close the scope in the open snapshot, and count; raises CaseInvalid for rows in no class."""

        def between(rows: int) -> None:
            self.context.honour_stop()
            if progress:
                progress.add(rows, 0)

        if self.closure:
            self.closure.compute(between)
            self._refuse_types_without_target()
        if not self.context.case.policy and (
            problems := without_consent(self.connection, self.graph, self.consents, self.inside)
        ):
            raise refused(self.context, problems)
        tables = [self._table(number) for number in range(len(self.graph.tables))]
        problems = [problem for _, found in tables for problem in found]
        left = left_out(self.graph, self.context.case.classes, self.classes)
        problems = problems or orphan_problems(self.connection, self.graph, left, self.condition)
        if problems:
            raise refused(self.context, problems)
        persons, facts = self._count(datamap) if datamap else ({}, {})
        return PlannedScope(tables=tuple(table for table, _ in tables), persons=persons, facts=facts)

    def _count(self, datamap: DataMap) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
        considered = self.closure.considered() if self.closure else {}
        return count_facts(self.context, self.connection, datamap, self.inside, considered, self.consents)

    def inside(self, table: TableName) -> sql.Composable:
        """Return the condition on the alias ``t`` that a row of a table, or a partition, is in scope.

        A table outside the schemas is none that moves. A data map names it because rows that move lead to
        the persons there, and nobody has looked to which of them: all of them count.
        """
        if (table.schema_name, table.name) not in self.graph.places:
            return EVERY_ROW
        return self.condition(*self.graph.place(table))

    def _refuse_types_without_target(self) -> None:
        scope = cast(Scope, self.context.case.scope)
        counts = leading_nowhere(self.connection, self.graph, scope)
        problems = [
            ScopeProblem(
                ("scope", "polymorphic", number, "targets"),
                f"{rows} rows of {link.table.label} have an id, but a type that no target names",
                "add the type, or correct the rows",
            )
            for number, (link, rows) in enumerate(zip(scope.polymorphic, counts, strict=True))
            if rows
        ]
        if problems:
            raise refused(self.context, problems)

    def _table(self, number: int) -> tuple[TableScope, list[ScopeProblem]]:
        table = self.graph.tables[number]
        classes = classes_of(self.context.case.classes, (table.schema_name, table.name))
        if self.closure:
            counted = self.closure.table_scope(number)
            owned, needed, total = counted.owned, counted.needed, counted.total
            digest = self.context.digest(counted.digest)
        else:
            with database_errors(f"counting rows of {table.label}"):
                rows = self.connection.execute(WHOLE.format(rows_of(table))).fetchall()
            owned = total = int(str(rows[0][0]))
            needed, digest = 0, ""
        found = TableScope(
            table=table.label, owned=owned, needed=needed, total=total, keys_digest=digest, classes=()
        )
        by_class, problems = self._classified(number, table, classes, found.rows)
        return found.model_copy(update={"classes": by_class}), problems

    def _classified(
        self, number: int, table: Table, classes: tuple[RowClass, ...], rows: int
    ) -> tuple[tuple[ClassRows, ...], list[ScopeProblem]]:
        if len(classes) == 1 and classes[0].where is None:
            counts, problems = {classes[0].name: rows}, []
        else:
            conditions = {one.name: self.classes.get((number, one.name), EVERY_ROW) for one in classes}
            found = classify_rows(self.connection, rows_of(table), conditions, self.condition(number))
            counts, problems = found.by_class, class_problems(("classes",), table.label, found)
        made = tuple(
            ClassRows(name=one.name, target=one.target, source=one.source, rows=counts[one.name])
            for one in classes
        )
        return made, problems

    def condition(self, number: int, part: Part | None = None) -> sql.Composable:
        """Return the condition on the alias ``t`` that a row of a table, or of a part of it, is in scope."""
        if self.closure is None:
            inside: sql.Composable = EVERY_ROW
        else:
            key_set = self.closure.key_sets.get(number)
            inside = scoped_rows(key_set) if key_set else NO_ROW
        tests = [inside, part.condition() if part else None]
        return sql.SQL(" AND ").join([test for test in tests if test is not None])

    def sampled(self, found: PlannedScope) -> Iterator[tuple[Table, KeySet | None]]:
        """Yield each table with rows in scope, and its key set unless all its rows are."""
        for number, (table, inside) in enumerate(zip(self.graph.tables, found.tables, strict=True)):
            if inside.rows:
                closure = self.closure if inside.rows < inside.total else None
                yield table, closure.key_sets[number] if closure else None

    def kept(self, found: PlannedScope, generation: int) -> tuple[KeptKeys, ...]:
        """Put the keys that lanes need into the vault; call it in the same snapshot as ``found``."""
        return tuple(self._kept(number, found, generation) for number in range(len(self.graph.tables)))

    def _kept(self, number: int, found: PlannedScope, generation: int) -> KeptKeys:
        table, rows = self.graph.tables[number], found.tables[number]
        parts = [name for name, (of, part) in self.graph.places.items() if of == number and part != Part()]
        scoped = ScopedTable(table=table, parts=tuple(parts), rows=rows.rows, total=rows.total)
        if self.closure is None or key_set_of(number, scoped) is None:
            return KeptKeys(scoped=scoped)
        stream = read_keys(self.connection, self.closure.key_sets[number])
        with database_errors(f"keeping the keys of {table.label}"):
            objects = [
                self.context.put(
                    self.context.label(generation, "keys", table.label, place),
                    chunk.data,
                    f"keys/{number:05}-{place:05}",
                )
                for place, chunk in enumerate(cut_by_size(stream))
            ]
        return KeptKeys(scoped=scoped, objects=tuple(objects))


def is_scoped(context: Context) -> bool:
    """Say whether a plan has to say which rows it is about."""
    case = context.case
    return bool(case.scope or case.classes or case.policy or case.consents)


def prepare(context: Context, connection: Connection, servers: Servers) -> Scoping:
    """Make a scope ready in a session outside a transaction; raises CaseInvalid with every problem in it."""
    case = context.case
    scope = case.scope
    with database_errors("reading the references between tables"):
        graph = read_graph(connection, case.source.schemas, scope or EVERYTHING, servers)
    problems = _under(scope_problems(connection, graph, scope)) if scope else []
    if scope and scope.along is None and not problems:
        problems = [
            ScopeProblem(
                ("scope", "decided"),
                f"nothing reaches table {label}, and nobody decided about it",
                "add an entry with rows: all or rows: none, or a key that leads there",
            )
            for label in undecided(graph, scope)
        ]
    classes, found = _prove_classes(context, connection, graph)
    if problems + found:
        raise refused(context, problems + found)
    consents = consents_of(context, connection)
    given = given_by_table(context, graph, consents)
    closure = _closure(context, connection, graph, given)
    return Scoping(context, connection, graph, closure, consents, classes)


def _closure(
    context: Context, connection: Connection, graph: Graph, given: Mapping[int, sql.Composable]
) -> Closure | None:
    scope = context.case.scope
    if scope is None or scope.along is None:
        return Closure(connection, graph, scope, given) if scope else None
    within = own_closure(context, connection, "within")
    return Expiring(connection, graph, scope, held_closure(context, connection), within)


def _under(problems: list[ScopeProblem]) -> list[ScopeProblem]:
    return [ScopeProblem(("scope", *one.field), one.said, one.remedy) for one in problems]


def _prove_classes(
    context: Context, connection: Connection, graph: Graph
) -> tuple[dict[tuple[int, str], sql.Composable], list[ScopeProblem]]:
    """Return the proven predicate of each class of each table, and what is wrong with classes."""
    proven: dict[tuple[int, str], sql.Composable] = {}
    problems = []
    for place, one in enumerate(context.case.classes):
        for at, table in enumerate(one.tables):
            number, part = graph.places.get((table.schema_name, table.name), (-1, Part()))
            if number < 0 or part != Part():
                said = "is no table of source.schemas" if number < 0 else "is a partition"
                remedy = "correct the name" if number < 0 else "name the partitioned table"
                problems.append(
                    ScopeProblem(("classes", place, "tables", at), f"{table.label} {said}", remedy)
                )
            elif one.where:
                try:
                    proven[number, one.name] = checked_predicate(
                        connection, table.schema_name, table.name, one.where
                    )
                except CaseInvalid as error:
                    problems.append(ScopeProblem(("classes", place, "where"), error.message, error.hint))
    return proven, problems


def plan_scope(
    context: Context,
    ends: Sequence[Server],
    datamap: DataMap | None = None,
    progress: Meter | None = None,
) -> PlannedScope | None:
    """Return what the case is about as the source is now, and record a sample of it for the supervisor.

    None when nothing in the case asks for it.
    """
    if not is_scoped(context):
        return None
    with closing(connect(context.source, read_only=True)) as connection:
        require_sound(context, connection)
        scoping = prepare(context, connection, Servers.of(ends))
        begin_snapshot(connection)
        found = scoping.found(datamap, progress)
        same_major = len({server.major for server in ends}) == 1
        sheet = sampling_sheet(context, connection, scoping.sampled(found), same_major=same_major)
        context.record(SHEET, sheet)
        if isinstance(scoping.closure, Expiring):
            record_findings(context, scoping.closure.kept, datamap)
    return found


def settle(scoping: Scoping, planned: PlannedScope, generation: int) -> tuple[KeptKeys, ...]:
    """Find the scope again in the snapshot that is open; raises ScopeChanged when it is another one.

    Returns what lanes need to read the same rows.
    """
    found = scoping.found()
    if scoping.closure is not None and (changed := differences(planned, found)):
        raise ScopeChanged(
            "the rows in scope are not those of the plan any more:\n  " + "\n  ".join(changed),
            hint="freeze the source or narrow the scope to rows that do not change, then clear plan with "
            "downstream: the new plan is approved anew",
            tables=changed,
        )
    return scoping.kept(found, generation)
