"""Figures of one side: what was counted and summed there. They can identify a person in a small group.

So they are stored only encrypted. Every number is its exact decimal text, as the database wrote it.
"""

from __future__ import annotations

from typing import Literal

from handover.model.base import Frozen

Side = Literal["source", "target"]


class Amount(Frozen):
    """A sum of finite values, None when there are none; ``others`` says how many of them are not 0."""

    total: str | None
    others: int


class ColumnFigures(Frozen):
    """A numeric column: how many values it has that are not NULL, and how many of them are not finite."""

    column: str
    values: int
    amount: Amount
    nan: int = 0
    infinite: int = 0
    minus_infinite: int = 0


class TableFigures(Frozen):
    """A table. ``generated_digest`` is the SHA-256 of its ``generated`` columns in the order of the plan.

    ``unsummed``: columns of numbers that arrive as pseudonyms, or may be computed from some. A table with
    masked columns has no ``generated_digest``.
    """

    schema_name: str
    name: str
    rows: int
    columns: tuple[ColumnFigures, ...]
    generated: tuple[str, ...]
    generated_digest: str
    unsummed: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Return the name for people."""
        return f"{self.schema_name}.{self.name}"


class Group(Frozen):
    """Rows that share their labels; ``broken`` counts those that break the item's rule."""

    labels: tuple[str | None, ...]
    rows: int
    amounts: tuple[Amount, ...] = ()
    broken: int = 0


class ItemFigures(Frozen):
    """What was found for one declared item. ``coarse``: which labels are no values of a person's row."""

    name: str
    coarse: tuple[bool, ...]
    groups: tuple[Group, ...]


class Figures(Frozen):
    """Everything tallied on one side at one moment."""

    tables: tuple[TableFigures, ...]
    items: tuple[ItemFigures, ...]
