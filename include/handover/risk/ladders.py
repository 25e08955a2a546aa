"""Ladders of generalisation: what a quasi-identifier can be made coarser to, step by step, up to nothing.

Every step is coarser than the one below: values that fell together stay together. NULL stays NULL until the
last step, which suppresses the column. What is not of a ladder's form is one group of its own from the first
step on, so that a broken value never stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import floor, log10
from typing import Literal

LadderKind = Literal["date", "region", "address", "amount", "number", "other"]
Step = Callable[[str], str]

_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_REGION = re.compile(r"\d{6}")
_PLACE = re.compile(
    r"(?P<province>[^省市区县]{2,10}?(?:省|自治区|特别行政区|市))"
    r"(?P<city>[^省市区县]{1,12}?(?:市|自治州|地区|盟))?"
    r"(?P<district>[^省市]{1,12}?(?:自治县|县|区|市|旗))?"
)
_YEARS = (5, 10, 20)
_AGES = (5, 10, 20, 40)
# Parts of the spread of an amount; its tails are left out of it, for one huge amount would hide all others.
_BUCKETS = (128, 64, 32, 16, 8, 4, 2)
_TAIL = 0.05
_OTHER = "?"


@dataclass(frozen=True)
class Rung:
    """A step with the name by which it is proposed."""

    name: str
    apply: Step


def ladder(kind: LadderKind, values: Sequence[str | None]) -> tuple[Rung, ...]:
    """Return the steps above a column's values as they are; suppression comes after the last of them."""
    if kind == "date":
        bands = [Rung(f"band of {years} years", _band_of_years(years)) for years in _YEARS]
        return (Rung("month", _part_of_date(7)), Rung("year", _part_of_date(4)), *bands)
    if kind == "region":
        return (Rung("city", _first_digits(4)), Rung("province", _first_digits(2)))
    if kind == "address":
        parts = (("district", 3), ("city", 2), ("province", 1))
        return tuple(Rung(name, _first_places(count)) for name, count in parts)
    if kind == "number":
        return tuple(Rung(f"band of {width}", _bucket(Decimal(width))) for width in _AGES)
    if kind == "amount":
        return tuple(Rung(f"bucket of {width:f}", _bucket(width)) for width in _widths(values))
    return ()


def _part_of_date(signs: int) -> Step:
    def step(value: str) -> str:
        return value[:signs] if _DATE.match(value) else _OTHER

    return step


def _band_of_years(years: int) -> Step:
    def step(value: str) -> str:
        return str(int(value[:4]) // years * years) if _DATE.match(value) else _OTHER

    return step


def _first_digits(count: int) -> Step:
    def step(value: str) -> str:
        return value[:count] if _REGION.fullmatch(value) else _OTHER

    return step


def _first_places(count: int) -> Step:
    def step(value: str) -> str:
        found = _PLACE.match(value)
        return "/".join(part or "" for part in found.groups()[:count]) if found else _OTHER

    return step


def _bucket(width: Decimal) -> Step:
    def step(value: str) -> str:
        number = _number(value)
        return _OTHER if number is None else str(int((number / width).to_integral_value("ROUND_FLOOR")))

    return step


def _number(value: str) -> Decimal | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _widths(values: Sequence[str | None]) -> list[Decimal]:
    """Return widths each of which is a multiple of the one before, or buckets would overlap, not nest."""
    numbers = sorted(n for value in values if value is not None and (n := _number(value)) is not None)
    if not numbers:
        return []
    last = len(numbers) - 1
    spread = numbers[last - floor(last * _TAIL)] - numbers[floor(last * _TAIL)]
    if not spread:
        return []
    first = Decimal(10) ** floor(log10(spread / _BUCKETS[0]))
    return [first * (_BUCKETS[0] // parts) for parts in _BUCKETS]
