"""What a number of people can be, numbered: every valid text of a form has a place, and every place a text.

A space turns texts of one width into numbers 0 to size - 1 and back, checking dates and check digits on the
way. Between two spaces a keyed permutation of the numbers then maps valid texts to valid texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from handover.pseudonymise.cells import Bools, Bytes, Ints, Words

ZERO = np.uint8(ord("0"))
_FIRST_YEAR, _LAST_YEAR = 1900, 2049
_DAY_SLOTS = 13 * 32
_RESIDENT_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], np.float32)
_RESIDENT_CHECKS = np.frombuffer(b"10X98765432", np.uint8)
_ORDERS = 1000


class Space(Protocol):
    """All valid texts of one form and width, in bytes."""

    @property
    def width(self) -> int:
        """Return how many bytes a text has."""

    @property
    def size(self) -> int:
        """Return how many texts there are."""

    def rank(self, signs: Bytes) -> tuple[Words, Bools]:
        """Return each text's number, and whether it is valid; the number of an invalid one means nothing."""

    def unrank(self, numbers: Words, like: Bytes) -> Bytes:
        """Return the text of each number; ``like`` are the texts from which to take what is not numbered."""


def digits(signs: Bytes) -> tuple[Bytes, Bools]:
    """Return decimal digits, and which rows have nothing else; other rows become zeros."""
    found: Bytes = signs - ZERO
    good: Bools = np.all(found < 10, axis=1)
    if not good.all():
        found[~good] = 0
    return found, good


def number(columns: Bytes) -> Ints:
    """Return the digits of each row as one number."""
    total = np.zeros(len(columns), np.int64)
    for place in range(columns.shape[1]):
        total = total * 10 + columns[:, place]
    return total


def spelled(numbers: NDArray[np.int64] | Words, width: int) -> Bytes:
    """Return each number as digits in ASCII, with zeros in front."""
    out = np.empty((len(numbers), width), np.uint8)
    rest = numbers.astype(np.uint64)
    for place in range(width - 1, -1, -1):
        above = rest // np.uint64(10)
        out[:, place] = rest - above * np.uint64(10)
        rest = above
    return out + ZERO


def places(values: Ints, limit: int) -> Ints:
    """Return a table that says where a value below the limit stands among ``values``, -1 for nowhere."""
    table = np.full(limit, -1, np.int64)
    table[values] = np.arange(len(values))
    return table


@cache
def _days() -> Ints:
    """Days since 1900 by year, month and day; -1 where there is no such day."""
    table = np.full((_LAST_YEAR - _FIRST_YEAR + 1) * _DAY_SLOTS, -1, np.int64)
    every = np.arange(f"{_FIRST_YEAR}-01-01", f"{_LAST_YEAR + 1}-01-01", dtype="datetime64[D]")
    months = every.astype("datetime64[M]")
    year = months.astype("datetime64[Y]")
    day = (every - months).astype(np.int64) + 1
    month = (months - year).astype(np.int64) + 1
    table[year.astype(np.int64) * _DAY_SLOTS + 70 * _DAY_SLOTS + month * 32 + day] = np.arange(len(every))
    return table


@cache
def _written_days() -> Bytes:
    """Days since 1900 as eight digits."""
    every = np.arange(f"{_FIRST_YEAR}-01-01", f"{_LAST_YEAR + 1}-01-01", dtype="datetime64[D]")
    joined = np.datetime_as_string(every).astype("S10").view(np.uint8).reshape(-1, 10)
    return np.ascontiguousarray(joined[:, [0, 1, 2, 3, 5, 6, 8, 9]])


@cache
def spelled_all(width: int) -> Bytes:
    """Return all numbers of so many digits, to look them up."""
    return spelled(np.arange(10**width), width)


def day_since_1900(text: str) -> int:
    """Return the number of a day."""
    return int((np.datetime64(text) - np.datetime64(f"{_FIRST_YEAR}-01-01")).astype(np.int64))


# Every birthday that a person alive has, or will have before these lines are read again; those that have been
# already, among which realistic pseudonyms are; and those of grown people, among which the others are.
ALL_BIRTHDAYS = (0, day_since_1900("2049-12-31"))
PAST_BIRTHDAYS = (0, day_since_1900("2025-12-31"))
PLAUSIBLE_BIRTHDAYS = (day_since_1900("1940-01-01"), day_since_1900("2007-12-31"))


