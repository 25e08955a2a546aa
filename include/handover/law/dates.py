"""Calendar arithmetic of legal periods: the day of the event does not count, missing days roll forward."""

from __future__ import annotations

from datetime import MAXYEAR, date, timedelta

from handover.model.policy import Period

# Earlier events are mistakes of the data: the books of today's companies do not reach further back.
EARLIEST = date(1949, 10, 1)


def plausible_start(trigger: str, value: date | int | None, on: date) -> date | None:
    """Return the first day that counts, or None when the trigger is missing or cannot be right.

    A fiscal year is its number; its periods count from 1 January after it. Any other trigger is the day of
    the event, and its period counts from the day after (Civil Code 201).
    """
    if trigger == "fiscal_year":
        whole = isinstance(value, int) and not isinstance(value, bool)
        return date(value + 1, 1, 1) if whole and EARLIEST.year <= value <= on.year else None  # type: ignore[operator]
    if not isinstance(value, date) or not EARLIEST <= value <= on:
        return None
    return value + timedelta(days=1)


def after(start: date, period: Period) -> date | None:
    """Return the first day after ``period`` from ``start``, or None beyond the calendar's end.

    A day that its month does not have becomes the first of the next month: a period is never cut short.
    """
    months = start.month - 1 + period.months
    year, month = start.year + period.years + months // 12, months % 12 + 1
    if year > MAXYEAR:
        return None
    try:
        return date(year, month, start.day)
    except ValueError:
        return date(year, month + 1, 1)  # no such day: never in December, which has 31
