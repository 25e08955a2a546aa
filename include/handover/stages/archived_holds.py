"""Which rows of an archived term a hold keeps, told by the references of the source and the rows themselves.

Told is a hold on one person or on a table, where each row of the term is the hold's root or refers to it
itself. Whatever else may make a row held (references over several tables, rows elsewhere that need it, tables
that changed since) cannot be told from the archive alone: such a hold keeps the whole term.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from handover.archive.selecting import Match
from handover.errors import HandoverError, NotReady
from handover.model.archive import Archive, ArchivedTable
from handover.model.hold import DataHold
from handover.postgres.references import Graph, Part, Reference, reaches
from handover.postgres.session import connect
from handover.stages.context import Context
from handover.stages.holds import held_graph
from handover.stages.subjects import Subject

TOLD = ("subject", "table")
Matches = Mapping[str, tuple[Match, ...]]
_INTEGERS = ("smallint", "integer", "bigint")
_INTEGER = re.compile("0|-?[1-9][0-9]{0,18}")
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EQUALS = re.compile(r"""("(?:[^"]|"")+")(?:::text)? = ('(?:[^']|'')*')(?:::text)?( AND |$)""")


@dataclass(frozen=True)
class Untold:
    """Why nobody can tell a hold's rows in a term from the others."""

    hold: DataHold
    why: str


def matches_of(
    context: Context, archive: Archive, number: int, holds: Sequence[DataHold]
) -> tuple[dict[str, Matches], list[Untold]]:
    """Return what names the rows of a term that each hold keeps, by hold and table, and who cannot be told.

    Asks the source for its references; where it does not answer, no hold can be told.
    """
    untold = [Untold(one, f"it is on {one.over}") for one in holds if one.what not in TOLD]
    wanted = [one for one in holds if one.what in TOLD]
    if not wanted:
        return {}, untold
    try:
        graph = _graph(context, archive)
    except HandoverError as problem:
        return {}, untold + [Untold(one, problem.message) for one in wanted]
    numbers = {part.table for part in archive.of_term(number) if part.rows}
    tables = [one for one in archive.tables if one.number in numbers]
    found: dict[str, Matches] = {}
    for hold in wanted:
        try:
            found[hold.id] = held_in(graph, tables, hold)
        except NotReady as problem:
            untold.append(Untold(hold, problem.message))
    return found, untold


def held_in(graph: Graph, tables: Sequence[ArchivedTable], hold: DataHold) -> Matches:
    """Return what names the rows of archived tables that a hold keeps; NotReady where nobody can tell."""
    below = _Below.of(graph, hold)
    return {table.label: tuple(below.matches(table)) for table in tables}


def _graph(context: Context, archive: Archive) -> Graph:
    """Return the references of the source; raises NotReady when an archived table had others."""
    if not context.source:
        raise NotReady("the source cannot be asked for its references")
    with closing(connect(context.source, read_only=True)) as connection:
        graph = held_graph(context, connection)
    known = {(one.child.table, one.child.columns, one.parent.table) for one in graph.references}
    for table in archive.tables:
        child = _place(graph, table.schema_name, table.name)[0]
        for key in table.foreign_keys:
            if key.schema_name not in context.case.source.schemas:
                continue  # holds follow no reference that leads out of the case's schemas
            if (child, key.columns, _place(graph, key.schema_name, key.table)[0]) not in known:
                raise NotReady(f"{table.label} refers to other rows than when it was archived")
    return graph


def _place(graph: Graph, schema: str, name: str) -> tuple[int, Part]:
    if (schema, name) not in graph.places:
        raise NotReady(f"{schema}.{name} is not in the source any more")
    return graph.places[schema, name]


