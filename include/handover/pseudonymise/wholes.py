"""Whole numbers in columns of text: read in bulk, and written back."""

from __future__ import annotations

import numpy as np

from handover.pseudonymise.cells import Bools, Bytes, Cells, Ints, Pieces
from handover.pseudonymise.spaces import digits, number, spelled

_MOST_DIGITS = 18  # more may not fit 64 bits; such a number counts as outside every domain
BEYOND_WHOLES = 10**_MOST_DIGITS
_MINUS = ord("-")


def wholes(cells: Cells, width: int | None = None) -> tuple[Ints, Bools]:
    """Return the numbers, and which rows hold one as PostgreSQL writes it, or in exactly so many digits."""
    numbers, good = np.zeros(len(cells), np.int64), np.zeros(len(cells), np.bool_)
    for length in cells.widths():
        if not 1 <= length <= _MOST_DIGITS + 1 or (width and length != width):
            continue
        rows = cells.rows_of(length)
        signs = cells.matrix(rows, length).copy()
        negative = (signs[:, 0] == _MINUS) & (length > 1)
        signs[negative, 0] = ord("0")
        found, decimal = digits(signs)
        numbers[rows] = np.where(negative, -1, 1) * number(found)
        good[rows] = decimal & _plain(found, negative, width) & (negative | (length <= _MOST_DIGITS))
    return numbers, good


def _plain(found: Bytes, negative: Bools, width: int | None) -> Bools:
    """Say which rows have no zero in front: 007 is another text than 7, and would become the same number."""
    if width:
        return ~negative
    if found.shape[1] == 1:
        return np.ones(len(found), np.bool_)
    return np.asarray(np.where(negative, found[:, 1] != 0, found[:, 0] != 0))


def put_wholes(rows: Ints, numbers: Ints, into: Pieces, width: int | None = None) -> None:
    """Put the numbers of ascending rows, as PostgreSQL writes them or in exactly so many digits."""
    if width:
        into.put(rows, spelled(numbers, width))
        return
    magnitudes = np.abs(numbers)
    lengths = np.ones(len(numbers), np.int64)
    for power in range(1, 19):
        lengths += magnitudes >= 10**power
    lengths += numbers < 0
    for length in np.unique(lengths):
        here = np.flatnonzero(lengths == length)
        signs = spelled(magnitudes[here], int(length))
        signs[numbers[here] < 0, 0] = _MINUS
        into.put(rows[here], signs)
