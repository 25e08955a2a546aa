"""The accounting archives that a case hands over, as its section ``ledger`` declares them.

An archive's volumes and control totals come from items that the case reconciles anyway: what is listed is
what was read under the source's snapshot and read back from the target. A fiscal year is a calendar year
(Accounting Law 11).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from handover.model.base import Frozen
from handover.model.legal_terms import Words
from handover.model.reconciliation import (
    Balance,
    Children,
    ColumnName,
    Count,
    Item,
    ItemName,
    Reconciliation,
    TableName,
)

PackLabel = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,40}@[0-9][0-9.]{1,20}$")]
Year = Annotated[int, Field(ge=1949, le=9999)]


class Totals(Frozen):
    """A reconciliation item whose rows and sums are control totals.

    ``year`` names the column of its ``by`` or ``show_by`` that holds the fiscal year as a number; a count by
    ``year`` and a balance by ``period`` need none.
    """

    item: ItemName
    year: ColumnName | None = None


class Archive(Frozen):
    """One kind of archive. Without ``years`` it has one volume for each fiscal year, else one for all.

    ``tables`` are those whose digests stand in the list; ``rule`` says how long it must be kept.
    """

    name: Words
    code: Words
    rule: str
    tables: Annotated[tuple[TableName, ...], Field(min_length=1)]
    totals: Annotated[tuple[Totals, ...], Field(min_length=1)]
    years: tuple[Year, Year] | None = None

    @model_validator(mode="after")
    def _years_make_sense(self) -> Archive:
        if self.years and self.years[0] > self.years[1]:
            raise ValueError("years ends before it begins; write [first, last]")
        return self


class LedgerHandover(Frozen):
    """The hand-over list of a case; ``pack`` is the policy that says how long its archives are kept."""

    number: Words
    pack: PackLabel
    medium: Words
    reader: Words
    currency: Words
    archives: Annotated[tuple[Archive, ...], Field(min_length=1)]
    open_questions: tuple[Words, ...] = ()

    @model_validator(mode="after")
    def _codes_differ(self) -> LedgerHandover:
        codes = [archive.code for archive in self.archives]
        if len(set(codes)) != len(codes):
            raise ValueError("archives gives a code twice; give each archive its own")
        return self


def ledger_problems(ledger: LedgerHandover, declared: Reconciliation) -> Iterator[str]:
    """Yield what the ledger takes from the reconciliation that is not there."""
    items = {item.name: item for item in declared.items()}
    for number, archive in enumerate(ledger.archives):
        seen = set()
        for place, totals in enumerate(archive.totals):
            field = f"ledger.archives.{number}.totals.{place}"
            item = items.get(totals.item)
            if item is None:
                yield f"{field}: reconciliation has no item {totals.item!r}; declare it or correct the name"
                continue
            if totals.year is not None and totals.year not in labels_of(item):
                yield f"{field}: {totals.item} does not part rows by {totals.year!r}; name what it does"
            elif archive.years is None and year_place(item, totals.year) is None:
                yield (
                    f"{field}: {totals.item} does not say the fiscal year of its rows; give year, "
                    "or years: [first, last] for the whole archive"
                )
            if item.table.label in seen:
                yield f"{field}: {item.table.label} is counted by an item before it; keep one"
            seen.add(item.table.label)


def labels_of(item: Item) -> tuple[str, ...]:
    """Return the columns by whose values an item parts its rows."""
    if isinstance(item, Balance):
        return ()
    return item.by if isinstance(item, Count) else item.show_by


def year_place(item: Item, column: str | None) -> int | None:
    """Return which label of an item's groups is the fiscal year, None when none is."""
    if column is not None:
        return labels_of(item).index(column)
    if isinstance(item, Count) and item.year:
        return len(item.by)
    return 0 if isinstance(item, Balance) and item.period else None


def year_in(label: str | None) -> int | None:
    """Return the fiscal year of a label, which may be a month of it; None when it is none."""
    found = re.fullmatch(r"([0-9]{4})(-[0-9]{2})?", label or "")
    return int(found[1]) if found else None


def amount_names(item: Item) -> tuple[str, ...]:
    """Return what an item's sums are of, in the order of its figures."""
    if isinstance(item, Count):
        return ()
    if isinstance(item, Balance):
        return item.debit, item.credit
    total = item.total.column if isinstance(item.total, Children) else item.total
    return total, item.minus.column, f"{total} − {item.minus.column}"
