"""How many values a second are pseudonymised, beside what else there is for the same; no server is needed.

Ours is measured from Arrow column to Arrow column, with all that a transfer needs: NULLs, normal writing,
tokens for what is no number. Others are measured in the tightest loop over ready values, which favours them.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from statistics import median
from time import perf_counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.costs import Figure
from handover.pseudonymise.domains import Domain, Writing
from handover.pseudonymise.keys import DomainKey
from handover.pseudonymise.replacing import Fpe, Token
from handover.pseudonymise.strategy import Strategy
from handover.sample.dice import Dice
from handover.sample.people import Role, identities

MASKING = "masking"
VALUES = 1_000_000
# Python loops are measured on fewer values: their speed does not depend on how many there are.
_LOOPED = 20_000
_KEY = bytes(range(32))
Loop = Callable[[list[str]], object]


def _hmac(values: list[str]) -> object:
    return [hmac.new(_KEY, value.encode(), "sha256").hexdigest() for value in values]


def _ff3(values: list[str]) -> object:
    from ff3 import FF3Cipher  # type: ignore[import-not-found, import-untyped, unused-ignore]

    cipher = FF3Cipher(_KEY.hex(), "D8E7920AFA330A")
    return [cipher.encrypt(value) for value in values]


def _pyffx(values: list[str]) -> object:
    import pyffx  # type: ignore[import-not-found, import-untyped, unused-ignore]

    cipher = pyffx.String(_KEY, alphabet="0123456789", length=18)
    return [cipher.encrypt(value) for value in values]


# Package, what is measured of it. They are no dependency: measured where somebody has installed them.
_CIPHERS: dict[str, Loop] = {"ff3": _ff3, "pyffx": _pyffx}


@dataclass(frozen=True)
class Race:
    """A figure, what makes it, and what else makes the same kind of pseudonym."""

    name: str
    strategy: Strategy
    writing: Writing
    peers: dict[str, Loop]


def races() -> list[Race]:
    """Return what is measured; ciphers of other packages where they are installed, else plain HMAC."""
    plain: dict[str, Loop] = {"hmac.new": _hmac}
    ciphers = {name: loop for name, loop in _CIPHERS.items() if find_spec(name)} or plain
    return [
        Race("prf_token_values_per_s", Token(), "identity", plain),
        Race("ff1_18_digits_values_per_s", Fpe(form="digits"), "code", ciphers),
        Race("identity_number_values_per_s", Fpe(form="identity"), "identity", ciphers),
    ]


def _values(race: Race, count: int) -> pa.Array:
    """Identity numbers; where only digits are asked for, 18 of them."""
    column = identities(Dice(1), Role.CUSTOMER, np.arange(count)).numbers
    return pc.replace_substring(column, "X", "0") if race.writing == "code" else column


def _seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def run(race: Race, rounds: int, count: int = VALUES) -> Figure:
    """Measure all by turns, and return our speed beside the fastest other: below 1 we are faster."""
    column = _values(race, count)
    key = DomainKey(_KEY, Domain(name="bench", writing=race.writing))
    digits = [text[:17] + "0" for text in column[:_LOOPED].to_pylist()]
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in race.peers}
    for _ in range(rounds):
        ours.append(_seconds(partial(race.strategy.apply, column, key)) / count)
        for name, loop in race.peers.items():
            theirs[name].append(_seconds(partial(loop, digits)) / len(digits))
    mine = median(ours)
    best = min(theirs, key=lambda name: median(theirs[name]))
    return Figure(race.name, round(1 / mine), "values/s", best, round(mine / median(theirs[best]), 4))


def figures(rounds: int) -> Iterator[Figure]:
    """Measure every race."""
    return (run(race, rounds) for race in races())
