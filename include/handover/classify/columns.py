"""Judges a column by its name and its values, and says why.

The rule, the same for every kind: of the values that are there, the share that is the kind as a whole must
reach a threshold. Without help it is half or more; 30 % suffice where the name says the kind, 40 % where it
hints at it; a name of other numbered things (order, serial, time) asks for 90 %, and rules out kinds whose
numbers arise by chance. What is inside longer texts is listed beside, not taken for the column itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from handover.classify import names
from handover.classify.documents import by_path, last_word
from handover.classify.evidence import Evidence, at_least, family_of, gather
from handover.model.datamap import Contained

Confidence = Literal["high", "medium", "low"]
Form = Literal["text", "json", "array", "number", "date", "inet", "mac", "bytes", "other"]
READ: tuple[Form, ...] = ("text", "json", "array", "number")  # of other types no value is ever read

# The share that suffices without help of the name. Kinds not listed are never claimed by values alone.
_ALONE = {
    "email": 0.5, "resident_id": 0.5, "residence_permit": 0.5, "uscc": 0.5, "credential": 0.5,
    "bank_card": 0.6, "address": 0.6, "plate": 0.6, "mobile": 0.7, "phone": 0.7,
    "ip_address": 0.8, "mac_address": 0.8, "device_id": 0.8, "person_name": 0.8,
}  # fmt: skip
_NAMED, _HINTED, _AGAINST = 0.3, 0.4, 0.9
# Their check digits or forms hardly ever fit by chance: one mention in a text counts.
_SELDOM_BY_CHANCE = frozenset(
    ("email", "resident_id", "residence_permit", "uscc", "owner_uscc", "credential")
)
_LOOSE_FORM = frozenset(("address", "person_name", "phone", "account_no", "passport", "travel_permit"))
_BY_NAME = frozenset(
    (
        "credential",
        "one_time_code",
        "biometric",
        "document_image",
        "special",
        "attribute",
        "location",
        "account_no",
    )
)
_NOTE = re.compile(
    r"(?:\w+_)?(?:note|notes|remark|remarks|comment|comments|memo|content|body|description|message|text|search|reason)"
    r"|\S*备注\S*|\S*内容|摘要|\S*说明|描述|\S*原因"
)
# Fewer different words than this say little; somebody's products may begin like surnames too.
_LEAST_NAMES, _FEW_NAMES = 20, 5
_ENOUGH_FOR_CODES = 0.25
_ENOUGH_NAMES = 0.02
_NO_NUMBERS = 0.1  # of amounts: NaN, infinity, words


@dataclass(frozen=True)
class Judgement:
    """What a column holds, how sure that is, and why; ``kind`` is None when nothing points to a person."""

    kind: str | None
    confidence: Confidence
    reasons: tuple[str, ...]
    contains: tuple[Contained, ...] = ()


def judge(name: str, form: Form, values: Iterable[str]) -> Judgement:
    """Judge a column by its name, the form of its type, and sampled values that are not NULL."""
    if form == "json":
        return _judge_documents(values)
    if form == "array":
        return _judge_array(name, values)
    if form in ("inet", "mac"):
        kind = "ip_address" if form == "inet" else "mac_address"
        return Judgement(kind, "high", (f"its type holds {kind}",))
    return _judge_texts(name, form, values)


def _judge_texts(name: str, form: Form, values: Iterable[str]) -> Judgement:
    evidence = gather(values)
    said = names.said_by(name)
    return (
        _by_name(said, form, evidence)
        or _by_values(name, said, evidence)
        or _by_a_name_unproven(said, evidence)
        or _by_what_is_inside(name, form, evidence)
        or _by_nothing(name, said, form, evidence)
    )


def _by_name(said: str | None, form: Form, evidence: Evidence) -> Judgement | None:
    """Kinds that only a name can tell, or a name together with a type."""
    if said in _BY_NAME:
        return Judgement(said, "medium", (f"its name says {said}",), _beside(said, evidence))
    if said == "amount" and (
        form == "number" or evidence.share(evidence.present - evidence.numbers) <= _NO_NUMBERS
    ):
        return Judgement(said, "medium", ("its name says amount, and it holds numbers",))
    if said == "birth_date" and (
        form == "date" or evidence.share(evidence.dates) >= _NAMED or not evidence.present
    ):
        return Judgement(said, "high" if form == "date" else "medium", ("its name says birth_date",))
    if said in ("passport", "travel_permit") and evidence.share(evidence.forms[said]) >= _NAMED:
        share = evidence.share(evidence.forms[said])
        return Judgement(
            said, "high", (f"its name says {said}, and {share:.0%} of its values have that form",)
        )
    return None


def _by_values(name: str, said: str | None, evidence: Evidence) -> Judgement | None:
    hinted, against = names.hinted_by(name), names.speaks_against(name)
    best: tuple[float, str, bool] | None = None
    for kind, alone in _ALONE.items():
        count = evidence.family(kind)
        share = evidence.share(count)
        named = said is not None and family_of(said) == kind
        wanted = _NAMED if named else _HINTED if kind in hinted else alone
        if against and not named:
            wanted = _AGAINST if kind in _SELDOM_BY_CHANCE else math.inf
        few = _FEW_NAMES if kind in hinted else _LEAST_NAMES
        if kind == "person_name" and not named and evidence.distinct < few:
            continue
        if count and share >= wanted and (best is None or (named, share) > (best[2], best[0])):
            best = (share, kind, named)
    return None if best is None else _claimed(best[1], best[2], evidence)


def _claimed(family: str, named: bool, evidence: Evidence) -> Judgement:
    count = evidence.family(family)
    kind = _member(family, evidence)
    least = at_least(count, evidence.present)
    confidence: Confidence = (
        "high" if least >= (0.5 if named else 0.8) else "medium" if least >= 0.5 or named else "low"
    )
    said = (f"its name says {kind}",) if named else ()
    values = (
        f"{evidence.share(count):.1%} of {evidence.present} values are {kind} (at least {least:.0%} of all, "
        f"95 % sure), as {evidence.shapes[kind]}"
    )
    return Judgement(kind, confidence, (*said, values), _beside(family, evidence))


def _beside(family: str, evidence: Evidence) -> tuple[Contained, ...]:
    """Other kinds in the same column: in values of their own, or beside the column's kind."""
    others = sorted(kind for kind in evidence.inside if family_of(kind) != family)
    return tuple(Contained(kind=kind) for kind in others if _listed(kind, evidence, evidence.inside[kind]))


