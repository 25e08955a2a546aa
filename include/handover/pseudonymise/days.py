"""Dates and timestamps in columns of text: the day as a number, what follows it as it stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from handover.pseudonymise.cells import Bools, Bytes, Cells, Ints, Pieces
from handover.pseudonymise.spaces import digits, number

# As PostgreSQL writes it with DateStyle ISO; infinity, years before 1 and after 9999 are outside.
_FORM = r"^\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:[+-]\d{2}(?::?\d{2}){0,2})?)?$"
_SIGNS = [0, 1, 2, 3, 5, 6, 8, 9]
_WIDTH = 10
FIRST, LAST = (
    int(np.datetime64(day).astype("datetime64[D]").astype(np.int64)) for day in ("0001-01-01", "9999-12-31")
)


@dataclass(frozen=True)
class Days:
    """Days since 1970 for each row that has a day, and the text of the whole column."""

    text: pa.Array
    numbers: Ints
    good: Bools

    @classmethod
    def of(cls, column: pa.Array) -> Days:
        """Read a column of text."""
        good: Bools = (
            pc.match_substring_regex(column, _FORM).fill_null(False).to_numpy(zero_copy_only=False).copy()
        )
        rows = np.flatnonzero(good)
        numbers = np.zeros(len(column), np.int64)
        heads = column.take(pa.array(rows))
        cells = Cells.of(pc.utf8_slice_codeunits(heads, 0, _WIDTH))
        numbers[rows], known = _counted(cells.matrix(np.arange(len(rows)), _WIDTH))
        good[rows] = known
        return cls(column, numbers, good)

    def moved(self, numbers: Ints, rows: Ints) -> pa.Array:
        """Return the texts of these rows with other days."""
        tails = pc.utf8_slice_codeunits(self.text.take(pa.array(rows)), _WIDTH)
        return pc.binary_join_element_wise(written(numbers), tails, "")


def _counted(signs: Bytes) -> tuple[Ints, Bools]:
    found, good = digits(signs[:, _SIGNS])
    year, month, day = number(found[:, :4]), number(found[:, 4:6]), number(found[:, 6:])
    good = good & (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + day - 1
    return days, good & (days < (months + 1).astype("datetime64[D]").astype(np.int64))


def written(numbers: Ints) -> pa.Array:
    """Return days as texts."""
    into = Pieces(len(numbers))
    signs = np.datetime_as_string(numbers.astype("datetime64[D]")).astype("S10").view(np.uint8)
    into.put(np.arange(len(numbers)), signs.reshape(-1, _WIDTH))
    return into.column()


def first_of(numbers: Ints, unit: str) -> Ints:
    """Return the first day of each day's month (M) or year (Y)."""
    whole = numbers.astype("datetime64[D]").astype(f"datetime64[{unit}]")
    return whole.astype("datetime64[D]").astype(np.int64)


def ages(born: Ints, on: str) -> Ints:
    """Return whole years from each day of birth to a day; born on 29 February, one is older on 1 March."""
    today = np.datetime64(on, "D")
    days = born.astype("datetime64[D]")
    years = today.astype("datetime64[Y]").astype(np.int64) - days.astype("datetime64[Y]").astype(np.int64)

    def in_year(day: np.ndarray[tuple[int, ...], np.dtype[np.datetime64]] | np.datetime64) -> Ints:
        month = day.astype("datetime64[M]")
        within = month.astype(np.int64) % 12
        return np.asarray(within * 32 + (day - month).astype(np.int64))

    return np.asarray(years - (in_year(today) < in_year(days)))
