"""Free text and JSON: each number, name and address found in them becomes what its column would make of it.

What the detectors of ``handover.classify`` miss stays, so that a redacted text is not free of persons: the
search for raw values after the move, and people, have to look at it again.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from handover.classify.find import Mention, find
from handover.classify.shapes import plain
from handover.pseudonymise.literals import Literal, is_at, is_document, literals
from handover.pseudonymise.strategy import Masked, Treated


@dataclass(frozen=True)
class Treatments:
    """What is done to the mentions of each kind, to those of all other kinds, and to values at JSON paths."""

    kinds: Mapping[str, Treated]
    others: Treated
    paths: Mapping[str, Treated] = field(default_factory=dict)

    def of_kind(self, kind: str) -> Treated:
        """Return what is done to mentions of a kind."""
        return self.kinds.get(kind, self.others)

    def of_path(self, literal: Literal) -> Treated | None:
        """Return what is done to a value as a whole, if its path is declared."""
        return next((done for path, done in self.paths.items() if is_at(literal, path)), None)


class _Replacements:
    """All values to replace in a batch, treated together, each by its strategy in bulk."""

    def __init__(self, treatments: Treatments) -> None:
        self.treatments = treatments
        self._new: dict[int, dict[str, str]] = defaultdict(dict)
        self._treated: dict[int, Treated] = {}
        self._mentions: dict[str, list[Mention]] = {}

    def note(self, treated: Treated, text: str) -> None:
        self._treated[id(treated)] = treated
        self._new[id(treated)][text] = ""

    def note_mentions(self, text: str) -> None:
        if text not in self._mentions:
            normal = plain(text)
            self._mentions[text] = find(normal)
            for mention in self._mentions[text]:
                self.note(self.treatments.of_kind(mention.kind), normal[mention.start : mention.end])

    def work_out(self) -> None:
        for number, replacements in self._new.items():
            old = list(replacements)
            new = self._treated[number].apply(pa.array(old, pa.string())).column.to_pylist()
            replacements.update((a, b or "") for a, b in zip(old, new, strict=True))

    def of(self, treated: Treated, text: str) -> str:
        return self._new[id(treated)][text]

    def redacted(self, text: str) -> str:
        parts, end = [], 0
        normal = plain(text)
        # Signs of no width are left out of the plain form: then places in the two are not the same.
        around = text if len(normal) == len(text) else normal
        for mention in self._mentions[text]:
            raw = normal[mention.start : mention.end]
            parts += [around[end : mention.start], self.of(self.treatments.of_kind(mention.kind), raw)]
            end = mention.end
        return "".join([*parts, around[end:]]) if parts else text


def redact_text(column: pa.Array, treatments: Treatments) -> Masked:
    """Return texts in which every mention has the pseudonym of its kind."""
    made = _Replacements(treatments)
    values = column.to_pylist()
    for text in _held(values):
        made.note_mentions(text)
    made.work_out()
    return _result(values, made.redacted)


def redact_json(column: pa.Array, treatments: Treatments) -> Masked:
    """Return documents whose strings, keys and numbers are redacted like texts; the rest stays as written.

    A value at a declared path is replaced as a whole. A number that was somebody's becomes a string. A text
    that is no JSON is redacted as a text.
    """
    made = _Replacements(treatments)
    values = column.to_pylist()
    documents = {text: list(literals(text)) if is_document(text) else None for text in _held(values)}
    for text, found in documents.items():
        if found is None:
            made.note_mentions(text)
        for literal in found or ():
            treated = treatments.of_path(literal)
            if treated:
                made.note(treated, literal.text)
            else:
                made.note_mentions(literal.text)
    made.work_out()

    def change(text: str) -> str:
        found = documents[text]
        return made.redacted(text) if found is None else _rewritten(text, found, made)

    return _result(values, change)


def _held(values: Iterable[str | None]) -> list[str]:
    return [text for text in values if text is not None]


def _rewritten(document: str, found: Iterable[Literal], made: _Replacements) -> str:
    parts, end = [], 0
    for literal in found:
        treated = made.treatments.of_path(literal)
        new = made.of(treated, literal.text) if treated else made.redacted(literal.text)
        if new != literal.text:
            parts += [document[end : literal.start], _quoted(new)]
            end = literal.end
    return "".join([*parts, document[end:]])


def _quoted(text: str) -> str:
    """JSON of a text; half a surrogate pair, which the type json admits, can only be written escaped."""
    halves = any("\ud800" <= sign <= "\udfff" for sign in text)
    return json.dumps(text, ensure_ascii=halves)


def _result(values: list[str | None], change: Callable[[str], str]) -> Masked:
    new = [None if text is None else change(text) for text in values]
    tally = Counter(
        "null" if old is None else "masked" if old != now else "clean"
        for old, now in zip(values, new, strict=True)
    )
    return Masked(pa.array(new, pa.string()), {name: tally[name] for name in ("masked", "null", "clean")})
