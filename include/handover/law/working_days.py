"""Working days in China: public holidays and weekend days worked in their place, from a data file.

Of a year that the file does not have every day counts as a working day: a deadline then comes too early,
never too late, and ``Deadline.said`` says so.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property, lru_cache
from itertools import count
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from handover.errors import PolicyInvalid
from handover.law.dates import after
from handover.model.base import Frozen
from handover.model.policy import Basis, Clock, Period, Text
from handover.model.strict_yaml import line_of, read_mapping

FILE = Path("calendars") / "cn-working-days.yaml"
_SATURDAY = 5


class Holiday(Frozen):
    """Days off around a holiday, weekends between them included."""

    name: Text
    first: date
    last: date


class Year(Frozen):
    """What was announced for a year; ``worked`` are weekend days on which work is done."""

    basis: Basis
    holidays: tuple[Holiday, ...] = Field(min_length=1)
    worked: tuple[date, ...] = ()


class Deadline(Frozen):
    """The last day on which something is in time; ``said``: what is not certain about it."""

    day: date
    said: Text | None = None


class WorkingDays(Frozen):
    """The calendar. ``looked_after``: when somebody last looked for new announcements."""

    calendar: str
    looked_after: date
    years: dict[int, Year]

    @model_validator(mode="after")
    def _days_fit(self) -> Self:
        for number, year in self.years.items():
            days = [day for one in year.holidays for day in (one.first, one.last)] + list(year.worked)
            if any(day.year != number for day in days):
                raise ValueError(f"year {number} has a day of another year; put it there")
            if any(one.last < one.first for one in year.holidays):
                raise ValueError(f"year {number} has a holiday that ends before it begins; correct it")
            if any(day.weekday() < _SATURDAY or self._is_off(day) for day in year.worked):
                raise ValueError(f"year {number} names a worked day that is no weekend, or a holiday")
        return self

    @cached_property
    def _off(self) -> frozenset[date]:
        found = (one for year in self.years.values() for one in year.holidays)
        return frozenset(
            one.first + timedelta(days=more)
            for one in found
            for more in range((one.last - one.first).days + 1)
        )

    def _is_off(self, day: date) -> bool:
        return day in self._off

    def knows(self, day: date) -> bool:
        """Say whether the day's year was announced and is in the file."""
        return day.year in self.years

    def is_working_day(self, day: date) -> bool:
        """Say whether a day counts; each one of an unknown year does."""
        if not self.knows(day) or day in self.years[day.year].worked:
            return True
        return day.weekday() < _SATURDAY and not self._is_off(day)

    def add_working_days(self, day: date, number: int) -> Deadline:
        """Return the last of ``number`` working days after ``day``, which itself does not count."""
        unknown: set[int] = set()
        end = day
        for _ in range(number):
            end = next(one for more in count(1) if self.is_working_day(one := end + timedelta(days=more)))
            unknown |= set() if self.knows(end) else {end.year}
        return Deadline(day=end, said=_uncertain(unknown))

    def due(self, clock: Clock, event: date) -> Deadline:
        """Return the last day of a policy's clock; hours end on the day of the event or after whole days."""
        if clock.unit == "working_days":
            return self.add_working_days(event, clock.amount)
        if clock.unit == "months":
            whole = Period(years=clock.amount // 12, months=clock.amount % 12)
            first_after = after(event + timedelta(days=1), whole)
            return Deadline(day=date.max if first_after is None else first_after - timedelta(days=1))
        days = clock.amount if clock.unit == "days" else clock.amount // 24
        return Deadline(day=event + timedelta(days=days))


def _uncertain(years: set[int]) -> Text | None:
    if not years:
        return None
    named = ", ".join(map(str, sorted(years)))
    return Text(
        zh=f"{named} 年放假安排尚未录入，该年每日均按工作日计算，期限可能偏早。",
        en=f"the holidays of {named} are not in the calendar: every day of it counts, so that the deadline "
        "may come early",
    )


@lru_cache(maxsize=8)  # a file of a few lines that is asked for with each finding
def _parsed(text: str, name: str) -> WorkingDays:
    start = "put back the file that came with the program"
    root, document = read_mapping(text, f"calendar {name}", start, PolicyInvalid)
    try:
        return WorkingDays.model_validate(document)
    except ValidationError as problem:
        lines = [
            f"line {line_of(root, error['loc'])}, {'.'.join(map(str, error['loc'])) or 'all of it'}: "
            f"{error.get('ctx', {}).get('error') or error['msg'].lower()}"
            for error in problem.errors(include_url=False, include_input=False)
        ]
    raise PolicyInvalid(
        f"calendar {name} is not valid:\n  " + "\n  ".join(lines), hint="correct the fields named above"
    )


def load_working_days(policies: Path) -> WorkingDays:
    """Read the calendar that lies below the folder of the policy packs."""
    path = policies / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise PolicyInvalid(
            f"the calendar {FILE} cannot be read in {policies}",
            hint="put back the file that came with the program; it says which days are working days",
        ) from None
    return _parsed(text, path.name)
