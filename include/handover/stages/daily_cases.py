"""The cases of a registered source: what is done to it day by day, made so that it runs as any other case."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import cast

from pydantic import TypeAdapter, ValidationError

from handover.errors import ConfigurationMissing, SourceInvalid
from handover.law.dates import EARLIEST
from handover.law.expiring import Bound, Expired, expired, is_number
from handover.law.packs import load_packs, select
from handover.law.retention import DeletionDuty
from handover.model.case import Case
from handover.model.disposition import RowClass
from handover.model.matter import Matter, RowClassRules
from handover.model.policy import Pack, RetentionRule
from handover.model.reconciliation import TableName
from handover.model.registered import (
    Cron,
    DayOf,
    RetentionClass,
    known_sources,
    load_source,
)
from handover.model.registered import (
    RegisteredSource as RegisteredSource,  # what a DAG is made of
)
from handover.model.scope import Along, Root, Scope
from handover.settings import Settings
from handover.stages.context import Context, Resolver, open_case
from handover.stages.facts import legal_day

NOBODY, LIST_BEFORE = "false", "destruction_list"


log = logging.getLogger(__name__)


def registered_sources(settings: Settings) -> list[RegisteredSource]:
    """Return all registered sources that are valid; of another one the log says what is wrong with it."""
    found = []
    for name in known_sources(settings.sources):
        try:
            found.append(load_source(settings.sources, name))
        except SourceInvalid as error:
            log.warning("source %s is left out: %s", name, error)
    return found


def said_schedule(settings: Settings, dag_id: str, cron: str) -> str:
    """Return the hours of a DAG that belongs to no source: those of its setting, else ``cron``."""
    name = f"HANDOVER_SCHEDULE_{dag_id.upper()}"
    said = settings.variables.get(name) or cron
    try:
        return TypeAdapter(Cron).validate_python(said)
    except ValidationError as error:
        what = error.errors()[0]["msg"]
        raise ConfigurationMissing(f"{name}={said}: {what}", hint=f'write it as "{cron}" is') from None


def day_there(settings: Settings, name: str, moment: datetime) -> date:
    """Return the day that a moment is of where a source is."""
    return moment.astimezone(load_source(settings.sources, name).zone).date()


def open_sweep(settings: Settings, name: str, run_id: str, resolve: Resolver, as_of: date) -> Context:
    """Open a sweep of a registered source on a day."""
    source = load_source(settings.sources, name)
    # The law is today's, on whatever day it is asked about.
    packs = select(load_packs(settings.policies), source.policy, legal_day())
    return open_case(settings, sweep_case(source, packs, as_of), run_id, resolve)


def open_backup(settings: Settings, name: str, run_id: str, resolve: Resolver) -> Context:
    """Open a backup of a registered source."""
    return open_case(settings, backup_case(load_source(settings.sources, name)), run_id, resolve)


def sweep_case(source: RegisteredSource, packs: Sequence[Pack], on: date) -> Case:
    """Return the case of a sweep: the rows whose periods are over on a day go, each class by its rules."""
    found = {one.name: let_go(source, packs, one, on) for one in source.retention}
    title = f"{source.title}: {on.isoformat()} 到期数据清理 / retention sweep"
    return _erasing(source, found, on, kind="retention", transaction="retention", title=title)


def erasure_case(source: RegisteredSource, packs: Sequence[Pack], on: date, request: str) -> Case:
    """Return the case of a person's request: of the person's rows those go that no duty keeps on a day."""
    found = {one.name: let_go(source, packs, one, on, "request") for one in source.retention}
    title = f"{source.title}: 个人请求 {request} / a person's request"
    return _erasing(source, found, on, kind="request", transaction="request", title=title, request=request)


def let_go(
    source: RegisteredSource,
    packs: Sequence[Pack],
    one: RetentionClass,
    on: date,
    deletion_duty: DeletionDuty | None = None,
) -> Expired:
    """Return which rows of a class the law lets go on a day; none by a rule for which nobody stands.

    Of rules of status K- nobody has read the text: a named counsel of the source has to accept them.
    Accounting archives never go so: they take a destruction list, which no run of a source makes.
    """
    accepted = {said.rule for said in source.counsel_acceptances if said.on <= legal_day()}
    texts = {name: rule for pack in packs for name, rule in pack.retention.items()}
    rules = _with_references(texts, one.rules)
    if one.accounting or any(LIST_BEFORE in texts[name].before_destruction for name in rules):
        return Expired(never=("accounting archives go by a destruction list alone",))
    if lacking := [name for name in rules if texts[name].basis.needs_counsel and name not in accepted]:
        return Expired(never=tuple(f"{name}: no counsel stands for its wording" for name in lacking))
    return expired(packs, one, on, source.aml_obliged, deletion_duty)


def _with_references(texts: Mapping[str, RetentionRule], names: Sequence[str]) -> list[str]:
    """Return rules with all that they rest on; unknown ones are refused when they are asked."""
    found: dict[str, None] = {}
    waiting = [name for name in names if name in texts]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += [one for one in texts[name].rests_on if one in texts]
    return list(found)


def _erasing(source: RegisteredSource, found: dict[str, Expired], on: date, **fields: object) -> Case:
    roots = [
        Root(table=one.table, where=predicate(source, one, found[one.name]))
        for one in source.retention
        if not found[one.name].never
    ]
    return _made(
        source,
        scope=_scope(source, roots),
        classes=tuple(made for one in source.retention for made in row_classes(one, found[one.name])),
        matter=_matter(source, found),
        disposal=source.sweep.disposal,
        approvals=source.approvals,
        as_of=on,
        **fields,
    )


def backup_case(source: RegisteredSource) -> Case:
    """Return the case of a backup: all rows are read and proven, nothing is changed."""
    disposal = source.sweep.disposal.model_copy(update={"backup_days": source.backups.days})
    return _made(
        source,
        kind="backup",
        title=f"{source.title}: 定期备份 / scheduled backup",
        transaction="retention",
        disposal=disposal,
    )


def _made(source: RegisteredSource, **fields: object) -> Case:
    common = {
        "case": source.source,
        "parties": {"giver": source.handler, "recipient": source.keeper},
        "source": source.database,
        "restore_test": source.restore_test,
        "lanes": source.lanes,
        "acknowledge": source.acknowledge,
        "policy": source.policy,
        "datamap": source.datamap,
        "pseudonyms": source.pseudonyms,
        "stores": source.stores,
    }
    return Case.model_validate(common | fields)


def _scope(source: RegisteredSource, roots: Sequence[Root]) -> Scope:
    nothing = [Root(table=one.table, where=NOBODY) for one in source.retention[:1]]
    return Scope(
        roots=tuple(roots) or tuple(nothing),
        virtual_keys=source.virtual_keys,
        polymorphic=source.polymorphic,
        along=along_of(source),
    )


def along_of(source: RegisteredSource) -> tuple[Along, ...]:
    """Return which tables share the fate of which."""
    return tuple(Along(table=one.table, tables=one.along) for one in source.retention)


def _matter(source: RegisteredSource, found: dict[str, Expired]) -> Matter:
    rules = tuple(
        RowClassRules(row_class=made.name, rules=one.rules, triggers=found[one.name].triggers)
        for one in source.retention
        for made in row_classes(one, found[one.name])
    )
    # Holds over rows are in the ledger; they are looked up when rows are scoped, and again before they go.
    return Matter(
        holds=(),
        counsel_acceptances=source.counsel_acceptances,
        retention=rules,
        aml_obliged=source.aml_obliged,
        custodian=source.custodian,
    )


def row_classes(one: RetentionClass, found: Expired) -> tuple[RowClass, ...]:
    """Return the classes that stand for a class of a source: tables told apart by a predicate stand alone."""
    then = "keep" if found.never else one.then

    def made(name: str, *tables: TableName, where: str | None = None) -> RowClass:
        return RowClass(name=name, tables=tables, where=where, target="nothing", source=then)

    if one.where is None:
        return (made(one.name, one.table, *one.along),)
    along = (made(f"{one.name} +", *one.along),) if one.along else ()
    return (made(one.name, one.table, where=one.where), *along)


def predicate(source: RegisteredSource, one: RetentionClass, found: Expired) -> str:
    """Return the condition, in the words of a case, that a row of the class's table is let go."""
    tests: list[str] = [_test(source, bound) for bound in found.needed]
    if found.overdue:
        tests.append("(" + " OR ".join(_test(source, bound) for bound in found.overdue) + ")")
    if one.where:
        tests.append(f"({one.where})")
    return " AND ".join(tests) or "true"


def _test(source: RegisteredSource, bound: Bound) -> str:
    """Compare a day with the first moment that is too late; a day before all books is a mistake and stays."""
    read = day_read(bound.day)
    if is_number(bound.trigger, bound.day):
        return f"({read} <= {bound.latest} AND {read} >= {EARLIEST.year})"
    begin, end = moment(source, EARLIEST), moment(source, cast(date, bound.latest) + timedelta(days=1))
    return f"({read} < {end} AND {read} >= {begin})"


def day_read(day: DayOf) -> str:
    """Return how a row's day is read, in the words of a case."""
    quoted = '"' + day.column.replace('"', '""') + '"'
    return f"{day.bound}({quoted})" if day.bound else quoted


def moment(source: RegisteredSource, day: date) -> str:
    """Return the beginning of a day so that a date, a time and a time with its zone all read it alike."""
    return "'" + datetime.combine(day, time(), source.zone).isoformat(sep=" ") + "'"