@dataclass(frozen=True)
class _Below:
    """The tables that can have rows which a hold keeps, and how these are known."""

    graph: Graph
    root: int
    owned: set[int]
    needed: set[int]
    key: Mapping[str, str] | None

    @classmethod
    def of(cls, graph: Graph, hold: DataHold) -> _Below:
        """Return what there is below a hold; ``key``: of the person, None for all rows of the table."""
        if hold.table is None:
            raise NotReady(f"it is on {hold.over}")
        root, part = _place(graph, hold.table.schema_name, hold.table.name)
        owned = reaches(graph)[root]
        if part != Part():
            raise NotReady(f"{hold.table.label} is a partition")
        key = key_of(hold) if hold.what == "subject" else None
        if key and _ways(graph, root, {root, *owned}):
            raise NotReady(f"other rows of {hold.table.label} may be held with that one")
        return cls(graph, root, owned, _needed(graph, root, owned), key)

    def matches(self, table: ArchivedTable) -> Iterator[Match]:
        """Yield what names the held rows of an archived table; raises NotReady where nobody can tell."""
        number, _ = _place(self.graph, table.schema_name, table.name)
        if number in self.needed:
            raise NotReady(f"held rows elsewhere may need rows of {table.label}")
        if number == self.root:
            columns = tuple(self.key or ())
            yield self._match(table, columns, columns)
        elif number in self.owned:
            for reference in _ways(self.graph, number, {self.root, *self.owned}):
                if reference.parent.table != self.root or not _is_whole(reference):
                    raise NotReady(f"rows of {table.label} may be held by way of other tables")
                yield self._match(table, reference.child.columns, reference.parent.columns)

    def _match(self, table: ArchivedTable, columns: tuple[str, ...], of_root: tuple[str, ...]) -> Match:
        types = {column.name: column.type for column in table.columns}
        if set(columns) - types.keys():
            raise NotReady(f"a column of {table.label} by which rows are known is not archived")
        if self.key is None:
            return Match(columns)
        root = {column.name: column.type for column in self.graph.tables[self.root].columns}
        if set(of_root) != self.key.keys() or not of_root:
            raise NotReady(f"rows of {table.label} refer to the person by other columns than its key")
        for ours, theirs in zip(columns, of_root, strict=True):
            if not _is_exact(types[ours], root.get(theirs, ""), self.key[theirs]):
                raise NotReady(f"equal values of {table.label} may be written in several ways")
        return Match(columns, tuple(self.key[theirs] for theirs in of_root))


def _ways(graph: Graph, child: int, parents: set[int]) -> list[Reference]:
    """Return the references by which rows of a table become held with those of others."""
    return [one for one in graph.references if one.child.table == child and one.parent.table in parents]


def _needed(graph: Graph, root: int, owned: set[int]) -> set[int]:
    """Return the tables of which held rows may need other rows than those by which they are held."""
    inside, needed = {root, *owned}, set[int]()
    while True:
        more = {
            one.parent.table
            for one in graph.references
            if one.child.table in inside | needed
            and (one.child.table in needed or not _is_own_way(graph, one, root, inside))
        }
        if more <= needed:
            return needed
        needed |= more


def _is_own_way(graph: Graph, one: Reference, root: int, inside: set[int]) -> bool:
    """Say whether the row that a held one needs by a reference is surely the one by which it is held."""
    parent = {column.name for column in graph.tables[one.parent.table].key}
    is_one = one.one_parent or parent == set(one.parent.columns)
    return is_one and one.child.table != root and _ways(graph, one.child.table, inside) == [one]


def _is_whole(one: Reference) -> bool:
    return one.child.part == one.parent.part == Part()


def _is_exact(child: str, parent: str, value: str) -> bool:
    """Say whether rows with a value are just those with its text, in the columns of both tables."""
    if child in _INTEGERS and parent in _INTEGERS:
        return bool(_INTEGER.fullmatch(value))
    return child == parent == "uuid" and bool(_UUID.fullmatch(value))


def key_of(hold: DataHold) -> dict[str, str]:
    """Return the key of a held person; raises NotReady for a predicate that is not just one."""
    parts = list(_EQUALS.finditer(hold.where))
    key = {_unquoted(part[1]): _unquoted(part[2]) for part in parts}
    if hold.table is None or not key or Subject(hold.table, key, "").where != hold.where:
        raise NotReady("the person is not named by a key")
    return key


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])
