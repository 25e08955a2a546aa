"""Values of rows that went at the source, and where an equal one may still be: with people who stay.

Looked for are values of kinds that are one person's. A column that the data map gives such a kind, in a table
of which rows stay, tells of people who stay: every row that was to go has been looked for by its key, so what
is left there is theirs. Free text is never excepted.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from psycopg import sql

from handover.codec.columns import columns_of, values_of
from handover.errors import DataMapInvalid
from handover.model.datamap import ColumnEntry, DataMap, DataSet
from handover.model.disposition import RowClass
from handover.model.masking import MaskedColumn, Pseudonym
from handover.model.plan import TablePlan
from handover.postgres.copying import cut_by_size, read_rows
from handover.postgres.session import Connection, database_errors, qualified
from handover.pseudonymise.deciding import REDACT
from handover.risk.raw_values import KINDS, RawValues, canonical
from handover.risk.sieved_bytes import SievedBytesSearch
from handover.risk.sieved_values import SievedValues
from handover.stages.absence import Cell, exceptions
from handover.stages.classed_rows import ClassedRows
from handover.stages.raw_rows import RawRows, Sought, Taken
from handover.stages.raw_search import MOST_VALUES

_TEXTS = frozenset(("free_text", "json"))
Find = SievedBytesSearch


class _Alone(SievedValues):
    """Raw values but those that people who stay hold as well."""

    def __init__(self, key: bytes, part: tuple[int, int], shared: frozenset[bytes]) -> None:
        super().__init__(key, part)
        self._shared = shared

    def add(self, kind: str, values: Iterable[str | None]) -> None:
        """Take values of a kind."""
        kept = [one for one in values if one and self._token(kind, one) not in self._shared]
        super().add(kind, kept)

    def _token(self, kind: str, value: str) -> bytes | None:
        form = canonical(kind, value)
        return self.token(form) if form is not None else None


@dataclass
class Attributed:
    """Says of a cell of the source whether its column tells of people who stay, and counts such cells."""

    cells: frozenset[Cell]
    counts: Counter[Cell] = field(default_factory=Counter)

    def __call__(self, schema: str, table: str, column: str, row: str) -> bool:
        """Say whether a cell may hold the value."""
        place = (schema, table, column)
        self.counts.update([place] if place in self.cells else [])
        return place in self.cells


@dataclass(frozen=True)
class GoneValues:
    """What is looked for, of the rows that were erased or pseudonymised at the source."""

    rows: ClassedRows
    datamap: DataMap

    @cached_property
    def sought(self) -> Sought:
        """Return where to read what is looked for, and how much that is as the plan counted rows."""
        scope = self.rows.index.plan.scope
        counted = {
            (one.table, c.name): c.rows for one in (scope.tables if scope else ()) for c in one.classes
        }
        columns = {
            (self.rows.table(plan).label, row_class.name): len(self._of(plan, row_class))
            for plan in self.rows.tables()
            for row_class in self._going(plan)
        }
        values = sum(counted.get(place, 0) * many for place, many in columns.items())
        # In a living company what rows that stay hold as well is theirs, wherever else it is mentioned.
        alone = self._alone if self.rows.context.case.is_daily else None
        return Sought(self._raw_rows, values, persons=0, alone=alone)

    def _alone(self, values: RawValues, key: bytes, part: tuple[int, int]) -> RawValues:
        return _Alone(key, part, self._shared(values))

    def _raw_rows(self) -> Iterator[RawRows]:
        for plan in self.rows.tables():
            going = {one.name: self._of(plan, one) for one in self._going(plan)}
            if any(going.values()):
                for found in self.rows.of(plan):
                    for name in going.keys() & found.keys():
                        yield RawRows(plan, going[name], found[name])

    def _going(self, plan: TablePlan) -> list[RowClass]:
        return [one for one in self.rows.classes(plan) if one.source in ("erase", "pseudonymise")]

    def _of(self, plan: TablePlan, row_class: RowClass) -> tuple[MaskedColumn, ...]:
        """Return the columns of rows of a class whose values must not be found any more."""
        if row_class.source == "pseudonymise":
            return plan.masked_here
        dataset = self._datasets.get(plan.label)
        types = {column.name: column.type for column in self.rows.table(plan).columns}
        entries = dataset.columns.items() if dataset else ()
        return tuple(
            _looked_for(name, types[name], entry)
            for name, entry in entries
            if name in plan.columns and (entry.kind in KINDS or entry.kind in _TEXTS or entry.contains)
        )

    @cached_property
    def _datasets(self) -> dict[str, DataSet]:
        return {label: one for one in self.datamap.datasets for label in one.labels}

    def attributed(self) -> Attributed:
        """Return which cells of the source tell of people who stay."""
        index = self.rows.index
        if self.rows.context.case.is_daily:  # of a living company all is there to stay but what went
            return Attributed(frozenset(self._told()))
        here = [one.model_copy(update={"masked": one.masked_here}) for one in index.plan.tables]
        plan = index.plan.model_copy(update={"tables": tuple(here)})
        known = exceptions(index.model_copy(update={"plan": plan}), self.datamap)
        staying = self._staying()
        of_masked = {
            (schema, name, one.column)
            for (schema, name), table in staying.items()
            for one in table.masked_here
            if one.kind in KINDS and any(c.source in ("keep", "restrict") for c in self.rows.classes(table))
        }
        found = {cell for cell in known.clear if cell[:2] in staying} | known.alike | of_masked
        return Attributed(frozenset(found))

    def _told(self) -> Iterator[Cell]:
        """Yield the columns of the source of which the data map says that they hold values of one person."""
        for dataset in self.datamap.datasets:
            for one in (dataset.table, *dataset.partitions):
                for name, entry in dataset.columns.items():
                    if entry.kind in KINDS:
                        yield one.schema_name, one.name, name

    def _staying(self) -> dict[tuple[str, str], TablePlan]:
        """Return the tables of which rows stay: of a class that does not go wholly, or out of scope."""
        found: dict[tuple[str, str], TablePlan] = {}
        for plan in self.rows.index.plan.tables:
            scoped = self.rows.whole(plan)
            if scoped is None:
                continue
            stays = scoped.rows < scoped.total or any(c.source != "erase" for c in self.rows.classes(plan))
            places = [(plan.schema_name, plan.name), *(scoped.parts if plan.partitioned else ())]
            found |= dict.fromkeys(places, plan) if stays else {}
        return found

    def finds(self) -> Iterator[Find]:
        """Yield searches of bytes, each for a part of the values, but those that people who stay share."""
        parts = max(1, -(-self.sought.values // MOST_VALUES))
        key = secrets.token_bytes(32)
        for number in range(parts):
            part = (number, parts)
            alone = _Alone(key, part, self._shared(self._values(RawValues(key, part), part, key)))
            self._values(alone, part, key)
            yield SievedBytesSearch(alone)

    def _values(self, values: RawValues, part: tuple[int, int], key: bytes) -> RawValues:
        taken = Taken(key, part, (1, 1))
        taken.values = values
        for rows in self.sought.rows():
            taken.take(rows)
        return values

    def _shared(self, values: RawValues) -> frozenset[bytes]:
        """Return tokens of the values that are in columns which tell of people who stay."""
        shared: set[bytes] = set()
        for schema, table, column in sorted(self.attributed().cells):
            entry = self._datasets[f"{schema}.{table}"].columns.get(column)
            if entry is None or entry.kind not in KINDS:
                continue
            for forms in _forms(self.rows.source, (schema, table, column), entry.kind):
                found = values.kinds_of(forms)
                shared |= {values.token(form) for form, kind in zip(forms, found, strict=True) if kind}
        return frozenset(shared)


def _looked_for(name: str, column_type: str, entry: ColumnEntry) -> MaskedColumn:
    """Describe a column of erased rows as the search takes it; a text by what it mentions."""
    strategy = "erase" if entry.kind in KINDS else REDACT
    pseudonym = Pseudonym(domain="gone", writing="", treatment={"strategy": strategy})
    return MaskedColumn(column=name, type=column_type, kind=entry.kind, pseudonym=pseudonym)


def _forms(source: Connection, cell: Cell, kind: str) -> Iterator[list[bytes]]:
    """Yield what a column of the source holds now, in the form in which values are recognised."""
    schema, table, column = cell
    query = sql.SQL("SELECT {}::text FROM ONLY {}").format(sql.Identifier(column), qualified(schema, table))
    with database_errors(f"reading {schema}.{table}.{column}"):
        for chunk in cut_by_size(read_rows(source, query, "text")):
            values = values_of(columns_of(chunk.data, (column,))[column]).to_pylist()
            yield [form for value in values if value and (form := canonical(kind, value)) is not None]


def gone_values(rows: ClassedRows, datamap: DataMap | None) -> GoneValues:
    """Return what is looked for; raises DataMapInvalid when no map says what tells who somebody is."""
    if datamap is None:
        raise DataMapInvalid(
            "rows went from the source by a plan without a data map, so nobody knows what to look for",
            hint="start a new run with a confirmed data map",
        )
    return GoneValues(rows, datamap)
