"""Finds which rows stay: those that changed since they were found, and what these refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psycopg import sql

from handover.errors import Busy, ScopeChanged
from handover.postgres.columns import require_same_columns
from handover.postgres.erasing.batches import (
    DIFFERS,
    GOING,
    GONE,
    NEEDED,
    Work,
    Works,
    read_files,
    refers,
    value_of,
)
from handover.postgres.erasing.deleting import Seen, Span
from handover.postgres.erasing.foreign_keys import ForeignKey
from handover.postgres.erasing.staging import Stage
from handover.postgres.ordering import rows_of
from handover.postgres.references import Reference
from handover.postgres.session import Connection, database_errors, fetch

_PLACE = "({0}.part, {0}.place) = (t.tableoid, t.ctid)"


def look_again(connection: Connection, works: Works, span: Span, seen: Mapping[int, Seen]) -> int:
    """Look for rows that are not as they were found; returns how many have moved, changed or gone."""
    moved = 0
    for work in works.tables.values():
        for stage in work.stages:
            if stage.number in seen and seen[stage.number].missing:
                moved += _by_key(connection, work, stage, span) if stage.keyed else 0
                if not stage.keyed:
                    _refuse_moved(connection, work, stage, span)
    return moved


def _by_key(connection: Connection, work: Work, stage: Stage, span: Span) -> int:
    parts = {
        "work": work.place,
        "stage": stage.place,
        "rows": rows_of(stage.plan),
        "same": stage.same(),
        "state": sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(
            stage.unlike(), sql.Literal(DIFFERS), sql.Literal(GOING)
        ),
        "mine": sql.SQL("{} AND k.unit = {}").format(span.rows(), sql.Literal(stage.number)),
        "gone": sql.Literal(GONE),
        "kept": sql.SQL("").join(
            sql.SQL(", {} = {}").format(sql.Identifier(name), value_of(*column))
            for column, name in work.kept.items()
        ),
    }
    moved = connection.execute(
        sql.SQL(
            "UPDATE {work} AS k SET part = t.tableoid, place = t.ctid, version = t.xmin,"
            " state = {state}{kept} FROM {stage} AS s, {rows} AS t"
            " WHERE {mine} AND s.ctid = k.origin AND {same}"
            " AND (t.tableoid, t.ctid, t.xmin::text) <> (k.part, k.place, k.version::text)"
        ).format(**parts)
    ).rowcount
    gone = connection.execute(
        sql.SQL(
            "UPDATE {work} AS k SET state = {gone} WHERE {mine} AND NOT EXISTS"
            " (SELECT FROM {stage} AS s JOIN {rows} AS t ON {same} WHERE s.ctid = k.origin)"
        ).format(**parts)
    ).rowcount
    return moved + gone


def _refuse_moved(connection: Connection, work: Work, stage: Stage, span: Span) -> None:
    """A row without a key that is not in its place can be any of those like it: all are found anew."""
    query = sql.SQL(
        "SELECT count(*) FROM {} AS k LEFT JOIN {} AS t ON t.ctid = k.place AND t.tableoid = k.part"
        " AND t.xmin = k.version WHERE {} AND k.unit = {} AND t.ctid IS NULL"
    ).format(work.place, rows_of(stage.plan), span.rows(), sql.Literal(stage.number))
    if fetch(connection, query)[0][0]:
        raise Busy(
            f"rows of {stage.plan.label}, which has no key, were changed or moved while they were erased",
            hint="try again: the rows are then looked for anew",
            table=stage.plan.label,
        )


def require_same_files(connection: Connection, works: Works) -> None:
    """Raise Busy where a table was rewritten since its rows were found; in a transaction that keeps it so.

    Places then mean other rows, and those of one transaction cannot be told apart by their version.
    """
    for work in works.tables.values():
        for stage in work.stages:
            keep = sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(rows_of(stage.plan))
            connection.execute(keep)
    if read_files(connection, works) != works.files:
        raise Busy(
            "a table was rewritten (VACUUM FULL, CLUSTER, ALTER TABLE, TRUNCATE) while its rows were erased",
            hint="try again when that has ended: the rows are then looked for anew",
        )


def require_backed_up(connection: Connection, works: Works) -> None:
    """Raise ScopeChanged where rows have columns that nobody backed up; in a transaction that keeps it so."""
    stages = [stage for work in works.tables.values() for stage in work.stages]
    require_same_columns(connection, [(stage.plan, stage.unit.columns) for stage in stages])


def mark_needed(connection: Connection, works: Works, keys: Iterable[ForeignKey], span: Span) -> int:
    """Let the rows stay to which a row refers that stays; returns how many.

    Raises ScopeChanged where a row refers to them that nobody approved.
    """
    keys, marked = tuple(keys), 0
    for key in keys:
        _refuse_others(connection, works, key, span)
    more = True
    while more:
        found = sum(_mark(connection, works, key, span) for key in keys)
        found += mark_declared(connection, works, span.first)
        more = found > 0
        marked += found
    return marked


def mark_declared(connection: Connection, works: Works, first: int) -> int:
    """Let the rows from a number on stay to which one that stays refers as only the scope declares.

    The server would let them go, and leave the other one an orphan. Returns how many. A row that nobody
    approved is no hindrance here: the plan may have it stay without what it refers to.
    """
    declared = [one for one in works.references if not one.one_parent]
    marked, more = 0, bool(declared)
    while more:
        with database_errors("following what the scope declares"):
            found = sum(_mark_declared(connection, works, one, first) for one in declared)
        more = found > 0
        marked += found
    return marked


def _mark_declared(connection: Connection, works: Works, reference: Reference, first: int) -> int:
    parent, child = works.tables[reference.parent.table], works.tables[reference.child.table]
    return connection.execute(
        sql.SQL(
            "UPDATE {} AS p SET state = {} FROM {} AS k WHERE {} AND k.state = ANY({})"
            " AND p.state = {} AND p.batch >= {}"
        ).format(
            parent.place, sql.Literal(NEEDED), child.place, refers(reference, parent, child),
            sql.Literal([DIFFERS, NEEDED]), sql.Literal(GOING), sql.Literal(first),
        )
    ).rowcount  # fmt: skip


def _referring(works: Works, key: ForeignKey, span: Span) -> sql.Composable:
    """Return the join of going parents ``p``, at ``u``, with rows ``t`` that refer to them and stay."""
    parent, child = works.tables[key.parent], works.tables.get(key.child) if key.child is not None else None
    going: sql.Composable = sql.SQL("false")
    if child is not None:
        going = sql.SQL("EXISTS (SELECT FROM {} AS c WHERE {} AND {})").format(
            child.place, sql.SQL(_PLACE.format("c")), span.rows("c")
        )
    return sql.SQL(
        "{} AS p JOIN {} AS u ON u.ctid = p.place AND u.tableoid = p.part JOIN {} AS t ON {}"
        " WHERE {} AND NOT {}"
    ).format(parent.place, key.parent_rows, key.child_rows, key.refers("u", "t"), span.rows("p"), going)


def _approved(works: Works, key: ForeignKey, span: Span) -> sql.Composable:
    """Return the condition that ``t`` is a row that may go: found there, or its key is in the backup."""
    child = works.tables.get(key.child) if key.child is not None else None
    if child is None:
        return sql.SQL("false")
    place = sql.SQL("EXISTS (SELECT FROM {} AS c WHERE {} AND (c.state <> {} OR c.batch >= {}))").format(
        child.place, sql.SQL(_PLACE.format("c")), sql.Literal(GOING), sql.Literal(span.first)
    )
    backed_up = [
        sql.SQL("EXISTS (SELECT FROM {} AS s WHERE {})").format(stage.place, stage.same())
        for stage in child.stages
        if stage.keyed
    ]
    return sql.SQL("({})").format(sql.SQL(" OR ").join([place, *backed_up]))


def _refuse_others(connection: Connection, works: Works, key: ForeignKey, span: Span) -> None:
    # In two steps: what is approved is looked up for the few that are left. In one, the planner thinks that
    # so dear that it no longer sees the price of the joins, and makes them quadratic.
    query = sql.SQL(
        "WITH others AS MATERIALIZED (SELECT t.tableoid, t.ctid, t.* FROM {})"
        " SELECT count(*) FROM others AS t WHERE NOT {}"
    ).format(_referring(works, key, span), _approved(works, key, span))
    rows = int(str(fetch(connection, query)[0][0]))
    if rows:
        parent = works.tables[key.parent].table.label
        does = "would be deleted or changed with" if key.acts else "refer to"
        raise ScopeChanged(
            f"{rows} rows of {key.child_label} that nobody approved {does} rows of {parent} that were to be "
            f"erased (foreign key {key.name}); nothing of this batch was erased",
            hint="find out where they come from, then plan again",
            table=key.child_label,
            constraint=key.name,
            rows=rows,
        )


def _mark(connection: Connection, works: Works, key: ForeignKey, span: Span) -> int:
    return connection.execute(
        sql.SQL("UPDATE {} SET state = {} WHERE ctid IN (SELECT p.ctid FROM {})").format(
            works.tables[key.parent].place, sql.Literal(NEEDED), _referring(works, key, span)
        )
    ).rowcount
