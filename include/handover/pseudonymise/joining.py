"""Columns that refer to each other, in groups that are masked alike, and the domain that each belongs to."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from handover.model.masking import Treatment
from handover.pseudonymise.domains import WRITINGS

# Kinds of which a value says by itself who it is, in whatever table it stands: one domain for each.
SHARED = tuple(WRITINGS)
DOMAIN = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
# Table and column.
Place = tuple[str, str]


@dataclass
class Together:
    """Columns that share a treatment: they refer to each other, or to the same column."""

    members: list[Place]
    roots: list[Place]
    said: dict[Place, Treatment] = field(default_factory=dict)
    kind: str = "none"
    domain: str = ""


def together(columns: Iterable[Place], references: Iterable[tuple[Place, Place]]) -> list[Together]:
    """Return the columns in groups that refer to each other, each with the columns to which all lead."""
    leader = {place: place for place in columns}

    def lead(place: Place) -> Place:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    parents: dict[Place, set[Place]] = defaultdict(set)
    for child, parent in references:
        if child != parent:
            leader[lead(child)] = lead(parent)
            parents[child].add(parent)
    groups: dict[Place, list[Place]] = defaultdict(list)
    for place in sorted(columns):
        groups[lead(place)].append(place)
    return [Together(members, _roots(members, parents)) for members in groups.values()]


def _roots(members: list[Place], parents: Mapping[Place, set[Place]]) -> list[Place]:
    """Return the members beyond which no reference leads: one, or all of a circle."""
    above = {place: _above(place, parents) for place in members}
    return [one for one in members if all(one in above[other] for other in above[one])]


def _above(place: Place, parents: Mapping[Place, set[Place]]) -> set[Place]:
    found: set[Place] = set()
    waiting = [place]
    while waiting:
        for parent in parents.get(waiting.pop(), set()) - found:
            found.add(parent)
            waiting.append(parent)
    return found


def domain_of(group: Together) -> str:
    """Return the domain of columns for which none is written."""
    if group.kind in SHARED:
        return shared_domain(group.kind)
    table, column = group.roots[0]
    name = f"{table}.{column}"
    if DOMAIN.fullmatch(name):
        return name
    return f"column-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def shared_domain(kind: str) -> str:
    """Return the domain of a kind: kinds that one detector cannot tell apart share it."""
    return {"phone": "mobile", "residence_permit": "resident_id", "owner_uscc": "uscc"}.get(kind, kind)
