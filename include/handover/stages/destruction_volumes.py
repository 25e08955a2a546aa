"""Which accounting archives a run is to destroy: volumes of the archives that the case declares under ledger.

A class of rows falls under the measures when a rule of its pack wants a destruction list before it goes. Rows
that were archived by this run are moved, not destroyed: their destruction is that of the archive's key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from psycopg import sql

from handover.errors import CaseInvalid, NotReady, VerificationFailed
from handover.law.retention import Decision
from handover.model.catalog import Table
from handover.model.destruction import ToDestroy
from handover.model.ledger_list import Archive, LedgerHandover
from handover.model.plan import ClassRows
from handover.model.reconciliation import Count
from handover.postgres.fiscal_years import years_there
from handover.postgres.session import Connection
from handover.stages.class_decisions import planned_classes
from handover.stages.context import Context

LIST_BEFORE = "destruction_list"
FREE = ("may_erase", "must_erase")
AGAIN = "start a new run, or list an archive's terms again"
Decisions = Mapping[str, Decision]


@dataclass(frozen=True)
class VolumeOfClass:
    """A volume: what of one archive is of one class, with the fiscal years that it reaches over.

    ``rows``: as planned, by table. ``is_going``: the plan destroys it; what is due and held may be planned to
    stay.
    """

    archive: Archive
    row_class: str
    rows: Mapping[str, int]
    years: tuple[int, int]
    decision: Decision
    is_going: bool

    @property
    def is_listed(self) -> bool:
        """Say whether it stands on the list; an open matter puts it on the annex."""
        return self.is_going and not self.decision.open_holds

    @property
    def required_years(self) -> int | None:
        """Return for how many years the archive's rule keeps it; None: permanently."""
        for one in self.decision.rules:
            if one.rule == self.archive.rule and one.start and one.ends:
                return one.ends.year - one.start.year
        return None


def to_destroy(context: Context, decisions: Decisions) -> list[ToDestroy]:
    """Return what of the plan is to be erased, and whether it may only go by a destruction list."""
    return [
        ToDestroy(one.name, table, one.rows, is_destroyed(one) and _is_accounting(decisions, one.name))
        for table, one in planned_classes(context.plan())
        if one.source == "erase"
    ]


def needs_list(context: Context, decisions: Decisions) -> bool:
    """Say whether the plan destroys accounting archives."""
    return any(one.needs_list and one.rows for one in to_destroy(context, decisions))


def is_destroyed(one: ClassRows) -> bool:
    """Say whether rows of a class are to be nowhere afterwards."""
    return one.source == "erase" and one.target != "archive"


def _is_accounting(decisions: Decisions, name: str) -> bool:
    return name in decisions and LIST_BEFORE in decisions[name].before_destruction


def volumes_of_classes(context: Context, decisions: Decisions) -> list[VolumeOfClass]:
    """Return the volumes that are to be destroyed, held ones among them, and those that are due but held.

    Raises CaseInvalid for what the case does not declare, NotReady for what may not go on the day of the
    decisions.
    """
    wanted: dict[str, dict[str, int]] = {}
    going: set[str] = set()
    for table, one in planned_classes(context.plan()):
        held_and_due = bool(one.name in decisions and _is_due(decisions[one.name]))
        if one.rows and _is_accounting(decisions, one.name) and (is_destroyed(one) or held_and_due):
            wanted.setdefault(one.name, {})[table] = one.rows
            going |= {one.name} if is_destroyed(one) else set()
    _refuse_early(decisions, going)
    ledger = declared_ledger(context)
    found = [
        volume
        for name, rows in wanted.items()
        for volume in volumes_of(ledger, name, rows, decisions[name], name in going)
    ]
    return sorted(found, key=lambda one: (one.archive.code, one.years, one.row_class))


def _is_due(decision: Decision) -> bool:
    """Say whether nothing but an open matter keeps a class."""
    due = decision.free_from is not None and decision.free_from <= decision.question.on
    return due and bool(decision.open_holds)


