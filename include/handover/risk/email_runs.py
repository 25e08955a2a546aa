"""Where e-mail addresses may stand in a buffer: the runs of signs around every @, many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_LOCAL = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+'-"
_PUNCTUATION = b".%+'-_"
_DOMAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
_FIRST_NOT_ASCII = 128
_ANY_DOMAIN = _DOMAIN + bytes(range(_FIRST_NOT_ASCII, 256))
_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 250
# Most runs are shorter than these; so many addresses are read at a time.
_USUAL_RUNS, _AT_ONCE = (16, 48), 2048


def table_of(signs: bytes) -> np.ndarray:
    """Return a table that says of each sign whether it is one of these."""
    table = np.zeros(256, bool)
    table[list(signs)] = True
    return table


_IN_LOCAL, _IN_DOMAIN, _IN_ANY_DOMAIN = table_of(_LOCAL), table_of(_DOMAIN), table_of(_ANY_DOMAIN)
_IN_PUNCTUATION, _TRAILING = table_of(_PUNCTUATION), table_of(b".-")


class Runs(NamedTuple):
    """Some @ of a buffer, each with a sign of an address before it, and how many there are on either side.

    ``ascii``: after it up to what is no sign of an ASCII domain; ``any``: of a domain of any signs.
    """

    at: np.ndarray
    before: np.ndarray
    ascii: np.ndarray
    any: np.ndarray

    @classmethod
    def around(cls, signs: np.ndarray) -> Iterator[Runs]:
        """Yield all that the buffer has, so many at a time."""
        every = np.flatnonzero(signs == ord("@"))
        for first in range(0, len(every), _AT_ONCE):
            at = every[first : first + _AT_ONCE]
            before = _run(signs, at, _IN_LOCAL, -1, _LONGEST_LOCAL)
            at, before = at[before > 0], before[before > 0]
            plain_run = _run(signs, at, _IN_DOMAIN, 1, _LONGEST_DOMAIN)
            ends = at + 1 + plain_run
            going_on = (ends < len(signs)) & (plain_run < _LONGEST_DOMAIN)
            going_on[going_on] = signs[ends[going_on]] >= _FIRST_NOT_ASCII
            any_run = plain_run.copy()
            any_run[going_on] = _run(signs, at[going_on], _IN_ANY_DOMAIN, 1, _LONGEST_DOMAIN)
            yield cls(at, before, plain_run, any_run)

    def starts(self, signs: np.ndarray) -> list[np.ndarray]:
        """Return where the addresses begin: with the run of signs, and behind punctuation before it."""
        first = self.at - self.before
        bare = first
        while (odd := _IN_PUNCTUATION[signs[bare]]).any():
            bare = bare + odd
        return [first, bare]

    def ends(self, signs: np.ndarray) -> list[np.ndarray]:
        """Return where the domains end, without what ends a sentence: of ASCII signs, and of any."""
        found = []
        for run in (self.ascii, self.any):
            ends = self.at + 1 + run
            # The @ before a domain is none of these signs, so it ends there at the latest.
            while (odd := _TRAILING[signs[ends - 1]]).any():
                ends = ends - odd
            found.append(ends)
        return found


def _run(signs: np.ndarray, at: np.ndarray, wanted: np.ndarray, step: int, most: int) -> np.ndarray:
    """Return how many signs on one side of each place are wanted ones without a break."""
    found = np.zeros(len(at), np.int64)
    going = np.arange(len(at))
    for size in (*(one for one in _USUAL_RUNS if one < most), most):
        places = at[going, None] + step * np.arange(1, size + 1)
        inside = (places >= 0) & (places < len(signs))
        other = ~(wanted[signs[np.clip(places, 0, len(signs) - 1)]] & inside)
        ended = other.any(axis=1)
        found[going] = np.where(ended, other.argmax(axis=1), size)
        going = going[~ended]
    return found
