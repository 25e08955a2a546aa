"""What of the figures may be shown: nothing that rests on few rows, nor can be got by subtraction.

A hidden figure becomes a keyed token, equal where the figures are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from handover.model.figures import Amount, Group

# A figure over fewer rows can be known to belong to somebody.
FEWEST_ROWS = 10
EQUAL, DIFFERENT = "=", "≠"
NOTHING = "–"
# In place of a figure of what arrives as pseudonyms, or may be computed from some.
UNCOMPARED = "遮蔽，不核对 · masked, not compared"
# Names a hidden figure by its place and value under the case's evidence key.
Token = Callable[[Sequence[str]], str]
Words = dict[str, str]


@dataclass
class Sheet:
    """One table of the report; ``chart`` names the columns that a bar chart shows."""

    id: str
    title: Words
    columns: list[Words]
    chart: dict[str, list[int]] = field(default_factory=dict)
    rows: list[list[str]] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """Return the table as plain JSON types."""
        found: dict[str, object] = {"id": self.id, "title": self.title, "columns": self.columns}
        return found | {"rows": self.rows} | ({"chart": self.chart} if self.chart else {})


def words(zh: str, en: str) -> Words:
    """Return a text in both languages."""
    return {"zh": zh, "en": en}


SOURCE, TARGET, RESULT = words("源库", "source"), words("目标库", "target"), words("结果", "result")


def both(what: Words) -> list[Words]:
    """Return the headings of a figure of either side."""
    return [words(f"{side['zh']}{what['zh']}", f"{side['en']} {what['en']}") for side in (SOURCE, TARGET)]


def few(amounts: Sequence[Amount]) -> bool:
    """Say whether one of the sums rests on few values. A sum of zeros tells of nobody."""
    return any(0 < amount.others < FEWEST_ROWS for amount in amounts)


def hidden(groups: Sequence[Group | None]) -> list[bool]:
    """Say which groups of one side hide their sums.

    A single hidden sum would follow from the others and the column's total, so that the smallest other
    groups are hidden with it until all that is hidden of a column rests on enough values together.
    """
    found = [group is not None and few(group.amounts) for group in groups]
    rest = sorted((g.rows, n) for n, g in enumerate(groups) if g is not None and not found[n])
    while rest and few(_together([g for g, hide in zip(groups, found, strict=True) if g and hide])):
        found[rest.pop(0)[1]] = True
    return found


def _together(groups: Sequence[Group]) -> list[Amount]:
    """Return on how many values each sum over all these groups rests."""
    columns = zip(*(group.amounts for group in groups), strict=True)
    return [Amount(total=None, others=sum(amount.others for amount in column)) for column in columns]


def count_text(count: int | None) -> str:
    """Return a number of rows for people; there is none where the table or column is missing."""
    return NOTHING if count is None else f"{count:,}"


def figure(token: Token, place: Sequence[str], total: str | None, *, hide: bool) -> str:
    """Return a sum for people, or in place of it a token."""
    if total is None:
        return NOTHING
    return f"<{FEWEST_ROWS} · {token([*place, total])}" if hide else total


def other(token: Token, place: Sequence[str], total: str | None, *, equal: bool, shown: str) -> str:
    """Return the figure that should equal one shown before.

    Where it does not, the difference may rest on a single row: a token stands for it.
    """
    if equal:
        return shown
    return NOTHING if total is None else f"{DIFFERENT} · {token([*place, total])}"


def label(token: Token, place: Sequence[str], text: str | None, *, hide: bool) -> str:
    """Return what a group is called."""
    if text is None:
        return "NULL"
    return f"<{FEWEST_ROWS} · {token([*place, text])}" if hide else text
