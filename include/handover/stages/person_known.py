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
from handover.stages.subjects import CARDS

IDENTITY = ("resident_id", "residence_permit", "passport", "travel_permit")
# What names somebody: in a person's copy only their own.
NAMING = (*IDENTITY, "mobile", "phone", "email", "person_name")
HARMLESS = ("none", "related")
ANOTHER = "［他人信息 / another person's］"
_SPACE = re.compile(r"\s+")


@dataclass
class Known:
    """What is known of the person: numbers by kind, and name, birth date and address."""

    numbers: dict[str, set[str]] = field(default_factory=dict)
    persons: set[Person] = field(default_factory=set)

    def note(self, kind: str, value: object) -> None:
        """Remember a number; what is none is left."""
        if isinstance(value, str) and kind in KINDS and value.strip():
            self.numbers.setdefault(kind, set()).add(value)

    def join(self, other: Known) -> None:
        """Take what another source knows."""
        for kind, values in other.numbers.items():
            self.numbers.setdefault(kind, set()).update(values)
        self.persons |= other.persons

    @property
    def forms(self) -> set[str]:
        """Return the numbers as they are searched for."""
        forms = (canonical(kind, value) for kind, values in self.numbers.items() for value in values)
        return {one.decode() for one in forms if one}

    @property
    def names(self) -> set[str]:
        """Return the names without spaces."""
        return {_bare(one.name) for one in self.persons if one.name}

    def is_theirs(self, kind: str, value: str) -> bool:
        """Say whether a number or a name is the person's."""
        if kind == "person_name":
            return _bare(value) in self.names
        form = canonical(kind, value) if kind in KINDS else None
        return form.decode() in self.forms if form else any(value in one for one in self.numbers.values())


def known_from(said: str) -> Known:
    """Return the numbers that somebody said of a person."""
    known = Known()
    for line in said.splitlines():
        for mention in find(line):
            known.note(mention.kind, line[mention.start : mention.end])
    return known


def theirs(values: Mapping[str, Any], dataset: DataSet | None, known: Known) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        kind = _kind(dataset, name)
        naming = kind in NAMING and isinstance(value, str)
        kept[name] = ANOTHER if naming and not known.is_theirs(kind, value) else _without_others(value, known)
    return kept


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
