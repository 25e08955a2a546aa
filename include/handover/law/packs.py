"""Policy packs from their files: read strictly, checked against each other, frozen by version and digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from handover.errors import PolicyInvalid
from handover.law.references import Place, circles, misfits, wrong_paths
from handover.model.base import Frozen
from handover.model.check import CHECK_KINDS
from handover.model.policy import Pack
from handover.model.strict_yaml import line_of, read_mapping

_REMEDIES = {
    "extra_forbidden": "unknown key; take it out or correct its spelling",
    "missing": "missing; add it",
    "string_type": "not a text; put it in quotes",
}


class Affected(Frozen):
    """An open case that runs under a pack of which a newer version is in force, and the rules that differ."""

    case: str
    frozen: str
    newer: str
    rules: tuple[str, ...]


@lru_cache(maxsize=64)  # a run asks for the same few texts dozens of times, and a pack never changes
def parse_pack(text: str, name: str) -> Pack:
    """Return the pack that ``text`` says; PolicyInvalid names file, line, field and remedy."""
    start = "start from a copy of a pack under include/policies"
    root, document = read_mapping(text, f"policy pack {name}", start, PolicyInvalid)
    try:
        pack = Pack.model_validate(document)
    except ValidationError as problem:
        raise _refused(name, root, list(_complaints(problem))) from None
    wrong = list(wrong_paths(pack))
    wrong += [((_part_of(pack, rule), rule, "rests_on"), said) for rule, said in circles(pack.rules())]
    if name != f"{pack.pack}-{pack.version}.yaml":
        wrong.append((("version",), f"name the file {pack.pack}-{pack.version}.yaml"))
    if wrong:
        raise _refused(name, root, wrong)
    return pack


def load_packs(folder: Path) -> tuple[Pack, ...]:
    """Read every version of every pack in ``folder``, in the order of their file names."""
    packs = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise PolicyInvalid(
                f"policy pack {path.name} cannot be read", hint="it must be a readable file in UTF-8"
            ) from None
        packs.append(parse_pack(text, path.name))
    return tuple(packs)


def select(packs: Sequence[Pack], labels: Sequence[str], on: date) -> tuple[Pack, ...]:
    """Return the packs that a case names as ``pack@version``, in that order, when they fit together.

    Raises PolicyInvalid for one that is not there, named twice, not yet in force on ``on``, without the pack
    that it builds on, or with a rule that no pack or more than one has.
    """
    known = {pack.label: pack for pack in packs}
    wrong = [
        f"{label} is not there; one of {', '.join(sorted(known)) or 'none'}"
        for label in labels
        if label not in known
    ]
    chosen = tuple(known[label] for label in labels if label in known)
    names = [pack.pack for pack in chosen]
    wrong += [f"{name} is named twice; keep one version" for name in set(names) if names.count(name) > 1]
    wrong += [
        f"{pack.label} is in force from {pack.effective_from}; name an earlier version"
        for pack in chosen
        if pack.effective_from > on
    ]
    wrong += [
        f"{pack.label} builds on {base}; add {base}@VERSION"
        for pack in chosen
        for base in pack.builds_on
        if base not in names
    ]
    if not labels:
        wrong.append("a case needs at least one pack; add policy: [PACK@VERSION]")
    wrong += [] if wrong else misfits(chosen)
    if wrong:
        raise PolicyInvalid(
            "policy of the case is not valid:\n  " + "\n  ".join(wrong), hint="correct policy:"
        )
    return chosen


def newer_packs(frozen: Mapping[str, Sequence[str]], packs: Sequence[Pack], on: date) -> tuple[Affected, ...]:
    """Return each open case (id → its ``pack@version``) that a newer version in force on ``on`` affects."""
    known = {pack.label: pack for pack in packs}
    affected = []
    for case, labels in frozen.items():
        for label in labels:
            old = known.get(label)
            name = label.partition("@")[0]
            current = [pack for pack in packs if pack.pack == name and pack.effective_from <= on]
            newest = max(current, key=lambda pack: (pack.effective_from, _number(pack.version)), default=None)
            if newest is None or newest.label == label or (old and _is_newer(old, newest)):
                continue
            affected.append(
                Affected(case=case, frozen=label, newer=newest.label, rules=_changed(old, newest))
            )
    return tuple(affected)


def _part_of(pack: Pack, rule: str) -> str:
    return next(name for name, part in pack if isinstance(part, dict) and rule in part)


def _complaints(problem: ValidationError) -> Iterator[tuple[Place, str]]:
    for error in problem.errors(include_url=False, include_input=False):
        # Pydantic puts the chosen kind of a check into the place; the file has no such level.
        field = tuple(
            part
            for before, part in zip((None, *error["loc"]), error["loc"], strict=False)
            if part != "[key]"
            and not (part in CHECK_KINDS and (before == "check" or isinstance(before, int)))
        )
        said = _REMEDIES.get(error["type"]) or str(error.get("ctx", {}).get("error") or error["msg"].lower())
        yield field, said


def _refused(name: str, root: yaml.Node | None, wrong: Sequence[tuple[Place, str]]) -> PolicyInvalid:
    fields = [".".join(map(str, field)) or "the whole pack" for field, _ in wrong]
    lines = [
        f"line {line_of(root, field)}, {shown}: {said}"
        for shown, (field, said) in zip(fields, wrong, strict=True)
    ]
    return PolicyInvalid(
        f"policy pack {name} is not valid:\n  " + "\n  ".join(lines),
        hint="correct the fields named above",
        fields=fields,
    )


def _changed(old: Pack | None, new: Pack) -> tuple[str, ...]:
    before, now = old.rules() if old else {}, new.rules()
    return tuple(sorted(name for name in {*before, *now} if before.get(name) != now.get(name)))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _is_newer(one: Pack, other: Pack) -> bool:
    return (one.effective_from, _number(one.version)) > (other.effective_from, _number(other.version))
