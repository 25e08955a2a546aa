"""The kinds of expectation that a person may write: what each needs, and the SQL for the rows that fail it.

Kinds that Great Expectations has are its own, by its names; ``counted`` ones are answered by a count of our
own SQL, because it lacks them or (compound keys) cannot do them with quoted names. Free SQL is no kind: it
could do more than look, and rows that fail it could be neither counted nor named.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from psycopg import sql
from pydantic import (
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)

from handover.model.expectation import TableFacts
from handover.quality import formats
from handover.quality.bounds import Bound, comparable
from handover.quality.kind import Kind, Name, OfColumn, OfRow, all_of, column_of, only

_COUNT = sql.Identifier("handover:count")

# Whole numbers that JSON carries exactly.
Whole = Annotated[StrictInt, Field(ge=-(2**53), le=2**53)]
Plain = StrictBool | Whole | StrictStr


class NotNull(OfColumn, OfRow):
    """The column is filled."""

    short = "not_null"

    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of a row without a value."""
        return sql.SQL("{} IS NULL").format(column_of(table, self.column))


def _repeated(table: TableFacts, columns: tuple[str, ...]) -> sql.Composable:
    """Return the rows that share their values in some columns with another; a NULL is like nothing."""
    names = [column_of(table, name) for name in columns]
    return sql.SQL(
        "SELECT * FROM (SELECT {itself}.*, count(*) OVER (PARTITION BY {names}) AS {count}"
        " FROM {table} WHERE {filled}) AS {itself} WHERE {count} > 1"
    ).format(
        itself=sql.Identifier(table.name),
        names=sql.SQL(", ").join(names),
        count=_COUNT,
        table=only(table),
        filled=all_of([sql.SQL("{} IS NOT NULL").format(name) for name in names]),
    )


class Unique(OfColumn):
    """No value is there twice."""

    short = "unique"

    def failing(self, table: TableFacts) -> sql.Composable:
        """Return all rows that share their value."""
        return _repeated(table, self.columns)


class CompoundUnique(Kind):
    """No combination of values is there twice."""

    short = "unique"
    counted = True
    column_list: Annotated[tuple[Name, ...], Field(min_length=2)]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of the key."""
        return self.column_list

    def failing(self, table: TableFacts) -> sql.Composable:
        """Return all rows that share their combination."""
        return _repeated(table, self.columns)


class Between(OfColumn, OfRow):
    """A number, date or time within bounds."""

    short = "between"
    min_value: Bound | None = None
    max_value: Bound | None = None
    strict_min: bool = False
    strict_max: bool = False

    @model_validator(mode="after")
    def _bounded(self) -> Between:
        comparable(self.min_value, self.max_value)
        return self

    @property
    def bounds(self) -> tuple[Bound | None, Bound | None]:
        """Return both bounds as they compare with each other."""
        return comparable(self.min_value, self.max_value)

    def asked(self) -> dict[str, object]:
        """Return the arguments with bounds that compare with each other; numbers become doubles there."""
        bounds = zip(("min_value", "max_value"), self.bounds, strict=True)
        return super().asked() | {
            n: float(b) if isinstance(b, Decimal) else b for n, b in bounds if b is not None
        }

    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of a value out of bounds."""
        low, high = self.bounds
        sides = (
            (low, "> {}" if self.strict_min else ">= {}"),
            (high, "< {}" if self.strict_max else "<= {}"),
        )
        column = column_of(table, self.column)
        inside = [
            sql.SQL("{} {}").format(column, sql.SQL(sign).format(sql.Literal(bound)))
            for bound, sign in sides
            if bound is not None
        ]
        return sql.SQL("NOT {}").format(all_of(inside))


class InSet(OfColumn, OfRow):
    """One of some values."""

    short = "in_set"
    value_set: Annotated[tuple[Plain, ...], Field(min_length=1)]

    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of another value; labels of an enumeration are compared as text."""
        column = column_of(table, self.column)
        if any(fact.enum for fact in table.columns if fact.name == self.column):
            column = sql.SQL("{}::text").format(column)
        return sql.SQL("{} NOT IN ({})").format(column, sql.SQL(", ").join(map(sql.Literal, self.value_set)))


class MatchRegex(OfColumn, OfRow):
    """Text that matches a regular expression of PostgreSQL."""

    short = "match_regex"
    regex: Annotated[str, StringConstraints(min_length=1)]

    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of text that does not."""
        return sql.SQL("{} !~ {}").format(column_of(table, self.column), sql.Literal(self.regex))


class Length(OfColumn, OfRow):
    """Text of so many characters."""

    short = "length"
    min_value: Annotated[int, Field(ge=0)] = 0
    max_value: Annotated[int, Field(ge=0)] = 2**31 - 1

    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of text too short or too long."""
        return sql.SQL("length({}) NOT BETWEEN {} AND {}").format(
            column_of(table, self.column), sql.Literal(self.min_value), sql.Literal(self.max_value)
        )


class Greater(OfRow):
    """One column is greater than another, where both are filled."""

    short = "greater"
    column_A: Name  # noqa: N815 (the name that Great Expectations gives it)
    column_B: Name  # noqa: N815
    or_equal: bool = False
    ignore_row_if: Literal["either_value_is_missing"] = "either_value_is_missing"

    @property
    def columns(self) -> tuple[str, ...]:
        """Return both columns."""
        return self.column_A, self.column_B

    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of a row where it is not."""
        sign = sql.SQL("<" if self.or_equal else "<=")
        return sql.SQL("{} {} {}").format(
            column_of(table, self.column_A), sign, column_of(table, self.column_B)
        )


class Format(OfColumn, OfRow):
    """Text or a number that is well formed, check digits included."""

    counted = True

    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of a value that is not."""
        column = column_of(table, self.column)
        text = sql.SQL("{}::text").format(column)
        return sql.SQL("{} IS NOT NULL AND NOT ({})").format(column, formats.FORMS[self.short](text))


class IdentityNumber(Format):
    """A resident's identity number with a birthday of the calendar."""

    short = "identity_number"


class MobileNumber(Format):
    """A mobile number of mainland China."""

    short = "mobile_number"


class CardNumber(Format):
    """A bank card's number."""

    short = "card_number"


class CreditCode(Format):
    """A unified social credit code."""

    short = "credit_code"


class EmailAddress(Format):
    """An address of e-mail."""

    short = "email_address"


# Those that a hand-written suite may use.
WRITTEN: dict[str, type[Kind]] = {
    "expect_column_values_to_not_be_null": NotNull,
    "expect_column_values_to_be_unique": Unique,
    "expect_compound_columns_to_be_unique": CompoundUnique,
    "expect_column_values_to_be_between": Between,
    "expect_column_values_to_be_in_set": InSet,
    "expect_column_values_to_match_regex": MatchRegex,
    "expect_column_value_lengths_to_be_between": Length,
    "expect_column_pair_values_a_to_be_greater_than_b": Greater,
    "expect_identity_number": IdentityNumber,
    "expect_mobile_number": MobileNumber,
    "expect_card_number": CardNumber,
    "expect_credit_code": CreditCode,
    "expect_email_address": EmailAddress,
}
