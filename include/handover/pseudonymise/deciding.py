"""Deciding which columns are masked and how: from the data map, the policy's defaults and the references.

Columns that refer to each other get one treatment, that of the column to which all lead, so that joins
survive, even where a table as such is copied in clear. Pure; the plan carries what comes out.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from handover.model.datamap import ColumnEntry
from handover.model.kinds import KINDS
from handover.model.masking import MaskedColumn, Pseudonym, Treatment
from handover.pseudonymise.domains import WRITINGS
from handover.pseudonymise.joining import DOMAIN, SHARED, Place, Together, domain_of, shared_domain, together
from handover.pseudonymise.strategies import STRATEGIES, AnyStrategy
from handover.pseudonymise.strategy import Room

CLEAR, REDACT = "clear", "redact"
# Domain of what free text mentions and no kind of it has a treatment.
MENTIONS = "mentioned"
_TEXTS = ("text", "character varying", "character", "citext", "json", "jsonb")


@dataclass(frozen=True)
class Holding:
    """A column of a table that is copied. ``masked``: its rows arrive pseudonymised. ``entry``: the map's."""

    room: Room
    masked: bool
    entry: ColumnEntry | None = None


@dataclass(frozen=True)
class Undecided:
    """A column about which a plan cannot be made, why, and what to do."""

    place: Place
    said: str
    remedy: str


@dataclass(frozen=True)
class Defaults:
    """What the policy says of kinds, and the domains whose pseudonyms may be real numbers."""

    kinds: Mapping[str, Sequence[Treatment]]
    realistic: frozenset[str] = frozenset()


def strategy_of(treatment: Treatment) -> AnyStrategy:
    """Return the strategy that a treatment names; raises ValidationError."""
    return STRATEGIES.validate_python({k: v for k, v in treatment.items() if k not in ("domain", "person")})


def decide(
    columns: Mapping[Place, Holding], references: Iterable[tuple[Place, Place]], defaults: Defaults
) -> tuple[dict[Place, MaskedColumn], list[Undecided]]:
    """Return the masked columns by table and column, and what stands in the way of a plan.

    ``references`` lead from the column of a child to that of its parent, both among ``columns``.
    """
    deciding = _Deciding(columns, defaults)
    groups = together(columns, references)
    by_domain: dict[str, list[Together]] = defaultdict(list)
    for group in groups:
        wanted = deciding.concerns(group)
        deciding.named |= dict.fromkeys(group.members, group.domain or domain_of(group))
        if wanted:
            by_domain[group.domain].append(group)
    for domain, sharing in sorted(by_domain.items()):
        deciding.settle(domain, sharing)
    deciding.settle_texts()
    return deciding.found, deciding.problems


