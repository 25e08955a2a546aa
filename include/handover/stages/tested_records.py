"""What a receiver sees of pseudonymised rows that could tell whose they are: alone, and joined to the person.

A column counts by what the data map says of its risk, else by its kind, as long as something of it is seen:
what a keyed pseudonym replaced tells an outsider nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from psycopg import sql

from handover.model.datamap import ColumnEntry, DataMap, DataSet, Risk, SubjectPath
from handover.model.expectation import TableFacts
from handover.model.expectation import TableName as Pair
from handover.model.plan import TablePlan
from handover.model.scope import Scope
from handover.postgres.class_sizes import Records
from handover.postgres.session import qualified
from handover.risk.ladders import LadderKind

# Kinds that others know of somebody, and by which they single her out. The first identify by themselves:
# where one arrives in clear, the test must say so.
_DIRECT = frozenset(
    (
        *("resident_id", "residence_permit", "passport", "travel_permit", "person_name", "mobile", "phone"),
        *("email", "bank_card", "account_no", "owner_uscc", "plate", "ip_address", "mac_address"),
        *("device_id", "biometric", "document_image"),
    )
)
_QUASI = _DIRECT | {"birth_date", "attribute", "address", "location"}
_SENSITIVE = frozenset(("amount", "special"))
# Strategies that leave something of the value to be seen.
_SEEN = frozenset(("mask", "generalise", "shift", "noise"))
# What no two persons share any more after these is nobody's name.
_MERGING = frozenset(("null", "constant", "choice", "mask", "generalise", "shift", "noise"))
_LADDERS: dict[str, LadderKind] = {"birth_date": "date", "address": "address"}
_DAYS, _NUMBERS = ("date", "timestamp"), ("numeric", "integer", "bigint", "smallint", "double", "real")


@dataclass(frozen=True)
class Tested:
    """Records to be tested, and by which ladder each quasi-identifier can be made coarser.

    ``start``: of records joined, the rows that should have found another.
    """

    records: Records
    ladders: dict[str, LadderKind]
    start: sql.Composable | None = None


@dataclass
class Receiver:
    """What the receiver of a target sees; ``facts`` are of its tables.

    ``unseen``: tables that arrive pseudonymised and show nothing by which to find somebody.
    ``unjoined``: ways to a person that could not be followed.
    """

    datamap: DataMap
    plans: Iterable[TablePlan]
    facts: Mapping[Pair, TableFacts]
    scope: Scope | None
    unseen: list[str] = field(default_factory=list)
    unjoined: list[str] = field(default_factory=list)

    def tested(self) -> Iterator[Tested]:
        """Yield what is to be tested, each table alone first."""
        for dataset in self.datamap.datasets:
            if not self._masked(dataset):
                continue
            alone = _Seen(self, dataset, 0)
            if alone.quasi:
                yield _tested(dataset.table.label, alone.rows(), [alone], alone.person())
            else:
                self.unseen.append(dataset.table.label)
            yield from self._joined(dataset, alone)

    def _joined(self, dataset: DataSet, alone: _Seen) -> Iterator[Tested]:
        """Yield the rows of a table together with those of the person to whom they lead, by every way."""
        ways = [path for path in dataset.subject if path.to]
        for path in ways:
            line = self._line(alone, path)
            if line and any(one.quasi for one in line.seen[1:]) and (alone.quasi or alone.sensitive):
                by = f" by {', '.join([*path.when, *path.by])}" if len(ways) > 1 else ""
                label = " + ".join([one.dataset.table.label for one in line.seen]) + by
                last = line.seen[-1]
                tested = _tested(label, line.rows(), line.seen, last.person(), last.row())
                yield replace(tested, start=line.start(path))

    def _line(self, start: _Seen, path: SubjectPath) -> _Line | None:
        """Return the tables along a way up to the person, None when it cannot be followed."""
        by_label = {one.table.label: one for one in self.datamap.datasets}
        line, here, way = _Line([start]), start, path
        while way.to is not None:
            line.tests += [_equals(here.column(name), value) for name, value in way.when.items()]
            there = _Seen(self, by_label[way.to.label], len(line.seen))
            columns = self._columns_of_parent(here.dataset, way, there.dataset)
            if columns is None:
                self.unjoined.append(f"{here.dataset.table.label} + {there.dataset.table.label}")
                return None
            line.join(there, zip(way.by, columns, strict=True))
            # Of several ways that lead on the first is as good as any: all of them end at persons.
            here, way = there, there.dataset.subject[0]
        return line

    def _columns_of_parent(
        self, child: DataSet, path: SubjectPath, parent: DataSet
    ) -> tuple[str, ...] | None:
        """Return the parent's columns to which a path refers: by a key, by the scope, or by its own path."""
        facts = self.facts.get((child.table.schema_name, child.table.name))
        for key in facts.foreign_keys if facts else ():
            if key.parent == (parent.table.schema_name, parent.table.name) and key.columns == path.by:
                return key.parent_columns
        for said in self.scope.virtual_keys if self.scope else ():
            if (said.table, said.columns, said.references) == (child.table, path.by, parent.table):
                return said.to_columns
        for link in self.scope.polymorphic if self.scope else ():
            target = link.targets.get(str(path.when.get(link.type_column)))
            if link.table == child.table and (link.id_column,) == path.by and target:
                return (target.column,) if target.table == parent.table else None
        return next((one.by for one in parent.subject if len(one.by) == len(path.by)), None)

    def _masked(self, dataset: DataSet) -> bool:
        return any(plan.masked for plan in self.plans_of(dataset))

    def plans_of(self, dataset: DataSet) -> list[TablePlan]:
        """Return the plans of a data set's table or of its partitions."""
        return [plan for plan in self.plans if plan.label in dataset.labels]


