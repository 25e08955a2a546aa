"""The kinds of expectation that are made from what a schema declares, and the list of all kinds."""

from __future__ import annotations

from typing import Annotated

from psycopg import sql
from pydantic import Field, JsonValue

from handover.model.expectation import ForeignKey, Rule, TableFacts
from handover.postgres.session import qualified
from handover.quality.kind import Kind, Name, OfRow, all_of, column_of, only
from handover.quality.kinds import WRITTEN
from handover.quality.pseudonyms import NoRawMention, Pseudonyms

_PARENT = sql.Identifier("handover:parent")


class RowCount(Kind):
    """The table has exactly as many rows as were backed up."""

    short = "row_count"
    value: Annotated[int, Field(ge=0)]

    def failing(self, table: TableFacts) -> sql.Composable:
        """Return as many rows as there are too many or too few; none of them is to blame."""
        return sql.SQL("SELECT FROM generate_series(1, abs((SELECT count(*) FROM {}) - {}))").format(
            only(table), sql.Literal(self.value)
        )


class CoveredKey(OfRow):
    """Each row's foreign key leads to a row, also where the key was declared NOT VALID."""

    short = "foreign_key"
    counted = True
    joins = True
    key: ForeignKey

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that refer."""
        return self.key.columns

    @property
    def subject(self) -> str:
        """Return the name of the key: two keys may have the same columns."""
        return self.key.name

    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of an orphan."""
        names = [column_of(table, name) for name in self.key.columns]
        pairs = [
            sql.SQL("{}.{} OPERATOR({}) {}").format(_PARENT, sql.Identifier(parent), sql.SQL(operator), child)
            for parent, operator, child in zip(
                self.key.parent_columns, self.key.operators, names, strict=True
            )
        ]
        orphan = sql.SQL("NOT EXISTS (SELECT FROM {}{} AS {} WHERE {})").format(
            sql.SQL("ONLY " if self.key.alone else ""), qualified(*self.key.parent), _PARENT, all_of(pairs)
        )
        filled = all_of([sql.SQL("{} IS NOT NULL").format(name) for name in names])
        if not self.key.full:
            return all_of([filled, orphan])
        partly = sql.SQL("num_nulls({names}) > 0 AND num_nonnulls({names}) > 0").format(
            names=sql.SQL(", ").join(names)
        )
        return sql.SQL("({} OR {})").format(partly, all_of([filled, orphan]))


class Check(OfRow):
    """No row breaks a check constraint, also one declared NOT VALID or built on functions that changed."""

    short = "check"
    counted = True
    constraint: Name

    @property
    def subject(self) -> str:
        """Return the name of the constraint."""
        return self.constraint

    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of a row that breaks it; its text is the database's own."""
        return sql.SQL("({}) IS FALSE").format(sql.SQL(table.checks[self.constraint]))


KINDS: dict[str, type[Kind]] = {
    **WRITTEN,
    "expect_table_row_count_to_equal": RowCount,
    "expect_foreign_key": CoveredKey,
    "expect_check": Check,
    "expect_pseudonyms": Pseudonyms,
    "expect_no_raw_mention": NoRawMention,
}
_NAMES = {kind: name for name, kind in KINDS.items()}


def name_of(kind: Kind) -> str:
    """Return the name by which suites call a kind."""
    return _NAMES[type(kind)]


def kind_of(rule: Rule) -> Kind:
    """Return what a rule says."""
    return KINDS[rule.kind].model_validate(rule.kwargs)


def kwargs_of(kind: Kind) -> dict[str, JsonValue]:
    """Return what a kind says as JSON, without what it leaves to its defaults."""
    return kind.model_dump(mode="json", exclude_defaults=True)
