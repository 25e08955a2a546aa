"""Which references lead to what is a person's own: those by which the data map says a row is theirs.

A row that leads to several persons is that of the first one whom it names: a loan is the borrower's, not the
officer's who handled it, unless it has no borrower. Where each way is for rows of its own (``when``) all of
them count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from handover.errors import CaseInvalid
from handover.model.datamap import DataMap, DataSet, SubjectPath
from handover.model.reconciliation import TableName
from handover.model.scope import Polymorphic, Root, Scope, VirtualKey
from handover.postgres.references import Graph
from handover.postgres.referring import read_graph
from handover.postgres.session import Connection
from handover.stages.subjects import Subject, equals, quoted, subject_scope

Way = tuple[str, frozenset[str], str]


def person_graph(
    connection: Connection,
    schemas: Sequence[str],
    datamap: DataMap,
    virtual_keys: Sequence[VirtualKey] = (),
    polymorphic: Sequence[Polymorphic] = (),
) -> Graph:
    """Return the references of a source that lead to a person's own rows, its data map's own among them.

    The session must be outside a transaction.
    """

    def read(keys: Sequence[VirtualKey]) -> Graph:
        declared = Scope.model_construct(roots=(), virtual_keys=tuple(keys), polymorphic=tuple(polymorphic))
        graph = read_graph(connection, schemas, declared)
        if found := [one for one in graph.problems if one.field]:
            raise CaseInvalid(
                f"nobody can say which rows are a person's: {found[0].said}", hint=found[0].remedy
            )
        return graph

    graph = read(virtual_keys)
    more = missing_keys(graph, datamap)
    return own_rows(read([*virtual_keys, *more]) if more else graph, datamap)


def own_rows(graph: Graph, datamap: DataMap) -> Graph:
    """Return the graph in which rows come along only with the person, or the rows, that they are about."""
    tables = {label: one.table.label for one in datamap.datasets for label in one.labels}
    ways = set(_ways(datamap))

    def follows(child: str, columns: tuple[str, ...], parent: str) -> bool:
        return (tables.get(child, child), frozenset(columns), tables.get(parent, parent)) in ways

    references = [
        replace(
            one,
            follow=follows(
                graph.tables[one.child.table].label, one.child.columns, graph.tables[one.parent.table].label
            ),
        )
        for one in graph.references
    ]
    return replace(graph, references=references)


def own_scope(graph: Graph, datamap: DataMap, subject: Subject) -> Scope:
    """Return where a person's own rows begin: with theirs, and with rows that lead to nobody before them."""
    instead = (one for each in datamap.datasets for one in _instead(graph, each, subject))
    return Scope(roots=(*subject_scope([subject]).roots, *instead))


def _instead(graph: Graph, dataset: DataSet, subject: Subject) -> Iterator[Root]:
    """Yield the rows of a table that lead to a person because they lead to nobody named before."""
    for number, path in enumerate(dataset.subject):
        earlier = [column for one in dataset.subject[:number] for column in one.by]
        if path.to != subject.table or path.when or not earlier or len(path.by) != len(subject.key):
            continue
        if (dataset.table.schema_name, dataset.table.name) not in graph.places:
            continue
        types, keys = _types(graph, dataset.table), _types(graph, subject.table)
        tests = [f"{quoted(one)} IS NULL" for one in earlier if one not in path.by]
        tests += [
            equals(column, value, as_text=types.get(column) != keys.get(name))
            for column, (name, value) in zip(path.by, subject.key.items(), strict=True)
        ]
        yield Root(table=dataset.table, where=" AND ".join(tests))


def _types(graph: Graph, table: TableName) -> dict[str, str]:
    return {column.name: column.type for column in graph.tables[graph.place(table)[0]].columns}


def every_path(dataset: DataSet) -> Iterable[SubjectPath]:
    """Return all ways of a table: what is held of a person is held for each of whom a row is."""
    return dataset.subject


def missing_keys(
    graph: Graph,
    datamap: DataMap,
    ways: Callable[[DataSet], Iterable[SubjectPath]] | None = None,
) -> tuple[VirtualKey, ...]:
    """Return keys for ways that lead straight to a person and that the database does not know.

    ``ways``: which of a table count; by default those of the person whom a row is about first of all.
    """
    known = {
        (
            graph.tables[one.child.table].label,
            frozenset(one.child.columns),
            graph.tables[one.parent.table].label,
        )
        for one in graph.references
    }
    keys = {one.table: path.by for one in datamap.datasets for path in one.subject if path.to is None}
    found = []
    for dataset in datamap.datasets:
        for path in (ways or own_paths)(dataset):
            way = (dataset.table.label, frozenset(path.by), path.to.label if path.to else "")
            if path.to is None or path.when or way in known or len(keys.get(path.to, ())) != len(path.by):
                continue
            found.append(
                VirtualKey(table=dataset.table, columns=path.by, references=path.to, to_columns=keys[path.to])
            )
    return tuple(found)


def own_paths(dataset: DataSet) -> Iterator[SubjectPath]:
    """Yield the ways to the person whom a row is about first of all."""
    first = True
    for path in dataset.subject:
        if first or path.when:
            yield path
        first = first and bool(path.when)


def _ways(datamap: DataMap) -> Iterator[Way]:
    for dataset in datamap.datasets:
        for path in own_paths(dataset):
            if path.to is not None:
                yield dataset.table.label, frozenset(path.by), path.to.label
