"""The forecast of a registered source: how many rows of each class will be over in the months to come.

As lines for a terminal, as CSV, as a chart (SVG) and as a page in both languages. Numbers alone, no row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from handover.evidence.report_html import STYLE, environment, grouped, own_text, source
from handover.model.base import Frozen

_TEMPLATE, _CHART = "forecast.html.j2", "forecast.svg.j2"
FILES = ("forecast.html", "forecast.svg", "forecast.csv")
# Told apart on light and dark paper alike; later classes begin again.
COLOURS = ("#2f7fb8", "#d58a3a", "#7d9440", "#b0506a", "#6b6bbd", "#2c9c8e", "#a07548", "#8a8f98")
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 960, 340, 76, 300, 16
LINES = 4


class ClassForecast(Frozen):
    """A class: rows that are over already, and by month those that will be. ``never``: why it keeps all."""

    name: str
    table: str
    then: str
    due: int
    months: tuple[int, ...]
    rows: int
    never: tuple[str, ...] = ()

    @property
    def later(self) -> int:
        """Return how many rows stay beyond the last month, or have no day."""
        return self.rows - self.due - sum(self.months)


class Forecast(Frozen):
    """What periods say on a day of the months that follow; ``ends``: the last day of each."""

    source: str
    title: str
    on: date
    ends: tuple[date, ...]
    classes: tuple[ClassForecast, ...]

    @property
    def due(self) -> int:
        """Return how many rows are over on the day."""
        return sum(one.due for one in self.classes)

    @property
    def coming(self) -> int:
        """Return how many rows will be over in all months."""
        return sum(sum(one.months) for one in self.classes)

    @property
    def totals(self) -> tuple[int, ...]:
        """Return for each month how many rows of all classes will be over."""
        return tuple(sum(one.months[n] for one in self.classes) for n in range(len(self.ends)))


def month_of(end: date) -> str:
    """Write a month as 2026-11."""
    return f"{end:%Y-%m}"


def table_of(found: Forecast) -> Iterator[tuple[str, ...]]:
    """Yield heads and then a row of cells for each class, with the totals last."""
    yield ("class", "due", *map(month_of, found.ends), "later")
    for one in found.classes:
        yield (one.name, *map(grouped, (one.due, *one.months, one.later)))
    later = sum(one.later for one in found.classes)
    yield ("all", *map(grouped, (found.due, *found.totals, later)))


def csv_of(found: Forecast) -> str:
    """Return a line for each class and month; a class that starts a formula in a spreadsheet is quoted."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("source", "as_of", "class", "table", "until", "rows"))
    for one in found.classes:
        name = f"'{one.name}" if one.name[0] in "=+-@" else one.name
        for until, rows in zip((found.on, *found.ends), (one.due, *one.months), strict=True):
            writer.writerow((found.source, found.on, name, one.table, until, rows))
    return out.getvalue()


@dataclass(frozen=True)
class Piece:
    """A part of a column of the chart, in its units from the upper left."""

    x: int
    y: int
    width: int
    height: int
    colour: str
    said: str


@dataclass(frozen=True)
class Drawn:
    """The chart: pieces of columns, what stands below and above them, and the lines behind."""

    pieces: tuple[Piece, ...]
    labels: tuple[tuple[int, str], ...]
    totals: tuple[tuple[int, int, str], ...]
    lines: tuple[tuple[int, str], ...]


def draw(found: Forecast) -> Drawn:
    """Lay out a column for each month, whose pieces are the classes; without floats, as all charts."""
    top = nice(max(found.totals, default=0))
    step = (WIDTH - LEFT - 12) // max(1, len(found.ends))
    pieces, totals = [], []
    for place, end in enumerate(found.ends):
        x, y = LEFT + place * step + step // 6, BOTTOM
        for number, one in enumerate(found.classes):
            if rows := one.months[place]:
                height = max(1, rows * (BOTTOM - TOP - 14) // top)
                y -= height
                said = f"{month_of(end)} · {one.name}: {grouped(rows)}"
                pieces.append(Piece(x, y, step * 2 // 3, height, COLOURS[number % len(COLOURS)], said))
        if found.totals[place]:
            totals.append((x + step // 3, y - 5, grouped(found.totals[place])))
    labels = tuple((LEFT + n * step + step // 2, month_of(end)) for n, end in enumerate(found.ends))
    heights = [n * top // LINES for n in range(LINES + 1)]
    lines = tuple((BOTTOM - rows * (BOTTOM - TOP - 14) // top, grouped(rows)) for rows in heights)
    return Drawn(tuple(pieces), labels, tuple(totals), tuple(dict.fromkeys(lines)))


def nice(most: int) -> int:
    """Return a number that is not less and whose quarters are round: the upper end of a scale."""
    unit = 1
    while unit * 8 * LINES < most:
        unit *= 10
    tenths = (10, 15, 20, 25, 30, 40, 50, 60, 80)
    steps = [n * unit // 10 for n in tenths if n * unit % 10 == 0]
    return LINES * next(step for step in steps if step * LINES >= most)


def svg_of(found: Forecast) -> str:
    """Return the chart as a file of its own."""
    drawn = draw(found)
    return (
        environment()
        .get_template(_CHART)
        .render(forecast=found, drawn=drawn, legend=_legend(found), alone=True)
    )


def html_of(found: Forecast) -> str:
    """Return the page; it needs no network and no script."""
    made = environment()
    chart = made.get_template(_CHART).render(
        forecast=found, drawn=draw(found), legend=_legend(found), alone=False
    )
    policy = f"default-src 'none'; style-src '{source(STYLE)}'; base-uri 'none'; form-action 'none'"
    return made.get_template(_TEMPLATE).render(
        forecast=found,
        chart=Markup(chart),  # noqa: S704 (escaped where it was rendered)
        lines=[*_months(found)],
        policy=policy,
        style=own_text(STYLE),
    )


def _months(found: Forecast) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each month with the rows of every class, and last what stays beyond."""
    for place, end in enumerate(found.ends):
        yield month_of(end), tuple(one.months[place] for one in found.classes)


def _legend(found: Forecast) -> list[tuple[str, str]]:
    """Return colour and name of each class that has rows in the chart."""
    return [
        (COLOURS[number % len(COLOURS)], one.name)
        for number, one in enumerate(found.classes)
        if any(one.months)
    ]


def forecast_files(found: Forecast) -> dict[str, str]:
    """Return all files by name."""
    return dict(zip(FILES, (html_of(found), svg_of(found), csv_of(found)), strict=True))
