"""What every kind of expectation has, and the pieces of SQL that they are made of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar

from psycopg import sql
from pydantic import StringConstraints

from handover.model.base import Frozen
from handover.model.expectation import TableFacts
from handover.postgres.session import qualified

Name = Annotated[str, StringConstraints(min_length=1)]


class Kind(Frozen):
    """What one expectation says of one table."""

    short: ClassVar[str]
    counted: ClassVar[bool] = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that it is about."""
        return ()

    @property
    def subject(self) -> str:
        """Return what tells it from others of its kind on the same table."""
        return ",".join(self.columns)

    def asked(self) -> dict[str, object]:
        """Return the arguments for Great Expectations."""
        return self.model_dump(exclude_none=True)

    @abstractmethod
    def failing(self, table: TableFacts) -> sql.Composable:
        """Return the query for all failing rows, with every column of the table."""


class OfRow(Kind):
    """What an expectation says of each row by itself. ``joins``: it looks at another table for it."""

    joins: ClassVar[bool] = False

    @abstractmethod
    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of a failing row; its columns go by the name of their table."""

    def failing(self, table: TableFacts) -> sql.Composable:
        """Return the query for all failing rows, with every column of the table."""
        return sql.SQL("SELECT * FROM {} WHERE {}").format(only(table), self.condition(table))


def only(table: TableFacts) -> sql.Composed:
    """Return the table without inheriting ones, under its own name: a check may refer to its whole row."""
    alone = sql.SQL("" if table.partitioned else "ONLY ")
    return sql.SQL("{}{} AS {}").format(alone, qualified(*table.table), sql.Identifier(table.name))


def column_of(table: TableFacts, name: str) -> sql.Composed:
    return sql.SQL("{}.{}").format(sql.Identifier(table.name), sql.Identifier(name))


def all_of(parts: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL("({})").format(sql.SQL(" AND ").join(parts))


class OfColumn(Kind):
    """Something that each value of one column is, or is NULL."""

    column: Name

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the column."""
        return (self.column,)
