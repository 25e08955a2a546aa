"""References between the tables of a case: foreign keys of the database and those that the scope declares.

A table is a plain table, an inheritance parent or child by its own rows, or a partitioned table as a whole.
A reference may concern only some rows of its tables: those of one partition, or of one type.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from psycopg import sql

from handover.model.catalog import Table
from handover.model.reconciliation import TableName
from handover.model.scope import Scope, ScopeProblem

Pair = tuple[str, str]


@dataclass(frozen=True)
class Part:
    """Some rows of a table: those in ``leaves``, of a ``type_value``, or all of them."""

    leaves: tuple[int, ...] = ()
    type_column: str = ""
    type_value: str = ""

    def condition(self) -> sql.Composable | None:
        """Return the condition on the alias ``t``, None for all rows."""
        tests = []
        if self.leaves:
            tests.append(sql.SQL("t.tableoid = ANY({}::oid[])").format(sql.Literal(list(self.leaves))))
        if self.type_column:
            column = sql.SQL("t.{}").format(sql.Identifier(self.type_column))
            tests.append(sql.SQL("{} = {}").format(column, sql.Literal(self.type_value)))
        return sql.SQL(" AND ").join(tests) if tests else None


@dataclass(frozen=True)
class Side:
    """One side of a reference: a table, by its number, its columns and the rows concerned."""

    table: int
    columns: tuple[str, ...]
    part: Part = Part()


@dataclass(frozen=True)
class Equality:
    """How the server compares a column of the parent, on the left, with one of the child."""

    operator: Pair
    collation: Pair | None

    def test(self, parent: sql.Composable, child: sql.Composable) -> sql.Composable:
        """Return the comparison of two expressions."""
        locale = (
            sql.SQL(" COLLATE {}").format(sql.Identifier(*self.collation)) if self.collation else sql.SQL("")
        )
        schema, name = self.operator
        return sql.SQL("{} OPERATOR({}.{}) {}{}").format(
            parent, sql.Identifier(schema), sql.SQL(name), child, locale
        )


@dataclass(frozen=True)
class Reference:
    """A child's columns refer to a parent's. ``one_parent``: a child has at most one, by a unique key.

    ``follow``: children come along with their parent.
    """

    label: str
    child: Side
    parent: Side
    equalities: tuple[Equality, ...]
    follow: bool
    one_parent: bool


@dataclass
class Graph:
    """The tables of a case, by number, and the references between them; ``problems`` are in the scope."""

    tables: tuple[Table, ...]
    places: dict[Pair, tuple[int, Part]]
    references: list[Reference] = field(default_factory=list)
    problems: list[ScopeProblem] = field(default_factory=list)

    def place(self, name: TableName) -> tuple[int, Part]:
        """Return the number of a table, or of the one that a partition belongs to, and which rows."""
        return self.places[name.schema_name, name.name]


def reached(graph: Graph, scope: Scope) -> set[int]:
    """Return the numbers of the tables to which some way leads, whether or not a row goes there."""
    owned = _closed({graph.place(r.table)[0] for r in scope.roots}, _ways(graph, down=True))
    whole = {graph.place(d.table)[0] for d in scope.decided if d.rows == "all"}
    return _closed(owned | whole, _ways(graph, down=False))


def undecided(graph: Graph, scope: Scope) -> list[str]:
    """Return the labels of the tables that nothing reaches and about which nobody has decided."""
    settled = reached(graph, scope) | {graph.place(d.table)[0] for d in scope.decided}
    return [table.label for number, table in enumerate(graph.tables) if number not in settled]


def contradictions(graph: Graph, scope: Scope) -> list[ScopeProblem]:
    """Return a problem for each table that shall have no row in scope although some way leads there."""
    there = reached(graph, scope)
    return [
        ScopeProblem(
            ("decided", number), f"{decision.table.label} is reached by references", "take the entry out"
        )
        for number, decision in enumerate(scope.decided)
        if decision.rows == "none" and graph.place(decision.table)[0] in there
    ]


def reaches(graph: Graph) -> list[set[int]]:
    """Return for each table those below it: its children, theirs, and so on; itself if it is in a circle."""
    ways = _ways(graph, down=True, all_of_them=True)
    return [_closed(ways[number], ways) for number in range(len(graph.tables))]


def _ways(graph: Graph, *, down: bool, all_of_them: bool = False) -> dict[int, set[int]]:
    """Return where each table leads: down to its children, where they come along, or up to its parents."""
    ways: dict[int, set[int]] = {number: set() for number in range(len(graph.tables))}
    for reference in graph.references:
        if not down:
            ways[reference.child.table].add(reference.parent.table)
        elif reference.follow or all_of_them:
            ways[reference.parent.table].add(reference.child.table)
    return ways


def _closed(start: set[int], ways: dict[int, set[int]]) -> set[int]:
    found, waiting = set(start), list(start)
    while waiting:
        for number in ways[waiting.pop()] - found:
            found.add(number)
            waiting.append(number)
    return found
