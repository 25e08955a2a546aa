"""Names, addresses and dates as arrays: what of a buffer counts, the things in it, and whose they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from handover.risk.persons import letters_of
from handover.risk.windows import Sieve

LINE_END = 10
_WIDE = 0x10000


def _writing() -> np.ndarray:
    """Return for each sign what it counts as, 0 for none; tabs and line ends are kept."""
    table = np.zeros(_WIDE, np.uint32)
    signs, places = letters_of(np.arange(_WIDE, dtype=np.uint32), breaks=True)
    table[places] = signs
    return table


_COUNTS_AS = _writing()


@dataclass
class Things:
    """Things of one kind in a buffer: in which row each is, its hash, where its signs begin and end."""

    rows: np.ndarray
    hashes: np.ndarray
    begins: np.ndarray
    lengths: np.ndarray

    def form(self, signs: np.ndarray, at: int) -> bytes:
        """Return the signs of a thing."""
        return signs[self.begins[at] : self.begins[at] + self.lengths[at]].tobytes()

    def different(self) -> np.ndarray:
        """Return numbers of things in the order of their rows, none that stands in the same row before."""
        order = np.lexsort((self.hashes, self.rows))
        rows, hashes = self.rows[order], self.hashes[order]
        new = np.ones(len(order), bool)
        new[1:] = (rows[1:] != rows[:-1]) | (hashes[1:] != hashes[:-1])
        return order[new]


@dataclass
class Texts:
    """Sieves for the names, or the addresses, of all persons: by their first signs, then by whole length."""

    head: int
    hashes: dict[int, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    heads: list[np.ndarray] = field(default_factory=list)

    def sealed(self) -> tuple[int, Sieve, dict[int, Sieve]]:
        """Return the number of first signs, their sieve, and the sieves of each length."""
        lengths = {one: sieve_of(found) for one, found in sorted(self.hashes.items())}
        return self.head, sieve_of(self.heads), lengths


def sieve_of(hashes: Iterable[np.ndarray]) -> Sieve:
    """Return a sieve for hashes, of which many may be the same."""
    return Sieve(np.unique(np.concatenate([np.zeros(0, np.uint64), *hashes])))


@dataclass(frozen=True)
class Index:
    """What is known of all persons, ready to be asked; ``whose`` gives the person of each token."""

    texts: dict[str, tuple[int, Sieve, dict[int, Sieve]]]
    pairs: dict[tuple[str, str], Sieve]
    firsts: np.ndarray
    seconds: np.ndarray
    whose: np.ndarray

    def owners(self, token: bytes) -> list[int]:
        """Return the persons who have both things; two tokens with the same first half are told apart."""
        first, second = np.frombuffer(token, np.dtype(">u8")).astype(np.uint64)
        start, end = (int(np.searchsorted(self.firsts, first, side)) for side in ("left", "right"))
        return sorted(self.whose[start:end][self.seconds[start:end] == second].tolist())


def signs_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return letters and digits in lower case, tabs and line ends, and where each stood."""
    if len(points) and int(points.max()) >= _WIDE:
        return letters_of(points, breaks=True)
    written = _COUNTS_AS[points]
    places = np.flatnonzero(written)
    return written[places], places


def is_ascii(form: bytes) -> bool:
    """Say whether signs, four bytes each, are ASCII alone."""
    return form.decode("utf-32-le").isascii()
