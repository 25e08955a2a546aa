"""A copy of what a source holds about one person, with what is said of others left out.

Theirs are the row that is the person and all that the data map leads to it; rows elsewhere that name the
person by a number, or by name with birth date or address, are found by value in every table and text. Of such
a row, as it may be about somebody else, only what names the person is given, and what tells nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from handover.evidence.answer import NamedRows
from handover.model.datamap import DataMap, DataSet
from handover.model.registered import RegisteredSource
from handover.postgres.closure import Closure
from handover.postgres.keysets import scoped_rows
from handover.postgres.membership import Hit
from handover.postgres.ordering import rows_of
from handover.postgres.person_rows import Mentions, Place, Row, read_mentions, read_where
from handover.postgres.session import Connection, connect
from handover.risk.loosely import Sieve
from handover.risk.persons import Person, Persons
from handover.risk.raw_values import KINDS, RawValues
from handover.risk.searching import Search
from handover.stages.person_graph import own_scope, person_graph
from handover.stages.person_known import IDENTITY, Known, mentioned, theirs
from handover.stages.reading import begin_snapshot
from handover.stages.subjects import CARDS, Subject, names_somebody


@dataclass(frozen=True)
class CopiedTable:
    """Rows of a table for the person; ``theirs``: the data map leads from them to the person."""

    source: str
    label: str
    dataset: DataSet | None
    theirs: bool
    rows: list[dict[str, Any]]


class PersonCopy:
    """One source, read in one snapshot. Use as a context manager; ask for ``own`` first."""

    def __init__(self, source: RegisteredSource, url: str, datamap: DataMap, subject: Subject | None) -> None:
        """Open a session that only reads."""
        self.source, self.datamap, self.subject = source, datamap, subject
        self.known = Known()
        self.not_searched: list[str] = []
        self._seen: set[Place] = set()
        self._own: list[tuple[DataSet | None, str, list[Row]]] = []
        self._connection: Connection = connect(url, read_only=True)

    def __enter__(self) -> PersonCopy:
        """Find the rows that are the person's, and what they say of who it is."""
        try:
            self._read_own()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the session."""
        self._connection.close()

    @cached_property
    def _datasets(self) -> Mapping[str, DataSet]:
        return {label: one for one in self.datamap.datasets for label in one.labels}

    def _read_own(self) -> None:
        closure = None
        if self.subject:
            database, declared = self.source.database, self.source.virtual_keys
            graph = person_graph(
                self._connection, database.schemas, self.datamap, declared, self.source.polymorphic
            )
            # Proven and prepared before the snapshot, as the closure wants it.
            closure = Closure(
                self._connection, graph, own_scope(graph, self.datamap, self.subject), prefix="own"
            )
        begin_snapshot(self._connection)
        if closure is None or self.subject is None:
            return
        closure.compute(lambda rows: None)
        for keys in closure.key_sets.values():
            self._take(
                keys.table.label,
                read_where(self._connection, rows_of(keys.table), scoped_rows(keys, "owned")),
            )
        self._learn(self.subject)

    def _take(self, label: str, rows: list[Row]) -> None:
        new = [row for row in rows if row.place not in self._seen]
        self._seen |= {row.place for row in new}
        dataset = self._datasets.get(label)
        if new:
            self._own.append((dataset, label, new))

    def _learn(self, subject: Subject) -> None:
        """Note numbers of the person's own row; of rows that lead there those that only a person has.

        A paper's number there may be a relative's: it counts where the own row has none of its kind, in a
        table that names nobody. A card or account counts unless its row names another.
        """
        described = [(dataset, row) for dataset, _, rows in self._own if dataset for row in rows]
        for dataset, row in described:
            if dataset.table == subject.table:
                self._note(dataset, row, KINDS)
                self.known.persons |= set(_persons(dataset, row))
        lacking = [kind for kind in IDENTITY if kind not in self.known.numbers]
        for dataset, row in described:
            if dataset.table != subject.table and [path.to for path in dataset.subject] == [subject.table]:
                named = names_somebody(dataset)
                self._note(dataset, row, () if named and not self._names_them(dataset, row) else CARDS)
                self._note(dataset, row, () if named else lacking)

    def _names_them(self, dataset: DataSet, row: Row) -> bool:
        """Say whether a row has the person's name, and nobody else's."""
        said = (row.values.get(name) for name, one in dataset.columns.items() if one.kind == "person_name")
        names = [str(name) for name in said if name]
        return bool(names) and all(self.known.is_theirs("person_name", name) for name in names)

    def _note(self, dataset: DataSet, row: Row, kinds: Sequence[str]) -> None:
        for name, entry in dataset.columns.items():
            if entry.kind in kinds:
                self.known.note(entry.kind, row.values.get(name))

    def own(self, known: Known) -> Iterator[CopiedTable]:
        """Yield the rows that are the person's."""
        for dataset, label, rows in self._own:
            own = bool(self.subject and dataset and dataset.table == self.subject.table)
            kept = [theirs(row.values, dataset, known, own=own) for row in rows]
            yield CopiedTable(self.source.source, label, dataset, True, kept)

    def mentions(self, known: Known) -> Iterator[CopiedTable]:
        """Yield the rows elsewhere that name the person."""
        for found in self._found(known):
            yield from self._given(found, known)

    def named(self, known: Known) -> Iterator[NamedRows]:
        """Yield how many rows elsewhere name the person, by table and column."""
        for found in self._found(known):
            columns = Counter(column for row in found.rows for column in found.columns[row.place])
            for column, rows in sorted(columns.items()):
                yield NamedRows(self.source.source, f"{found.schema}.{found.table}", column, rows)

    def _found(self, known: Known) -> Iterator[Mentions]:
        """Yield what names the person and is not theirs; what could not be searched is noted."""
        values = RawValues()
        for kind, said in known.numbers.items():
            values.add(kind, said)
        search, persons = Search(values), Persons(known.persons)

        def hits(rows: bytes) -> list[Hit]:
            return [*search(rows), *persons(rows)]

        names = {one.name for one in known.persons if one.name and (one.born_on or one.address)}
        plain = [form.encode() for form in known.forms]
        found, unread = read_mentions(
            self._connection, self.source.database.schemas, Sieve.of(known.forms, names), plain, hits
        )
        self.not_searched = [f"{one.schema_name}.{one.table}.{one.column}" for one in unread]
        for one in found:
            yield replace(one, rows=[row for row in one.rows if row.place not in self._seen])

    def _given(self, found: Mentions, known: Known) -> Iterator[CopiedTable]:
        label = f"{found.schema}.{found.table}"
        dataset = self._datasets.get(label)
        of_person = [row for row in found.rows if dataset and _is_person(row, dataset, known)]
        others = [row for row in found.rows if row not in of_person]
        if of_person:
            given = [theirs(row.values, dataset, known, own=True) for row in of_person]
            yield CopiedTable(self.source.source, label, dataset, True, given)
        if others:
            given = [mentioned(row.values, dataset, known, found.columns[row.place]) for row in others]
            yield CopiedTable(self.source.source, label, dataset, False, given)


def _persons(dataset: DataSet, row: Row) -> Iterator[Person]:
    of: dict[str, list[str]] = {}
    for name, entry in dataset.columns.items():
        if isinstance(value := row.values.get(name), str):
            of.setdefault(entry.kind, []).append(value)
    for name in of.get("person_name", ()):
        births = [day[:10] for day in of.get("birth_date", ())] or [""]
        for born, address in product(births, of.get("address") or [""]):
            yield Person(name, born or None, address or None)


def _is_person(row: Row, dataset: DataSet, known: Known) -> bool:
    """Say whether a row is the person again, by a number that two people never share."""
    if not any(path.to is None for path in dataset.subject):
        return False
    return any(
        entry.kind in IDENTITY
        and (value := row.values.get(name)) is not None
        and known.is_theirs(entry.kind, str(value))
        for name, entry in dataset.columns.items()
    )
