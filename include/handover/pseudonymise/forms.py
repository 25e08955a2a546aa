"""Format-preserving forms: each valid number of a form becomes another valid one, one to one, under a key.

By default the pseudonyms lie where nobody has a number: identity numbers and credit codes in prefectures
that were never assigned, cards under first digits that ISO/IEC 7812-1 gives to other industries than banks.
Where no such range holds all numbers (mobiles: 4 unassigned prefixes for 70; plates), and when a case asks
for realistic pseudonyms by name, they lie among all valid ones, and one can be a number that somebody has.

The tables of prefixes, regions and days are a part of the pseudonyms' format: who changes one changes all
pseudonyms of the form, and must not do so within a case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Literal

import numpy as np

from handover.pseudonymise import regions
from handover.pseudonymise.cells import Bools, Bytes, Cells, Ints, Pieces
from handover.pseudonymise.codes import Credit, Plate
from handover.pseudonymise.integers import Integers
from handover.pseudonymise.spaces import PAST_BIRTHDAYS, PLAUSIBLE_BIRTHDAYS, Identity, Prefixed, Space

Form = Literal["identity", "mobile", "card", "uscc", "plate"]


def _span(*ranges: tuple[int, int]) -> Ints:
    return np.array([number for first, last in ranges for number in range(first, last + 1)], np.int64)


# Prefixes of three digits under which banks issue cards, by length of the number.
_UNION = ((600, 609), (620, 629), (680, 699), (810, 819), (940, 940), (955, 955))
_ISSUED = {
    14: _span((300, 305), (360, 369), (380, 389)),
    15: _span((340, 349), (370, 379)),
    16: _span(*_UNION, (222, 272), (352, 358), (400, 499), (510, 559)),
    17: _span(*_UNION),
    18: _span(*_UNION),
    19: _span(*_UNION, (400, 499)),
}
# First digits of airlines (1), petroleum (7), health care and telecommunication (8, but for 81 of UnionPay
# and 89 of SIM cards): no bank's.
_OTHER_INDUSTRIES = _span((100, 199), (700, 809), (820, 889))
_MOBILES = _span((130, 199))


@cache
def spaces(form: Form, realistic: bool) -> tuple[tuple[Space, Space], ...]:
    """Return the space of the numbers and that of their pseudonyms for each width; () where none is free."""
    pairs: list[tuple[Space, Space]] = []
    if form == "identity":
        born = Identity(regions.KNOWN_TO_RESIDENTS, PAST_BIRTHDAYS)
        any_person = Identity(regions.KNOWN_TO_PEOPLE)
        nobody = Identity(regions.UNASSIGNED, PLAUSIBLE_BIRTHDAYS)
        pairs = [(born, born) if realistic else (any_person, nobody)]
    elif form == "uscc":
        company = Credit(regions.KNOWN_TO_COMPANIES)
        pairs = [(company, company if realistic else Credit(regions.UNASSIGNED))]
    elif form == "card":
        for width, prefixes in _ISSUED.items():
            card = Prefixed(width, prefixes, luhn=True)
            pairs.append((card, card if realistic else Prefixed(width, _OTHER_INDUSTRIES, luhn=True)))
    elif realistic:
        every = [Prefixed(11, _MOBILES, luhn=False)] if form == "mobile" else [Plate(False), Plate(True)]
        pairs = [(space, space) for space in every]
    return tuple(pairs)


@dataclass(frozen=True)
class Disguise:
    """A keyed one-to-one map of one space into another."""

    key: bytes = field(repr=False)
    source: Space
    image: Space

    @cached_property
    def _permutation(self) -> Integers:
        if self.source.size > self.image.size:
            raise ValueError(
                f"{self.source.size} numbers cannot stay apart among {self.image.size} pseudonyms"
            )
        return Integers(self.key, self.image.size, str(self.source.width).encode())

    def apply(self, signs: Bytes) -> tuple[Bytes, Bools]:
        """Return the pseudonyms of the valid rows, and which rows these are."""
        numbers, good = self.source.rank(signs)
        return self.image.unrank(self._permutation.encrypt(numbers[good]), signs[good]), good

    def undo(self, signs: Bytes) -> tuple[Bytes, Bools]:
        """Return the numbers behind pseudonyms, and which rows are pseudonyms at all."""
        places, good = self.image.rank(signs)
        numbers = self._permutation.decrypt(places[good])
        known = numbers < self.source.size
        good[good] = known
        return self.source.unrank(numbers[known], signs[good]), good


def disguises(key: bytes, form: Form, realistic: bool) -> Iterator[Disguise]:
    """Yield the maps of a form, one for each width of its numbers."""
    for source, image in spaces(form, realistic):
        yield Disguise(key, source, image)


def disguise(key: bytes, form: Form, realistic: bool, cells: Cells, into: Pieces) -> Bools:
    """Put the pseudonyms of all valid numbers, and return which rows these are."""
    return _each(key, form, realistic, cells, into, undo=False)


def reveal(key: bytes, form: Form, realistic: bool, cells: Cells, into: Pieces) -> Bools:
    """Put the numbers behind pseudonyms, and return which rows have one."""
    return _each(key, form, realistic, cells, into, undo=True)


def _each(key: bytes, form: Form, realistic: bool, cells: Cells, into: Pieces, *, undo: bool) -> Bools:
    done = np.zeros(len(cells), np.bool_)
    for one in disguises(key, form, realistic):
        rows = cells.rows_of(one.source.width)
        signs = cells.matrix(rows, one.source.width)
        out, good = one.undo(signs) if undo else one.apply(signs)
        into.put(rows[good], out)
        done[rows[good]] = True
    return done
