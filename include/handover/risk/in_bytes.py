"""Finds raw values in bytes that are no text: files of a database, where other signs are glued to a value.

A length that is written before a value, or the next value behind it, may look like a digit or a letter. So
every window of a value's length is looked at, not only whole runs. Not seen, and said so: what is compressed
or encrypted, and numbers that are stored as numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from handover.risk.raw_values import RawValues
from handover.risk.searching import Search

_PIECE = 1 << 20
_LOCAL = re.compile(rb"[a-z0-9._%+'-]{1,64}\Z")
_DOMAIN = re.compile(rb"[a-z0-9\x80-\xff.-]{1,250}")
_OVERLAP = 512  # longer than any value
BEFORE_X = 17
UPPER = np.arange(256, dtype=np.uint8)
UPPER[97:123] -= 32
DIGIT = np.zeros(256, np.uint8)
DIGIT[48:58] = 1
ALNUM = DIGIT.copy()
ALNUM[65:91] = 1


class BytesSearch:
    """Says whether bytes hold one of the values; an object of this class is a function."""

    def __init__(self, values: RawValues) -> None:
        self._values = values
        self._apart = Search(values)  # written with spaces, hyphens, full-width signs

    def __call__(self, data: bytes) -> bool:
        """Return whether a value stands anywhere in the bytes."""
        starts = range(0, max(len(data), 1), _PIECE)
        return any(self._in_piece(data[start : start + _PIECE + _OVERLAP]) for start in starts)

    def _in_piece(self, piece: bytes) -> bool:
        return self._windows(piece) or self._emails(piece) or bool(self._apart(piece))

    def _windows(self, piece: bytes) -> bool:
        signs = UPPER[np.frombuffer(piece, np.uint8)]
        sums = self._values.polynomials.sums(signs)
        for wanted, lengths in ((DIGIT, self._values.lengths), (ALNUM, self._values.word_lengths)):
            counted = np.zeros(len(signs) + 1, np.int64)
            np.cumsum(wanted[signs], out=counted[1:])
            for length in lengths:
                if self._of_length(signs, sums, counted, length):
                    return True
        return False

    def _of_length(self, signs: np.ndarray, sums: np.ndarray, counted: np.ndarray, length: int) -> bool:
        begins = np.flatnonzero(counted[length:] - counted[:-length] == length)
        hashes = self._values.polynomials.of_windows(sums, begins, length)
        forms: list[bytes] = []
        for begin in begins[self._values.sieve.passes(hashes)].tolist():
            form = signs[begin : begin + length].tobytes()
            forms.append(form)
            if length == BEFORE_X and signs[begin + length : begin + length + 1].tobytes() == b"X":
                forms.append(form + b"X")
        return any(self._values.kinds_of(forms))

    def _emails(self, piece: bytes) -> bool:
        if not self._values.emails:
            return False
        lower = piece.lower()
        places = (match.start() for match in re.finditer(rb"@", lower))
        return any(any(self._values.kinds_of(list(_addresses(lower, at)))) for at in places)


def _addresses(text: bytes, at: int) -> Iterator[bytes]:
    """Yield what may be the address around an @: a sign or more may be glued on before, one behind."""
    local, domain = _LOCAL.search(text[max(0, at - 64) : at]), _DOMAIN.match(text, at + 1)
    if local and domain:
        whole = domain[0].rstrip(b".-")
        ascii_only = re.match(rb"[a-z0-9.-]*", whole)
        ends = {whole, whole[:-1], ascii_only[0].rstrip(b".-") if ascii_only else b""}
        for start in range(len(local[0])):
            yield from (b"%s@%s" % (local[0][start:], end) for end in ends if end)
