"""Strategies that leave a part of the truth (masks, coarser values, moved dates, noise), or none of it."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from handover.pseudonymise.cells import Bools, Cells, Ints, with_texts
from handover.pseudonymise.days import FIRST, LAST, Days, ages, first_of, written
from handover.pseudonymise.keys import DomainKey
from handover.pseudonymise.prf import remainder, words
from handover.pseudonymise.strategy import Keeps, Masked, Room, Strategy, counted, drawn


def replaced(column: pa.Array, rows: Ints, values: pa.Array, fallback: str | None) -> Masked:
    """Put values at ascending rows and the fallback at all others that hold something."""
    cells = Cells.of(column)
    rest = _wherever(cells.valid, fallback)
    return Masked(with_texts(rows, values, rest), counted(cells, int(cells.valid.sum()) - len(rows)))


def _wherever(valid: Bools, text: str | None) -> pa.Array:
    """One text in every valid row, NULL in the others."""
    return pc.if_else(pa.array(valid), pa.scalar(text, pa.string()), pa.scalar(None, pa.string()))


class Blurring(Strategy):
    """A strategy that leaves a part; what it cannot read becomes ``fallback``, NULL unless said."""

    KEEPS: ClassVar[Keeps] = "lossy"
    fallback: str | None = None

    def fits(self, room: Room) -> str | None:
        """Return the reason for which a plan must refuse the strategy for a column, None if there is none."""
        reason = super().fits(room)
        if reason is None and self.fallback is None and room.holds_null():
            return "makes NULL of what it cannot read, which the column refuses: write a fallback"
        return reason


class Mask(Strategy):
    """Some characters at the start and at the end stay, each other one becomes the sign: a way of showing.

    A value that would stay whole is masked whole. What stays can be enough to find a person.
    """

    KEEPS: ClassVar[Keeps] = "lossy"
    strategy: Literal["mask"] = "mask"
    first: int = Field(default=0, ge=0)
    last: int = Field(default=0, ge=0)
    sign: str = Field(default="*", min_length=1, max_length=1)

    def apply(self, column: pa.Array, key: DomainKey, person: pa.Array | None = None) -> Masked:
        """Return the values with signs in place of characters."""
        length = pc.utf8_length(column)
        hidden = pc.subtract(length, self.first + self.last)
        whole = pc.less_equal(hidden, 0)
        middle = pc.binary_repeat(self.sign, pc.if_else(whole, length, hidden))
        head = pc.if_else(whole, "", pc.utf8_slice_codeunits(column, 0, self.first))
        tail = pc.if_else(whole, "", self._tail(column))
        return Masked(pc.binary_join_element_wise(head, middle, tail, ""), counted(Cells.of(column)))

    def _tail(self, column: pa.Array) -> pa.Array | str:
        return pc.utf8_slice_codeunits(column, -self.last, None) if self.last else ""

    def _refuses(self, room: Room) -> str | None:
        return room.holds_text(1)


# Province, city and district as far as they stand in front, and nothing of a street.
_DISTRICT = (
    r"^(?P<place>(?:\p{Han}{2,8}?(?:省|自治区|特别行政区))?(?:\p{Han}{2,10}?(?:自治州|地区|盟|市))?"
    r"(?:[^\d路街道巷号弄小]{1,8}?(?:区|县|旗))?)"
)
_AMOUNT = r"^-?\d{1,15}(?:\.\d{1,10})?$"


class Generalise(Blurring):
    """A coarser value: first day of month or year, band of ages, district, lower end of a bucket.

    ``width`` is that of bands (years) and buckets; ``on`` is the day on which ages are reckoned.
    """

    strategy: Literal["generalise"] = "generalise"
    to: Literal["month", "year", "age_band", "district", "bucket"]
    width: int = Field(default=10, ge=1, le=10**15)
    on: date | None = None

    @model_validator(mode="after")
    def _ages_on_a_day(self) -> Self:
        if (self.to == "age_band") is (self.on is None):
            raise ValueError(
                "on is the day on which ages are reckoned: say it with to: age_band, and only there"
            )
        return self

    def apply(self, column: pa.Array, key: DomainKey, person: pa.Array | None = None) -> Masked:
        """Return the coarser values."""
        if self.to == "district":
            place = pc.struct_field(pc.extract_regex(column, _DISTRICT), "place")
            rows = _rows(pc.not_equal(pc.utf8_length(place), 0))
            return replaced(column, rows, place.take(pa.array(rows)), self.fallback)
        if self.to == "bucket":
            return self._buckets(column)
        days = Days.of(column)
        rows = np.flatnonzero(days.good)
        numbers = days.numbers[rows]
        values = self._bands(numbers, self.on) if self.on else self._firsts(numbers)
        return replaced(column, rows, values, self.fallback)

    def _firsts(self, numbers: Ints) -> pa.Array:
        return written(first_of(numbers, "M" if self.to == "month" else "Y"))

    def _bands(self, born: Ints, on: date) -> pa.Array:
        low = ages(born, on.isoformat()) // self.width * self.width
        ends = [pc.cast(pa.array(end), pa.string()) for end in (low, low + self.width - 1)]
        return pc.binary_join_element_wise(*ends, "-")

    def _buckets(self, column: pa.Array) -> Masked:
        rows = _rows(pc.match_substring_regex(column, _AMOUNT))
        amounts = column.take(pa.array(rows))
        floors = pc.floor(pc.cast(amounts, pa.decimal128(38, 10)))
        whole = pc.cast(floors, pa.int64()).to_numpy(zero_copy_only=False)
        low = pc.cast(pa.array(whole // self.width * self.width), pa.string())
        places = pc.replace_substring_regex(pc.replace_substring_regex(amounts, r"^[^.]*", ""), r"\d", "0")
        return replaced(column, rows, pc.binary_join_element_wise(low, places, ""), self.fallback)

    def _refuses(self, room: Room) -> str | None:
        if self.to in ("month", "year"):
            return room.holds_days()
        return room.holds_numbers() if self.to == "bucket" else room.holds_text(7)


def _rows(mask: pa.Array) -> Ints:
    return np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False))


class Shift(Blurring):
    """Dates moved by a number of days that is the same for all dates of a person, so that intervals stay.

    The key is that of the person's domain; the time of day stays. A row without a person has no shift.
    """

    strategy: Literal["shift"] = "shift"
    days: int = Field(default=180, ge=1, le=36_500)

    def apply(self, column: pa.Array, key: DomainKey, person: pa.Array | None = None) -> Masked:
        """Return the moved dates."""
        if person is None:
            return replaced(column, np.zeros(0, np.int64), pa.array([], pa.string()), self.fallback)
        found = Days.of(column)
        people = Cells.of(key.domain.normal(person))
        known = np.flatnonzero(found.good & people.valid)
        # From -days to days without 0, under which a date would stay as it is.
        offset = remainder(drawn(key, "shift", people, known), 2 * self.days).astype(np.int64) - self.days
        moved = found.numbers[known] + offset + (offset >= 0)
        inside = (moved >= FIRST) & (moved <= LAST)
        rows = known[inside]
        return replaced(column, rows, found.moved(moved[inside], rows), self.fallback)

    def _refuses(self, room: Room) -> str | None:
        return room.holds_days()


_NUMBER = r"^-?\d{1,15}(?:\.\d{1,3})?$"


class Noise(Blurring):
    """Amounts changed by up to ``percent`` of themselves, with their sign, places and number of digits.

    Zero stays, and an amount of few digits may: noise hides how much exactly, not that there was something.
    The same amount of the same person gets the same noise, so that asking twice does not average it away.
    """

    strategy: Literal["noise"] = "noise"
    percent: int = Field(default=10, ge=1, le=90)

    def apply(self, column: pa.Array, key: DomainKey, person: pa.Array | None = None) -> Masked:
        """Return the changed amounts."""
        rows = _rows(pc.match_substring_regex(column, _NUMBER))
        amounts = column.take(pa.array(rows))
        whose = pa.nulls(len(rows), pa.string()) if person is None else person.take(pa.array(rows))
        together = pc.binary_join_element_wise(whose.fill_null(""), amounts, "\x1f")
        cells = Cells.of(together)
        drawn_words = words(drawn(key, "noise", cells, np.arange(len(rows))))[:, 0]
        share = (drawn_words / 2**63 - 1) * self.percent / 100
        return replaced(column, rows, _changed(amounts, share), self.fallback)

    def _refuses(self, room: Room) -> str | None:
        return room.holds_numbers()


def _changed(amounts: pa.Array, share: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> pa.Array:
    """Amounts times 1 + share; where that would need a digit more, times 1 - share."""
    minus = pc.starts_with(amounts, "-")
    signs = pc.replace_substring_regex(amounts, r"[.-]", "")
    size = pc.cast(signs, pa.int64()).to_numpy(zero_copy_only=False)
    change = np.rint(size * share).astype(np.int64)
    digits = pc.utf8_length(pc.cast(pa.array(size), pa.string()))
    limit = 10 ** digits.to_numpy(zero_copy_only=False).astype(np.int64)
    new = pc.cast(pa.array(np.where(size + change >= limit, size - change, size + change)), pa.string())
    places = pc.fill_null(
        pc.utf8_length(pc.struct_field(pc.extract_regex(amounts, r"\.(?P<p>\d+)$"), "p")), 0
    )
    out = pa.nulls(len(amounts), pa.string())
    for count in pc.unique(places).to_pylist():
        here: Bools = pc.equal(places, count).to_numpy(zero_copy_only=False)
        some = pc.utf8_lpad(new.filter(pa.array(here)), count + 1, "0")
        point = pc.binary_join_element_wise(
            pc.utf8_slice_codeunits(some, 0, -count) if count else some,
            pc.utf8_slice_codeunits(some, -count, None) if count else "",
            "." if count else "",
        )
        out = with_texts(np.flatnonzero(here), point, out)
    return pc.binary_join_element_wise(pc.if_else(minus, "-", ""), out, "")


class _Nothing(Strategy):
    """A strategy that leaves nothing."""

    KEEPS: ClassVar[Keeps] = "lossy"

    def apply(self, column: pa.Array, key: DomainKey, person: pa.Array | None = None) -> Masked:
        """Return NULL for every row."""
        return Masked(pa.nulls(len(column), pa.string()), counted(Cells.of(column)))

    def _refuses(self, room: Room) -> str | None:
        return room.holds_null()


class Null(_Nothing):
    """No value arrives."""

    strategy: Literal["null"] = "null"


class Drop(_Nothing):
    """The column is not handed over: whoever copies leaves it out, and the target's default stands."""

    strategy: Literal["drop"] = "drop"


class Constant(Strategy):
    """One text for every value."""

    KEEPS: ClassVar[Keeps] = "lossy"
    strategy: Literal["constant"] = "constant"
    value: str

    def apply(self, column: pa.Array, key: DomainKey, person: pa.Array | None = None) -> Masked:
        """Return the constant for each value."""
        cells = Cells.of(column)
        return Masked(_wherever(cells.valid, self.value), counted(cells))

    def _refuses(self, room: Room) -> str | None:
        longest = room.max_length
        fits = longest is None or len(self.value) <= longest
        return None if fits else f"needs {len(self.value)} characters, the column holds {longest}"
