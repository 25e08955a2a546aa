"""FF1, format-preserving encryption by NIST SP 800-38G, over whole arrays of values at once.

The ten Feistel rounds run on all rows together: the halves of the values are arrays of numbers, and each
round enciphers one block per row in bulk. Values whose halves stay below 2^56 (16 digits each) are worked on
in machine words; longer ones in Python's numbers, correct and slow. Steps are named as in algorithm 7.
Revision 1 of the standard (draft) asks for at least 10^6 values in a domain: below, all of them can be tried.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handover.pseudonymise.cells import Bytes
from handover.pseudonymise.prf import BLOCK, LARGEST_MODULUS, TILE, Aes, remainder

ROUNDS = 10
SMALLEST_DOMAIN = 10**6
LARGEST_RADIX = 1 << 16
# Numbers in words of 64 bits, or Python's own in an array of objects.
Numbers = NDArray[Any]


@dataclass(frozen=True)
class Feistel:
    """The rounds for values of ``length`` numerals in base ``radix``, split into two halves."""

    key: bytes = field(repr=False)
    radix: int
    length: int
    tweak: bytes = b""
    smallest: int = SMALLEST_DOMAIN

    def __post_init__(self) -> None:
        if not 2 <= self.radix <= LARGEST_RADIX:
            raise ValueError(f"a radix is 2 to {LARGEST_RADIX}, not {self.radix}")
        if self.length < 2 or self.radix**self.length < self.smallest:
            raise ValueError(
                f"{self.length} numerals in base {self.radix} are fewer than {self.smallest} values"
            )

    @property
    def left(self) -> int:
        """Return how many values the first half has (radix^u)."""
        return int(self.radix ** (self.length // 2))

    @property
    def right(self) -> int:
        """Return how many values the second half has (radix^v)."""
        return int(self.radix ** (self.length - self.length // 2))

    @property
    def in_words(self) -> bool:
        """Say whether a half and a round's number added to it fit a machine word."""
        return self.right <= LARGEST_MODULUS

    def encrypt(self, a: Numbers, b: Numbers) -> tuple[Numbers, Numbers]:
        """Return the halves of the enciphered values."""
        for number in range(ROUNDS):
            modulus = self.right if number % 2 else self.left
            a, b = b, (a + self._round(number, b, modulus)) % modulus
        return a, b

    def decrypt(self, a: Numbers, b: Numbers) -> tuple[Numbers, Numbers]:
        """Return the halves of the values that ``encrypt`` made these of."""
        for number in reversed(range(ROUNDS)):
            modulus = self.right if number % 2 else self.left
            a, b = (b + (modulus - self._round(number, a, modulus))) % modulus, a
        return a, b

    @cached_property
    def _cipher(self) -> Aes:
        return Aes(self.key)

    @cached_property
    def _half_bytes(self) -> int:
        """Step 3, b."""
        return ((self.right - 1).bit_length() + 7) // 8

    @cached_property
    def _template(self) -> tuple[Bytes, Bytes]:
        """Steps 5 and 6.i: the chained state before, and the blocks of Q in which round and half stand."""
        head = bytes([1, 2, 1]) + self.radix.to_bytes(3, "big") + bytes([ROUNDS, self.length // 2 % 256])
        p = head + self.length.to_bytes(4, "big") + len(self.tweak).to_bytes(4, "big")
        q = self.tweak + bytes((-len(self.tweak) - self._half_bytes - 1) % BLOCK + 1 + self._half_bytes)
        varying = -(-(self._half_bytes + 1) // BLOCK) * BLOCK
        fixed = np.frombuffer(p + q[: len(q) - varying], np.uint8).reshape(-1, BLOCK)
        state = np.zeros((1, BLOCK), np.uint8)
        for block in fixed:
            state = self._cipher(state ^ block)
        return state, np.frombuffer(q[len(q) - varying :], np.uint8).reshape(-1, BLOCK)

    def _round(self, number: int, half: Numbers, modulus: int) -> Numbers:
        """Steps 6.i to 6.vi: the round's number, below the modulus."""
        state, blocks = self._template
        q = np.tile(blocks.reshape(-1), (len(half), 1))
        q[:, -self._half_bytes - 1] = number
        q[:, -self._half_bytes :] = self._as_bytes(half)
        r = state
        for start in range(0, q.shape[1], BLOCK):
            r = self._cipher(r ^ q[:, start : start + BLOCK])
        wanted = 4 * -(-self._half_bytes // 4) + 4
        s = self._stretched(r, wanted)[:, :wanted]
        if self.in_words:
            return remainder(s, modulus)
        numbers = (int.from_bytes(row.tobytes(), "big") % modulus for row in s)
        return np.fromiter(numbers, object, len(s))

    def _stretched(self, r: Bytes, wanted: int) -> Bytes:
        """Step 6.iii: R and as many blocks made of it as S needs."""
        parts = [r]
        for count in range(1, -(-wanted // BLOCK)):
            counter = np.frombuffer(count.to_bytes(BLOCK, "big"), np.uint8)
            parts.append(self._cipher(r ^ counter))
        return np.concatenate(parts, axis=1)

    def _as_bytes(self, half: Numbers) -> Bytes:
        if self.in_words:
            return half.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - self._half_bytes :]
        joined = b"".join(number.to_bytes(self._half_bytes, "big") for number in half)
        return np.frombuffer(joined, np.uint8).reshape(-1, self._half_bytes)


@dataclass(frozen=True)
class FF1:
    """The cipher over matrices of numerals: a row is a value, a column a place."""

    key: bytes = field(repr=False)
    radix: int
    tweak: bytes = b""
    smallest: int = SMALLEST_DOMAIN

    def encrypt(self, numerals: NDArray[Any]) -> NDArray[np.uint16]:
        """Return the enciphered values, of the same length."""
        return self._each(numerals, forward=True)

    def decrypt(self, numerals: NDArray[Any]) -> NDArray[np.uint16]:
        """Return the values that ``encrypt`` made these of."""
        return self._each(numerals, forward=False)

    def shortest(self) -> int:
        """Return how many numerals a value must have at least."""
        return max(2, next(n for n in range(1, 64) if self.radix**n >= self.smallest))

    def _each(self, numerals: NDArray[Any], forward: bool) -> NDArray[np.uint16]:
        rounds = Feistel(self.key, self.radix, numerals.shape[1], self.tweak, self.smallest)
        middle = rounds.length // 2
        out = np.empty(numerals.shape, np.uint16)
        for start in range(0, len(numerals), TILE):
            tile = numerals[start : start + TILE]
            a, b = self._number(tile[:, :middle], rounds), self._number(tile[:, middle:], rounds)
            a, b = rounds.encrypt(a, b) if forward else rounds.decrypt(a, b)
            self._spell(a, out[start : start + TILE, :middle])
            self._spell(b, out[start : start + TILE, middle:])
        return out

    def _number(self, numerals: NDArray[Any], rounds: Feistel) -> Numbers:
        kind = np.uint64 if rounds.in_words else object
        total = np.zeros(len(numerals), kind)
        for place in range(numerals.shape[1]):
            column = numerals[:, place].astype(np.uint64)
            total = total * self.radix + (column if rounds.in_words else column.astype(object))
        return total

    def _spell(self, numbers: Numbers, into: NDArray[np.uint16]) -> None:
        for place in range(into.shape[1] - 1, -1, -1):
            above = numbers // self.radix
            into[:, place] = numbers - above * self.radix
            numbers = above
