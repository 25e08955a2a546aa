"""Rows of a restored database that legal holds keep from a run which has not finished erasing.

They may be at the source because of the hold, and what a hold keeps is erased in no copy either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from handover.errors import CaseInvalid, GateBlocked, VerificationFailed
from handover.postgres.keysets import KeySet, scoped_rows
from handover.postgres.session import Connection, database_errors
from handover.stages.context import Context
from handover.stages.holds import held_closure
from handover.stages.reading import begin_snapshot


@dataclass(frozen=True)
class Held:
    """The held rows, by the label of their table, as the session knows them that looked for them."""

    key_sets: Mapping[str, KeySet]

    def condition(self, label: str) -> sql.Composable:
        """Return the condition that a row of the alias ``t`` is held."""
        found = self.key_sets.get(label)
        return scoped_rows(found) if found else sql.SQL("false")


def held_in(erasing: Context, reader: Connection, *, is_open: bool) -> Held:
    """Return what holds keep from a run in the restored database that the session reads.

    Of a run that is no longer open nothing: what it erased is gone. Forgets what it found for another run.
    Raises VerificationFailed when nobody can tell which rows of this backup are held.
    """
    if not is_open:
        return Held({})
    with database_errors("forgetting held rows"):
        reader.execute("DISCARD TEMP")
    try:
        closure = held_closure(erasing, reader)
    except (CaseInvalid, GateBlocked) as problem:
        raise VerificationFailed(
            f"run {erasing.run} of case {erasing.case.case} has not finished erasing, and nobody can say "
            f"which of its rows are held in this backup: {problem.message}",
            hint="two persons may decide to restore it with all rows: `handover keep-erased`",
        ) from None
    if closure is None:
        return Held({})
    with database_errors("looking for held rows"):
        begin_snapshot(reader)
        closure.compute(lambda rows: erasing.honour_stop())
        reader.execute("COMMIT")
    return Held({keys.table.label: keys for keys in closure.key_sets.values()})
