"""Forecasting sweeps: what will be over at the end of each of the months to come; nothing is changed."""

from __future__ import annotations

from calendar import monthrange
from contextlib import closing
from datetime import date
from itertools import pairwise

from psycopg import sql

from handover.errors import NotReady
from handover.evidence.forecast import ClassForecast, Forecast, forecast_files
from handover.model.registered import RegisteredSource, load_source
from handover.postgres.class_days import count_each
from handover.postgres.ordering import EVERY_ROW
from handover.postgres.references import Graph
from handover.postgres.referring import read_graph
from handover.postgres.row_classes import checked_predicate
from handover.postgres.session import Connection, connect
from handover.settings import Settings
from handover.stages.context import Resolver
from handover.stages.daily_cases import NOBODY, predicate
from handover.stages.sweep_findings import Retained, require_classes, retained, scope_of

MOST_MONTHS = 120


def forecast(settings: Settings, name: str, resolve: Resolver, on: date, months: int = 12) -> Forecast:
    """Count what is over on a day, and at the end of each month from it on, by today's law."""
    if not 1 <= months <= MOST_MONTHS:
        raise NotReady(f"{months} months cannot be told", hint=f"ask for 1 to {MOST_MONTHS}")
    source = load_source(settings.sources, name)
    ends = month_ends(on, months)
    days = [retained(settings, source, day) for day in (on, *ends)]
    with closing(connect(resolve(source.database.connection), read_only=True)) as connection:
        require_classes(connection, source)
        graph = read_graph(connection, source.database.schemas, scope_of(source))
        classes = [_class(connection, graph, source, same) for same in zip(*days, strict=True)]
    return Forecast(source=name, title=source.title, on=on, ends=ends, classes=tuple(classes))


def month_ends(on: date, months: int) -> tuple[date, ...]:
    """Return the last days of so many months, that of the day itself first."""
    places = [on.year * 12 + on.month - 1 + n for n in range(months)]
    return tuple(
        date(place // 12, place % 12 + 1, monthrange(place // 12, place % 12 + 1)[1]) for place in places
    )


def _class(
    connection: Connection, graph: Graph, source: RegisteredSource, days: tuple[Retained, ...]
) -> ClassForecast:
    """Count all days of a class in one pass over its table."""
    one = days[0].rows
    name = one.table

    def proven(text: str | None) -> sql.Composable:
        return checked_predicate(connection, name.schema_name, name.name, text) if text else EVERY_ROW

    texts = [NOBODY if day.found.never else predicate(source, one, day.found) for day in days]
    known = {text: proven(text) for text in dict.fromkeys(texts)}
    conditions = {str(n): known[text] for n, text in enumerate(texts)}
    table = graph.tables[graph.place(name)[0]]
    counts = count_each(connection, table, {**conditions, "all": EVERY_ROW}, proven(one.where))
    over = [counts[str(n)] for n in range(len(days))]
    return ClassForecast(
        name=one.name,
        table=name.label,
        then=one.then,
        due=over[0],
        months=tuple(after - before for before, after in pairwise(over)),
        rows=counts["all"],
        never=days[0].found.never,
    )


def write_forecast(settings: Settings, found: Forecast) -> list[str]:
    """Write page, chart and CSV; made again for the same day, they are written again."""
    folder = settings.evidence / found.source / f"forecast-{found.on}"
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / name: text for name, text in forecast_files(found).items()}
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return [str(path) for path in files]
