"""Compares what a case declares: both sides with each other, and each with the rule of the item.

A rule that the source itself breaks is its own fault and not blamed on the move; the run still fails
unless the case acknowledges it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from handover.model.figures import Figures, Group, ItemFigures
from handover.model.reconciliation import Balance, Count, Item, acknowledgement
from handover.quality.exact import differences, frame
from handover.quality.showing import (
    DIFFERENT,
    EQUAL,
    FEWEST_ROWS,
    RESULT,
    Sheet,
    Token,
    Words,
    both,
    count_text,
    figure,
    hidden,
    label,
    other,
    words,
)

# As many groups as a message can name; the table of the report shows all.
_NAMED = 5
_ROWS = words("行数", "rows")


@dataclass(frozen=True)
class _Pair:
    """A group on either side; None where that side has no such rows."""

    labels: tuple[str | None, ...]
    source: Group | None
    target: Group | None

    @property
    def equal(self) -> bool:
        """Say whether both sides have the same rows and sums, to the last digit as it is written."""
        ours, theirs = self.source, self.target
        return ours is not None and theirs is not None and _figures(ours) == _figures(theirs)


def _figures(group: Group) -> tuple[int, list[str | None], int]:
    return group.rows, [amount.total for amount in group.amounts], group.broken


@dataclass(frozen=True)
class Judge:
    """Compares items and adds a line for each difference to ``lines``."""

    acknowledged: frozenset[str]
    token: Token
    lines: list[str]

    def compare(self, item: Item, source: Figures, target: Figures) -> Sheet:
        """Compare one item and return its table."""
        ours, theirs = (_of(figures, item.name) for figures in (source, target))
        sheet = Sheet(item.name, _title(item), _headings(item), _chart(item))
        if ours is None or theirs is None:
            self.lines.append(f"{item.name}: cannot be computed: a table or column of it is missing")
            return sheet
        if isinstance(item, Balance):
            ours, theirs = _balanced(ours), _balanced(theirs)
        pairs = _paired(ours, theirs)
        either = zip(hidden([p.source for p in pairs]), hidden([p.target for p in pairs]), strict=True)
        hide = [here or there for here, there in either]
        names = self._names(item, pairs, ours.coarse)
        for pair, name, hiding in zip(pairs, names, hide, strict=True):
            sheet.rows.append([*name, *self._cells(item, pair, hiding)])
        self._judge(item, pairs, [", ".join(name) for name in names])
        return sheet

    def _names(self, item: Item, pairs: list[_Pair], coarse: Sequence[bool]) -> list[list[str]]:
        """Return the labels of every group; one that few rows have in all is a value of theirs."""
        rows: Counter[tuple[int, str | None]] = Counter()
        for pair in pairs:
            for place in enumerate(pair.labels):
                rows[place] += max(group.rows for group in (pair.source, pair.target) if group)

        def named(number: int, text: str | None) -> str:
            hide = not coarse[number] and rows[number, text] < FEWEST_ROWS
            return label(self.token, [item.name, str(number)], text, hide=hide)

        return [[named(number, text) for number, text in enumerate(pair.labels)] for pair in pairs]

    def _cells(self, item: Item, pair: _Pair, hide: bool) -> list[str]:
        groups = (pair.source, pair.target)
        cells = [count_text(group.rows if group else None) for group in groups]
        place = [item.name, json.dumps(pair.labels)]
        ours, theirs = (group.amounts if group else () for group in groups)
        for here, there in zip_longest(ours, theirs):
            left, right = (amount.total if amount else None for amount in (here, there))
            shown = figure(self.token, place, left, hide=hide)
            cells += [shown, other(self.token, place, right, equal=left == right, shown=shown)]
        if not isinstance(item, Count):
            cells += [count_text(group.broken if group else None) for group in groups]
        return [*cells, EQUAL if pair.equal else DIFFERENT]

    def _judge(self, item: Item, pairs: list[_Pair], names: list[str]) -> None:
        named = list(zip(names, pairs, strict=True))
        own = {name: p.source.broken for name, p in named if p.source and p.source.broken}
        if own and acknowledgement(item.name) not in self.acknowledged:
            self.lines.append(f"{item.name}: the source's own fault, not the move's: {_broken(item, own)}")
        moved = {n: p.target.broken for n, p in named if p.target and p.target.broken and not p.equal}
        if moved:
            self.lines.append(f"{item.name}: in the target, not so in the source: {_broken(item, moved)}")
        differing = [name for name, pair in named if not pair.equal]
        if differing:
            self.lines.append(f"{item.name}: the target's figures are not the source's{_where(differing)}")


def _of(figures: Figures, name: str) -> ItemFigures | None:
    return next((item for item in figures.items if item.name == name), None)


def _paired(source: ItemFigures, target: ItemFigures) -> list[_Pair]:
    ours, theirs = ({group.labels: group for group in side.groups} for side in (source, target))
    labels = sorted({*ours, *theirs}, key=lambda found: [(text is None, text or "") for text in found])
    return [_Pair(found, ours.get(found), theirs.get(found)) for found in labels]


def _balanced(found: ItemFigures) -> ItemFigures:
    """Mark the periods whose debit and credit differ."""
    totals = frame(
        {
            "debit": [group.amounts[0].total for group in found.groups],
            "credit": [group.amounts[1].total for group in found.groups],
        },
        {},
    )
    even = differences(totals.debit, totals.credit) == 0
    groups = zip(found.groups, even, strict=True)
    marked = tuple(group.model_copy(update={"broken": int(not same)}) for group, same in groups)
    return found.model_copy(update={"groups": marked})


def _broken(item: Item, found: dict[str, int]) -> str:
    count = sum(found.values())
    if isinstance(item, Balance):
        return f"periods where debit and credit of {item.table.label} differ: {count:,}{_where(list(found))}"
    return f"rows of {item.table.label} that break it: {count:,}{_where(list(found))}"


def _where(names: list[str]) -> str:
    """Name some groups; an item that has only one needs no name."""
    if names == [""]:
        return ""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f" ({'; '.join(names[:_NAMED])}{more})"


def _title(item: Item) -> Words:
    table = item.table.label
    if isinstance(item, Count):
        by = _label_headings(item)
        zh, en = ("、".join(w["zh"] for w in by), ", ".join(w["en"] for w in by))
        return words(f"{table}：按 {zh} 计数", f"{table}: rows by {en}")
    if isinstance(item, Balance):
        return words(f"{table}：试算平衡", f"{table}: trial balance")
    return words(f"{table}：总额与明细勾稽（{item.name}）", f"{table}: totals less their parts ({item.name})")


def _headings(item: Item) -> list[Words]:
    found = [*_label_headings(item), *both(_ROWS)]
    if isinstance(item, Balance):
        found += [*both(words("借方", "debit")), *both(words("贷方", "credit"))]
        found += both(words("不平期间", "periods out of balance"))
    elif not isinstance(item, Count):
        for what in (words("总额", "total"), words("明细合计", "parts"), words("余额", "rest")):
            found += both(what)
        found += both(words("不符行数", "rows that break it"))
    return [*found, RESULT]


def _label_headings(item: Item) -> list[Words]:
    if isinstance(item, Balance):
        return [words("期间", "period")] if item.period else []
    names = list(item.by if isinstance(item, Count) else item.show_by)
    found = [words(name, name) for name in names]
    if isinstance(item, Count) and item.year:
        found.append(words(f"{item.year} 的年份", f"year of {item.year}"))
    return found


def _chart(item: Item) -> dict[str, list[int]]:
    """Counts and periods make a readable bar chart; the values are the rows of either side."""
    labels = len(_label_headings(item))
    if isinstance(item, Count):
        return {"label": list(range(labels)), "value": [labels, labels + 1]}
    if isinstance(item, Balance) and labels:
        return {"label": [0], "value": [3, 4]}
    return {}
