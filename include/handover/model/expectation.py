"""What data is expected to be: facts that a schema declares, rules made of them, and what came of each."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from handover.model.base import Frozen

Severity = Literal["critical", "warning"]
Side = Literal["source", "target"]
# Who is asked a rule: what hangs on values is asked of the source alone where the target gets pseudonyms.
Asked = Literal["both", "source", "target"]
TableName = tuple[str, str]


class ColumnFact(Frozen):
    """A column as its table declares it; ``enum``: compared as text, its labels are not a type of ours.

    ``plain_type``: the type below a domain, else the same.
    """

    name: str
    type: str
    enum: bool
    not_null: bool
    plain_type: str = ""


class ForeignKey(Frozen):
    """A foreign key, validated or not. ``operators`` compare parent with child, column by column.

    ``alone``: the parent is an ordinary table, so that rows of inheriting tables do not count.
    ``full``: MATCH FULL, where a part of the columns must not be NULL alone.
    """

    name: str
    columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]
    operators: tuple[str, ...]
    alone: bool
    full: bool


class TableFacts(Frozen):
    """What a table declares about its rows. ``checks`` gives the expression by name.

    ``partitioned``: its rows are those of its partitions. ``ancestors`` are the partitioned tables above a
    partition, by which suites may name it.
    """

    schema_name: str
    name: str
    columns: tuple[ColumnFact, ...]
    unique: tuple[tuple[str, ...], ...]
    foreign_keys: tuple[ForeignKey, ...]
    checks: dict[str, str]
    partitioned: bool = False
    ancestors: tuple[TableName, ...]

    @property
    def table(self) -> TableName:
        """Return schema and name."""
        return self.schema_name, self.name


class Rule(Frozen):
    """One expectation of one table; ``kwargs`` are those of its kind in ``quality.kinds``.

    ``of`` says which side it is asked of.
    """

    id: str
    schema_name: str
    table: str
    columns: tuple[str, ...]
    kind: str
    kwargs: dict[str, JsonValue]
    suite: str
    severity: Severity
    of: Asked = "both"

    @property
    def label(self) -> str:
        """Return the table's name for people."""
        return f"{self.schema_name}.{self.table}"


class Outcome(Frozen):
    """What came of a rule. ``failing`` is None where rows could not be counted; ``tokens`` name some."""

    id: str
    table: str
    columns: tuple[str, ...]
    kind: str
    suite: str
    severity: Severity
    success: bool
    failing: int | None
    tokens: tuple[str, ...]
    error: str
    of: Asked = "both"
