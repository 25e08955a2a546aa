"""A registered source: a database of a living company, and what is done with it day by day.

A YAML file under ``include/sources/``. From it the cases of sweeps, backups and requests are made, so that
they are planned, approved, proven and certified as any other case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from handover.errors import SourceInvalid
from handover.model.approval import Approvals, NamedAccount
from handover.model.base import Frozen
from handover.model.case import CASE_ID, CaseId, Party, RestoreTest, Source, explain
from handover.model.disposal import DeclaredStore, Disposal
from handover.model.disposition import ClassName
from handover.model.legal_terms import Trigger, Words
from handover.model.masking import Pseudonyms
from handover.model.matter import CounselAcceptance, Custodian
from handover.model.policy import Period, RuleId
from handover.model.reconciliation import ColumnName, TableName
from handover.model.scope import Polymorphic, PredicateText, VirtualKey
from handover.model.strict_yaml import read_mapping

DAILY = "0 2 * * *"


def _is_cron(text: str) -> str:
    if len(text.split()) != 5 or not re.fullmatch(r"[0-9A-Za-z*/,\- ]+", text):
        raise ValueError(f"{text!r} is no cron expression; write five fields, as in {DAILY!r}")
    return text


def _is_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no time zone; write its name, as in Asia/Shanghai")
    return name


Cron = Annotated[str, AfterValidator(_is_cron)]
Zone = Annotated[str, AfterValidator(_is_zone)]
YearEnd = Annotated[str, StringConstraints(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")]


class DayOf(Frozen):
    """The day that starts a period, as a row has it.

    ``column`` is a date or a time, of which ``bound`` takes one end where it is a range; a time without a
    zone is one of the source's. A fiscal year may be a number instead: the calendar year in which it ends.
    ``plus``: how long after it the event is taken to have come (R25: how long the purpose lasts, as its owner
    says). ``year_ends``: month and day on which the fiscal year of a date ends.
    """

    column: ColumnName
    bound: Literal["lower", "upper"] | None = None
    plus: Period | None = None
    year_ends: YearEnd | None = None


class RetentionClass(Frozen):
    """Rows that are kept by the same rules, and what happens to them when those let them go.

    ``table`` bears the days; rows of ``along`` that refer to one of its rows, directly or by each other,
    share its fate. ``where`` tells classes of the same table apart, and rows that were pseudonymised from
    those that were not. A row with a day missing stays.
    """

    name: ClassName
    table: TableName
    where: PredicateText | None = None
    along: tuple[TableName, ...] = ()
    rules: Annotated[tuple[RuleId, ...], Field(min_length=1)]
    days: dict[Trigger, DayOf] = Field(default={})
    then: Literal["erase", "pseudonymise"] = "erase"
    accounting: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.then == "pseudonymise" and self.where is None:
            raise ValueError(
                "then: pseudonymise needs a where that holds no more of rows which were, or each sweep would "
                "do it again"
            )
        fiscal = self.days.get("fiscal_year")
        if fiscal and fiscal.plus:
            raise ValueError("days.fiscal_year has plus; the period of a fiscal year begins when it ends")
        return self


def _require_one_fate(retention: Sequence[RetentionClass]) -> None:
    """Refuse classes by which rows would have two fates: those that come along do not say with which row."""
    for one, other in combinations(retention, 2):
        if one.table == other.table and (one.along or other.along):
            raise ValueError(
                f"retention: classes {one.name!r} and {other.name!r} are of one table whose rows take others "
                "along, and nobody could tell by whose rules those go; write one class with the rules and "
                "the where of both, or give what is under along classes of its own"
            )
    bearing = {one.table for one in retention}
    along = [table for one in retention for table in one.along]
    for table in along:
        if table in bearing:
            raise ValueError(
                f"retention: {table.label} has a fate of its own and shares another's; keep one of them"
            )
        if along.count(table) > 1:
            raise ValueError(f"retention: {table.label} is under along twice; keep one of them")


class Sweep(Frozen):
    """When expired rows are looked for, and how they go."""

    schedule: Cron = DAILY
    disposal: Disposal = Disposal(quarantine_days=0, backup_days=7)


class Backups(Frozen):
    """When the source is backed up, and how many days a backup is kept."""

    schedule: Cron = "0 3 * * *"
    days: Annotated[int, Field(ge=1, le=3_660)] = 30


class Grant(Frozen):
    """A right that a role is expected to have on the tables of a schema (E02)."""

    role: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    schema_name: Annotated[str, Field(alias="schema")]
    rights: tuple[Literal["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"], ...]


class Requests(Frozen):
    """How requests of persons are answered. ``days``: the clock, unless the policy's own is meant.

    ``owner``: the office that corrects data in the source, and decides about rows that only name a person.
    """

    days: Annotated[int, Field(ge=1, le=365)] | None = None
    owner: Words | None = None


class RegisteredSource(Frozen):
    """A source and what is done with it. Its data map has its own name unless ``datamap`` says another."""

    source: CaseId
    title: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    handler: Party
    keeper: Party
    owner: Words
    database: Source
    restore_test: RestoreTest
    policy: Annotated[tuple[str, ...], Field(min_length=1)]
    datamap: CaseId | None = None
    timezone: Zone = "Asia/Shanghai"
    aml_obliged: Literal["yes", "no", "unknown"] = "unknown"
    approvals: Approvals
    mandate_signers: tuple[NamedAccount, ...] = ()
    counsel_acceptances: tuple[CounselAcceptance, ...] = ()
    lanes: Annotated[int, Field(ge=1, le=64)] = 2
    acknowledge: tuple[str, ...] = ()
    virtual_keys: tuple[VirtualKey, ...] = ()
    polymorphic: tuple[Polymorphic, ...] = ()
    retention: tuple[RetentionClass, ...] = ()
    pseudonyms: Pseudonyms = Pseudonyms()
    stores: tuple[DeclaredStore, ...] = ()
    custodian: Custodian | None = None
    sweep: Sweep = Sweep()
    backups: Backups = Backups()
    requests: Requests = Requests()
    grants: tuple[Grant, ...] | None = None

    @property
    def office(self) -> str:
        """Return who is in charge of what a person asks for."""
        return self.requests.owner or self.owner

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone in which its days begin."""
        return ZoneInfo(self.timezone)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.database.large_objects:
            raise ValueError("nobody can say whose a large object is; write database.large_objects: false")
        if self.approvals.accept is not None:
            raise ValueError("nothing is handed over, so approvals.accept asks nobody; take it out")
        names = [one.name for one in self.retention]
        if len(set(names)) != len(names):
            raise ValueError("retention names a class twice; give each a name of its own")
        _require_one_fate(self.retention)
        return self


