"""Volumes of accounting archives: the figures of both sides by fiscal year, and how they differ.

Messages name archive, volume, table and column, and count rows; they never hold a figure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import reduce

from handover.model.figures import Figures, Group
from handover.model.handover_list import Control, ControlAmount
from handover.model.ledger_list import Archive, Totals, amount_names, year_in, year_place
from handover.model.reconciliation import Item, Reconciliation
from handover.quality.showing import FEWEST_ROWS, Token, figure, hidden

# Exact whatever the number of digits; what is not finite stays so.
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
Years = tuple[int, int]


@dataclass(frozen=True)
class Volume:
    """What both sides hold of an archive for some years, equal when nothing was said against it."""

    years: Years
    controls: tuple[Control, ...]


@dataclass(frozen=True)
class _Held:
    """The groups of one item that belong to one volume, and which of them hide their sums."""

    groups: tuple[tuple[Group, bool], ...]

    @property
    def rows(self) -> int:
        return sum(group.rows for group, _ in self.groups)

    def total(self, number: int) -> Decimal | None:
        """Return one of the sums, None where no value stands behind it."""
        texts = [group.amounts[number].total for group, _ in self.groups]
        found = [Decimal(text) for text in texts if text is not None]
        return reduce(_EXACT.add, found) if found else None

    def tells_of_few(self) -> bool:
        """Say whether the total less what the report shows would be a sum over few values."""
        concealed = [group.amounts for group, hide in self.groups if hide]
        return any(0 < sum(a.others for a in column) < FEWEST_ROWS for column in zip(*concealed, strict=True))


Side = Mapping[Years | None, _Held]


def volumes(
    archive: Archive, declared: Reconciliation, source: Figures, target: Figures, token: Token
) -> tuple[list[Volume], list[str]]:
    """Return an archive's volumes, and a line for each difference between source and target."""
    items = {item.name: item for item in declared.items()}
    lines: list[str] = []
    parts: dict[Years, list[Control]] = {}
    for totals in archive.totals:
        item = items[totals.item]
        ours, theirs = (_side(archive, totals, item, figures) for figures in (source, target))
        lines += _differences(archive, item, ours, theirs)
        concealed = _concealed(ours) | _concealed(theirs)
        for years, held in ours.items():
            if years is not None:
                shown = _control(item, years, held, years in concealed, token)
                parts.setdefault(years, []).append(shown)
    lines += _uncounted(archive, [items[totals.item] for totals in archive.totals], source, parts)
    return [Volume(years, tuple(parts[years])) for years in sorted(parts)], lines


def _side(archive: Archive, totals: Totals, item: Item, figures: Figures) -> Side:
    """Return an item's groups by volume; under None those that belong to no fiscal year."""
    found = next((one for one in figures.items if one.name == item.name), None)
    grouped: dict[Years | None, list[tuple[Group, bool]]] = {}
    if found is None:  # a table or column is missing there
        return {}
    for group, hide in zip(found.groups, hidden(found.groups), strict=True):
        grouped.setdefault(_years(archive, totals, item, group), []).append((group, hide))
    held = {years: _Held(tuple(groups)) for years, groups in grouped.items()}
    return {archive.years: _Held(()), **held} if archive.years else held


def _years(archive: Archive, totals: Totals, item: Item, group: Group) -> Years | None:
    if archive.years:
        return archive.years
    place = year_place(item, totals.year)
    year = None if place is None else year_in(group.labels[place])
    return None if year is None else (year, year)


def _differences(archive: Archive, item: Item, ours: Side, theirs: Side) -> Iterator[str]:
    table = item.table.label
    for years in sorted({*ours, *theirs}, key=lambda found: found or (0, 0)):
        here, there = ours.get(years, _Held(())), theirs.get(years, _Held(()))
        if years is None:
            rows = max(here.rows, there.rows)
            yield f"{_named(archive)}: {rows:,} rows of {table} belong to no fiscal year"
            continue
        volume = f"{_named(archive)}, volume {span(years)}"
        if here.rows != there.rows:
            yield f"{volume}: {here.rows:,} rows of {table} in the source, {there.rows:,} in the target"
        for number, name in enumerate(amount_names(item)):
            if not _same(here.total(number), there.total(number)):
                yield f"{volume}: {name} of {table}: its total in the target is not that of the source"


def _named(archive: Archive) -> str:
    return f"archive {archive.code} {archive.name}"


def span(years: Years) -> str:
    """Return years for people, as 2021 or 2019–2021."""
    return str(years[0]) if years[0] == years[1] else f"{years[0]}–{years[1]}"


def _same(left: Decimal | None, right: Decimal | None) -> bool:
    """Say whether two sums are equal as they are written, decimal places included."""
    return str(left) == str(right)


def _concealed(side: Side) -> set[Years | None]:
    """Return the volumes whose totals would, with what the report shows, tell of few rows.

    Then every volume with a sum that the report hides is concealed: together they rest on enough values.
    """
    if not any(held.tells_of_few() for held in side.values()):
        return set()
    return {years for years, held in side.items() if any(hide for _, hide in held.groups)}


def _control(item: Item, years: Years, held: _Held, hide: bool, token: Token) -> Control:
    amounts = []
    for number, name in enumerate(amount_names(item)):
        total = held.total(number)
        place = ["volume", item.name, json.dumps(years), name]
        text = None if total is None else f"{total:f}"
        amounts.append(ControlAmount(of=name, shown=figure(token, place, text, hide=hide)))
    return Control(table=item.table.label, rows=held.rows, amounts=tuple(amounts))


def _uncounted(
    archive: Archive, items: Sequence[Item], source: Figures, parts: Mapping[Years, Iterable[Control]]
) -> Iterator[str]:
    """Yield how the rows of an archive's tables differ from those that its volumes count."""
    rows = {table.label: table.rows for table in source.tables}
    absent = [table.label for table in archive.tables if table.label not in rows]
    if absent:
        yield f"{_named(archive)}: {', '.join(absent)} is no table that moved; name partitions one by one"
        return
    counted = Counter({item.table.label: 0 for item in items})
    for controls in parts.values():
        for control in controls:
            counted[control.table] += control.rows
    listed = sum(rows[table.label] for table in archive.tables)
    if counted.total() != listed:
        yield (
            f"{_named(archive)}: its volumes count {counted.total():,} rows, its tables hold {listed:,}; "
            "give for each table one item that counts all of its rows"
        )
