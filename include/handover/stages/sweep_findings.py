"""What a sweep has to say beside its plan: rows without a day, classes that keep all, what nobody named.

A class that names a table or column which is gone ends the sweep before anything is planned. Everything else
is a finding: nothing goes because of it, and somebody should know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from handover.errors import CaseInvalid
from handover.law.dates import EARLIEST
from handover.law.expiring import Expired, is_number
from handover.law.packs import load_packs, select
from handover.model.datamap import DataMap, load_datamap
from handover.model.legal_terms import Trigger
from handover.model.registered import DayOf, RegisteredSource, RetentionClass, load_source
from handover.model.scope import Scope
from handover.postgres.class_days import WORTH_AN_INDEX, columns_of, count_each, no_index_serves
from handover.postgres.expiring import Kept, following
from handover.postgres.ordering import EVERY_ROW
from handover.postgres.references import Graph
from handover.postgres.referring import read_graph
from handover.postgres.row_classes import checked_predicate
from handover.postgres.session import Connection, connect
from handover.settings import Settings
from handover.stages.context import Context, Resolver
from handover.stages.daily_cases import along_of, day_read, let_go, moment, predicate
from handover.stages.facts import judged_on, legal_day

KEPT, FOUND = "expired-kept", "sweep-findings"
# What a table is taken to hold that was never analysed.
BYTES_A_ROW = 100


@dataclass(frozen=True)
class Finding:
    """Something about a class, or a table, that somebody should know. ``rows``: how many it concerns."""

    kind: str
    about: str
    said: str
    rows: int = 0


@dataclass(frozen=True)
class Retained:
    """A class as the law is asked about it on a day."""

    rows: RetentionClass
    found: Expired


def retained(settings: Settings, source: RegisteredSource, on: date) -> list[Retained]:
    """Return all classes of a source, with what today's law lets go of each on a day."""
    packs = select(load_packs(settings.policies), source.policy, legal_day())
    return [Retained(one, let_go(source, packs, one, on)) for one in source.retention]


def require_classes(connection: Connection, source: RegisteredSource) -> None:
    """Raise CaseInvalid when a class names what is not there; the session is outside a transaction."""
    if wrong := list(_gone(connection, source)):
        raise CaseInvalid(
            f"nobody can say which rows of {source.source} are over:\n  " + "\n  ".join(wrong),
            hint=f"correct the classes in {source.source}.yaml; until then no sweep of it does anything",
        )


def _gone(connection: Connection, source: RegisteredSource) -> Iterator[str]:
    there = columns_of(connection, source.database.schemas)
    for one in source.retention:
        about = f"class {one.name!r}: table {{}} is not there (names are case-sensitive)"
        missing = [
            table.label for table in (one.table, *one.along) if (table.schema_name, table.name) not in there
        ]
        yield from (about.format(label) for label in missing)
        if one.table.label in missing:
            continue
        has = there[one.table.schema_name, one.table.name]
        for trigger, day in one.days.items():
            if day.column not in has:
                column = f"{one.table.label} has no column {day.column!r}"
                yield f"class {one.name!r}: {column}, the day of {trigger}"
            elif has[day.column] not in _types(trigger, day):
                column = f"{one.table.label}.{day.column} is {has[day.column]}"
                yield f"class {one.name!r}: {column}, which is no day of {trigger}; nobody guesses"
        if one.where:
            try:
                checked_predicate(connection, one.table.schema_name, one.table.name, one.where)
            except CaseInvalid as problem:
                yield f"class {one.name!r}, where: {problem.message}"


def _types(trigger: Trigger, day: DayOf) -> tuple[str, ...]:
    """Return the types that a day may have: text would be compared as text."""
    if is_number(trigger, day):
        return ("smallint", "integer", "bigint")
    if day.bound:
        return ("daterange", "tsrange", "tstzrange")
    return ("date", "timestamp without time zone", "timestamp with time zone")


def require_sound(context: Context, connection: Connection) -> None:
    """Raise CaseInvalid when a case made from a source rests on a class that names what is not there."""
    if context.case.is_daily:
        require_classes(connection, load_source(context.settings.sources, context.case.case))


def record_findings(context: Context, kept: Sequence[Kept], datamap: DataMap | None) -> None:
    """Write down which rows are over and stay, and of a sweep what else its source, as it is now, shows."""
    context.record(KEPT, {"kept": [asdict(one) for one in kept]})
    if context.case.kind != "retention":
        return
    source = load_source(context.settings.sources, context.case.case)
    on = judged_on(context.case)
    with closing(connect(context.source, read_only=True)) as connection:
        found = find(context.settings, connection, source, on, datamap)
    context.record(FOUND, {"as_of": str(on), "findings": [asdict(one) for one in found]})


