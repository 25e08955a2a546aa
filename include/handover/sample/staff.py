"""Who works where: the home branch of a customer, the staff of a branch and the line of its managers.

Everything about a customer happens at the home branch, and nobody there answers to somebody elsewhere, so
that a branch can be handed over without the staff of another one.
"""

from __future__ import annotations

import numpy as np

from handover.sample.dice import Dice, Ints
from handover.sample.sizes import Sizes

# These come first in the numbering, branch by branch, the head of the branch before the others.
FIRST_STAFF = 3
_ANSWER_TO_ONE = 5


def home_branch(dice: Dice, sizes: Sizes, customer: Ints) -> Ints:
    """The branch of each customer, counted from 0."""
    return dice.below("customer.branch", customer, sizes.branches)


def workplace(sizes: Sizes, employee: Ints) -> tuple[Ints, Ints]:
    """The branch of each employee and the place in its line, both counted from 0; 0 is the head."""
    branches = sizes.branches
    first = employee < FIRST_STAFF * branches
    return (
        np.where(first, employee // FIRST_STAFF, employee % branches),
        np.where(first, employee % FIRST_STAFF, employee // branches),
    )


def at_place(sizes: Sizes, branch: Ints, place: Ints) -> Ints:
    """The employee at a place of a branch: what ``workplace`` says, the other way round."""
    later = place * sizes.branches + branch
    return np.where(place < FIRST_STAFF, branch * FIRST_STAFF + place, later)


def manager(sizes: Sizes, employee: Ints) -> Ints:
    """Whom each employee answers to, in the same branch; the head answers to nobody, which is -1."""
    branch, place = workplace(sizes, employee)
    return np.where(place == 0, -1, at_place(sizes, branch, (place - 1) // _ANSWER_TO_ONE))


def somebody_at(dice: Dice, sizes: Sizes, stream: str, index: Ints, branch: Ints) -> Ints:
    """An employee of the branch for each index."""
    further = sizes.employees - FIRST_STAFF * sizes.branches
    staff = FIRST_STAFF + (further - branch + sizes.branches - 1) // sizes.branches
    drawn = dice.words(stream, index) % staff.astype(np.uint64)
    return at_place(sizes, branch, drawn.astype(np.int64))