def parse_source(text: str, path: Path) -> RegisteredSource:
    """Return the source that ``text`` describes; raises SourceInvalid naming field, value and remedy."""
    start = "start from the commented example include/sources/sample-lending.yaml"
    _, document = read_mapping(text, f"source file {path.name}", start, SourceInvalid)
    try:
        source = RegisteredSource.model_validate(document)
    except ValidationError as problem:
        message, _ = explain(f"source file {path.name}", problem)
        raise SourceInvalid(message, hint="correct the fields named above") from None
    if source.source != path.stem:
        raise SourceInvalid(
            f"source file {path.name} says source: {source.source}",
            hint=f"name the file {source.source}.yaml or write source: {path.stem}",
        )
    return source


def known_sources(folder: Path) -> list[str]:
    """Return the names of the registered sources, which nobody has validated yet."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_source(folder: Path, name: str) -> RegisteredSource:
    """Read and validate ``folder/name.yaml``; a name can never lead out of the folder."""
    path = folder / f"{name}.yaml"
    if not re.fullmatch(CASE_ID, name) or not path.is_file():
        raise SourceInvalid(
            f"source {name!r} is not registered in {folder}",
            hint=f"sources there: {', '.join(known_sources(folder)) or 'none'}",
        )
    try:
        return parse_source(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError):
        raise SourceInvalid(
            f"source file {path.name} cannot be read", hint="it must be a readable file in UTF-8"
        ) from None