def look(settings: Settings, name: str, resolve: Resolver, now: datetime) -> tuple[Finding, ...]:
    """Return the findings of a registered source without a run; raises what a sweep would refuse with."""
    source = load_source(settings.sources, name)
    with closing(connect(resolve(source.database.connection), read_only=True)) as connection:
        require_classes(connection, source)
        datamap = load_datamap(settings.datamaps, source.datamap or name)
        return find(settings, connection, source, now.astimezone(source.zone).date(), datamap)


def find(
    settings: Settings,
    connection: Connection,
    source: RegisteredSource,
    on: date,
    datamap: DataMap | None,
) -> tuple[Finding, ...]:
    """Return the findings of a source on a day; the session is outside a transaction."""
    graph = read_graph(connection, source.database.schemas, scope_of(source))
    classes = retained(settings, source, on)
    found: list[Finding] = []
    for one in classes:
        found += _of_law(one)
        found += _of_days(connection, graph, source, one, on)
        found += _of_index(connection, graph, source, one)
    return (*found, *_of_company(graph, source), *_of_map(source, datamap))


def scope_of(source: RegisteredSource) -> Scope:
    """Return the references that a source declares, as a scope without roots."""
    return Scope.model_construct(roots=(), virtual_keys=source.virtual_keys, polymorphic=source.polymorphic)


def _of_law(one: Retained) -> Iterator[Finding]:
    if one.found.never:
        yield Finding("never", one.rows.name, f"it lets nothing go: {'; '.join(one.found.never)}")


def _of_days(
    connection: Connection, graph: Graph, source: RegisteredSource, one: Retained, on: date
) -> Iterator[Finding]:
    """Count the rows whose day is missing, or cannot be right; they stay."""
    tests = {
        (day.column, what): text
        for trigger, day in one.rows.days.items()
        for what, text in _wrong(source, trigger, day, on)
    }
    where = {("", "where"): one.rows.where} if one.rows.where else {}
    name = one.rows.table
    proven = {
        key: checked_predicate(connection, name.schema_name, name.name, text)
        for key, text in (tests | where).items()
    }
    within = proven.pop(("", "where"), EVERY_ROW)
    labels = {f"{column}: {what}": condition for (column, what), condition in proven.items()}
    counts = count_each(connection, graph.tables[graph.place(name)[0]], labels, within)
    for label, rows in counts.items():
        if rows:
            yield Finding("day", one.rows.name, f"{name.label}, column {label}; such rows stay", rows)


def _wrong(source: RegisteredSource, trigger: Trigger, day: DayOf, on: date) -> Iterator[tuple[str, str]]:
    read = day_read(day)
    if is_number(trigger, day):
        early, late = str(EARLIEST.year), str(on.year)
        yield "it is after the day of the sweep", f"{read} > {late}"
    else:
        early = moment(source, EARLIEST)
        yield "it is after the day of the sweep", f"{read} >= {moment(source, on + timedelta(days=1))}"
    yield "it is missing", f"{read} IS NULL"
    yield "it is too early to be right", f"{read} < {early}"


def _of_index(
    connection: Connection, graph: Graph, source: RegisteredSource, one: Retained
) -> Iterator[Finding]:
    """Ask how the rows that are over are found, where finding them by reading everything takes long."""
    if one.found.never:
        return
    name, table = one.rows.table, graph.tables[graph.place(one.rows.table)[0]]
    rows = table.rows_estimate if table.rows_estimate > 0 else table.bytes // BYTES_A_ROW
    if rows < WORTH_AN_INDEX:
        return
    text = predicate(source, one.rows, one.found)
    if no_index_serves(connection, table, checked_predicate(connection, name.schema_name, name.name, text)):
        bounds = (*one.found.needed, *one.found.overdue)
        days = " or ".join(dict.fromkeys(day_read(bound.day) for bound in bounds)) or "what its where asks"
        said = f"{name.label} is read whole to find what is over; an index on {days} is missing"
        yield Finding("index", one.rows.name, said)


def _of_company(graph: Graph, source: RegisteredSource) -> Iterator[Finding]:
    """Name tables that shall come along and that no reference leads to."""
    ways = [one for one in following(graph, along_of(source)).references if one.follow]
    for one in source.retention:
        there = {graph.place(one.table)[0]}
        while more := {way.child.table for way in ways if way.parent.table in there} - there:
            there |= more
        for table in one.along:
            if graph.place(table)[0] not in there:
                said = f"no reference leads from it to {one.table.label}, so its rows never come along"
                yield Finding("along", table.label, said)


def _of_map(source: RegisteredSource, datamap: DataMap | None) -> Iterator[Finding]:
    named = {table.label for one in source.retention for table in (one.table, *one.along)}
    for dataset in datamap.datasets if datamap else ():
        if dataset.subject and not named & set(dataset.labels):
            yield Finding(
                "unnamed",
                dataset.table.label,
                "it holds personal data, and no class says how long it is kept",
            )
