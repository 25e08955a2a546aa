"""Stops at once, before a commit, when more goes than was approved, or another share of a table."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from handover.errors import ScopeChanged
from handover.postgres.erasing.batches import GOING, Works
from handover.postgres.erasing.request import Approved
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, database_errors, fetch

# Others may write to the table meanwhile; what they add or delete moves the share by little.
SHARE_TOLERANCE = 0.01
_FOUND = sql.SQL("SELECT count(*), count(*) FILTER (WHERE state = {going}) FROM {}")
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


def is_share(approved: Approved, total: int) -> bool:
    """Say whether the approved rows are the approved share of a table that has so many rows now."""
    then, now = _shares(approved, total)
    return abs(now - then) <= SHARE_TOLERANCE


def _shares(approved: Approved, total: int) -> tuple[float, float]:
    return approved.rows / max(approved.total, 1), approved.rows / max(total, 1)


def check_found(
    connection: Connection, works: Works, approved: Mapping[str, Approved], deleted: Mapping[str, int]
) -> None:
    """Raise ScopeChanged when more rows or another share of a table would go than was approved.

    What the run deleted before counts; rows that were asked for and are not there count as part of the table.
    """
    for work in works.tables.values():
        label = work.table.label
        with database_errors(f"counting rows of {label}"):
            there, going = _counts(connection, _FOUND.format(work.place, going=sql.Literal(GOING)))
            (rows,) = _counts(connection, sql.SQL("SELECT count(*) FROM {}").format(rows_of(work.table)))
        _refuse_more(label, deleted.get(label, 0) + going, approved)
        _refuse_other_share(label, rows + work.asked - there, approved.get(label, Approved(0, 0)))


def _counts(connection: Connection, query: sql.Composable) -> list[int]:
    return [int(str(number)) for number in fetch(connection, query)[0]]


def _refuse_other_share(label: str, total: int, approved: Approved) -> None:
    if not is_share(approved, total):
        then, now = _shares(approved, total)
        raise ScopeChanged(
            f"{approved.rows} rows of {label} were approved as {then:.1%} of it, now they are {now:.1%}",
            hint=_HINT,
            table=label,
            total=total,
        )
