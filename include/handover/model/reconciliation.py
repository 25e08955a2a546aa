"""What a case wants reconciled beyond the sums of every numeric column: names of tables and columns only.

Everything here is structured, never SQL: a case file must not be able to say what the database runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from handover.model.base import Frozen

ColumnName = Annotated[str, StringConstraints(min_length=1)]
Columns = Annotated[tuple[ColumnName, ...], Field(min_length=1)]
ItemName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Grain = Literal["month", "year"]
# The tables of figures that every run has; a declared one must not pass for them.
SUMS, ROWS, GENERATED = "sums", "counts", "generated"
_ACKNOWLEDGEMENT = "reconciliation"


class TableName(Frozen):
    """A table, written ``schema.table`` or, where a name holds a dot itself, ``[schema, table]``."""

    schema_name: ColumnName
    name: ColumnName

    @model_validator(mode="before")
    @classmethod
    def _parts(cls, value: object) -> object:
        parts = value.split(".") if isinstance(value, str) else value
        if isinstance(parts, dict):
            return parts
        if not isinstance(parts, list | tuple) or len(parts) != 2 or not all(parts):
            raise ValueError(f"{value!r} does not name one table; write schema.table or [schema, table]")
        return {"schema_name": parts[0], "name": parts[1]}

    @property
    def label(self) -> str:
        """Return the name for people."""
        return f"{self.schema_name}.{self.name}"


class Count(Frozen):
    """Rows of a table by the values of some columns and the year of a date."""

    name: ItemName
    table: TableName
    by: tuple[ColumnName, ...] = ()
    year: ColumnName | None = None

    @model_validator(mode="after")
    def _counts_by_something(self) -> Count:
        if not self.by and self.year is None:
            raise ValueError("names neither by nor year; every table's rows are counted anyway")
        return self


class Parent(Frozen):
    """A column of the one row of another table whose ``key`` equals ``by`` (default: the same names) here."""

    table: TableName
    column: ColumnName
    key: Columns
    by: Columns | None = None

    @model_validator(mode="after")
    def _as_many(self) -> Parent:
        if len(self.here) != len(self.key):
            raise ValueError("by and key must have as many columns")
        return self

    @property
    def here(self) -> tuple[str, ...]:
        """Return the columns of this table that lead to the other row."""
        return self.by or self.key


class Balance(Frozen):
    """A trial balance: in every period the sums of ``debit`` and ``credit`` are equal.

    Without ``period`` the whole table is one period. Periods of a timestamp with time zone are those of UTC.
    """

    name: ItemName
    table: TableName
    debit: ColumnName
    credit: ColumnName
    period: ColumnName | Parent | None = None
    grain: Grain = "month"


class Children(Frozen):
    """The sum of a column over the rows of another table whose ``by`` equals the relation's ``key``."""

    table: TableName
    column: ColumnName
    by: Columns | None = None


class Relation(Frozen):
    """For each row: ``total`` − Σ ``minus`` = ``equals``, a column or 0.

    Without ``equals`` nothing must hold, and the balances are only compared between source and target.
    ``show_by`` parts the rows for people. No children count as 0; a NULL ``total`` fulfils nothing.
    """

    name: ItemName
    table: TableName
    key: Columns
    total: ColumnName | Children
    minus: Children
    equals: ColumnName | Literal[0] | None = None
    show_by: tuple[ColumnName, ...] = ()

    @model_validator(mode="after")
    def _as_many(self) -> Relation:
        for child in self.children():
            if len(child.by or self.key) != len(self.key):
                raise ValueError("by of total or minus must have as many columns as key")
        return self

    def children(self) -> Iterator[Children]:
        """Yield what is summed in other tables."""
        if isinstance(self.total, Children):
            yield self.total
        yield self.minus


Item = Count | Balance | Relation


class Reconciliation(Frozen):
    """What to reconcile; every item has a name of its own."""

    counts: tuple[Count, ...] = ()
    balances: tuple[Balance, ...] = ()
    relations: tuple[Relation, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Reconciliation:
        names = [item.name for item in self.items()]
        for name in names:
            if name in (SUMS, ROWS, GENERATED):
                raise ValueError(f"name {name!r} is taken by what every run reconciles; choose another")
            if names.count(name) > 1:
                raise ValueError(f"name {name!r} is given twice; give each item its own")
        return self

    def items(self) -> tuple[Item, ...]:
        """Return everything declared, in the order of the case file."""
        return (*self.counts, *self.balances, *self.relations)


def acknowledgement(name: str) -> str:
    """Return the finding id under which a case accepts that the source itself breaks an item's rule."""
    return f"{_ACKNOWLEDGEMENT}:{name}"
