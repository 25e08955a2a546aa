"""Rows of the backup whose raw values must be nowhere: what of them is looked for, as keyed tokens in memory.

Looked for are values of kinds that are one person's, also where a redacted text mentions them; and of persons
name, birth date and address, which tell somebody only together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import pyarrow as pa
import pyarrow.compute as pc

from handover.classify.find import find
from handover.classify.shapes import plain
from handover.codec.columns import columns_of, values_of
from handover.model.backup import BackupIndex
from handover.model.datamap import DataMap, DataSet
from handover.model.masking import MaskedColumn
from handover.model.plan import TablePlan
from handover.pseudonymise.deciding import REDACT
from handover.pseudonymise.literals import is_at, is_document, literals
from handover.risk.pairs import Pairs
from handover.risk.persons import Person
from handover.risk.raw_values import KINDS, RawValues
from handover.risk.sieved_values import SievedValues
from handover.stages.context import Context
from handover.stages.loading import read_chunk

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
Part = tuple[int, int]
NAME, ADDRESS, BIRTH = "person_name", "address", "birth_date"


@dataclass(frozen=True)
class RawRows:
    """Rows in COPY text, and the columns of them that are masked.

    ``births``: columns with the birth date of the person whom a row itself is about; None where it is about
    nobody, or leads to the person through other rows.
    """

    table: TablePlan
    masked: tuple[MaskedColumn, ...]
    data: bytes
    births: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Sought:
    """Where to read what is looked for; at most so many values, and persons, are in these rows.

    ``alone``: given all values of a part, an empty set that takes only those which nobody else may hold.
    """

    rows: Callable[[], Iterable[RawRows]]
    values: int
    persons: int
    alone: Callable[[RawValues, bytes, Part], RawValues] | None = None

    def taken(self, key: bytes, values: Part, persons: Part) -> Taken:
        """Return what one pass looks for."""
        found = self._filled(Taken(key, values, persons))
        if self.alone is None:
            return found
        left = Taken(key, values, persons)
        left.values = self.alone(found.values, key, values)
        return self._filled(left)

    def _filled(self, taken: Taken) -> Taken:
        for rows in self.rows():
            taken.take(rows)
        return taken


class Taken:
    """What one pass looks for: a part of values and one of persons, each its number, from 0, of so many.

    All passes need one key, by which the values are dealt out.
    """

    def __init__(self, key: bytes, values: Part, persons: Part) -> None:
        self.values: RawValues = SievedValues(key, values)
        self.persons = Pairs()
        self._values, self._persons, self._seen = values, persons, 0

    def take(self, rows: RawRows) -> None:
        """Take what is looked for out of rows; from a number on that no part has, there is nothing."""
        table = columns_of(rows.data, rows.table.columns)
        for one in rows.masked if self._values[0] < self._values[1] else ():
            if one.pseudonym.strategy == REDACT:
                for kind, found in _mentioned(one, values_of(table[one.column])).items():
                    self.values.add(kind, found)
            elif one.kind in KINDS:
                self.values.add(one.kind, _different(values_of(table[one.column])))
        if self._persons[0] < self._persons[1]:
            persons = list(_persons(rows, table))
            self.persons.add(persons[(self._persons[0] - self._seen) % self._persons[1] :: self._persons[1]])
            self._seen += len(persons)


def _different(values: pa.Array) -> list[str | None]:
    found: list[str | None] = pc.unique(values).to_pylist()
    return found


def _mentioned(one: MaskedColumn, values: pa.Array) -> dict[str, list[str]]:
    """Return by kind what redacted texts mention, as the redaction itself finds it."""
    found: dict[str, list[str]] = {}
    for text in _different(values):
        if not text:
            continue
        if one.type in ("json", "jsonb") and is_document(text):
            for literal in literals(text):
                at = next((said.domain for path, said in one.paths.items() if is_at(literal, path)), "")
                _note(found, literal.text, at)
        else:
            _note(found, text)
    return found


def _note(found: dict[str, list[str]], text: str, kind: str = "") -> None:
    """``kind`` is that of the whole text; without one it is looked for inside."""
    if kind in KINDS:
        found.setdefault(kind, []).append(text)
        return
    signs = plain(text)
    for mention in find(signs):
        if mention.kind in KINDS:
            found.setdefault(mention.kind, []).append(signs[mention.start : mention.end])


def _persons(rows: RawRows, table: pa.Table) -> Iterator[Person]:
    """Yield whom the rows are about. A birth date alone tells nobody, so that it counts in clear as well."""
    if rows.births is None:
        return
    names, addresses = ([one.column for one in rows.masked if one.kind == kind] for kind in (NAME, ADDRESS))
    wanted = {*names, *addresses, *rows.births}
    if len(wanted) < 2 or not (names or addresses):
        return
    values = {name: values_of(table[name]).to_pylist() for name in wanted}
    for name, born, address in product(names or [""], rows.births or [""], addresses or [""]):
        for number in range(table.num_rows):
            at = (values[column][number] if column else None for column in (name, born, address))
            who, day, where = at
            yield Person(who, day[:10] if day and _DAY.match(day) else None, where)


def masked_rows(context: Context, index: BackupIndex, datamap: DataMap) -> Sought:
    """Return what must not arrive: the columns that the plan masks on the way to the target."""
    masked = {table.id: table.masked for table in index.plan.tables if table.masked}
    births = births_of(index.plan.tables, datamap)

    def rows() -> Iterator[RawRows]:
        for receipt in index.chunks:
            if receipt.table in masked:
                context.honour_stop()
                data = read_chunk(context, index, receipt)
                table = index.plan.table(receipt.table)
                yield RawRows(table, masked[receipt.table], data, births.get(receipt.table))

    return sought(index, rows, masked, births)


def sought(
    index: BackupIndex,
    rows: Callable[[], Iterable[RawRows]],
    masked: Mapping[str, tuple[MaskedColumn, ...]],
    births: Mapping[str, tuple[str, ...]],
) -> Sought:
    """Return rows with the most that can be in them, as the backup counted; by the ids of tables."""
    columns = {
        table: sum(one.kind in KINDS or one.pseudonym.strategy == REDACT for one in found)
        for table, found in masked.items()
    }
    values = sum(chunk.rows * columns.get(chunk.table, 0) for chunk in index.chunks)
    persons = sum(chunk.rows for chunk in index.chunks if chunk.table in births)
    return Sought(rows, values, persons)


def births_of(tables: Iterable[TablePlan], datamap: DataMap) -> dict[str, tuple[str, ...]]:
    """Return the columns of birth dates of each table, by id, whose rows are persons by themselves."""
    of = {
        label: dataset
        for dataset in datamap.datasets
        if any(path.to is None for path in dataset.subject)
        for label in dataset.labels
    }
    return {table.id: _births(of[table.label], table) for table in tables if table.label in of}


def _births(dataset: DataSet, table: TablePlan) -> tuple[str, ...]:
    columns = dataset.columns.items()
    return tuple(name for name, entry in columns if entry.kind == BIRTH and name in table.columns)
