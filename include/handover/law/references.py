"""What packs and matters refer to: facts, rules of other packs, gates; and what is not there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from handover.law.facts import path_problem
from handover.model.check import (
    AllOf,
    Among,
    AnyOf,
    Check,
    Compare,
    Contains,
    Covers,
    HasDocument,
    HasOpinion,
    Present,
)
from handover.model.matter import Matter
from handover.model.policy import Pack, Rule

# Where something stands in a YAML file: keys and positions from its top.
Place = tuple[str | int, ...]


def unknown_ids(matter: Matter, packs: Sequence[Pack]) -> tuple[tuple[Place, str], ...]:
    """Return field and complaint for each rule, gate or hold that the matter names and no pack has."""
    rules = {rule for pack in packs for rule in pack.rules()}
    gates = {gate for pack in packs for gate in pack.gates}
    named: list[tuple[Place, str, set[str]]] = [
        (("counsel_acceptances", n, "rule"), one.rule, rules)
        for n, one in enumerate(matter.counsel_acceptances)
    ]
    named += [(("acceptances", n, "gate"), one.gate, gates) for n, one in enumerate(matter.acceptances)]
    named += [
        (("opinions", n, "about", m), gate, gates)
        for n, one in enumerate(matter.opinions)
        for m, gate in enumerate(one.about)
    ]
    retention = {rule for pack in packs for rule in pack.retention}
    named += [
        (("retention", n, "rules", m), rule, retention)
        for n, one in enumerate(matter.retention or ())
        for m, rule in enumerate(one.rules or ())
    ]
    kinds = {kind for pack in packs for kind in pack.holds}
    named += [(("holds", n, "kind"), one.kind, kinds) for n, one in enumerate(matter.holds or ())]
    return tuple(
        (field, f"{name!r} is in none of the case's packs; correct it or add the pack to policy:")
        for field, name, there in named
        if name not in there
    )


def unknown_parts(
    matter: Matter, data_sets: Collection[str], row_classes: Collection[str]
) -> tuple[tuple[Place, str], ...]:
    """Return field and complaint for each data set and row class that the matter names and nobody knows."""
    named: list[tuple[Place, str, Collection[str], str]] = [
        (("purposes", one), one, data_sets, "data map") for one in matter.purposes
    ]
    named += [
        (("entity_cases", one), one, matter.entities or (), "list of matter.entities")
        for one in matter.entity_cases
    ]
    named += [
        (("bases", n, "data_set"), one.data_set, data_sets, "data map")
        for n, one in enumerate(matter.bases or ())
    ]
    named += [
        (("retention", n, "row_class"), one.row_class, row_classes, "case and no table of its scope")
        for n, one in enumerate(matter.retention or ())
    ]
    named += [
        (("holds", n, "row_classes", m), one, row_classes, "case and no table of its scope")
        for n, hold in enumerate(matter.holds or ())
        for m, one in enumerate(hold.row_classes or ())
    ]
    return tuple(
        (field, f"{name!r} is in no {where}; correct it")
        for field, name, there, where in named
        if name not in there
    )


def paths_of(check: Check) -> Iterator[tuple[str, Place]]:
    """Yield every fact that a check names, with its place in the check."""
    match check:
        case AllOf() | AnyOf():
            for number, below in enumerate(check.checks):
                for path, place in paths_of(below):
                    yield path, ("checks", number, *place)
        case Present():
            yield from ((path, ("facts", number)) for number, path in enumerate(check.facts))
        case Compare() | Among() | Contains():
            yield check.fact, ("fact",)
        case Covers():
            yield check.of, ("of",)
            yield from ((path, ("by", number)) for number, path in enumerate(check.by))
        case HasDocument():
            yield from ((check.per, ("per",)),) if check.per else ()


def opinions_of(check: Check) -> Iterator[str]:
    """Yield every gate about which a check accepts an opinion."""
    match check:
        case AllOf() | AnyOf():
            for below in check.checks:
                yield from opinions_of(below)
        case HasOpinion():
            yield check.about


def wrong_paths(pack: Pack) -> Iterator[tuple[Place, str]]:
    """Yield place and complaint for each fact of a gate that no matter can have."""
    for name, gate in pack.gates.items():
        for path, place in paths_of(gate.check):
            if problem := path_problem(path):
                yield ("gates", name, "check", *place), f"{problem}; correct its spelling"
        for number, known in enumerate(gate.unless):
            if problem := path_problem(known.fact):
                yield ("gates", name, "unless", number), f"{problem}; correct its spelling"


def misfits(packs: Sequence[Pack]) -> list[str]:
    """Return a line for each rule that two packs have, that none has, or that rests on itself."""
    rules: dict[str, Rule] = {}
    wrong = []
    for pack in packs:
        for name, rule in pack.rules().items():
            if name in rules:
                wrong.append(f"{pack.label}: rule {name} stands in another pack too; give it another id")
            rules[name] = rule
    for pack in packs:
        for name, rule in pack.rules().items():
            wrong += [
                f"{pack.label}: {name} rests on {other}, which no pack of the case has"
                for other in rule.rests_on
                if other not in rules
            ]
        for name, gate in pack.gates.items():
            wrong += [
                f"{pack.label}: {name} takes an opinion about {other}, which is no gate of the case"
                for other in opinions_of(gate.check)
                if other not in rules
            ]
    return wrong + [f"{rule} {said}" for rule, said in circles(rules)]


def circles(rules: Mapping[str, Rule]) -> Iterator[tuple[str, str]]:
    """Yield a rule that rests on itself and what is wrong, for the first circle that is found."""
    done: set[str] = set()

    def walk(name: str, seen: tuple[str, ...]) -> tuple[str, ...] | None:
        if name in seen:
            return (*seen[seen.index(name) :], name)
        if name in done or name not in rules:
            return None
        for other in rules[name].rests_on:
            if circle := walk(other, (*seen, name)):
                return circle
        done.add(name)
        return None

    for name in rules:
        if circle := walk(name, ()):
            yield circle[0], f"leads in a circle: {' → '.join(circle)}; cut it"
            return
