"""Bounds of a range in a suite: numbers, dates and times, as they stand in JSON and as they compare."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import BeforeValidator

# As many digits as Great Expectations carries, which makes a double of every number.
MOST_DIGITS = 15
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?")


def _parse(value: object) -> object:
    """Return a number as a decimal, text as a date or, with a time of day, an instant (UTC by default)."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return date.fromisoformat(value)
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        instant = datetime.fromisoformat(value)
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    if not isinstance(value, bool) and _NUMBER.fullmatch(str(value)):
        number = Decimal(str(value))
        if len(number.normalize().as_tuple().digits) > MOST_DIGITS:
            raise ValueError(f"a bound may have {MOST_DIGITS} digits at most")
        return number
    raise ValueError("a bound is a number, or a date or time as text: 2020-01-31, 2020-01-31T12:00:00Z")


T = TypeVar("T", Decimal, date, datetime)
Bound = Annotated[Decimal | datetime | date, BeforeValidator(_parse)]


def comparable(low: Bound | None, high: Bound | None) -> tuple[Bound | None, Bound | None]:
    """Return both bounds, a date beside an instant as the begin of its day.

    Raises ValueError when there is none, they are of two kinds, or no value lies between them.
    """
    if low is None and high is None:
        raise ValueError("min_value or max_value is needed")
    if low is None or high is None:
        return low, high
    if isinstance(low, Decimal) and isinstance(high, Decimal):
        return _in_order(low, high)
    if isinstance(low, Decimal) or isinstance(high, Decimal):
        raise ValueError("min_value and max_value must both be numbers, or both dates or times")
    if isinstance(low, datetime) or isinstance(high, datetime):
        return _in_order(_instant(low), _instant(high))
    return _in_order(low, high)


def _in_order(low: T, high: T) -> tuple[T, T]:
    if low > high:
        raise ValueError("min_value is greater than max_value")
    return low, high


def _instant(day: date | datetime) -> datetime:
    return day if isinstance(day, datetime) else datetime.combine(day, time(), UTC)
