"""Closes a scope over all references: owned rows with their children, then the parents that they need.

Everything happens in the server, in one session and one snapshot: rows are collected in temporary tables,
one for each table that references lead to, and each statement follows one reference from the rows that
are new since it was last followed. handover.model.scope says what the two marks mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from psycopg import sql

from handover.errors import CaseInvalid
from handover.model.scope import Scope, ScopeProblem
from handover.postgres.keysets import KeySet, create_key_sets, keys_digest, require_snapshot, writing
from handover.postgres.ordering import rows_of
from handover.postgres.references import Graph, Part, Reference, Side, contradictions, reached, reaches
from handover.postgres.row_classes import SCAN_SECONDS, checked_predicate
from handover.postgres.session import Connection, database_errors, fetch

# A key set that grew by this factor since it was last analysed is analysed again before it is joined.
STALE = 1.2
NO_KEYS = hashlib.sha256().digest()
Between = Callable[[int], None]
Stored = dict[tuple[str, Part], str]


@dataclass(frozen=True)
class TableScope:
    """What of a table is in scope, in rows. ``digest``: SHA-256 of its key set; publish keyed ones."""

    label: str
    owned: int
    needed: int
    total: int
    digest: bytes


def scope_problems(connection: Connection, graph: Graph, scope: Scope) -> list[ScopeProblem]:
    """Return everything that the database refuses in a scope; the session must be outside a transaction."""
    if graph.problems:
        return graph.problems
    found = contradictions(graph, scope)
    for number, root in enumerate(scope.roots):
        try:
            checked_predicate(connection, root.table.schema_name, root.table.name, root.where)
        except CaseInvalid as error:
            found.append(ScopeProblem(("roots", number, "where"), error.message, error.hint))
    return found


class Closure:
    """The rows in scope as one session finds them: prepare outside a transaction, compute in a snapshot."""

    def __init__(
        self,
        connection: Connection,
        graph: Graph,
        scope: Scope,
        consents: Mapping[int, sql.Composable] | None = None,
        prefix: str = "scope",
    ) -> None:
        """Prove the roots and make the temporary tables; the scope must be free of problems.

        ``prefix`` tells the temporary tables of several closures in one session apart.
        ``consents``: by the number of a table, a further condition on the alias ``t`` for roots in it,
        whether they name the table or a partition.
        """
        self.connection, self.graph, self.scope = connection, graph, scope
        self._consents = consents or {}
        self._roots = [
            checked_predicate(connection, r.table.schema_name, r.table.name, r.where) for r in scope.roots
        ]
        # Only of tables that can have rows in scope; thousands of others cost nothing.
        reachable = sorted(reached(graph, scope))
        self.key_sets = {n: KeySet(graph.tables[n], f"{prefix}_{n}") for n in reachable}
        self._stored = _stored(graph)
        self._below = reaches(graph)
        for number in self.key_sets:
            self._prepare(number)
        # By table: the last step that added rows, how many there are, and were when they were analysed.
        self._last = [0] * len(graph.tables)
        self._rows = [0] * len(graph.tables)
        self._analysed = [0] * len(graph.tables)
        self._step = 0

    def _prepare(self, number: int) -> None:
        """Make a table's key set. In a circle it is visited often; indexed, a visit costs what it adds."""
        key_set = self.key_sets[number]
        more = {name: _value(*what) for what, name in self._stored[number].items()}
        create_key_sets(self.connection, [key_set], {key_set.name: {**more, "step": sql.SQL("0")}})
        if number in self._below[number]:
            for columns in filter(None, (["step"], key_set.indexed())):
                with writing(self.connection):
                    names = sql.SQL(", ").join(map(sql.Identifier, columns))
                    self.connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(key_set.place, names))

    def considered(self) -> dict[str, sql.Composable]:
        """Return for each root's table, by label, the condition that they name a row, whoever consents."""
        found: dict[str, list[sql.Composable]] = {}
        for root, predicate in zip(self.scope.roots, self._roots, strict=True):
            number, part = self.graph.place(root.table)
            named = sql.SQL("({} AND {})").format(part.condition() or sql.SQL("true"), predicate)
            found.setdefault(self.graph.tables[number].label, []).append(named)
        return {label: sql.SQL(" OR ").join(named) for label, named in found.items()}

    def compute(self, between: Between) -> None:
        """Find all rows in scope; ``between`` hears the rows added after each statement. Only once."""
        with database_errors("closing the scope"):
            require_snapshot(self.connection)
            roots = self._find_roots(between)
            followed = self._follow_all(between, {}, down=True)
            settled = self._settled(roots, followed)
            for decision in self.scope.decided:
                if decision.rows == "all":
                    between(self._add(self.graph.place(decision.table)[0], [], owned=False))
            self._follow_all(between, settled, down=False)

    def _find_roots(self, between: Between) -> set[int]:
        """Add the root rows, with a limit on the time of each predicate; returns their tables."""
        limit = sql.SQL("SET LOCAL statement_timeout = {}")
        found = set()
        for root, predicate in zip(self.scope.roots, self._roots, strict=True):
            table, part = self.graph.place(root.table)
            self.connection.execute(limit.format(sql.Literal(f"{SCAN_SECONDS}s")))
            conditions = [part.condition(), predicate, self._consents.get(table)]
            between(self._add(table, conditions, owned=True))
            self.connection.execute(limit.format(sql.Literal(0)))
            found.add(table)
        return found

    def _settled(self, roots: set[int], followed: dict[int, int]) -> dict[int, int]:
        """Return the references by which all owned children came, so that their parents are there."""
        ways: dict[int, set[int]] = {}
        for number, added in followed.items():
            if added:
                ways.setdefault(self.graph.references[number].child.table, set()).add(number)
        return {
            number: self._last[reference.child.table]
            for number, reference in enumerate(self.graph.references)
            if reference.one_parent
            and reference.child.table not in roots
            and ways.get(reference.child.table) == {number}
        }

    def _follow_all(self, between: Between, done: dict[int, int], *, down: bool) -> dict[int, int]:
        """Follow references until no row is added; returns the rows that each one added.

        ``done``: by reference, the step up to which its rows are followed. A table is left only when what
        leads to it was followed, so that without circles every reference is followed once.
        """
        ways = {n: r for n, r in enumerate(self.graph.references) if r.follow or not down}
        added = dict.fromkeys(ways, 0)
        while waiting := [n for n, r in ways.items() if self._last[_from(r, down).table] > done.get(n, 0)]:
            number = min(waiting, key=lambda n: self._rank(_from(ways[n], down).table, down))
            upto = self._last[_from(ways[number], down).table]
            rows = self._follow(ways[number], done.get(number, 0), down)
            between(rows)
            added[number] += rows
            done[number] = upto
        return added

    def _rank(self, table: int, down: bool) -> int:
        """Order tables so that every one comes after those that lead to it: more lies below a parent."""
        return -len(self._below[table]) if down else len(self._below[table])

    def _follow(self, reference: Reference, after: int, down: bool) -> int:
        source, target = _from(reference, down), _from(reference, not down)
        tests: list[sql.Composable] = [sql.SQL("s.step > {}").format(sql.Literal(after))] if after else []
        for equality, here, there in zip(reference.equalities, source.columns, target.columns, strict=True):
            kept = sql.SQL("s.{}").format(sql.Identifier(self._stored[source.table][here, source.part]))
            read = sql.SQL("t.{}").format(sql.Identifier(there))
            tests.append(equality.test(kept, read) if down else equality.test(read, kept))
        found = sql.SQL("EXISTS (SELECT FROM {} AS s WHERE {})").format(
            self.key_sets[source.table].place, sql.SQL(" AND ").join(tests)
        )
        with database_errors(f"following {reference.label}"):
            return self._add(target.table, [target.part.condition(), found], owned=down)

    def _add(self, number: int, conditions: list[sql.Composable | None], *, owned: bool) -> int:
        """Add the rows of a table that meet all conditions and are not yet there; returns how many."""
        key_set = self.key_sets[number]
        tests = [condition for condition in conditions if condition is not None]
        if self._last[number]:
            known = sql.SQL("NOT EXISTS (SELECT FROM {} AS k WHERE {})").format(key_set.place, key_set.same())
            tests.append(known)
        values = {**key_set.columns(), **{name: _value(*what) for what, name in self._stored[number].items()}}
        self._step += 1
        statement = sql.SQL(
            "INSERT INTO {} ({}, owned, step) SELECT {}, {}, {} FROM {} AS t WHERE {}"
        ).format(
            key_set.place,
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(values.values()),
            sql.Literal(owned),
            sql.Literal(self._step),
            rows_of(key_set.table),
            sql.SQL(" AND ").join(tests) if tests else sql.SQL("true"),
        )
        with database_errors(f"finding rows of {key_set.table.label} in scope"):
            added = self.connection.execute(statement).rowcount
            if added:
                self._last[number] = self._step
                self._rows[number] += added
                self._analyse(number)
        return added

    def _analyse(self, number: int) -> None:
        if self._rows[number] > self._analysed[number] * STALE:
            self.connection.execute(sql.SQL("ANALYZE {}").format(self.key_sets[number].place))
            self._analysed[number] = self._rows[number]

    def table_scope(self, number: int) -> TableScope:
        """Count what was found of a table, and digest its keys."""
        table, key_set = self.graph.tables[number], self.key_sets.get(number)
        with database_errors(f"counting rows of {table.label} in scope"):
            count = sql.SQL("SELECT count(*) FROM {}").format(rows_of(table))
            total = int(str(fetch(self.connection, count)[0][0]))
            if key_set is None:
                return TableScope(table.label, 0, 0, total, NO_KEYS)
            counts = sql.SQL(
                "SELECT count(*) FILTER (WHERE owned), count(*) FILTER (WHERE NOT owned) FROM {}"
            )
            marks = fetch(self.connection, counts.format(key_set.place))[0]
            owned, needed = (int(str(rows)) for rows in marks)
        return TableScope(table.label, owned, needed, total, keys_digest(self.connection, key_set))


