"""Which rows that are to go are held: asked of the source whenever the law is, and only if holds are open.

Held are the rows that a hold names, all that lead to them, and what these need. A hold that keeps nothing of
what goes is in nobody's way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from psycopg import sql

from handover.law.packs import load_packs, select
from handover.model.disposition import GOING, classes_of
from handover.model.hold import DataHold
from handover.model.plan import TableScope
from handover.postgres.closure import Closure
from handover.postgres.keysets import create_key_sets, load_keys, scoped_rows
from handover.postgres.ordering import rows_of
from handover.postgres.selection import class_condition, key_set_of
from handover.postgres.selection import select as selection
from handover.postgres.session import Connection, connect, database_errors, fetch
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.facts import judged_on
from handover.stages.holds import binding_holds, held_graph, held_scope
from handover.stages.reading import begin_snapshot, kept_keys

# Of more holds at once the first are told apart.
MOST_NAMED = 20


@dataclass(frozen=True)
class HeldRows:
    """Rows of a table that are to go and that a hold keeps."""

    hold: str
    kind: str
    table: str
    rows: int

    @property
    def line(self) -> str:
        """Say it without personal data."""
        return f"hold {self.hold} ({self.kind}) keeps {self.rows} rows of {self.table}"


def held_rows(context: Context) -> list[HeldRows]:
    """Return which rows of this run that are to go are held now; needs the backup whose rows go.

    Raises GateBlocked for a hold of which nobody can say any more what it keeps.
    """
    holds = binding_holds(context)
    going = [table for table in _tables(context) if _rows_going(table)]
    if not holds or not going:
        return []
    found = [
        HeldRows(hold.id, hold.kind, table.table, _rows_going(table))
        for hold in holds
        if hold.what == "everything"
        for table in going
    ]
    others = [hold for hold in holds if hold.what != "everything"]
    touched = others and _counted(context, going, others)
    if touched and len(others) == 1:
        return found + [HeldRows(others[0].id, others[0].kind, *one) for one in touched]
    for hold in others[:MOST_NAMED] if touched else ():
        found += [HeldRows(hold.id, hold.kind, *one) for one in _counted(context, going, [hold])]
    if touched and len(others) > MOST_NAMED:
        found += [HeldRows("any", "of all together", *one) for one in touched]
    return found


def kinds_of_holds(context: Context) -> dict[str, bool]:
    """Return the kinds of holds that the packs know, and of each whether it yields to a duty to erase."""
    packs = load_packs(context.settings.policies)
    if context.case.policy:
        packs = select(packs, context.case.policy, judged_on(context.case))
    return {name: not kind.blocks_deletion for pack in packs for name, kind in pack.holds.items()}


def _tables(context: Context) -> Sequence[TableScope]:
    scope = context.plan().scope
    return scope.tables if scope else ()


def _rows_going(table: TableScope) -> int:
    return sum(one.rows for one in table.classes if one.source in GOING)


def _counted(
    context: Context, going: Iterable[TableScope], holds: Sequence[DataHold]
) -> list[tuple[str, int]]:
    """Return the tables, with the rows in them, that go and that any of the holds keeps."""
    with closing(connect(context.source, read_only=True)) as connection:
        with database_errors("reading the references between tables"):
            graph = held_graph(context, connection)
        scope = held_scope(context, judged_on(context.case), connection, graph, holds)
        if scope is None:
            return []
        closure = Closure(connection, graph, scope, prefix="held")
        return list(_going_and_held(context, connection, {one.table for one in going}, closure))


def _going_and_held(
    context: Context, connection: Connection, going: set[str], closure: Closure
) -> Iterator[tuple[str, int]]:
    state = read_index(context).state
    held = {keys.table.label: keys for keys in closure.key_sets.values()}
    places = {
        number: kept
        for number, kept in enumerate(state.keys)
        if kept.scoped.table.label in going & held.keys()
    }
    key_sets = {number: key_set_of(number, kept.scoped) for number, kept in places.items()}
    create_key_sets(connection, [one for one in key_sets.values() if one])
    begin_snapshot(connection)
    closure.compute(lambda rows: context.honour_stop())
    where = selection([kept.scoped for kept in state.keys], context.case.classes)
    for number, kept in places.items():
        table = kept.scoped.table
        if not fetch(connection, sql.SQL("SELECT FROM {} LIMIT 1").format(held[table.label].place)):
            continue
        if key_set := key_sets[number]:
            load_keys(connection, key_set, kept_keys(context, state, key_set, kept))
        classes = classes_of(context.case.classes, (table.schema_name, table.name))
        tests = [class_condition(one, table) for one in classes if one.source in GOING]
        query = sql.SQL("SELECT count(*) FROM {} AS t WHERE ({}) AND ({}) AND {}").format(
            rows_of(table),
            where.of((table.schema_name, table.name)),
            sql.SQL(" OR ").join(sql.SQL("({})").format(test) for test in tests),
            scoped_rows(held[table.label]),
        )
        with database_errors(f"counting held rows of {table.label}"):
            rows = int(str(fetch(connection, query)[0][0]))
        if rows:
            yield table.label, rows
