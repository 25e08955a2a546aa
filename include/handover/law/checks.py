"""The general checks of a gate: each returns what is missing or wrong; nothing returned means it passes.

A line names the fact and, where it is a count, the count. It never repeats a text of the case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from handover.law.facts import Facts, values
from handover.law.papers import has_opinion, in_force
from handover.law.special import SPECIALS
from handover.model.check import (
    AllOf,
    Among,
    AnyOf,
    ByHand,
    Check,
    Compare,
    Contains,
    Covers,
    HasDocument,
    HasOpinion,
    Known,
    Present,
    Special,
)
from handover.model.matter import Document
from handover.model.policy import Pack


def lacking(check: Check, facts: Facts, packs: Sequence[Pack]) -> list[str]:
    """Return what keeps the check from passing, one line each; empty when it passes."""
    match check:
        case AllOf():
            return [line for below in check.checks for line in lacking(below, facts, packs)]
        case AnyOf():
            found = [lacking(below, facts, packs) for below in check.checks]
            return [] if [] in found else [line for lines in found for line in lines]
        case Special():
            return list(SPECIALS[check.name].check(facts, packs))
        case HasDocument():
            return list(_documents(check, facts))
        case HasOpinion():
            said = has_opinion(check.about, facts)
            return [] if said else [f"no valid opinion of a named counsel about {check.about}"]
        case ByHand():
            return ["needs the acceptance of a named person: matter.acceptances"]
    return _stated(check, facts)


def _stated(check: Present | Compare | Covers | Among | Contains, facts: Facts) -> list[str]:
    """Return what the facts themselves lack."""
    match check:
        case Present():
            return [label for path in check.facts for label, value in values(facts, path) if not _said(value)]
        case Covers():
            return list(_covers(check, facts))
    lines: list[str] = []
    for label, value in values(facts, check.fact):
        match check:
            case Compare():
                lines += _limits(check, label, value)
            case Contains():
                lines += [f"{label} does not have {one}" for one in check.values if one not in (value or ())]
            case Among() if not _is_among(value, check.values):
                lines.append(f"{label} is {'not said' if value is None else 'not one of those allowed'}")
    return lines


def is_known(known: Known, facts: Facts) -> bool:
    """Say whether the fact is positively known to be so; what is not said never is."""
    ((_, value),) = values(facts, known.fact)
    if known.below is not None:
        return _is_count(value) and value < known.below
    return value is not None and type(value) is type(known.equals) and bool(value == known.equals)


def _said(value: Any) -> bool:
    return value is not None and value != () and value != ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_among(value: Any, allowed: tuple[str | bool, ...]) -> bool:
    return any(type(value) is type(one) and value == one for one in allowed)


def _limits(check: Compare, label: str, value: Any) -> Iterator[str]:
    if not _is_count(value):
        yield f"{label} is not said"
    elif check.at_least is not None and value < check.at_least:
        yield f"{label} is {value}, at least {check.at_least} is asked"
    elif check.at_most is not None and value > check.at_most:
        yield f"{label} is {value}, at most {check.at_most} is allowed"


def _covers(check: Covers, facts: Facts) -> Iterator[str]:
    ((_, wanted),) = values(facts, check.of)
    reached = sum(value or 0 for path in check.by for _, value in values(facts, path))
    if wanted is None:
        yield f"{check.of} is not known"
    elif reached < wanted:
        yield f"{' + '.join(check.by)} is {reached} of {wanted}"


def _documents(check: HasDocument, facts: Facts) -> Iterator[str]:
    holders = values(facts, check.per) if check.per else [("", None)]
    for label, holder in holders:
        of = f" for {label}" if check.per else ""
        if check.per and holder is None:
            yield f"{check.per} is not said"
            continue
        candidates = [
            one
            for one in facts.matter.documents
            if one.kind == check.of_kind and (holder is None or one.party == holder)
        ]
        reasons = [_unfit(one, check, facts) for one in candidates]
        if None not in reasons:
            yield from (f"document {check.of_kind}{of} {reason}" for reason in reasons)
            if not reasons:
                yield f"document {check.of_kind}{of} is not registered"


def _unfit(document: Document, check: HasDocument, facts: Facts) -> str | None:
    if reason := in_force(document, facts):
        return reason
    absent = sorted(set(check.clauses) - set(document.clauses))
    if absent:
        return f"has no clause on {', '.join(absent)}"
    old = check.max_age_days is not None and document.date + timedelta(check.max_age_days) < facts.on
    return f"is older than {check.max_age_days} days" if old else None