def _member(family: str, evidence: Evidence) -> str:
    """A person's credit code among companies' makes the column personal; else the more frequent names it."""
    if family == "uscc":
        return "owner_uscc" if evidence.whole["owner_uscc"] else "uscc"
    kinds = [kind for kind in evidence.whole if family_of(kind) == family]
    return max(kinds, key=lambda kind: evidence.whole[kind])


def _by_a_name_unproven(said: str | None, evidence: Evidence) -> Judgement | None:
    """A name without values, or with values of a form that proves nothing, still has to be looked at."""
    if said is None or said in ("amount", "birth_date") or (evidence.present and said not in _LOOSE_FORM):
        return None
    seen = "there is no value" if not evidence.present else "its values do not show it"
    return Judgement(said, "low", (f"its name says {said}, {seen}",))


def _listed(kind: str, evidence: Evidence, count: int) -> bool:
    """Say whether so many mentions are no chance."""
    if kind == "person_name" and evidence.distinct < _LEAST_NAMES:
        count -= evidence.whole[kind]  # a word of a short list, as 高中 of schools, is no name
    if kind in ("person_name", "address"):
        return count >= 2 and evidence.share(count) >= _ENOUGH_NAMES
    if kind == "email":
        return True
    if evidence.codes:
        return evidence.share(count) >= _ENOUGH_FOR_CODES
    return kind in _SELDOM_BY_CHANCE or count >= 2 or evidence.present < _LEAST_NAMES


def _by_what_is_inside(name: str, form: Form, evidence: Evidence) -> Judgement | None:
    if form != "text":
        return None
    found = {kind: count for kind, count in evidence.inside.items() if _listed(kind, evidence, count)}
    if names.speaks_against(name):
        often = _ENOUGH_FOR_CODES * evidence.present
        found = {kind: n for kind, n in found.items() if kind in _SELDOM_BY_CHANCE and n >= often}
    if (
        set(found) == {"person_name"}
        and evidence.share(evidence.prose - evidence.inside["person_name"]) < 0.2
    ):
        return None  # words that begin like a surname
    if not found:
        return None
    reasons = tuple(
        f"{count} of {evidence.present} values contain {kind}, as {evidence.shapes[kind]}"
        for kind, count in sorted(found.items())
    )
    return Judgement("free_text", "high", reasons, tuple(Contained(kind=kind) for kind in sorted(found)))


def _by_nothing(name: str, said: str | None, form: Form, evidence: Evidence) -> Judgement:
    if said is not None and said not in ("amount", "birth_date"):
        return Judgement(
            None, "low", (f"its name says {said}, but hardly any of {evidence.present} values do",)
        )
    if form == "text" and _NOTE.fullmatch(names.words_of(name)):
        return Judgement("free_text", "medium", ("its name says free text; nothing was found in the sample",))
    if names.is_key(name):
        return Judgement("internal_id", "medium", ("its name says an internal identifier",))
    if form not in READ:
        return Judgement(None, "low", ("values of its type are not read, and its name says nothing",))
    seen = f"in {evidence.present} values" if evidence.present else "there is no value"
    return Judgement(None, "medium" if evidence.present else "low", (f"nothing found, {seen}",))


def _judge_documents(values: Iterable[str]) -> Judgement:
    contains, reasons = [], []
    paths = by_path(values)
    for path, texts in sorted(paths.items()):
        found = _judge_texts(last_word(path), "text", texts)
        kinds = [part.kind for part in found.contains]
        if found.kind not in (None, "free_text", "internal_id"):
            kinds.append(str(found.kind))
        contains += [Contained(kind=kind, at=path) for kind in kinds]
        reasons += [f"{path}: {reason}" for reason in found.reasons if kinds]
    told = tuple(reasons) or (f"nothing found under {len(paths)} paths",)
    return Judgement("json", "high" if contains else "medium", told, tuple(contains))


def _judge_array(name: str, values: Iterable[str]) -> Judgement:
    """An array is judged by its elements; one of composites like a document."""
    paths = by_path(values)
    if all(path.startswith("$[*]") and "." not in path for path in paths):
        return _judge_texts(name, "text", [text for texts in paths.values() for text in texts])
    return _judge_documents([*values])
