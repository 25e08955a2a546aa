"""Where consents of persons are on record: read when a case is planned, and again when it is executed."""

from __future__ import annotations

from pydantic import model_validator

from handover.model.base import Frozen
from handover.model.matter import FileName
from handover.model.reconciliation import Columns, TableName
from handover.model.scope import PredicateText


class ConsentRecords(Frozen):
    """Records about the persons of one table, in a table of the source or in a CSV file.

    A record speaks of the person whose ``columns`` equal its own ``matches``. Each predicate says which
    records count for what; what has no predicate is not known. A person counts as consenting only with such
    a record and without one that ``withdrawn`` names. ``file`` lies beside the documents of the case; all its
    columns are text.
    """

    person: TableName
    columns: Columns
    matches: Columns
    table: TableName | None = None
    file: FileName | None = None
    separate: PredicateText | None = None
    sensitive: PredicateText | None = None
    guardian: PredicateText | None = None
    export: PredicateText | None = None
    withdrawn: PredicateText | None = None

    @model_validator(mode="after")
    def _has_one_place(self) -> ConsentRecords:
        if (self.table is None) == (self.file is None):
            raise ValueError("give either table or file")
        if len(self.columns) != len(self.matches):
            raise ValueError("columns and matches must have as many columns")
        return self
