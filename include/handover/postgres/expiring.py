"""Closes a sweep over all references: rows whose time is over, with what shares their fate, and no others.

A row that is held stays, and so does every row to which one that stays refers: it waits for that one. Rows
that came along stay with the row they came with. Nothing is added for being needed: what only is needed
stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from psycopg import sql

from handover.model.scope import Along, Scope
from handover.postgres.closure import Between, Closure
from handover.postgres.keysets import KeySet, require_snapshot, scoped_rows
from handover.postgres.ordering import rows_of
from handover.postgres.references import Graph, Reference
from handover.postgres.selection import NO_ROW
from handover.postgres.session import Connection, database_errors


@dataclass(frozen=True)
class Kept:
    """Rows of a table whose time is over and that stay nevertheless. ``why``: a label or a word."""

    table: str
    why: str
    rows: int


class Expiring(Closure):
    """The rows that go as one session finds them; prepare outside a transaction, compute in a snapshot.

    ``held``: what finds rows that must stay. ``within``: what finds the rows of a person, where only of these
    any may go. Both are computed here.
    """

    def __init__(
        self,
        connection: Connection,
        graph: Graph,
        scope: Scope,
        held: Closure | None = None,
        within: Closure | None = None,
    ) -> None:
        """Prove all roots and make the temporary tables."""
        super().__init__(connection, following(graph, scope.along or ()), scope)
        self._coming = {graph.place(table)[0] for one in scope.along or () for table in one.tables}
        self._held = held
        self._within = within
        self.kept: list[Kept] = []

    def compute(self, between: Between) -> None:
        """Find all rows that go; ``between`` hears the rows added after each statement. Only once."""
        with database_errors("closing the sweep"):
            require_snapshot(self.connection)
            self._within_person(between)
            self._find_roots(between)
            self._follow_all(between, {}, down=True)
            if self._held:
                self._held.compute(between)
                for number, key_set in self.key_sets.items():
                    other = self._held.key_sets.get(number)
                    self._leave(number, _among(key_set, other) if other else NO_ROW, "it is held")
            self._settle(between)

    def _within_person(self, between: Between) -> None:
        """Let roots be the rows of one person alone; what comes along is theirs with whom it came."""
        if self._within:
            self._within.compute(between)
            own = self._within.key_sets
            self._consents = {
                number: scoped_rows(own[number], "owned") if number in own else NO_ROW
                for number in self.key_sets
            }

    def _settle(self, between: Between) -> None:
        """Leave what must stay beside rows that stay, until nothing changes any more."""
        changed = set(self.key_sets)
        first = True
        while changed or first:
            between(0)
            before, changed, first = changed, set(), False
            for reference in self.graph.references:
                child, parent = reference.child.table, reference.parent.table
                if (parent in before or child in before) and self._leave_referred(reference):
                    changed.add(parent)
            changed |= {number for number in self._coming & self.key_sets.keys() if self._leave_alone(number)}

    def _leave_referred(self, reference: Reference) -> int:
        """Leave the parents of rows that stay."""
        child, parent = reference.child, reference.parent
        if not self._rows[parent.table]:
            return 0
        label = self.graph.tables[child.table].label
        tests = [child.part.condition()]
        for equality, above, below in zip(reference.equalities, parent.columns, child.columns, strict=True):
            kept = sql.SQL("s.{}").format(sql.Identifier(self._stored[parent.table][above, parent.part]))
            tests.append(equality.test(kept, sql.SQL("t.{}").format(sql.Identifier(below))))
        if going := self.key_sets.get(child.table):
            tests.append(sql.SQL("NOT {}").format(scoped_rows(going)))
        condition = sql.SQL("EXISTS (SELECT FROM {} AS t WHERE {})").format(
            rows_of(self.graph.tables[child.table]), _all(tests)
        )
        return self._leave(parent.table, condition, f"{label} refers to it")

    def _leave_alone(self, number: int) -> int:
        """Leave rows that came along beside any one that they belong to and that stays.

        It is not enough that one of those goes: rows that belong to each other would take each other along.
        """
        if not self._rows[number]:
            return 0
        ways = []
        for reference in self.graph.references:
            child, parent = reference.child, reference.parent
            if reference.follow and child.table == number:
                tests = [
                    parent.part.condition(),
                    sql.SQL("NOT {}").format(scoped_rows(self.key_sets[parent.table])),
                ]
                for equality, above, below in zip(
                    reference.equalities, parent.columns, child.columns, strict=True
                ):
                    here = sql.SQL("s.{}").format(sql.Identifier(self._stored[number][below, child.part]))
                    tests.append(equality.test(sql.SQL("t.{}").format(sql.Identifier(above)), here))
                rows = rows_of(self.graph.tables[parent.table])
                ways.append(sql.SQL("EXISTS (SELECT FROM {} AS t WHERE {})").format(rows, _all(tests)))
        condition = sql.SQL(" OR ").join(ways) if ways else NO_ROW
        return self._leave(number, condition, "what it belongs to stays")

    def _leave(self, number: int, condition: sql.Composable, why: str) -> int:
        """Take rows out of those that go, by a condition on the alias ``s`` of their key set."""
        if not self._rows[number]:
            return 0
        key_set = self.key_sets[number]
        statement = sql.SQL("DELETE FROM {} AS s WHERE {}").format(key_set.place, condition)
        with database_errors(f"leaving rows of {key_set.table.label} that stay"):
            rows = self.connection.execute(statement).rowcount
        if rows:
            self._rows[number] -= rows
            self.kept.append(Kept(key_set.table.label, why, rows))
        return rows


def following(graph: Graph, along: Iterable[Along]) -> Graph:
    """Return the graph in which rows come along only with those whose fate they share."""
    groups = [(graph.place(one.table)[0], {graph.place(table)[0] for table in one.tables}) for one in along]

    def follows(reference: Reference) -> bool:
        child, parent = reference.child.table, reference.parent.table
        return any(child in tables and parent in tables | {bearing} for bearing, tables in groups)

    return replace(graph, references=[replace(one, follow=follows(one)) for one in graph.references])


def _among(key_set: KeySet, other: KeySet) -> sql.Composable:
    """Return the condition that a row of the alias ``s`` of a key set is in another one of its table."""
    orders = [column.order for column in key_set.table.key] or ["natural"]
    casts = [sql.SQL("::text" if order in ("text", "utf8") else "") for order in orders]
    tests: list[sql.Composable | None] = [
        sql.SQL("o.{}{} = s.{}{}").format(sql.Identifier(name), cast, sql.Identifier(name), cast)
        for name, cast in zip(key_set.columns(), casts, strict=True)
    ]
    return sql.SQL("EXISTS (SELECT FROM {} AS o WHERE {})").format(other.place, _all(tests))


def _all(tests: Iterable[sql.Composable | None]) -> sql.Composable:
    return sql.SQL(" AND ").join([test for test in tests if test is not None])