@dataclass(frozen=True, eq=False)
class Identity:
    """Resident identity numbers (GB 11643) of some prefectures and birthdays."""

    prefectures: Ints
    birthdays: tuple[int, int] = ALL_BIRTHDAYS
    width = 18

    @cached_property
    def _place(self) -> Ints:
        return places(self.prefectures, 10_000)

    @property
    def _born(self) -> int:
        return self.birthdays[1] - self.birthdays[0] + 1

    @property
    def size(self) -> int:
        """Return how many numbers there are: prefecture, county, birthday, order."""
        return len(self.prefectures) * 100 * self._born * _ORDERS

    def rank(self, signs: Bytes) -> tuple[Words, Bools]:
        """Return each number's place; valid with known prefecture, birthday and check digit."""
        body, good = digits(signs[:, :17])
        checks = (body.astype(np.float32) @ _RESIDENT_WEIGHTS).astype(np.int64) % 11
        good &= _RESIDENT_CHECKS[checks] == signs[:, 17]
        year = number(body[:, 6:10]) - _FIRST_YEAR
        good &= (year >= 0) & (year <= _LAST_YEAR - _FIRST_YEAR)
        month, day = number(body[:, 10:12]), number(body[:, 12:14])
        good &= (month < 13) & (day < 32)  # beyond them lie the slots of other months
        born = _days()[np.where(good, year * _DAY_SLOTS + month * 32 + day, 0)] - self.birthdays[0]
        place = self._place[number(body[:, :4])]
        good &= (born >= 0) & (born < self._born) & (place >= 0)
        region = place * 100 + number(body[:, 4:6])
        return ((region * self._born + born) * _ORDERS + number(body[:, 14:17])).astype(np.uint64), good

    def unrank(self, numbers: Words, like: Bytes) -> Bytes:
        """Return the identity numbers."""
        rest, order = np.divmod(numbers.astype(np.int64), _ORDERS)
        region, born = np.divmod(rest, self._born)
        out = np.empty((len(numbers), self.width), np.uint8)
        out[:, :4] = spelled_all(4)[self.prefectures[region // 100]]
        out[:, 4:6] = spelled_all(2)[region % 100]
        out[:, 6:14] = _written_days()[born + self.birthdays[0]]
        out[:, 14:17] = spelled_all(3)[order]
        sums = (out[:, :17] - ZERO).astype(np.float32) @ _RESIDENT_WEIGHTS
        out[:, 17] = _RESIDENT_CHECKS[sums.astype(np.int64) % 11]
        return out


@dataclass(frozen=True, eq=False)
class Prefixed:
    """Numbers of one length with some prefixes of three digits, and a Luhn digit at the end if so said."""

    width: int
    prefixes: Ints
    luhn: bool

    @cached_property
    def _place(self) -> Ints:
        return places(self.prefixes, 1000)

    @property
    def _free(self) -> int:
        return self.width - 3 - self.luhn

    @property
    def size(self) -> int:
        """Return how many numbers there are."""
        return len(self.prefixes) * int(10**self._free)

    def rank(self, signs: Bytes) -> tuple[Words, Bools]:
        """Return each number's place; valid with a known prefix and the right last digit."""
        found, good = digits(signs)
        place = self._place[number(found[:, :3])]
        good &= place >= 0
        if self.luhn:
            good &= luhn_digits(found[:, :-1]) == found[:, -1]
        return (place * 10**self._free + number(found[:, 3 : 3 + self._free])).astype(np.uint64), good

    def unrank(self, numbers: Words, like: Bytes) -> Bytes:
        """Return the numbers."""
        prefix, rest = np.divmod(numbers.astype(np.int64), 10**self._free)
        out = np.empty((len(numbers), self.width), np.uint8)
        out[:, :3] = spelled_all(3)[self.prefixes[prefix]]
        out[:, 3 : 3 + self._free] = spelled(rest, self._free)
        if self.luhn:
            out[:, -1] = luhn_digits(out[:, :-1] - ZERO) + ZERO
        return out


_DOUBLED = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9], np.uint8)


def luhn_digits(body: Bytes) -> Bytes:
    """Return the digit (ISO/IEC 7812-1 annex B) that belongs behind each row of digits."""
    from_right = body[:, ::-1]
    total = _DOUBLED[from_right[:, 0::2]].sum(axis=1, dtype=np.int64) + from_right[:, 1::2].sum(
        axis=1, dtype=np.int64
    )
    return np.asarray((10 - total % 10) % 10, np.uint8)
