"""The scope of a case: which rows it is about, said by root rows and by the ways that lead on from them.

Every row in scope bears one of two marks. ``owned``: a root row, or a row that refers to an owned row (its
child). ``needed``: not owned, but an owned or needed row refers to it (its parent). Children of a row that
is only needed do not come along: a customer's branch is needed, and its other customers stay where they
are. So the owned rows are closed first, downwards only; then the needed ones, upwards only.

A partitioned table counts as one table, whatever partition a row is in; a partition may be named itself.
An inheritance parent is its own rows alone. Names are matched exactly.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, StringConstraints, model_validator

from handover.errors import CaseInvalid
from handover.model.base import Frozen
from handover.model.reconciliation import ColumnName, Columns, TableName
from handover.model.strict_yaml import StrictLoader, line_of

LONGEST_PREDICATE = 10_000
# One boolean expression over the table's own columns; handover.postgres.predicates has its grammar.
PredicateText = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_PREDICATE)]


class Root(Frozen):
    """Rows from which everything starts; several roots may name the same table."""

    table: TableName
    where: PredicateText


class VirtualKey(Frozen):
    """A reference that the database does not know. ``to_columns`` need not be unique: all that match count.

    ``follow`` as in ForeignKey.
    """

    table: TableName
    columns: Columns
    references: TableName
    to_columns: Columns
    follow: bool = True

    @model_validator(mode="after")
    def _leads_somewhere(self) -> VirtualKey:
        if len(self.columns) != len(self.to_columns):
            raise ValueError("columns and to_columns must have as many columns")
        if (self.table, self.columns) == (self.references, self.to_columns):
            raise ValueError(
                "is circular: it leads from columns to the same columns; name those of the parent"
            )
        return self


class PolymorphicTarget(Frozen):
    """The column to which the id refers when the type column has the value that leads here."""

    table: TableName
    column: ColumnName


class Polymorphic(Frozen):
    """A reference whose table stands in the row itself. ``targets``: by the text of ``type_column``.

    ``follow`` as in ForeignKey.
    """

    table: TableName
    type_column: ColumnName
    id_column: ColumnName
    targets: Annotated[dict[str, PolymorphicTarget], Field(min_length=1)]
    follow: bool = True


class ForeignKey(Frozen):
    """What to do with a foreign key of the database, named by its table and columns.

    ``follow: false``: rows that refer by it do not come along with the row they refer to. The other way
    stands in any case: a row never arrives without the row that it refers to.
    """

    table: TableName
    columns: Columns
    follow: bool


class Decision(Frozen):
    """What happens to a table that nothing reaches: none of its rows is in scope, or all are needed.

    ``all`` may also be said of a table that is reached, to take a whole table of reference data.
    """

    table: TableName
    rows: Literal["all", "none"]


class Along(Frozen):
    """Rows of ``tables`` come along with those of ``table`` that they refer to, directly or by each other."""

    table: TableName
    tables: tuple[TableName, ...]


class Scope(Frozen):
    """The rows that a case is about. Unless ``along`` says which, all children come along."""

    roots: Annotated[tuple[Root, ...], Field(min_length=1)]
    virtual_keys: tuple[VirtualKey, ...] = ()
    polymorphic: tuple[Polymorphic, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    decided: tuple[Decision, ...] = ()
    along: tuple[Along, ...] | None = None

    @model_validator(mode="after")
    def _says_nothing_twice(self) -> Scope:
        _refuse_repeated(
            "virtual_keys", [(*_by(k), k.references.label, k.to_columns) for k in self.virtual_keys]
        )
        _refuse_repeated(
            "polymorphic", [(p.table.label, p.type_column, p.id_column) for p in self.polymorphic]
        )
        _refuse_repeated("foreign_keys", [_by(k) for k in self.foreign_keys])
        _refuse_repeated("decided", [d.table.label for d in self.decided])
        return self


def _by(key: VirtualKey | ForeignKey) -> tuple[str, tuple[str, ...]]:
    return key.table.label, key.columns


def _refuse_repeated(field: str, said: list[Hashable]) -> None:
    for place, item in enumerate(said):
        if item in said[:place]:
            raise ValueError(f"{field}.{place} says again what {field}.{said.index(item)} says; keep one")


@dataclass(frozen=True)
class ScopeProblem:
    """What a scope says that the database does not bear out; ``field`` leads to it from the scope."""

    field: tuple[int | str, ...]
    said: str
    remedy: str


def scope_invalid(
    problems: Iterable[ScopeProblem], text: str, path: Path, under: tuple[int | str, ...] = ("scope",)
) -> CaseInvalid:
    """Return one error that names file, line, field and remedy of every problem.

    ``text`` is that of the case file at ``path``, which has the scope in the field ``under``.
    """
    root = yaml.compose(text, Loader=StrictLoader)
    found = list(problems)
    fields = [(*under, *problem.field) for problem in found]
    lines = [
        f"line {line_of(root, field)}, {'.'.join(map(str, field))}: {problem.said}; {problem.remedy}"
        for field, problem in zip(fields, found, strict=True)
    ]
    return CaseInvalid(
        f"case file {path.name} is not valid:\n  " + "\n  ".join(lines),
        hint="correct the fields named above; `handover case check` tries again",
        fields=[".".join(map(str, field)) for field in fields],
    )
