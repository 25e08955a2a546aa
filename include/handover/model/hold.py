"""A legal hold over rows: an open matter because of which nothing of them may go, whatever their period."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from handover.model.base import Frozen
from handover.model.reconciliation import TableName

# One person with all rows that lead to him, all rows of a table, some of them, or all rows of case or source.
What = Literal["subject", "table", "predicate", "everything"]


class DataHold(Frozen):
    """A hold as the ledger has it. ``name``: the case or source that it was laid on.

    ``until``: the first day on which it is over by itself. ``where`` can name a person and may stand in no
    message; ``subject`` is the person's keyed name. ``yields``: to a duty to erase, which a contract cannot
    put off (PIPL 47).
    """

    id: str
    name: str
    what: What
    table: TableName | None = None
    where: str = Field(default="", repr=False)
    subject: str = ""
    kind: str
    reason: str
    authority: str
    yields: bool
    by: str
    at: str
    until: date | None = None
    released_by: str = ""
    released_at: str = ""

    def is_open(self, on: date) -> bool:
        """Say whether it keeps rows on a day."""
        return not self.released_by and (self.until is None or on < self.until)

    def state(self, on: date) -> str:
        """Say how it stands, for a person."""
        if self.released_by:
            return f"released by {self.released_by} on {self.released_at[:10]}"
        if self.until is None:
            return "open until it is released"
        return f"open until {self.until}" if on < self.until else f"over since {self.until}, not released"

    @property
    def over(self) -> str:
        """Say what it is laid on, without personal data."""
        label = self.table.label if self.table else ""
        return {
            "subject": self.subject,
            "table": f"all rows of {label}",
            "predicate": f"some rows of {label}",
            "everything": f"everything of {self.name}",
        }[self.what]
