"""Measures the detectors on generated, labelled data: recall and precision by template and by kind.

Two levels, never mixed. *Column*: is a whole column judged to be its kind? *Mention*: is each value inside
free text found, with its kind and exactly its signs? A wrong claim anywhere in the set, also in templates of
other kinds and in hard negatives, counts against the precision of the kind that was claimed.
"""

from __future__ import annotations

import re
import string
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from handover.classify.columns import judge
from handover.classify.find import find
from handover.classify.heldout import COLUMNS, MEASURED, TEXTS, Column
from handover.classify.invented import Invented
from handover.classify.shapes import plain

COLUMNS_EACH, VALUES_EACH, TEXTS_EACH = 20, 200, 300
LEAST_RECALL, LEAST_PRECISION = 0.99, 0.98
_RUBBISH = ("见附件", "同上", "test", "0000", "已注销", "1", "??", "未提供资料")
_SAME = {"owner_uscc": "uscc"}
_SIGNS_BETWEEN = re.compile(r"[ ()-]")


@dataclass
class Count:
    """What was to be found, what was found of it, and what was claimed wrongly."""

    expected: int = 0
    found: int = 0
    wrong: int = 0

    @property
    def recall(self) -> float:
        return self.found / self.expected if self.expected else 1.0

    @property
    def precision(self) -> float:
        claimed = self.found + self.wrong
        return self.found / claimed if claimed else 1.0

    def add(self, other: Count) -> None:
        self.expected += other.expected
        self.found += other.found
        self.wrong += other.wrong


@dataclass(frozen=True)
class Line:
    """The result of one template: counts by kind."""

    level: str
    template: str
    size: int
    counts: dict[str, Count]


@dataclass(frozen=True)
class Measurement:
    """All lines of one seed."""

    seed: int
    lines: tuple[Line, ...]

    def totals(self) -> dict[tuple[str, str], Count]:
        """Counts over all templates, by level and kind."""
        sums: dict[tuple[str, str], Count] = {
            (level, kind): Count() for level in ("column", "mention") for kind in MEASURED
        }
        for line in self.lines:
            for kind, count in line.counts.items():
                sums[line.level, kind].add(count)
        return sums

    @property
    def good_enough(self) -> bool:
        """Say whether every kind reaches both bars at both levels."""
        return all(
            count.recall >= LEAST_RECALL and count.precision >= LEAST_PRECISION
            for count in self.totals().values()
        )

    def document(self) -> dict[str, object]:
        """Return everything as plain JSON types."""
        return {
            "seed": self.seed,
            "columns_each": COLUMNS_EACH,
            "values_each": VALUES_EACH,
            "texts_each": TEXTS_EACH,
            "least_recall": LEAST_RECALL,
            "least_precision": LEAST_PRECISION,
            "good_enough": self.good_enough,
            "totals": [
                {"level": level, "kind": kind, **_numbers(count)}
                for (level, kind), count in self.totals().items()
            ],
            "templates": [
                {
                    "level": line.level,
                    "template": line.template,
                    "size": line.size,
                    "kinds": {kind: _numbers(count) for kind, count in line.counts.items()},
                }
                for line in self.lines
            ],
        }


def _numbers(count: Count) -> dict[str, float]:
    return {
        "expected": count.expected,
        "found": count.found,
        "wrong": count.wrong,
        "recall": round(count.recall, 5),
        "precision": round(count.precision, 5),
    }


def measure(seed: int) -> Measurement:
    """Generate the set and judge it; the same seed gives the same result on the same day."""
    invented = Invented(seed)
    lines = [_columns(template, invented) for template in COLUMNS]
    lines += [_texts(template, invented) for template in TEXTS]
    return Measurement(seed, tuple(lines))


def _columns(template: Column, invented: Invented) -> Line:
    counts: dict[str, Count] = defaultdict(Count)
    for _ in range(COLUMNS_EACH):
        values = [_value(template, invented) for _ in range(VALUES_EACH)]
        claimed = judge(template.name, "text", values).kind
        claimed = _SAME.get(claimed or "", claimed)
        if template.kind:
            counts[template.kind].expected += 1
        if claimed == template.kind and claimed:
            counts[claimed].found += 1
        elif claimed in MEASURED:
            counts[claimed].wrong += 1
    return Line("column", f"{template.name} ← {template.draw}", COLUMNS_EACH, dict(counts))


def _value(template: Column, invented: Invented) -> str:
    chance = invented.random.random()
    if chance < template.empty:
        return invented.random.choice(("", "-", "无", "NULL"))
    if chance < template.empty + template.rubbish:
        return invented.random.choice(_RUBBISH)
    value = str(getattr(invented, template.draw)())
    return invented.written(template.draw, value) if template.as_written and template.kind else value


def _texts(template: str, invented: Invented) -> Line:
    counts: dict[str, Count] = defaultdict(Count)
    for _ in range(TEXTS_EACH):
        text, expected = _filled(template, invented)
        claimed = Counter(_claims(text))
        for kind, signs in expected.elements():
            counts[kind].expected += 1
            counts[kind].found += (kind, signs) in claimed
        for kind, _signs in (claimed - expected).elements():
            counts[kind].wrong += 1
    return Line("mention", template.replace("\n", " "), TEXTS_EACH, dict(counts))


def _filled(template: str, invented: Invented) -> tuple[str, Counter[tuple[str, str]]]:
    parts, expected = [], Counter[tuple[str, str]]()
    for before, draw, _, _ in string.Formatter().parse(template):
        parts.append(before)
        if draw is None:
            continue
        value = str(getattr(invented, draw)())
        if draw in MEASURED:
            expected[draw, _signs(draw, value)] += 1
            value = invented.written(draw, value)
        parts.append(value)
    return "".join(parts), expected


def _claims(text: str) -> Iterator[tuple[str, str]]:
    normal = plain(text)
    for mention in find(normal):
        kind = _SAME.get(mention.kind, mention.kind)
        if kind in MEASURED:
            yield kind, _signs(kind, normal[mention.start : mention.end])


def _signs(kind: str, text: str) -> str:
    """The signs that make a value what it is, however it is written."""
    if kind == "email":
        return text.lower()
    signs = _SIGNS_BETWEEN.sub("", text).upper()
    return signs[-11:] if kind == "mobile" else signs


def as_table(result: Measurement) -> str:
    """Return the result for people: one line for each template, then the totals."""
    lines = [
        f"seed {result.seed}; held-out templates, hard negatives in brackets: "
        f"{len(COLUMNS)} ({_negatives('column', result)}) of columns, {COLUMNS_EACH} columns of "
        f"{VALUES_EACH} values each; {len(TEXTS)} ({_negatives('mention', result)}) of texts, "
        f"{TEXTS_EACH} texts each",
        "level    kind         found / expected  wrong  template",
    ]
    for line in result.lines:
        shown = line.counts or {"nothing": Count()}
        lines += [
            f"{line.level:8} {kind:12} {count.found:6} / {count.expected:<8} {count.wrong:6}  {line.template}"
            for kind, count in shown.items()
        ]
    lines += ["", f"level    kind          recall  precision   (bars: {LEAST_RECALL}, {LEAST_PRECISION})"]
    lines += [
        f"{level:8} {kind:12} {count.recall:7.4f}  {count.precision:8.4f}"
        for (level, kind), count in result.totals().items()
    ]
    return "\n".join([*lines, "good enough" if result.good_enough else "NOT good enough"])


def _negatives(level: str, result: Measurement) -> int:
    return sum(
        line.level == level and not any(count.expected for count in line.counts.values())
        for line in result.lines
    )
