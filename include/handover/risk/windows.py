"""Hashes of many windows of one buffer at once, and a sieve that most of them fail."""

from __future__ import annotations

import secrets

import numpy as np

# So many bits of a sieve for each value: about one candidate in a hundred passes it for nothing.
_BITS_A_VALUE = 128
_FEWEST_BITS, _MOST_BITS = 16, 29


class Polynomials:
    """The polynomial of each window's signs at a secret base, modulo 2^64."""

    def __init__(self) -> None:
        self.base = secrets.randbits(64) | 5  # odd, so that a window's place can be divided out again
        self._powers = np.ones(1, np.uint64)
        self._inverses = np.ones(1, np.uint64)

    def sums(self, signs: np.ndarray) -> np.ndarray:
        """Return the sums from which the hash of every window of these signs follows."""
        if len(self._powers) <= len(signs):
            self._powers = _powers(self.base, len(signs) + 1)
            self._inverses = _powers(pow(self.base, -1, 1 << 64), len(signs) + 1)
        sums = np.zeros(len(signs) + 1, np.uint64)
        np.cumsum(signs * self._powers[: len(signs)], out=sums[1:])
        return sums

    def of_windows(self, sums: np.ndarray, begins: np.ndarray, lengths: np.ndarray | int) -> np.ndarray:
        """Return the hash of each window: a difference of two sums, its place divided out."""
        found: np.ndarray = (sums[begins + lengths] - sums[begins]) * self._inverses[begins]
        return found

    def of_values(self, signs: np.ndarray) -> np.ndarray:
        """Return the hash of each value, one in a row."""
        total = np.zeros(len(signs), np.uint64)
        for column in range(signs.shape[1] - 1, -1, -1):
            total = total * np.uint64(self.base) + signs[:, column]
        return total


class Sieve:
    """A keyed table of bits: what fails is none of the values; what passes must be checked exactly."""

    def __init__(self, hashes: np.ndarray) -> None:
        bits = min(max((len(hashes) * _BITS_A_VALUE).bit_length(), _FEWEST_BITS), _MOST_BITS)
        self._shift = np.uint64(64 - bits)
        self._spread = np.uint64(secrets.randbits(64) | 1)
        self._table = np.zeros(1 << (bits - 3), np.uint8)
        place = self._place(hashes)
        np.bitwise_or.at(self._table, place >> np.uint64(3), _bit(place))

    def passes(self, hashes: np.ndarray) -> np.ndarray:
        """Say of each hash whether it may be one of the values."""
        place = self._place(hashes)
        passed: np.ndarray = (self._table[place >> np.uint64(3)] & _bit(place)) != 0
        return passed

    def _place(self, hashes: np.ndarray) -> np.ndarray:
        place: np.ndarray = (hashes * self._spread) >> self._shift
        return place


def _bit(place: np.ndarray) -> np.ndarray:
    bit: np.ndarray = np.uint8(1) << (place & np.uint64(7)).astype(np.uint8)
    return bit


def _powers(base: int, count: int) -> np.ndarray:
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)