def _refuse_early(decisions: Decisions, names: set[str]) -> None:
    early = [
        f"row class {name}: {decisions[name].outcome}"
        + (f", kept through {day}" if (day := decisions[name].kept_through) else "")
        for name in sorted(names)
        if decisions[name].outcome not in FREE and not decisions[name].open_holds
    ]
    if early:
        raise NotReady(
            "accounting archives whose time has not come cannot stand on a destruction list:\n  "
            + "\n  ".join(early),
            hint="give these classes source: restrict, and start a new run",
            classes=early,
        )


def declared_ledger(context: Context) -> LedgerHandover:
    """Return what the case declares of its archives; raises CaseInvalid when it declares none."""
    ledger = context.case.ledger
    if ledger is None:
        raise CaseInvalid(
            "accounting archives are to be destroyed, and the case declares none",
            hint="declare number, medium and archives (name, code, rule, tables, years) under ledger; "
            f"{AGAIN}",
        )
    return ledger


def volumes_of(
    ledger: LedgerHandover, name: str, rows: Mapping[str, int], decision: Decision, is_going: bool
) -> Iterator[VolumeOfClass]:
    """Yield the volumes of a class, one for each archive; raises CaseInvalid for what is not declared."""
    by_archive: dict[str, dict[str, int]] = {}
    for table in rows:
        archive = next(
            (one for one in ledger.archives if table in {named.label for named in one.tables}), None
        )
        if archive is None:
            raise CaseInvalid(
                f"row class {name} is to be destroyed, and {table} is of no archive under ledger",
                hint=f"name the table under tables of its archive; {AGAIN}",
            )
        by_archive.setdefault(archive.code, {})[table] = rows[table]
    for archive in ledger.archives:
        if archive.code in by_archive:
            years = _years(archive, name, decision)
            yield VolumeOfClass(archive, name, by_archive[archive.code], years, decision, is_going)


def _years(archive: Archive, name: str, decision: Decision) -> tuple[int, int]:
    """Return the years of a volume: the archive's own, or the one year from which the class is kept."""
    rules = decision.question.rows
    last = (rules.triggers or {}).get("fiscal_year")
    if archive.rule not in (rules.rules or ()) or not isinstance(last, int):
        raise CaseInvalid(
            f"row class {name}: matter.retention does not keep it by {archive.rule}, the rule of archive "
            f"{archive.code}, from a fiscal year",
            hint=f"name {archive.rule} and triggers: {{fiscal_year: YEAR}} for the class; {AGAIN}",
        )
    years = archive.years or (last, last)
    if years[1] > last:
        raise CaseInvalid(
            f"row class {name}: its period counts from {last}, archive {archive.code} reaches to {years[1]}",
            hint=f"state the last fiscal year of the rows; {AGAIN}",
        )
    return years


def require_years(
    context: Context,
    source: Connection,
    volume: VolumeOfClass,
    tables: Mapping[str, tuple[Table, sql.Composable]],
) -> None:
    """Raise VerificationFailed when rows of a class are of other years than those it is destroyed for.

    Looked at are tables that the archive's totals count by a year of their own. ``tables``: those of the
    volume by label, with the condition on the alias ``t`` that a row is of the class.
    """
    first, last = volume.years
    items = {item.name: item for item in context.case.reconciliation.items()}
    for totals in volume.archive.totals:
        item = items[totals.item]
        column = totals.year or (item.year if isinstance(item, Count) else None)
        if not isinstance(item, Count) or item.table.label not in tables or column is None:
            continue
        table, condition = tables[item.table.label]
        found = years_there(source, table, condition, column, of_date=totals.year is None)
        if other := sum(rows for year, rows in found.items() if year is None or not first <= year <= last):
            raise VerificationFailed(
                f"{table.label}: {other} rows of row class {volume.row_class} are not of the years "
                f"{first} to {last}, for which it is to be destroyed",
                hint="correct the class's predicate or its fiscal year, and start a new run",
                rows=other,
            )