def leading_nowhere(connection: Connection, graph: Graph, scope: Scope) -> list[int]:
    """Count for each polymorphic entry the rows that have an id, but a type that no target names."""
    counts = []
    for link in scope.polymorphic:
        number, part = graph.place(link.table)
        kinds = [Part(part.leaves, link.type_column, value).condition() for value in link.targets]
        query = sql.SQL(
            "SELECT count(*) FROM {} AS t WHERE {} AND t.{} IS NOT NULL AND ({}) IS NOT TRUE"
        ).format(
            rows_of(graph.tables[number]),
            part.condition() or sql.SQL("true"),
            sql.Identifier(link.id_column),
            sql.SQL(" OR ").join([kind for kind in kinds if kind is not None]),
        )
        with database_errors(f"counting rows of {link.table.label} that lead nowhere"):
            counts.append(int(str(fetch(connection, query)[0][0])))
    return counts


def _stored(graph: Graph) -> list[Stored]:
    """Name, for each table, the columns that a key set keeps beside the key: those of all references."""
    found: list[Stored] = [{} for _ in graph.tables]
    for reference in graph.references:
        for side in (reference.child, reference.parent):
            for column in side.columns:
                found[side.table].setdefault((column, side.part), f"r{len(found[side.table])}")
    return found


def _from(reference: Reference, down: bool) -> Side:
    return reference.parent if down else reference.child


def _value(column: str, part: Part) -> sql.Composable:
    """Return a column's value, NULL in rows that the reference does not concern: NULL refers to nothing."""
    value = sql.SQL("t.{}").format(sql.Identifier(column))
    condition = part.condition()
    return sql.SQL("CASE WHEN {} THEN {} END").format(condition, value) if condition else value
