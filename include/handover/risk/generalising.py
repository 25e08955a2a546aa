"""Proposes the generalisation that brings every class to k records with the least loss; bounded.

Loss of a column: the share of its entropy over the records that a step takes away, from 0 (as it is) to 1
(suppressed); loss of a choice: the mean over the columns. A coarser step never loses less and never makes a
class smaller. So steps are first taken back one by one from everything suppressed, as long as k holds; then
the coarsest choices that would lose less are tried: each that fails rules out all finer ones. Where the bound
is reached before none is left, the choice is a good one, not proven to be the best, and it says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from math import prod

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from handover.model.base import Frozen
from handover.risk.ladders import LadderKind, Rung, ladder

# Each trial groups all classes once: between a tenth of a second and two for ten million of them.
MOST_TRIALS = 300
# With more choices than these a good one is given and not proven.
MOST_CHOICES = 100_000
_LARGEST_KEY = 2**62
# Below it a table of all possible keys is quicker to fill than the keys are to sort.
_SMALL_KEY = 2**24
_SUPPRESS = "suppress"
Levels = tuple[int, ...]
Chosen = tuple[tuple[int, int], ...]  # column and level


class Proposal(Frozen):
    """The steps that reach k by column, ``as it is`` left out. ``found`` is false when no choice reaches it.

    ``least``: no choice with a smaller loss exists on these ladders. ``trials``: how often classes were
    counted.
    """

    found: bool
    least: bool
    steps: dict[str, str]
    loss: float
    trials: int


@dataclass
class _Column:
    """A column as a code for each class, and what every level makes of each code; level 0 leaves it."""

    name: str
    codes: np.ndarray
    maps: list[np.ndarray]
    names: list[str]
    losses: list[float] = field(default_factory=list)

    def at(self, level: int) -> tuple[np.ndarray, int]:
        mapped = self.maps[level]
        return mapped[self.codes], int(mapped.max(initial=-1)) + 1


class Lattice:
    """All choices of levels, with what is known of them."""

    def __init__(self, columns: Sequence[_Column], records: np.ndarray, k: int) -> None:
        self.columns, self.records, self.k = columns, records, k
        self.trials = 0
        self._known: dict[Chosen, bool] = {}

    def loss(self, levels: Levels) -> float:
        found = [column.losses[level] for column, level in zip(self.columns, levels, strict=True)]
        return round(sum(found) / len(found), 9)

    def top(self) -> Levels:
        return tuple(len(column.maps) - 1 for column in self.columns)

    def below(self, levels: Levels) -> Iterator[Levels]:
        for place, level in enumerate(levels):
            if level:
                yield (*levels[:place], level - 1, *levels[place + 1 :])

    def fails(self, levels: Levels) -> Chosen | None:
        """Return the columns whose levels leave a class below k, as few as are to blame, or None if none do.

        A single column or a pair that fails settles it for every choice that has it as fine or finer.
        """
        chosen = tuple(enumerate(levels))
        for size in sorted({1, min(2, len(chosen)), len(chosen)}):
            for some in combinations(chosen, size):
                if not self._reaches(some):
                    return some
        return None

    def _reaches(self, chosen: Chosen) -> bool:
        if chosen not in self._known:
            self.trials += len(chosen) > 1
            self._known[chosen] = _smallest(self._keys(chosen), self.records) >= self.k
        return self._known[chosen]

    def _keys(self, chosen: Chosen) -> np.ndarray:
        keys, span = np.zeros(len(self.records), np.int64), 1
        for place, level in chosen:
            codes, width = self.columns[place].at(level)
            if span * max(width, 1) > _LARGEST_KEY:
                keys, found = pd.factorize(keys)
                span = len(found)
            keys = keys * width + codes
            span *= max(width, 1)
        return keys


def lattice_of(classes: pa.Table, records: str, kinds: Mapping[str, LadderKind], k: int) -> Lattice:
    """Return all choices for a table of classes."""
    counts = classes[records].to_numpy().astype(np.int64)
    return Lattice([_column(name, classes[name], kind, counts) for name, kind in kinds.items()], counts, k)


def propose(
    classes: pa.Table, records: str, kinds: Mapping[str, LadderKind], k: int, most_trials: int = MOST_TRIALS
) -> Proposal:
    """Return the proposal for classes: their quasi-identifiers as text, and how many records each has."""
    lattice = lattice_of(classes, records, kinds, k)
    counts = lattice.records
    if not len(counts) or counts.sum() < k:
        return Proposal(found=not len(counts), least=True, steps={}, loss=0.0, trials=0)
    best, proven = _least(lattice, most_trials)
    chosen = zip(lattice.columns, best, strict=True)
    steps = {column.name: column.names[level] for column, level in chosen if level}
    return Proposal(found=True, least=proven, steps=steps, loss=lattice.loss(best), trials=lattice.trials)


def _least(lattice: Lattice, most_trials: int) -> tuple[Levels, bool]:
    """Return a choice that holds, and whether every one with a smaller loss is known to fail."""
    start = tuple(0 for _ in lattice.columns)
    if lattice.fails(start) is None:
        return start, True
    best = _taken_back(lattice, lattice.top())
    if prod(most + 1 for most in lattice.top()) > MOST_CHOICES:
        return best, False
    every = sorted(
        product(*(range(most + 1) for most in lattice.top())), key=lambda one: (-lattice.loss(one), one)
    )
    levels, losses = np.array(every), np.array([lattice.loss(one) for one in every])
    open_ = losses < lattice.loss(best)
    while open_.any() and lattice.trials < most_trials:
        # The coarsest first: when it fails, so does all below it.
        coarsest = tuple(levels[int(np.argmax(open_))].tolist())
        blamed = lattice.fails(coarsest)
        if blamed is None:
            best = _taken_back(lattice, coarsest)
            open_ &= losses < lattice.loss(best)
        else:
            open_ &= ~np.all([levels[:, place] <= level for place, level in blamed], axis=0)
    return best, not open_.any()


def _taken_back(lattice: Lattice, levels: Levels) -> Levels:
    """Go down from a choice that holds, always to the one with the least loss that still holds."""
    while True:
        lower = sorted(lattice.below(levels), key=lambda one: (lattice.loss(one), one))
        better = next((one for one in lower if lattice.fails(one) is None), None)
        if better is None:
            return levels
        levels = better


def _smallest(keys: np.ndarray, records: np.ndarray) -> int:
    if keys.max() < _SMALL_KEY:
        sizes = np.bincount(keys, weights=records)
        return int(sizes[sizes > 0].min())
    order = np.argsort(keys, kind="stable")
    found = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], found[1:] != found[:-1])))
    return int(np.add.reduceat(records[order], starts).min())


def _column(name: str, values: pa.ChunkedArray, kind: LadderKind, records: np.ndarray) -> _Column:
    codes, known = _codes(values)
    rungs = ladder(kind, known)
    maps = [np.arange(len(known), dtype=np.int64), *_climbed(known, rungs), np.zeros(len(known), np.int64)]
    column = _Column(name, codes, maps, ["as it is", *(rung.name for rung in rungs), _SUPPRESS])
    weights = np.bincount(codes, weights=records, minlength=len(known))
    column.losses = _losses(maps, weights)
    return column


def _codes(values: pa.ChunkedArray) -> tuple[np.ndarray, list[str | None]]:
    """Return a code for each value, and the values by code; NULL has one as well."""
    encoded = values if pa.types.is_dictionary(values.type) else pc.dictionary_encode(values)
    chunks = encoded.unify_dictionaries().chunks
    known: list[str | None] = chunks[0].dictionary.to_pylist() if chunks else []
    codes = [chunk.indices.fill_null(len(known)).to_numpy().astype(np.int32) for chunk in chunks]
    if encoded.null_count:
        known.append(None)
    return np.concatenate([np.zeros(0, np.int32), *codes]), known


def _climbed(known: Sequence[str | None], rungs: Sequence[Rung]) -> Iterator[np.ndarray]:
    for rung in rungs:
        reached = [None if value is None else rung.apply(value) for value in known]
        codes: dict[str | None, int] = {}
        yield np.array([codes.setdefault(value, len(codes)) for value in reached], dtype=np.int64)


def _losses(maps: Sequence[np.ndarray], weights: np.ndarray) -> list[float]:
    entropies = [_entropy(np.bincount(one, weights=weights)) for one in maps]
    whole = entropies[0]
    if whole <= 0:  # one value for all: nothing to lose, and then nothing to gain by a step
        return [level / (len(maps) - 1) for level in range(len(maps))]
    return [*(round(max(0.0, 1 - left / whole), 9) for left in entropies[:-1]), 1.0]


def _entropy(weights: np.ndarray) -> float:
    shares = weights[weights > 0] / weights.sum()
    return float(-(shares * np.log2(shares)).sum())
