"""Finds raw values in bytes that are no text, where signs may be glued to both ends, many at once.

What ``in_bytes`` asks of every place is asked here of runs that are long enough alone; of e-mail addresses
every start before an @, with every likely end, is asked of a sieve first.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from handover.risk.email_runs import Runs
from handover.risk.in_bytes import ALNUM, BEFORE_X, DIGIT, UPPER, BytesSearch
from handover.risk.sieved_values import SievedValues

_IN_NUMBER, _IN_WORD = DIGIT.astype(bool), ALNUM.astype(bool)


class SievedBytesSearch(BytesSearch):
    """Says whether bytes hold one of the values, among many addresses of others as quickly as among none."""

    def __init__(self, values: SievedValues) -> None:
        super().__init__(values)
        self._sieved = values

    def _windows(self, piece: bytes) -> bool:
        signs = UPPER[np.frombuffer(piece, np.uint8)]
        wanted = ((_IN_NUMBER, self._sieved.lengths), (_IN_WORD, self._sieved.word_lengths))
        return any(self._in_runs(signs, table, sorted(lengths)) for table, lengths in wanted if lengths)

    def _in_runs(self, signs: np.ndarray, wanted: np.ndarray, lengths: list[int]) -> bool:
        """Look at every window of these lengths; runs that are shorter than any are left out at once."""
        inside = np.zeros(len(signs) + 2, bool)
        inside[1:-1] = wanted[signs]
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        starts, sizes = edges[::2], edges[1::2] - edges[::2]
        starts, sizes = starts[sizes >= lengths[0]], sizes[sizes >= lengths[0]]
        ends = np.cumsum(sizes)
        numbers = np.arange(int(sizes.sum()))
        places = np.repeat(starts - ends + sizes, sizes) + numbers
        left = np.repeat(ends, sizes) - numbers
        together = signs[places]
        sums = self._sieved.polynomials.sums(together)
        for length in lengths:
            begins = np.flatnonzero(left >= length)
            passed = self._sieved.sieve.passes(self._sieved.polynomials.of_windows(sums, begins, length))
            forms: list[bytes] = []
            for begin in begins[passed].tolist():
                form = together[begin : begin + length].tobytes()
                forms.append(form)
                after = int(places[begin + length - 1]) + 1
                if length == BEFORE_X and signs[after : after + 1].tobytes() == b"X":
                    forms.append(form + b"X")
            if any(self._sieved.kinds_of(forms)):
                return True
        return False

    def _emails(self, piece: bytes) -> bool:
        if not self._sieved.emails:
            return False
        lower = piece.lower()
        signs = np.frombuffer(lower, np.uint8)
        sums = self._sieved.polynomials.sums(signs)
        return any(
            any(self._sieved.kinds_of([lower[begin:end] for begin, end in windows]))
            for windows in self._candidates(signs, sums)
        )

    def _candidates(self, signs: np.ndarray, sums: np.ndarray) -> Iterator[list[tuple[int, int]]]:
        """Yield where the sieve lets an address begin and end, by turns of as many @ as are read at once."""
        for runs in Runs.around(signs):
            plain, wide = runs.ends(signs)
            other = wide != plain
            # A sign may be glued to the end, so that it is looked at without its last one as well.
            for ends, of in ((plain, None), (plain - 1, None), (wide, other), (wide - 1, other)):
                some = ends > runs.at + 1 if of is None else of & (ends > runs.at + 1)
                before, at, end = runs.before[some], runs.at[some], ends[some]
                # One window for each sign before the @: the nearest first.
                steps = np.arange(int(before.sum())) - np.repeat(np.cumsum(before) - before, before)
                begins = np.repeat(at, before) - 1 - steps
                lengths = np.repeat(end, before) - begins
                hashes = self._sieved.polynomials.of_windows(sums, begins, lengths)
                passed = self._sieved.email_sieve.passes(hashes)
                if passed.any():
                    found = begins[passed], (begins + lengths)[passed]
                    yield list(zip(*(one.tolist() for one in found), strict=True))
