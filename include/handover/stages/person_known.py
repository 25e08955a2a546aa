"""What is known of a person while a copy of their data is made, and what of others is left out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from handover.classify.find import find
from handover.model.datamap import DataSet
from handover.risk.persons import Person
from handover.risk.raw_values import KINDS, canonical
from handover.stages.subjects import CARDS, names_somebody

IDENTITY = ("resident_id", "residence_permit", "passport", "travel_permit")
# What names somebody: in a person's copy only their own.
NAMING = (*IDENTITY, "mobile", "phone", "email", "person_name")
# Of somebody else's row even "other data about a person" tells something of that person.
HARMLESS = ("none",)
# Theirs in their own row; beside another's name it is that other's.
PRIVATE = ("address", "birth_date")
ANOTHER = "［他人信息 / another person's］"
_SPACE = re.compile(r"\s+")


@dataclass
class Known:
    """What is known of the person: numbers by kind, and name, birth date and address."""

    numbers: dict[str, set[str]] = field(default_factory=dict)
    persons: set[Person] = field(default_factory=set)

    def note(self, kind: str, value: object) -> None:
        """Remember a number; what is none is left."""
        if isinstance(value, (str, int)) and kind in KINDS and str(value).strip():
            self.numbers.setdefault(kind, set()).add(str(value))

    def join(self, other: Known) -> None:
        """Take what another source knows."""
        for kind, values in other.numbers.items():
            self.numbers.setdefault(kind, set()).update(values)
        self.persons |= other.persons

    @property
    def forms(self) -> set[str]:
        """Return the numbers as they are searched for."""
        return set().union(*map(self.forms_of, self.numbers))

    def forms_of(self, kind: str) -> set[str]:
        """Return the numbers of a kind as they are searched for."""
        forms = (canonical(kind, value) for value in self.numbers.get(kind, ()))
        return {one.decode() for one in forms if one}

    @property
    def names(self) -> set[str]:
        """Return the names without spaces."""
        return {_bare(one.name) for one in self.persons if one.name}

    def is_theirs(self, kind: str, value: str) -> bool:
        """Say whether a number, a name, an address or a birth date is the person's."""
        if kind == "person_name":
            return _bare(value) in self.names
        if kind == "birth_date":
            return value[:10] in {one.born_on for one in self.persons}
        if kind == "address":
            return _bare(value) in {_bare(one.address) for one in self.persons if one.address}
        form = canonical(kind, value) if kind in KINDS else None
        return form.decode() in self.forms if form else any(value in one for one in self.numbers.values())


def known_from(said: str) -> Known:
    """Return the numbers that somebody said of a person."""
    known = Known()
    for line in said.splitlines():
        for mention in find(line):
            known.note(mention.kind, line[mention.start : mention.end])
    return known


def one_person(first: Known, second: Known, said: str) -> bool:
    """Say whether two sources know one person: by papers where both know such, else by a number not yet said.

    Whoever shares a telephone has it in both sources: that it was asked for proves nothing.
    """
    for kind in IDENTITY:
        papers = [one.forms_of(kind) for one in (first, second)]
        if all(papers):
            return bool(papers[0] & papers[1])
    lines = (canonical("account_no", line) for line in said.splitlines())
    return bool(first.forms & second.forms - known_from(said).forms - {one.decode() for one in lines if one})


def theirs(
    values: Mapping[str, Any], dataset: DataSet | None, known: Known, *, own: bool = False
) -> dict[str, Any]:
    """Return a row of the person without others; ``own``: the row is the person, and does not lead there."""
    kinds = NAMING if own or dataset is None else (*NAMING, *_private(values, dataset, known))
    return {name: _masked(_kind(dataset, name), value, kinds, known) for name, value in values.items()}


def _private(values: Mapping[str, Any], dataset: DataSet, known: Known) -> tuple[str, ...]:
    """Return what of a row that leads to the person is somebody else's unless it is known as theirs."""
    if not names_somebody(dataset):  # a further address of theirs; nobody is born twice
        return ("birth_date",) if any(one.born_on for one in known.persons) else ()
    names = [str(values[name]) for name in values if _kind(dataset, name) == "person_name" and values[name]]
    return () if names and all(known.is_theirs("person_name", name) for name in names) else PRIVATE


def _masked(kind: str, value: Any, kinds: tuple[str, ...], known: Known) -> Any:
    if kind not in kinds or value is None:
        return _without_others(value, known)
    if isinstance(value, dict):
        return {name: _masked(kind, one, kinds, known) for name, one in value.items()}
    if isinstance(value, list):
        return [_masked(kind, one, kinds, known) for one in value]
    return _without_others(value, known) if known.is_theirs(kind, str(value)) else ANOTHER


def mentioned(
    values: Mapping[str, Any], dataset: DataSet | None, known: Known, hits: Iterable[str]
) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        shown = value is None or name in hits or _kind(dataset, name) in HARMLESS
        kept[name] = _without_others(value, known) if shown else ANOTHER
    return kept


def _kind(dataset: DataSet | None, column: str) -> str:
    entry = dataset.columns.get(column) if dataset else None
    return entry.kind if entry else ""


def _without_others(value: Any, known: Known) -> Any:
    """Return a value in which nobody else is named."""
    if isinstance(value, dict):
        return {name: _without_others(one, known) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_others(one, known) for one in value]
    if not isinstance(value, str):
        return value
    for mention in reversed(find(value)):
        said = value[mention.start : mention.end]
        if mention.kind in (*NAMING, *CARDS) and not known.is_theirs(mention.kind, said):
            value = value[: mention.start] + ANOTHER + value[mention.end :]
    return value


def _bare(name: str) -> str:
    return _SPACE.sub("", name)
