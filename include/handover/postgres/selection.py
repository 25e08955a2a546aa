"""Which rows of its tables a session reads: all of them, none, or those that a scope's key sets name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from psycopg import sql

from handover.model.catalog import Table
from handover.model.disposition import RowClass, classes_of, is_backed_up
from handover.model.plan import ScopedTable, TablePlan
from handover.postgres.keysets import KeySet, scoped_rows
from handover.postgres.ordering import EVERY_ROW
from handover.postgres.predicates import parse_predicate

Pair = tuple[str, str]
NO_ROW = sql.SQL("false")


@dataclass(frozen=True)
class Selection:
    """Conditions on the alias ``t`` by schema and name; a table without one is read whole."""

    conditions: Mapping[Pair, sql.Composable] = field(default_factory=dict)

    def of(self, table: TablePlan | Pair) -> sql.Composable:
        """Return the condition for the rows of a table or partition."""
        place = (table.schema_name, table.name) if isinstance(table, TablePlan) else table
        return self.conditions.get(place, EVERY_ROW)


def key_set_of(number: int, scoped: ScopedTable) -> KeySet | None:
    """Return the key set that a session must load to read a table; None where none is needed."""
    return KeySet(scoped.table, f"keys_{number}") if 0 < scoped.rows < scoped.total else None


def select(tables: Iterable[ScopedTable], classes: Iterable[RowClass]) -> Selection:
    """Return what is read of tables whose key sets, by their place in ``tables``, are loaded or will be."""
    every_class = tuple(classes)
    found: dict[Pair, sql.Composable] = {}
    for number, scoped in enumerate(tables):
        tests = [test for test in (_in_scope(number, scoped), *_left_out(scoped.table, every_class)) if test]
        if tests:
            places = ((scoped.table.schema_name, scoped.table.name), *scoped.parts)
            found |= dict.fromkeys(places, sql.SQL(" AND ").join(tests))
    return Selection(found)


def _in_scope(number: int, scoped: ScopedTable) -> sql.Composable | None:
    if scoped.rows == 0:
        return NO_ROW
    key_set = key_set_of(number, scoped)
    return scoped_rows(key_set) if key_set else None


def _left_out(table: Table, classes: tuple[RowClass, ...]) -> list[sql.Composable]:
    """Return a condition for each class of which nothing is read."""
    return [
        sql.SQL("({}) IS NOT TRUE").format(class_condition(one, table))
        for one in classes_of(classes, (table.schema_name, table.name))
        if not is_backed_up(one.target, one.source)
    ]


def class_condition(one: RowClass, table: Table) -> sql.Composable:
    """Return the condition that a row of the alias ``t`` is of a class whose predicate was proven before."""
    return parse_predicate(one.where, [c.name for c in table.columns]) if one.where else EVERY_ROW
