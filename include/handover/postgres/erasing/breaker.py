"""Stops at once, before a commit, when more goes than was approved, or another share of a table."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from handover.errors import ScopeChanged
from handover.postgres.erasing.batches import Works, count
from handover.postgres.erasing.request import Approved
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, database_errors, fetch

# Others may write to the table meanwhile; what they add or delete moves the share by little.
SHARE_TOLERANCE = 0.01
_HINT = "nothing was erased by this step; find out what changed, then plan and approve again"


def check_asked(works: Works, approved: Mapping[str, Approved]) -> None:
    """Raise ScopeChanged when more rows are named than were approved."""
    for work in works.tables.values():
        _refuse_more(work.table.label, work.asked, approved)


def check_deleted(deleted: Mapping[str, int], approved: Mapping[str, Approved]) -> None:
    """Raise ScopeChanged when more rows are deleted, in all attempts of the run, than were approved."""
    for label, rows in deleted.items():
        _refuse_more(label, rows, approved)


def _refuse_more(label: str, rows: int, approved: Mapping[str, Approved]) -> None:
    most = approved[label].rows if label in approved else 0
    if rows > most:
        raise ScopeChanged(
            f"{rows} rows of {label} would be erased, approved are {most}", hint=_HINT, table=label, rows=rows
        )


def check_shares(
    connection: Connection, works: Works, approved: Mapping[str, Approved], deleted: Mapping[str, int]
) -> None:
    """Raise ScopeChanged when the approved rows are another share of a table than when they were approved.

    Rows that were asked for and are gone, by us or by others, count as if they were there.
    """
    for work in works.tables.values():
        label = work.table.label
        with database_errors(f"counting rows of {label}"):
            query = sql.SQL("SELECT count(*) FROM {}").format(rows_of(work.table))
            gone = max(deleted.get(label, 0), work.asked - count(connection, work, sql.SQL("true")))
            total = int(str(fetch(connection, query)[0][0])) + gone
        asked = approved.get(label, Approved(0, 0))
        then, now = (asked.rows / max(rows, 1) for rows in (asked.total, total))
        if abs(now - then) > SHARE_TOLERANCE:
            raise ScopeChanged(
                f"{asked.rows} rows of {label} were approved as {then:.1%} of it, now they are {now:.1%}",
                hint=_HINT,
                table=label,
                total=total,
            )
