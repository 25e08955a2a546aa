"""Finds raw values in rows of COPY text: every number, word and e-mail that could be one, looked up by token.

A candidate is a run of signs, or several runs with spaces, hyphens, dots or brackets between, that is as long
as some value. No check digit is asked for: a broken number is found as well. What is not found, and said so
in the report: values glued to other digits or split by words, written in Chinese numerals, encoded (Base64)
or inside compressed files and pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from handover.risk.buffers import cells_at, plain
from handover.risk.email_runs import Runs, table_of
from handover.risk.raw_values import (
    LONGEST_NUMBER,
    LONGEST_WORD,
    MOBILE_DIGITS,
    RawValues,
)
from handover.risk.sieved_values import SievedValues

# A number is written in at most so many groups, unless every sign stands alone.
_MOST_GROUPS = 6
_BEFORE_X = 17  # digits of an identity number that ends in X
_LONGEST_GAP = 3
# A buffer is searched in pieces, so that one huge value needs no more memory than many small ones; it is cut
# where no candidate can lie across the cut.
_PIECE, _LATEST_CUT = 2 << 20, 64 << 10
_CUT = re.compile(rb"[^0-9A-Za-z .()_+%'@\x80-\xff-]")
_DIALLING = (b"0", b"86", b"086", b"0086")


_DIGIT = table_of(b"0123456789")
_ALNUM = table_of(bytes(range(48, 58)) + bytes(range(65, 91)) + bytes(range(97, 123)))
_SEPARATOR = table_of(b" -.()_")
_UPPER = np.arange(256, dtype=np.uint8)
_UPPER[97:123] -= 32


@dataclass(frozen=True)
class Hit:
    """A cell that holds a value; row and column count from 0 in the buffer that was searched."""

    row: int
    column: int
    kind: str


@dataclass(frozen=True)
class _Groups:
    """The runs of signs of a buffer: where they start and end, their place in the signs put together."""

    starts: np.ndarray
    ends: np.ndarray
    places: np.ndarray
    together: np.ndarray

    @classmethod
    def of(cls, signs: np.ndarray, wanted: np.ndarray) -> _Groups:
        inside = np.zeros(len(signs) + 2, np.int8)
        inside[1:-1] = wanted[signs]
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        starts, ends = edges[::2], edges[1::2]
        lengths = ends - starts
        return cls(starts, ends, np.cumsum(lengths) - lengths, _UPPER[signs[inside[1:-1].view(bool)]])

    @property
    def lengths(self) -> np.ndarray:
        lengths: np.ndarray = self.ends - self.starts
        return lengths


Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # first group, groups, signs


def _windows(signs: np.ndarray, groups: _Groups, wanted: np.ndarray) -> Iterator[Found]:
    """Yield groups that lie side by side and have a wanted length together."""
    lengths = groups.lengths
    most = len(wanted) - 1
    first = np.arange(len(lengths))
    total = lengths
    close, dots = _gaps(signs, groups)
    points = np.zeros(len(first), np.int8)
    for count in range(1, _MOST_GROUPS + 1):
        # One dot between digits is a decimal point; a number written with dots has two.
        chosen = wanted[np.minimum(total, most)] & (total <= most) & (points != 1)
        if chosen.any():
            yield first[chosen], np.full(int(chosen.sum()), count), total[chosen]
        going = (first + count < len(lengths)) & (total < most)
        first, total, points = first[going], total[going], points[going]
        joined = close[first + count - 1]
        first, total, points = first[joined], total[joined], points[joined]
        points = points + dots[first + count - 1]
        total = total + lengths[first + count]
    yield from _chains(lengths, close, wanted)


def _gaps(signs: np.ndarray, groups: _Groups) -> tuple[np.ndarray, np.ndarray]:
    """Say for each group whether only separators part it from the next one, and whether it is one dot."""
    ends, nexts = groups.ends[:-1], groups.starts[1:]
    gap = nexts - ends
    close = gap <= _LONGEST_GAP
    for step in range(_LONGEST_GAP):
        at = np.minimum(ends + step, len(signs) - 1)
        close &= (step >= gap) | _SEPARATOR[signs[at]]
    dots = (gap == 1) & (signs[ends] == ord("."))
    return close, dots.astype(np.int8)


def _chains(lengths: np.ndarray, close: np.ndarray, wanted: np.ndarray) -> Iterator[Found]:
    """Yield longer rows of groups as a whole: a number with a space after every digit."""
    if not len(lengths):
        return
    starts = np.flatnonzero(np.concatenate(([True], ~close)))
    counts = np.diff(np.append(starts, len(lengths)))
    totals = np.add.reduceat(lengths, starts)
    chosen = (counts > _MOST_GROUPS) & (totals < len(wanted))
    chosen[chosen] = wanted[totals[chosen]]
    yield starts[chosen], counts[chosen], totals[chosen]


class Search:
    """Looks for the values in rows; an object of this class is a function from rows to hits."""

    def __init__(self, values: RawValues) -> None:
        self._values = values

    def __call__(self, rows: bytes) -> list[Hit]:
        """Return each cell that holds a value once for each kind."""
        text = plain(rows)
        found = [
            (start + place, kind)
            for start, end in pieces(text)
            for place, kind in self._found(text[start:end])
        ]
        if not found:
            return []
        places = np.array([place for place, _ in found], np.int64)
        at_rows, at_columns = cells_at(np.frombuffer(text, np.uint8), places)
        kinds = [kind for _, kind in found]
        cells = set(zip(at_rows.tolist(), at_columns.tolist(), kinds, strict=True))
        return [Hit(*cell) for cell in sorted(cells)]

    def _found(self, text: bytes) -> list[tuple[int, str]]:
        signs = np.frombuffer(text, np.uint8)
        found: list[tuple[int, str]] = []
        if self._values.lengths:
            found += self._numbers(signs)
        if self._values.word_lengths:
            found += self._words(signs)
        if self._values.emails and b"@" in text:
            found += self._emails(text)
        return found

    def _numbers(self, signs: np.ndarray) -> list[tuple[int, str]]:
        groups = _Groups.of(signs, _DIGIT)
        sums = self._values.polynomials.sums(groups.together)
        wanted = np.zeros(LONGEST_NUMBER + 1, bool)
        wanted[list(self._values.lengths)] = True
        dialled = [MOBILE_DIGITS + len(one) for one in _DIALLING] if wanted[MOBILE_DIGITS] else []
        asked = wanted.copy()
        asked[dialled] = True
        forms: list[bytes] = []
        places: list[int] = []
        for first, count, total in _windows(signs, groups, asked):
            begins = groups.places[first]
            ends = groups.ends[first + count - 1]
            where = groups.starts[first]
            as_is = wanted[total]
            for start, length, end, place in self._sieved(
                sums, begins[as_is], total[as_is], ends[as_is], where[as_is]
            ):
                digits = groups.together[start : start + length].tobytes()
                forms += [digits, *_with_x(signs, digits, end)]
                places += [place] * (len(forms) - len(places))
            for prefix in _DIALLING if dialled else ():
                chosen = _prefixed(groups.together, begins, total, prefix)
                start_at = begins[chosen] + len(prefix)
                long = np.full(len(start_at), MOBILE_DIGITS)
                for start, length, _, place in self._sieved(
                    sums, start_at, long, ends[chosen], where[chosen]
                ):
                    forms.append(groups.together[start : start + length].tobytes())
                    places.append(place)
        return self._known(forms, places)

    def _words(self, signs: np.ndarray) -> list[tuple[int, str]]:
        groups = _Groups.of(signs, _ALNUM)
        sums = self._values.polynomials.sums(groups.together)
        wanted = np.zeros(LONGEST_WORD + 1, bool)
        wanted[list(self._values.word_lengths)] = True
        forms: list[bytes] = []
        places: list[int] = []
        for first, count, total in _windows(signs, groups, wanted):
            ends = groups.ends[first + count - 1]
            for start, length, _, place in self._sieved(
                sums, groups.places[first], total, ends, groups.starts[first]
            ):
                forms.append(groups.together[start : start + length].tobytes())
                places.append(place)
        return self._known(forms, places)

    def _emails(self, text: bytes) -> list[tuple[int, str]]:
        lower = text.lower()
        signs = np.frombuffer(lower, np.uint8)
        sums = self._values.polynomials.sums(signs)
        forms: list[bytes] = []
        places: list[int] = []
        for runs in Runs.around(signs):
            starts, ends = runs.starts(signs), runs.ends(signs)
            for begin, end in product(starts, ends):
                # Most often the other start and the other end are the same again.
                new = (end > runs.at + 1) & (begin < runs.at)
                new &= (begin is starts[0]) | (begin != starts[0])
                new &= (end is ends[0]) | (end != ends[0])
                at = (begin[new], end[new], runs.at[new])
                if isinstance(self._values, SievedValues):
                    hashes = self._values.polynomials.of_windows(sums, at[0], at[1] - at[0])
                    passed = self._values.email_sieve.passes(hashes)
                    at = (at[0][passed], at[1][passed], at[2][passed])
                for first, last, place in zip(*(one.tolist() for one in at), strict=True):
                    forms.append(lower[first:last])
                    places.append(place)
        return self._known(forms, places)

    def _known(self, forms: list[bytes], places: list[int]) -> list[tuple[int, str]]:
        kinds = self._values.kinds_of(forms)
        return [(place, kind) for place, kind in zip(places, kinds, strict=True) if kind]

    def _sieved(
        self, sums: np.ndarray, begins: np.ndarray, lengths: np.ndarray, ends: np.ndarray, at: np.ndarray
    ) -> Iterator[tuple[int, int, int, int]]:
        """Yield the candidates that the sieve lets pass: start, length, end and place in the buffer."""
        if not len(begins):
            return
        hashes = self._values.polynomials.of_windows(sums, begins, lengths)
        passed = self._values.sieve.passes(hashes)
        columns = (begins[passed], lengths[passed], ends[passed], at[passed])
        yield from zip(*(column.tolist() for column in columns), strict=True)


def pieces(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield where to cut a buffer: start and end of each piece."""
    start = 0
    while start < len(text):
        end = min(start + _PIECE, len(text))
        if end < len(text):
            cut = _CUT.search(text, end, end + _LATEST_CUT)
            end = cut.end() if cut else min(end + _LATEST_CUT, len(text))
        yield start, end
        start = end


def _with_x(signs: np.ndarray, digits: bytes, end: int) -> list[bytes]:
    """Return 17 digits with the check sign X behind them, if it is there."""
    after = signs[end : end + 3].tobytes().upper()
    if len(digits) != _BEFORE_X:
        return []
    after = after[1:] if after[:1] and _SEPARATOR[after[0]] else after[:2]
    return [digits + b"X"] if after[:1] == b"X" and not after[1:2].isalnum() else []


def _prefixed(together: np.ndarray, begins: np.ndarray, totals: np.ndarray, prefix: bytes) -> np.ndarray:
    """Say which candidates are a mobile number after the signs that one dials before it."""
    chosen: np.ndarray = totals == MOBILE_DIGITS + len(prefix)
    for place, sign in enumerate(prefix):
        chosen[chosen] = together[begins[chosen] + place] == sign
    return chosen
