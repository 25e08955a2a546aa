"""A policy pack: gates, retention rules, holds and defaults as data, each with its source and how far
its wording was verified. A pack is material for software and never legal advice.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from handover.model.base import Frozen
from handover.model.check import Check, Known
from handover.model.kinds import KindName
from handover.model.legal_terms import (
    Level,
    Mechanism,
    Name,
    RiskLevel,
    Severity,
    Status,
    TransactionType,
    Trigger,
    Words,
)
from handover.model.masking import Thresholds, TreatmentEntry

PackName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,40}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}\.[0-9]{2}(\.[0-9]+)?$")]
RuleId = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9./-]{0,30}$")]


class Text(Frozen):
    """The same in both languages."""

    zh: Words
    en: Words


class Basis(Frozen):
    """Where a rule comes from, how far its wording was verified, and when."""

    source: Words
    status: Status
    verified: date
    note: Words | None = None

    @property
    def needs_counsel(self) -> bool:
        """Say whether a named counsel has to accept the rule: nobody has read its text."""
        return self.status.startswith("K-")


class Rule(Frozen):
    """What all rules of a pack have; ``rests_on`` names rules that it takes for granted."""

    basis: Basis
    rests_on: tuple[RuleId, ...] = ()


class Gate(Rule):
    """One question of the law to a case. Without ``transactions`` it is asked of every case."""

    severity: Severity
    transactions: tuple[TransactionType, ...] | None = None
    unless: tuple[Known, ...] = ()
    check: Check
    reason: Text
    remedy: Text


class Period(Frozen):
    """A length of time by the calendar."""

    years: Annotated[int, Field(ge=0, le=200)] = 0
    months: Annotated[int, Field(ge=0, le=11)] = 0


class RetentionRule(Rule):
    """How long a kind of data is kept.

    ``minimum``: at least ``period`` from ``trigger``, or ``permanent``. ``maximum``: at most so long, or
    ``never_kept``. ``reference``: the rules it rests on decide. ``hold``: a reason to keep, not a duty.
    ``undecided``: no period is known, so nothing is erased.
    """

    category: Text
    level: Level
    delegating_law: Words | None = None
    direction: Literal["minimum", "maximum", "reference", "hold", "undecided"]
    trigger: Trigger | None = None
    period: Period | None = None
    permanent: bool = False
    never_kept: bool = False
    only_aml_obliged: bool = False
    before_destruction: tuple[Name, ...] = ()

    @property
    def blocks_deletion(self) -> bool:
        """Say whether a deletion duty yields to it: laws, regulations, and rules that a law delegates."""
        return self.level in ("L", "R") or (self.level == "M" and self.delegating_law is not None)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.direction == "reference":
            if not self.rests_on:
                raise ValueError("a reference must name rules under rests_on")
        elif self.direction in ("minimum", "maximum"):
            endless = self.permanent if self.direction == "minimum" else self.never_kept
            if endless == (self.trigger is not None) or endless == (self.period is not None):
                raise ValueError("give trigger and period, or permanent (minimum) or never_kept (maximum)")
        elif self.trigger or self.period or self.permanent or self.never_kept:
            raise ValueError(f"{self.direction} has no trigger and no period; take them out")
        if (self.permanent and self.direction != "minimum") or (
            self.never_kept and self.direction != "maximum"
        ):
            raise ValueError("permanent is for a minimum, never_kept for a maximum; take the other out")
        return self


class HoldKind(Rule):
    """An open matter that keeps data until a named person releases it."""

    label: Text
    level: Level
    delegating_law: Words | None = None

    @property
    def blocks_deletion(self) -> bool:
        """Say whether a deletion duty yields to it."""
        return self.level in ("L", "R") or (self.level == "M" and self.delegating_law is not None)


class Masking(Rule):
    """How a value is shown: this many characters at either end (a display rule, no de-identification)."""

    first: Annotated[int, Field(ge=0, le=8)] = 0
    last: Annotated[int, Field(ge=0, le=8)] = 0
    keep: Literal["ends", "surname", "district", "domain"] = "ends"


class PseudonymDefault(Rule):
    """What is done to columns of some kinds in rows that are pseudonymised, unless the data map says so.

    Of ``treatments`` the first that fits all columns of a domain is taken.
    """

    kinds: Annotated[tuple[KindName, ...], Field(min_length=1)]
    treatments: Annotated[tuple[TreatmentEntry, ...], Field(min_length=1)]


class Reidentification(Rule):
    """What must hold of pseudonymised rows in the test of re-identification."""

    thresholds: Thresholds


class Control(Rule):
    """A protective measure and the lowest risk level from which it must be on."""

    label: Text
    from_level: RiskLevel


class ExportRow(Rule):
    """A line of the export table: it matches when any of its conditions holds, or when it has none."""

    ciio: bool = False
    important_data: bool = False
    ordinary_from: Annotated[int, Field(ge=1)] | None = None
    sensitive_from: Annotated[int, Field(ge=1)] | None = None
    mechanisms: tuple[Mechanism, ...]


class Clock(Rule):
    """A deadline: ``amount`` of ``unit`` after ``after``."""

    label: Text
    amount: Annotated[int, Field(ge=0)]
    unit: Literal["hours", "days", "working_days", "months"]
    after: Name


class Banner(Rule):
    """Something to be shown with a case; nothing is checked."""

    text: Text


class Pack(Frozen):
    """One version of a policy. ``builds_on`` names packs that a case must carry with it."""

    pack: PackName
    version: Version
    title: Text
    effective_from: date
    effective_to: date | None = None
    builds_on: tuple[PackName, ...] = ()
    gates: dict[RuleId, Gate] = Field(default={})
    retention: dict[RuleId, RetentionRule] = Field(default={})
    holds: dict[Name, HoldKind] = Field(default={})
    masking: dict[Name, Masking] = Field(default={})
    pseudonyms: dict[RuleId, PseudonymDefault] = Field(default={})
    reidentification: dict[RuleId, Reidentification] = Field(default={})
    controls: dict[Name, Control] = Field(default={})
    export_table: dict[RuleId, ExportRow] = Field(default={})
    export_exemptions: dict[Name, Banner] = Field(default={})
    clocks: dict[RuleId, Clock] = Field(default={})
    banners: dict[RuleId, Banner] = Field(default={})

    @property
    def label(self) -> str:
        """Return the name that a case writes down: ``pack@version``."""
        return f"{self.pack}@{self.version}"

    @model_validator(mode="after")
    def _ids_and_dates(self) -> Self:
        if self.effective_to is not None and self.effective_to < self.effective_from:
            raise ValueError("effective_to is before effective_from; correct one of them")
        seen: set[str] = set()
        for part in (value for _, value in self if isinstance(value, dict)):
            for rule in part:
                if rule in seen:
                    raise ValueError(f"rule {rule} stands in two parts; give one of them another id")
                seen.add(rule)
        return self

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the pack's meaning: comments and layout do not count."""
        return self.sha256_of_json()

    def rules(self) -> dict[str, Rule]:
        """Return everything that has an id and a source."""
        return {
            **self.gates,
            **self.retention,
            **self.holds,
            **self.masking,
            **self.pseudonyms,
            **self.reidentification,
            **self.controls,
            **self.export_table,
            **self.export_exemptions,
            **self.clocks,
            **self.banners,
        }
