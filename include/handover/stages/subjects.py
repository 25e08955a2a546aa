"""Finding a person in a source, by key or by number, and the rows that are about that person.

Looked at are the tables each row of which identifies a person, and cards and accounts in the rows that lead
to one at once, unless they have a name or lead to a second one: a payee's account is no customer's. What
somebody said is compared in the writings that such numbers have, and never repeated.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from handover.errors import SubjectUnclear, SubjectUnknown
from handover.evidence.digest import token
from handover.model.datamap import DataMap, DataSet, SubjectPath
from handover.model.reconciliation import TableName
from handover.model.scope import ForeignKey, Polymorphic, Root, Scope, VirtualKey
from handover.postgres.session import Connection
from handover.postgres.subject_rows import Place, SubjectRows
from handover.risk.raw_values import canonical

# Numbers of which one is one person's, in a row that is that person's.
NUMBERS = (
    *("resident_id", "residence_permit", "passport", "travel_permit", "mobile", "phone", "email"),
    *("bank_card", "account_no", "owner_uscc"),
)
# Looked for in other tables as well; a telephone there may be somebody else's.
CARDS = ("bank_card", "account_no")
# What many share: it says who somebody is only together with something else.
SHARED = ("person_name", "birth_date")
_OF_NOW = re.compile("now|today|tomorrow|yesterday", re.IGNORECASE)
MOST_SAID = 5
LONGEST = 500


@dataclass(frozen=True)
class Subject:
    """A person, as the columns of ``table`` that identify one say; ``key`` may stand in no message."""

    table: TableName
    key: dict[str, str] = field(repr=False)
    token: str

    @property
    def label(self) -> str:
        """Return the person's name in the ledger and in messages."""
        return f"{self.table.label}#{self.token}"

    @property
    def where(self) -> str:
        """Return the predicate of the person's row, in the words of a case."""
        return " AND ".join(equals(column, value) for column, value in self.key.items())


def find_subject(
    connection: Connection, datamap: DataMap, said: str, evidence_key: bytes, table: str | None = None
) -> Subject:
    """Return the one person of whom it was said; raises SubjectUnknown or SubjectUnclear, without values."""
    found = find_subjects(connection, datamap, said, evidence_key, table)
    if not found:
        places = [table] if table else [one.table.label for one in _persons(datamap)]
        raise SubjectUnknown(
            f"nobody in {', '.join(places) or 'any table'} is the person who was named",
            hint="give a key or a number that the company has; a name or a birthday only beside another line",
            tables=places,
        )
    if len(found) > 1:
        counts = {label: sum(one.table.label == label for one in found) for label in _labels(found)}
        raise SubjectUnclear(
            "several persons are meant: " + ", ".join(f"{n} in {label}" for label, n in counts.items()),
            hint="add a line that only the one has, or name the table of the person",
            counts=counts,
        )
    return found[0]


def find_subjects(
    connection: Connection, datamap: DataMap, said: str, evidence_key: bytes, table: str | None = None
) -> list[Subject]:
    """Return all persons of whom everything holds that was said, a thing on each line.

    A single line is a key or a number; beside others it may be a name, a birthday or a part of a key.
    ``table``: look there only. Raises DataMapInvalid when a column that the map names is gone.
    """
    lines = _lines(said)
    rows, found = SubjectRows(connection), []
    for dataset in _persons(datamap):
        if not lines or table not in (None, dataset.table.label):
            continue
        for path in (one for one in dataset.subject if one.to is None):
            places = _places(datamap, dataset, path, alone=len(lines) == 1)
            asked = [[(place, _writings(place.kind, line)) for place in places] for line in lines]
            for key in rows.find(dataset.table, path.by, path.when, asked):
                made = _subject(dataset.table, path.by, key, evidence_key)
                found += [made] if made not in found else []
    return found


def subject_scope(
    subjects: Iterable[Subject],
    virtual_keys: Sequence[VirtualKey] = (),
    polymorphic: Sequence[Polymorphic] = (),
    foreign_keys: Sequence[ForeignKey] = (),
) -> Scope:
    """Return the scope of persons: their rows, those that refer to them, and what these need."""
    return Scope(
        roots=tuple(Root(table=one.table, where=one.where) for one in subjects),
        virtual_keys=tuple(virtual_keys),
        polymorphic=tuple(polymorphic),
        foreign_keys=tuple(foreign_keys),
    )


