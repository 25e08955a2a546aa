"""Which term a row goes with that several want: the one that ends last, so that nothing goes too early."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from handover.errors import DataRefused
from handover.model.archive import Term


def latest(wanted: Iterable[Term]) -> Term:
    """Return the term of a row: no date yet beats every date, a later date an earlier one.

    Among equal ends the class whose name sorts first has it, in whatever order they were named.
    """
    terms = sorted(wanted, key=lambda term: term.row_class)
    if not terms:
        raise DataRefused(
            "a row to be archived belongs to no class", hint="name its table in a class of the case file"
        )
    return max(terms, key=_end)  # the first of equals


def _end(term: Term) -> tuple[bool, date]:
    return term.destroy_from is None, term.destroy_from or date.max