@dataclass
class _Deciding:
    columns: Mapping[Place, Holding]
    defaults: Defaults
    found: dict[Place, MaskedColumn] = field(default_factory=dict)
    problems: list[Undecided] = field(default_factory=list)
    texts: list[Place] = field(default_factory=list)
    domains: dict[str, Pseudonym] = field(default_factory=dict)
    named: dict[Place, str] = field(default_factory=dict)

    def refuse(self, place: Place, said: str, remedy: str) -> None:
        self.problems.append(Undecided(place, said, remedy))

    def concerns(self, group: Together) -> bool:
        """Find what is wanted of a group; returns whether anything is masked by it."""
        for place in group.members:
            one = self.columns[place]
            if one.entry and one.entry.treatment and one.masked:
                group.said[place] = one.entry.treatment
        rooted = {self.columns[place].masked for place in group.roots}
        if not any(self.columns[place].masked for place in group.members):
            return False
        if rooted != {True}:
            return self._leave_clear(group, mixed=len(rooted) > 1)
        entries = [entry for place in group.roots if (entry := self.columns[place].entry)]
        group.kind = entries[0].kind if entries else "none"
        if self._contradict(group):
            return False
        treatment = next(iter(group.said.values()), None)
        if treatment is not None and treatment["strategy"] == CLEAR:
            return False
        if treatment is None and (group.kind == "none" or not KINDS[group.kind].personal):
            return False
        if treatment is not None and treatment["strategy"] == REDACT:
            self.texts += group.members
            return False
        group.domain = str((treatment or {}).get("domain") or domain_of(group))
        return True

    def _leave_clear(self, group: Together, *, mixed: bool) -> bool:
        """Leave columns as they are whose parent arrives so; a treatment of theirs would cut the join."""
        for place, treatment in group.said.items():
            if treatment["strategy"] != CLEAR:
                self.refuse(
                    place,
                    f"has a treatment, but the row of {group.roots[0][0]} that it refers to arrives in clear",
                    "give both tables classes with one target, or take the treatment out",
                )
        if mixed:
            self.refuse(
                group.members[0],
                "belongs to references of which some lead to rows in clear and some to pseudonymised ones",
                "give the tables that they lead to classes with one target",
            )
        return False

    def _contradict(self, group: Together) -> bool:
        """Say whether the data map gives columns of a group different treatments."""
        if len({_meaning(treatment) for treatment in group.said.values()}) <= 1:
            return False
        self.refuse(
            next((place for place in group.said if place not in group.roots), next(iter(group.said))),
            "has another treatment than a column that refers to it, or to which it refers",
            "write one treatment, at the column to which the others lead",
        )
        return True

    def settle(self, domain: str, sharing: Sequence[Together]) -> None:
        """Choose one treatment for all columns that share a domain, and make their masks."""
        said = {_meaning(t): t for group in sharing for t in group.said.values()}
        writings = {WRITINGS.get(group.kind, "exact") for group in sharing}
        place = sharing[0].members[0]
        if not DOMAIN.fullmatch(domain):
            return self.refuse(place, f"domain {domain!r} is no name", "write small letters, digits, _ . -")
        if len(said) > 1 or len(writings) > 1:
            return self.refuse(
                place,
                f"shares domain {domain} with a column of another treatment or way of writing",
                "write the same treatment at both, or give one of them another domain",
            )
        members = [member for group in sharing for member in group.members]
        candidates = list(said.values()) or list(self.defaults.kinds.get(sharing[0].kind, ()))
        pseudonym = self._first_that_fits(domain, writings.pop(), candidates, members, sharing[0].kind)
        if pseudonym is None:
            return None
        if pseudonym.strategy == REDACT:
            self.texts += members
            return None
        self.domains[domain] = pseudonym
        for member in members:
            self._mask(member, sharing[0].kind, pseudonym)
        return None

    def _first_that_fits(
        self, domain: str, writing: str, candidates: Sequence[Treatment], members: Sequence[Place], kind: str
    ) -> Pseudonym | None:
        """Return the first treatment that fits every column; None for clear, or where none fits."""
        if not candidates:
            self.refuse(
                members[0],
                f"holds {kind} in rows that are pseudonymised, and neither data map nor policy treats it",
                "write treatment: {strategy: …} in the data map; {strategy: clear} leaves it as it is",
            )
        reasons = []
        for treatment in candidates:
            if treatment["strategy"] == CLEAR:
                return None
            reason = self._misfit(treatment, domain, members)
            if reason is None:
                plain = {name: value for name, value in treatment.items() if name != "domain"}
                return Pseudonym(domain=domain, writing=writing, treatment=plain)
            reasons.append(reason)
        for place, said in reasons[-1:]:
            self.refuse(place, said, "write another treatment in the data map")
        return None

    def _misfit(
        self, treatment: Treatment, domain: str, members: Sequence[Place]
    ) -> tuple[Place, str] | None:
        """Return the column that a treatment does not fit, and why."""
        if treatment["strategy"] == REDACT:
            return next(((p, said) for p in members if (said := self._unredactable(p))), None)
        try:
            strategy = strategy_of(treatment)
        except ValidationError as problem:
            error = problem.errors(include_url=False, include_input=False)[0]
            return members[0], f"treatment: {'.'.join(map(str, error['loc']))} {error['msg'].lower()}"
        if strategy.strategy == "drop":
            return members[0], "drop leaves a column out of a file; a table keeps it: take null"
        if getattr(strategy, "realistic", False) and domain not in self.defaults.realistic:
            return members[0], (
                f"realistic pseudonyms may be somebody's numbers: accept {domain} under pseudonyms.realistic"
            )
        for place in members:
            reason = self._refuses(strategy, place, treatment)
            if reason:
                return place, f"{strategy.strategy}: {reason}"
        return None

    def _unredactable(self, place: Place) -> str | None:
        room = self.columns[place].room
        if room.base not in _TEXTS:
            return "redact takes texts and documents alone"
        return "redacted values of a unique column would not stay different" if room.unique else None

    def _refuses(self, strategy: AnyStrategy, place: Place, treatment: Treatment) -> str | None:
        person = treatment.get("person")
        if strategy.strategy == "shift" and (place[0], person) not in self.columns:
            return "write person: the column of the same table by which the person is known"
        return strategy.fits(self.columns[place].room)

    def _mask(self, place: Place, kind: str, pseudonym: Pseudonym) -> None:
        person = str(pseudonym.treatment.get("person", ""))
        if pseudonym.strategy == "shift":  # by the person's domain, so that all dates of one move alike
            pseudonym = pseudonym.model_copy(update={"domain": self.named[place[0], person]})
        self.found[place] = MaskedColumn(
            column=place[1],
            type=self.columns[place].room.type_name,
            kind=kind,
            pseudonym=pseudonym,
            person=person,
        )

    def settle_texts(self) -> None:
        """Make the masks of redacted texts, when it is known what each kind is replaced by."""
        others = Pseudonym(domain=MENTIONS, writing="text", treatment={"strategy": "token", "length": 12})
        mentions = {kind: self._of_mention(kind, others) for kind in SHARED}
        for place in self.texts:
            one = self.columns[place]
            if said := self._unredactable(place):
                self.refuse(place, said, "write another treatment")
                continue
            contains = one.entry.contains if one.entry else ()
            self.found[place] = MaskedColumn(
                column=place[1],
                type=one.room.type_name,
                kind=one.entry.kind if one.entry else "free_text",
                pseudonym=others.model_copy(update={"treatment": {"strategy": REDACT}}),
                mentions=mentions,
                paths={part.at: mentions.get(part.kind, others) for part in contains if part.at},
            )

    def _of_mention(self, kind: str, others: Pseudonym) -> Pseudonym:
        """Return what replaces a kind in a text: the same as in its column, else the policy's first."""
        domain = shared_domain(kind)
        known = self.domains.get(domain)
        if known is not None and known.strategy not in ("null", "shift", "noise"):
            return known
        return others.model_copy(update={"domain": domain, "writing": WRITINGS.get(kind, "exact")})


def _meaning(treatment: Treatment) -> str:
    return json.dumps(treatment, sort_keys=True)
