"""Joins survive: every reference finds as many rows in the target as it did before its columns were masked.

Foreign keys and declared references alike, polymorphic ones by type. The source is counted in the scratch
database of the restore test, just proven equal to it at the snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from psycopg import sql

from handover.errors import VerificationFailed
from handover.model.backup import BackupIndex
from handover.model.figures import Side
from handover.postgres.ordering import EVERY_ROW, rows_of
from handover.postgres.references import Graph, Reference
from handover.postgres.references import Side as End
from handover.postgres.referring import read_graph
from handover.postgres.session import Connection, connect, database_errors, fetch
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.scoping import EVERYTHING

COUNTED = "joins-counted"
Counts = Mapping[str, tuple[int, int]]


def count_joins(context: Context, index: BackupIndex, url: str, side: Side) -> Counts:
    """Count by reference the rows that find another, and the pairs; recorded where anything is masked."""
    if not index.plan.masks:
        return {}
    found: dict[str, tuple[int, int]] = {}
    with closing(connect(url, read_only=True)) as connection:
        with database_errors("reading references"):
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            graph = read_graph(connection, context.case.source.schemas, context.case.scope or EVERYTHING)
        for reference in graph.references:
            context.honour_stop()
            with database_errors(f"following {reference.label}"):
                found[reference.label] = _counted(connection, graph, reference)
    joins = {label: list(pair) for label, pair in found.items()}
    context.record(COUNTED, {"generation": index.state.generation, "side": side, "joins": joins})
    return found


def _counted(connection: Connection, graph: Graph, reference: Reference) -> tuple[int, int]:
    child, parent = (_end(graph, one) for one in (reference.child, reference.parent))
    same = sql.SQL(" AND ").join(
        equality.test(sql.SQL("p.{}").format(_name(number)), sql.SQL("c.{}").format(_name(number)))
        for number, equality in enumerate(reference.equalities)
    )
    query = sql.SQL(
        "SELECT (SELECT count(*) FROM {child} AS c WHERE EXISTS (SELECT FROM {parent} AS p WHERE {same})),"
        " (SELECT count(*) FROM {child} AS c JOIN {parent} AS p ON {same})"
    ).format(child=child, parent=parent, same=same)
    rows, pairs = fetch(connection, query)[0]
    return int(str(rows)), int(str(pairs))


def _end(graph: Graph, end: End) -> sql.Composable:
    columns = sql.SQL(", ").join(
        sql.SQL("t.{} AS {}").format(sql.Identifier(column), _name(number))
        for number, column in enumerate(end.columns)
    )
    rows = rows_of(graph.tables[end.table])
    return sql.SQL("(SELECT {} FROM {} AS t WHERE {})").format(
        columns, rows, end.part.condition() or EVERY_ROW
    )


def _name(number: int) -> sql.Identifier:
    return sql.Identifier(f"c{number}")


def verify_joins(context: Context) -> None:
    """Count the target's joins; raises VerificationFailed naming every reference that differs."""
    if not context.masks:
        return
    with context.step("joins"):
        context.last("migrated", "finish")
        count_joins(context, read_index(context), context.target, "target")
        lines = join_faults(context)
        if lines:
            raise VerificationFailed(
                "references join other rows in the target than in the source:\n  " + "\n  ".join(lines),
                hint="give the columns of each reference one domain in the data map; then start a new run",
                differences=lines,
            )


def join_faults(context: Context) -> list[str]:
    """Return which references join otherwise than before, by the latest counts; for closing."""
    sealed = context.entries("backup-sealed")
    if not sealed or not context.plan().masks:
        return []
    entries = [
        e.body for e in context.entries(COUNTED) if e.body["generation"] == sealed[-1].body["generation"]
    ]
    latest = {str(body["side"]): body["joins"] for body in entries}
    missing = [
        f"the joins of the {side} were not counted" for side in ("source", "target") if side not in latest
    ]
    if missing:
        return missing
    source, target = latest["source"], latest["target"]
    return [
        f"{label}: {_said(source.get(label))} in the source, {_said(target.get(label))} in the target"
        for label in sorted({*source, *target})
        if source.get(label) != target.get(label)
    ]


def _said(counts: list[int] | None) -> str:
    return f"{counts[0]} rows find {counts[1]}" if counts else "not there"