class _Seen:
    """What is seen of one table, which stands in a query under an alias of its number."""

    def __init__(self, receiver: Receiver, dataset: DataSet, number: int) -> None:
        self.dataset = dataset
        self._alias = f"t{number}"
        plans = receiver.plans_of(dataset)
        self._strategies = {one.column: one.pseudonym.strategy for plan in plans for one in plan.masked}
        self._generated = {
            name for name in dataset.columns if plans and all(name not in plan.columns for plan in plans)
        }
        facts = receiver.facts.get((dataset.table.schema_name, dataset.table.name))
        self._types = {column.name: column.type for column in facts.columns} if facts else {}
        risks = {name: self._risk(name, entry) for name, entry in dataset.columns.items()}
        self.quasi = [name for name, risk in risks.items() if risk == "quasi"]
        self.sensitive = [name for name, risk in risks.items() if risk == "sensitive"]

    def _risk(self, name: str, entry: ColumnEntry) -> Risk:
        strategy = self._strategies.get(name)
        if entry.risk is not None:
            return entry.risk
        # A generated column shows what those show of which it is made.
        if (strategy and strategy not in _SEEN) or (self._strategies and name in self._generated):
            return "none"
        return "quasi" if entry.kind in _QUASI else "sensitive" if entry.kind in _SENSITIVE else "none"

    def rows(self) -> sql.Composable:
        table = qualified(self.dataset.table.schema_name, self.dataset.table.name)
        return sql.SQL("{} AS {}").format(table, sql.Identifier(self._alias))

    def column(self, name: str) -> sql.Composable:
        return sql.Identifier(self._alias, name)

    def person(self) -> tuple[sql.Composable, ...]:
        """Return what tells the rows of one person from those of others; nothing where rows are persons."""
        for path in self.dataset.subject[:1]:
            if all(self._strategies.get(name) not in _MERGING for name in path.by):
                return tuple(self.column(name) for name in (*path.when, *path.by))
        return ()

    def row(self) -> tuple[sql.Composable, ...]:
        """Return what tells its rows apart, whatever they are joined with."""
        return tuple(sql.Identifier(self._alias, name) for name in ("tableoid", "ctid"))

    def ladder(self, name: str) -> LadderKind:
        type_name = self._types.get(name, "")
        if self.dataset.columns[name].kind in _LADDERS:
            return _LADDERS[self.dataset.columns[name].kind]
        return (
            "date" if type_name.startswith(_DAYS) else "amount" if type_name.startswith(_NUMBERS) else "other"
        )


@dataclass
class _Line:
    """Tables joined one to the next, and what must hold of their rows."""

    seen: list[_Seen]
    joins: list[sql.Composable] = field(default_factory=list)
    tests: list[sql.Composable] = field(default_factory=list)

    def join(self, there: _Seen, columns: Iterable[tuple[str, str]]) -> None:
        here = self.seen[-1]
        same = [
            sql.SQL("{}::text = {}::text").format(here.column(mine), there.column(theirs))
            for mine, theirs in columns
        ]
        self.joins.append(sql.SQL(" JOIN {} ON {}").format(there.rows(), sql.SQL(" AND ").join(same)))
        self.seen.append(there)

    def start(self, way: SubjectPath) -> sql.Composable:
        """Return the first table's rows that lead on."""
        here = self.seen[0]
        tests = [_equals(here.column(name), value) for name, value in way.when.items()]
        tests += [sql.SQL("{} IS NOT NULL").format(here.column(name)) for name in way.by]
        return sql.SQL("{} WHERE {}").format(here.rows(), sql.SQL(" AND ").join(tests))

    def rows(self) -> sql.Composable:
        where = sql.SQL(" AND ").join(self.tests or [sql.SQL("true")])
        return sql.SQL("{}{} WHERE {}").format(self.seen[0].rows(), sql.Composed(self.joins), where)


def _tested(
    label: str,
    rows: sql.Composable,
    line: list[_Seen],
    person: tuple[sql.Composable, ...],
    row: tuple[sql.Composable, ...] = (),
) -> Tested:
    def of(one: _Seen, name: str) -> str:
        return f"{one.dataset.table.label}.{name}"

    records = Records(
        label,
        rows,
        {of(one, name): one.column(name) for one in line for name in one.quasi},
        {of(one, name): one.column(name) for one in line for name in one.sensitive},
        person,
        row,
    )
    return Tested(records, {of(one, name): one.ladder(name) for one in line for name in one.quasi})


def _equals(column: sql.Composable, value: object) -> sql.Composable:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return sql.SQL("{}::text = {}").format(column, sql.Literal(text))
