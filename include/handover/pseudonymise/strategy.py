"""What every strategy has: what it does to a column, what it keeps apart, and where it fits.

Columns are text as COPY CSV gives it; NULL stays NULL. A value outside a strategy's domain is replaced by
the strategy's fallback and counted: it never stays as it was, and never stops the work. Everything made here
is de-identified, not anonymous: whoever holds the key finds the person, and other columns may tell as much.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from handover.model.base import Frozen
from handover.pseudonymise.cells import Bytes, Cells, Ints
from handover.pseudonymise.keys import DomainKey
from handover.pseudonymise.prf import prf

Keeps = Literal["bijective", "collision_bounded", "lossy"]
# One run in ten thousand may merge two values: more would merge people silently, less leaves no room for
# tokens in columns of eleven signs.
LARGEST_CHANCE = 1e-4
_TEXT = ("text", "character varying", "character", "citext")
_INTEGERS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_NUMBERS = (*_INTEGERS, "numeric", "real", "double precision")
_DAYS = ("date", "timestamp without time zone", "timestamp with time zone")
# Above all whole numbers that a strategy makes: what a numeric without a modifier holds is more still.
_MOST = 10**18
_MODIFIER = re.compile(r"\((\d+)(?:,(-?\d+))?\)")


@dataclass(frozen=True)
class Masked:
    """The new column and how many rows were what: masked, null, fallback."""

    column: pa.Array
    counts: dict[str, int]


@dataclass(frozen=True)
class Room:
    """A column as far as a strategy must fit it: its type as ``format_type`` of PostgreSQL writes it.

    ``distinct`` is how many different values may be in its domain.
    """

    type_name: str
    unique: bool = False
    nullable: bool = True
    distinct: int = 1_000_000

    @property
    def base(self) -> str:
        """Return the type's name without its modifier."""
        return _MODIFIER.sub("", self.type_name)

    @property
    def max_length(self) -> int | None:
        """Return how many characters a column of text holds."""
        modifier = _MODIFIER.search(self.type_name)
        return int(modifier[1]) if modifier and self.base in _TEXT else None

    @property
    def _largest(self) -> int | None:
        """The largest whole number of a type of whole numbers; None for any other type."""
        modifier = _MODIFIER.search(self.type_name)
        if self.base != "numeric":
            return _INTEGERS.get(self.base)
        if modifier is None:
            return _MOST
        return None if int(modifier[2] or 0) else int(10 ** int(modifier[1])) - 1

    def holds_text(self, length: int) -> str | None:
        """Return why texts of this length do not fit, if they do not."""
        if self.base not in _TEXT:
            return f"makes text, which a column of type {self.type_name} cannot hold"
        if self.max_length is not None and self.max_length < length:
            return f"needs {length} characters, the column holds {self.max_length}"
        return None

    def holds_integers(self, low: int, high: int) -> str | None:
        """Return why these whole numbers do not fit, if they do not."""
        largest = self._largest
        if largest is None:
            return self.holds_text(max(len(str(low)), len(str(high))))
        if max(-low, high) > largest:
            return f"makes {low} to {high}, more than a column of type {self.type_name} holds"
        return None

    def holds_numbers(self) -> str | None:
        """Return why the column is not one of numbers, if it is not."""
        return None if self.base in _NUMBERS or self.base in _TEXT else f"takes numbers, not {self.type_name}"

    def holds_days(self) -> str | None:
        """Return why the column is not one of days, if it is not."""
        return None if self.base in _DAYS or self.base in _TEXT else f"takes dates, not {self.type_name}"

    def holds_null(self) -> str | None:
        """Return why NULL does not fit, if it does not."""
        return None if self.nullable else "makes NULL, which the column refuses"

    def keeps_apart(self, values: int) -> str | None:
        """Return why as many pseudonyms are too few, if they are."""
        chance = self.distinct**2 / (2 * values)
        if chance <= LARGEST_CHANCE:
            return None
        return f"{self.distinct} values could share a pseudonym with a chance of {min(chance, 1):.2g}"


class Strategy(Frozen, ABC):
    """What is done to a column."""

    KEEPS: ClassVar[Keeps]

    @property
    def keeps(self) -> Keeps:
        """Return how far different values stay different."""
        return self.KEEPS

    @abstractmethod
    def apply(self, column: pa.Array, key: DomainKey, person: pa.Array | None = None) -> Masked:
        """Return the column as it is handed over."""

    def fits(self, room: Room) -> str | None:
        """Return the reason for which a plan must refuse the strategy for a column, None if there is none."""
        if room.unique and self.keeps == "lossy":
            return "values of a unique column would not stay different"
        return self._refuses(room)

    @abstractmethod
    def _refuses(self, room: Room) -> str | None:
        """Return the reason of its own for which a plan must refuse it, None if there is none."""


@dataclass(frozen=True)
class Treated:
    """A strategy with the key of the domain in which it works."""

    strategy: Strategy
    key: DomainKey

    def apply(self, column: pa.Array, person: pa.Array | None = None) -> Masked:
        """Return the column as it is handed over."""
        return self.strategy.apply(column, self.key, person)


def drawn(key: DomainKey, purpose: str, cells: Cells, rows: Ints) -> Bytes:
    """Return 16 pseudorandom bytes for each of these rows' values."""
    return prf(key.secret(purpose), cells, rows)


def counted(cells: Cells, fallback: int = 0) -> dict[str, int]:
    """Return how many rows were masked, NULL before, and outside the strategy's domain."""
    values = int(cells.valid.sum())
    return {"masked": values - fallback, "null": len(cells) - values, "fallback": fallback}
