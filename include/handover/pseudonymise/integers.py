"""Keyed permutations of the whole numbers 0 to N - 1, for whatever can be numbered.

From a million on FF1 over the least even number of numerals that holds N, walking on (enciphering again)
while a result is not below N: a permutation of a set walked inside a subset permutes the subset (Black and
Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002). Below a million, where FF1 must not be used,
the numbers are sorted by their AES blocks: as good as any shuffle, and made once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from handover.pseudonymise.cells import Ints, Words
from handover.pseudonymise.ff1 import LARGEST_RADIX, SMALLEST_DOMAIN, Feistel
from handover.pseudonymise.prf import BLOCK, TILE, Aes, words

LARGEST_SIZE = 1 << 63


@dataclass(frozen=True)
class Integers:
    """A permutation of 0 to ``size`` - 1."""

    key: bytes = field(repr=False)
    size: int
    tweak: bytes = b""

    def __post_init__(self) -> None:
        if not SMALLEST_DOMAIN <= self.size <= LARGEST_SIZE:
            raise ValueError(f"FF1 takes {SMALLEST_DOMAIN} to 2^63 values, not {self.size}")

    @cached_property
    def _rounds(self) -> Feistel:
        length = next(n for n in (2, 4) if LARGEST_RADIX**n >= self.size)
        radix = round(self.size ** (1 / length))
        while radix**length < self.size:
            radix += 1
        return Feistel(self.key, radix, length, self.tweak)

    def encrypt(self, numbers: Words) -> Words:
        """Return another number for each."""
        return self._walked(numbers, forward=True)

    def decrypt(self, numbers: Words) -> Words:
        """Return the numbers that ``encrypt`` made these of."""
        return self._walked(numbers, forward=False)

    def _walked(self, numbers: Words, forward: bool) -> Words:
        out = np.empty(len(numbers), np.uint64)
        for start in range(0, len(numbers), TILE):
            tile = self._step(numbers[start : start + TILE], forward)
            while len(outside := np.flatnonzero(tile >= self.size)):
                tile[outside] = self._step(tile[outside], forward)
            out[start : start + TILE] = tile
        return out

    def _step(self, numbers: Words, forward: bool) -> Words:
        half = np.uint64(self._rounds.right)
        above = numbers // half
        a, b = above, numbers - above * half
        a, b = self._rounds.encrypt(a, b) if forward else self._rounds.decrypt(a, b)
        return np.asarray(a * half + b, np.uint64)


@lru_cache(maxsize=32)
def shuffled(key: bytes, size: int) -> Ints:
    """Return a permutation of 0 to ``size`` - 1 as a table; for sizes below a million."""
    if not 1 <= size < SMALLEST_DOMAIN:
        raise ValueError(f"a table is for 1 to {SMALLEST_DOMAIN - 1} values, not {size}")
    blocks = np.zeros((size, BLOCK), np.uint8)
    blocks[:, :8] = np.arange(size, dtype=">u8").view(np.uint8).reshape(-1, 8)
    drawn = words(Aes(key)(blocks))
    table = np.lexsort((drawn[:, 1], drawn[:, 0]))
    table.flags.writeable = False
    return table
