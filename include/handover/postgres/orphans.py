"""Rows that would arrive without a row that they refer to, because a class keeps that one from the target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from psycopg import sql

from handover.model.disposition import RowClass, classes_of, is_backed_up
from handover.model.scope import ScopeProblem
from handover.postgres.ordering import EVERY_ROW, rows_of
from handover.postgres.references import Graph, Part, Reference
from handover.postgres.selection import NO_ROW
from handover.postgres.session import Connection, database_errors, fetch

# The condition on the alias ``t`` that a row of a table, by its number, or of a part of it is in scope.
Inside = Callable[[int, Part | None], sql.Composable]


def left_out(
    graph: Graph, classes: Iterable[RowClass], proven: Mapping[tuple[int, str], sql.Composable]
) -> dict[int, sql.Composable]:
    """Return for each table with classes of which nothing arrives the condition that a row is of one.

    ``proven``: the predicates of classes that have one, by table and name.
    """
    every_class = tuple(classes)
    found: dict[int, list[sql.Composable]] = {}
    for number, table in enumerate(graph.tables):
        for one in classes_of(every_class, (table.schema_name, table.name)):
            if not is_backed_up(one.target, one.source):
                found.setdefault(number, []).append(proven.get((number, one.name), EVERY_ROW))
    return {number: sql.SQL(" OR ").join(tests) for number, tests in found.items()}


def orphan_problems(
    connection: Connection, graph: Graph, gone: Mapping[int, sql.Composable], inside: Inside
) -> list[ScopeProblem]:
    """Return a problem for each reference by which rows would arrive without their parent.

    ``gone``: what left_out returns.
    """
    problems = []
    for reference in graph.references:
        if reference.parent.table not in gone:
            continue
        child, parent = (graph.tables[side.table].label for side in (reference.child, reference.parent))
        with database_errors(f"following {reference.label}"):
            query = _query(graph, reference, gone, inside)
            rows = int(str(fetch(connection, query)[0][0]))
        if rows:
            said = f"{rows} rows of {child} would arrive without the row of {parent} that they refer to"
            remedy = "give both rows classes with one target, or take them out of the scope"
            problems.append(ScopeProblem(("classes",), said, remedy))
    return problems


def _query(
    graph: Graph, reference: Reference, gone: Mapping[int, sql.Composable], inside: Inside
) -> sql.Composable:
    child, parent = reference.child, reference.parent
    names = [sql.Identifier(f"p{number}") for number in range(len(parent.columns))]
    kept = [
        sql.SQL("t.{} AS {}").format(sql.Identifier(column), name)
        for column, name in zip(parent.columns, names, strict=True)
    ]
    same = [
        equality.test(sql.SQL("p.{}").format(name), sql.SQL("t.{}").format(sql.Identifier(column)))
        for equality, name, column in zip(reference.equalities, names, child.columns, strict=True)
    ]
    return sql.SQL(
        "SELECT count(*) FROM {} AS t WHERE {} AND ({}) IS NOT TRUE AND EXISTS"
        " (SELECT FROM (SELECT {} FROM {} AS t WHERE {} AND ({})) AS p WHERE {})"
    ).format(
        rows_of(graph.tables[child.table]),
        inside(child.table, child.part),
        gone.get(child.table, NO_ROW),
        sql.SQL(", ").join(kept),
        rows_of(graph.tables[parent.table]),
        inside(parent.table, parent.part),
        gone[parent.table],
        sql.SQL(" AND ").join(same),
    )
