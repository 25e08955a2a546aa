"""What the values of a column show: how many are which kind, as a whole or inside a longer text."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from handover.classify.find import PASSPORT, TRAVEL_PERMIT, find, is_whole
from handover.classify.shapes import plain, shape

# Kinds that share a column count together; which of them names the column is decided after.
_FAMILY = {"owner_uscc": "uscc", "phone": "mobile", "residence_permit": "resident_id"}
_EMPTY = frozenset(
    ("", "-", "--", "/", "n/a", "na", "null", "none", "nil", "\\n", "无", "未知", "暂无", "空", "不详")
)
_DATE = re.compile(r"(?:19|20)\d\d([-/.年]?)(?:0?[1-9]|1[0-2])[-/.月]?(?:0?[1-9]|[12]\d|3[01])日?(?: .*)?")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_LEAST_PROSE = 0.2


def family_of(kind: str) -> str:
    """Return the kind together with which it counts."""
    return _FAMILY.get(kind, kind)


@dataclass
class Evidence:
    """Counts over the values that are there; never the values themselves."""

    present: int = 0
    distinct: int = 0
    prose: int = 0
    dates: int = 0
    numbers: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)
    inside: Counter[str] = field(default_factory=Counter)
    shapes: dict[str, str] = field(default_factory=dict)

    def share(self, count: int) -> float:
        """Return the share of the values that are there."""
        return count / self.present if self.present else 0.0

    def family(self, kind: str) -> int:
        """Return how many values are of the kind or of one that counts together with it."""
        return sum(count for found, count in self.whole.items() if family_of(found) == kind)

    @property
    def codes(self) -> bool:
        """Say whether the column holds codes and numbers, in which what fits may fit by chance."""
        return self.share(self.prose) < _LEAST_PROSE


def gather(values: Iterable[str]) -> Evidence:
    """Count over all values; empty ones and words for nothing are left out."""
    evidence = Evidence()
    for raw, count in Counter(values).items():
        text = plain(raw).strip()
        if text.lower() in _EMPTY:
            continue
        evidence.present += count
        evidence.distinct += 1
        evidence.prose += count * (not text.isascii() or " " in text)
        evidence.dates += count * bool(_DATE.fullmatch(text))
        evidence.numbers += count * bool(_NUMBER.fullmatch(text))
        for kind, pattern in (("passport", PASSPORT), ("travel_permit", TRAVEL_PERMIT)):
            evidence.forms[kind] += count * bool(pattern.fullmatch(text))
        mentions = find(text)
        for kind in {mention.kind for mention in mentions}:
            evidence.inside[kind] += count
        for mention in mentions:
            evidence.shapes.setdefault(mention.kind, shape(text[mention.start : mention.end]))
        if len(mentions) == 1 and is_whole(text, mentions[0]):
            evidence.whole[mentions[0].kind] += count
    return evidence


def at_least(hits: int, total: int) -> float:
    """Return the lower bound of the share in the whole column (Wilson score, 95 %): few values say little."""
    z = 1.96
    share = hits / total
    middle = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (middle - spread) / (1 + z * z / total)
