"""Row classes: what happens to which rows in the target and in the source, and the rules that say so.

Every row in scope of a table belongs to exactly one class; a table that no class names is one class of
itself, copied and kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from handover.model.base import Frozen
from handover.model.reconciliation import TableName
from handover.model.scope import PredicateText

ClassName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]{1,120}$", strip_whitespace=True)]
TargetTreatment = Literal["copy", "copy_pseudonymised", "archive", "nothing"]
# What brings rows to the target, as they are or with pseudonyms in place of what tells who somebody is.
COPIED: tuple[TargetTreatment, ...] = ("copy", "copy_pseudonymised")
SourceTreatment = Literal["keep", "restrict", "pseudonymise", "erase"]

# What takes something of a row away at the source for good, and so rests on its backup.
GOING: tuple[SourceTreatment, ...] = ("erase", "pseudonymise")


def is_backed_up(target: TargetTreatment, source: SourceTreatment) -> bool:
    """Say whether rows of such a class are read into the backup."""
    return target != "nothing" or source in GOING


class RowClass(Frozen):
    """Rows of some tables: all of them, or those that meet ``where``.

    ``matter.retention`` names the rules of a class by its name.
    """

    name: ClassName
    tables: Annotated[tuple[TableName, ...], Field(min_length=1)]
    where: PredicateText | None = None
    target: TargetTreatment = "copy"
    source: SourceTreatment = "keep"

    @model_validator(mode="after")
    def _one_table_for_a_predicate(self) -> RowClass:
        labels = [table.label for table in self.tables]
        if len(set(labels)) != len(labels):
            raise ValueError("tables names a table twice; name each one once")
        return self


def classes_of(classes: Iterable[RowClass], table: TableName | tuple[str, str]) -> tuple[RowClass, ...]:
    """Return the classes of a table; one of itself when no class names it."""
    schema, name = table if isinstance(table, tuple) else (table.schema_name, table.name)
    wanted = TableName(schema_name=schema, name=name)
    found = tuple(one for one in classes if wanted in one.tables)
    # A table may have any name; only what a person gives a class must be readable.
    return found or (RowClass.model_construct(name=wanted.label, tables=(wanted,)),)
