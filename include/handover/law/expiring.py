"""Which rows the law lets go on a day, as bounds on the days that the rows bear.

The arithmetic is that of handover.law.retention and is not repeated here: for each rule the latest day that
it lets go is looked for by asking, since what happened later is never let go earlier.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Literal

from pydantic import Field

from handover.law.dates import EARLIEST, after
from handover.law.retention import Applied, Decision, DeletionDuty, Question, decide
from handover.model.base import Frozen
from handover.model.legal_terms import Trigger
from handover.model.matter import RowClassRules
from handover.model.policy import Pack
from handover.model.registered import DayOf, RetentionClass

FREE = ("may_erase", "must_erase")
Value = date | int


class Bound(Frozen):
    """A row is let go by one rule when its day, or fiscal year, is ``latest`` or earlier.

    By a maximum that need not have passed, when its day is known: ``latest`` is the last that can be right.
    """

    rule: str
    trigger: Trigger
    day: DayOf
    latest: Value


class Expired(Frozen):
    """What rows of a class may go on a day: all bounds of ``needed``, and one of ``overdue`` if it has any.

    ``never``: why none goes, whatever days its rows bear. ``triggers``: what starts the periods of the row
    that goes last, for the decision about the class as a whole.
    """

    needed: tuple[Bound, ...] = ()
    overdue: tuple[Bound, ...] = ()
    never: tuple[str, ...] = ()
    triggers: dict[Trigger, Value] = Field(default={})


def expired(
    packs: Sequence[Pack],
    rows: RetentionClass,
    on: date,
    aml_obliged: Literal["yes", "no", "unknown"],
    deletion_duty: DeletionDuty | None = None,
) -> Expired:
    """Return which rows of a class are let go on a day; raises PolicyInvalid for a rule that no pack has."""
    packed = {name: rule for pack in packs for name, rule in pack.retention.items()}

    def asked(days: dict[Trigger, Value]) -> Decision:
        rules = RowClassRules(row_class=rows.name, rules=rows.rules, triggers=days)
        question = Question(rows=rules, on=on, aml_obliged=aml_obliged, holds=(), deletion_duty=deletion_duty)
        return decide(packs, question)

    earliest: dict[Trigger, Value] = {
        trigger: started(trigger, day, _earliest(trigger, day)) for trigger, day in rows.days.items()
    }
    best = asked(earliest)
    if best.outcome not in FREE:
        return Expired(never=_why(best))

    def bound(one: Applied, lets_go: Callable[[Applied], bool]) -> list[Bound]:
        trigger = packed[one.rule].trigger
        if trigger is None:
            return []

        def gone(raw: Value) -> bool:
            found = asked({**earliest, trigger: started(trigger, rows.days[trigger], raw)})
            return any(other.rule == one.rule and lets_go(other) for other in found.rules)

        latest = _latest(gone, rows, trigger, on)
        return [Bound(rule=one.rule, trigger=trigger, day=rows.days[trigger], latest=latest)]

    def is_over(one: Applied) -> bool:
        return one.ends is not None and one.ends <= on

    kept = [one for one in best.rules if one.direction == "minimum" and not one.permanent]
    kept = [one for one in kept if one.blocks_deletion or deletion_duty is None]
    needed = tuple(each for one in kept for each in bound(one, is_over))
    # Who asks for erasing waits for no maximum.
    limits = [one for one in best.rules if one.direction == "maximum" and deletion_duty is None]
    passed = [one for one in limits if is_over(one)]
    if kept or any(packed[one.rule].trigger is None for one in passed):
        passed = []  # minimums alone let go, or a rule that lets nothing be kept at all
    overdue = tuple(each for one in passed for each in bound(one, is_over))
    if len(limits) != 1 or not overdue:
        # A maximum whose day is missing, or cannot be right, is a doubt about the row.
        needed += tuple(each for one in limits for each in bound(one, lambda known: known.start is not None))
    last = earliest
    for one in sorted((*needed, *overdue), key=_order, reverse=True):
        last = {**last, one.trigger: started(one.trigger, one.day, one.latest)}
    return Expired(needed=needed, overdue=overdue, triggers=last)


def started(trigger: Trigger, day: DayOf, raw: Value) -> Value:
    """Return what a rule is told of a row: the day of the event, or the fiscal year that its day lies in.

    A fiscal year that ends within a calendar year is told as that year, from whose end the period then
    counts: it is kept for some months longer, never for a day too short.
    """
    if isinstance(raw, int):
        return raw
    if trigger == "fiscal_year":
        return _year_of(raw, day.year_ends or "12-31")
    return (after(raw, day.plus) or date.max) if day.plus else raw


def _year_of(day: date, ends: str) -> int:
    month, last = map(int, ends.split("-"))
    end = date(day.year, month, min(last, monthrange(day.year, month)[1]))
    return day.year if day <= end else day.year + 1


def is_number(trigger: Trigger, day: DayOf) -> bool:
    """Say whether the column holds a fiscal year as a number, not a day."""
    return trigger == "fiscal_year" and day.year_ends is None


def _earliest(trigger: Trigger, day: DayOf) -> Value:
    return EARLIEST.year if is_number(trigger, day) else EARLIEST


def _latest(gone: Callable[[Value], bool], rows: RetentionClass, trigger: Trigger, on: date) -> Value:
    """Return the last value that is gone, the earliest of which is; found by halving."""
    if is_number(trigger, rows.days[trigger]):
        years = range(EARLIEST.year, on.year + 1)
        return years[bisect_left(years, True, key=lambda year: not gone(year)) - 1]
    days = range((on - EARLIEST).days + 1)
    at = bisect_left(days, True, key=lambda n: not gone(EARLIEST + timedelta(n))) - 1
    return EARLIEST + timedelta(days=at)


def _order(bound: Bound) -> int:
    return bound.latest if isinstance(bound.latest, int) else bound.latest.toordinal()


def _why(decision: Decision) -> tuple[str, ...]:
    said = list(decision.doubts)
    if decision.permanent:
        said.append("a rule keeps it for good")
    return tuple(said) or ("no period of it can be over",)
