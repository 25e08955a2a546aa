"""Repeatable randomness by row number: the same seed, stream and index give the same draw, in any order.

Every value of the sample company is a function of (seed, name of the stream, row index), so that two tables
agree on a value without keeping it and any piece can be made again alone. Not for cryptography.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Bools = NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
# An index times a multiplier below 2**32 stays inside 64 bits while the index is below 2**32.
_MULTIPLIER_BITS = 32


def _key(seed: int, stream: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{stream}".encode()).digest()[:8], "little")


@dataclass(frozen=True)
class Dice:
    """Draws for one seed."""

    seed: int

    def words(self, stream: str, index: Ints) -> Words:
        """64 random bits for each index (splitmix64)."""
        mixed = index.astype(np.uint64) * _GOLDEN + np.uint64(_key(self.seed, stream))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
        return mixed ^ (mixed >> np.uint64(31))

    def below(self, stream: str, index: Ints, limit: int) -> Ints:
        """A number from 0 to limit - 1 for each index; the limit is below 2**32."""
        scaled = (self.words(stream, index) >> np.uint64(32)) * np.uint64(limit)
        return (scaled >> np.uint64(32)).astype(np.int64)

    def chance(self, stream: str, index: Ints, percent: int) -> Bools:
        """True for about that many of a hundred indices."""
        return self.below(stream, index, 100) < percent

    def shuffled(self, stream: str, index: Ints, size: int) -> Ints:
        """A different number from 0 to size - 1 for every index below size."""
        key = _key(self.seed, stream)
        multiplier = key % (1 << _MULTIPLIER_BITS) | 1
        while math.gcd(multiplier, size) != 1:
            multiplier += 2
        product = index.astype(np.uint64) * np.uint64(multiplier) + np.uint64(key >> _MULTIPLIER_BITS)
        return (product % np.uint64(size)).astype(np.int64)