def _persons(datamap: DataMap) -> list[DataSet]:
    return [one for one in datamap.datasets if any(path.to is None for path in one.subject)]


def _labels(found: Sequence[Subject]) -> list[str]:
    return list(dict.fromkeys(one.table.label for one in found))


def _lines(said: str) -> list[str]:
    lines = [" ".join(line.split()) for line in said.splitlines()]
    lines = list(dict.fromkeys(filter(None, lines)))
    if len(lines) > MOST_SAID or any(len(line) > LONGEST or not line.isprintable() for line in lines):
        raise SubjectUnknown(
            "what was said of the person cannot be looked for",
            hint=f"give 1 to {MOST_SAID} lines of printable text, each at most {LONGEST} signs long",
        )
    return lines


def _places(datamap: DataMap, person: DataSet, path: SubjectPath, *, alone: bool) -> list[Place]:
    """Return the columns that a line may be in; ``alone``: it has to be enough by itself."""
    kinds = NUMBERS if alone else (*NUMBERS, *SHARED)
    keys = path.by if len(path.by) == 1 or not alone else ()
    places = [Place(person.table, name, "") for name in keys]
    places += [
        Place(person.table, name, entry.kind)
        for name, entry in person.columns.items()
        if entry.kind in kinds and name not in keys
    ]
    for dataset in datamap.datasets:
        for way in dataset.subject:
            if way.to != person.table or len(way.by) != len(path.by) or dataset.table == person.table:
                continue
            if names_somebody(dataset) or not _leads_to_one(dataset):
                continue
            places += [
                Place(dataset.table, name, entry.kind, way.by, way.when)
                for name, entry in dataset.columns.items()
                if entry.kind in CARDS
            ]
    return places


def names_somebody(dataset: DataSet) -> bool:
    """Say whether rows of a table have a name: what they hold may be of another than whom they lead to."""
    return any(entry.kind == "person_name" for entry in dataset.columns.values())


def _leads_to_one(dataset: DataSet) -> bool:
    """Say whether no row leads to two: nobody could say whose number stands in such a row."""
    return len(dataset.subject) == 1 or all(way.when for way in dataset.subject)


def _writings(kind: str, line: str) -> list[str]:
    """Return how a column of a kind may write what was said."""
    plain = unicodedata.normalize("NFKC", line)
    found = [line, plain]
    if kind == "email":
        found += [plain.lower()]
    elif kind in NUMBERS:
        form = canonical(kind, plain)
        bare = form.decode() if form else "".join(sign for sign in plain if sign.isalnum())
        found += [bare, bare.upper(), bare.lower()]
        if kind in ("mobile", "phone"):
            found += [f"{start}{bare}" for start in ("+86", "86", "0086", "+86 ", "+86-")]
            found += [f"{bare[:3]}{sign}{bare[3:7]}{sign}{bare[7:]}" for sign in "- " if len(bare) == 11]
        if kind in CARDS:
            found += [" ".join(bare[at : at + 4] for at in range(0, len(bare), 4))]
    return list(dict.fromkeys(found))


def _subject(table: TableName, by: Sequence[str], key: Sequence[str], evidence_key: bytes) -> Subject:
    name = token(evidence_key, b"subject", table.label.encode(), *(part.encode() for part in key))
    return Subject(table, dict(zip(by, key, strict=True)), name)


def quoted(column: str) -> str:
    """Return a column's name for a predicate."""
    return '"' + column.replace('"', '""') + '"'


def equals(column: str, value: str, *, as_text: bool = False) -> str:
    """Return the predicate that a column has a value; ``as_text``: the value is of another type."""
    name, literal = quoted(column), "'" + value.replace("'", "''") + "'"
    # As a date such a word would mean another day each day; the grammar wants to hear that it is a text.
    as_text = as_text or bool(_OF_NOW.search(value))
    return f"{name}::text = {literal}::text" if as_text else f"{name} = {literal}"
