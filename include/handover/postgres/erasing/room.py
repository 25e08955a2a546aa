"""How much of the server's disk erasing takes for a while, and a refusal where there is not so much.

Beside each table lie, in temporary tables of the session, the backed-up rows that go and the places of those
that were found, or the rows that are kept. They hold personal data and end with the session.
"""

from __future__ import annotations

from collections.abc import Iterable

from handover.errors import Busy
from handover.model.estimate import size_text
from handover.model.plan import TablePlan
from handover.model.reconciliation import TableName
from handover.postgres.residue.storage import size_of
from handover.postgres.session import Connection, database_errors

# What is written down of a row that goes: its place, its numbers, an index entry.
_BYTES_OF_A_PLACE = 100


def bytes_beside(connection: Connection, tables: Iterable[TablePlan], rows: int) -> int:
    """Return what erasing so many rows takes at most: as if all of the tables were set aside."""
    names = [TableName(schema_name=one.schema_name, name=one.name) for one in tables]
    with database_errors("looking at the sizes of the tables from which rows go"):
        return sum(size_of(connection, name) for name in names) + rows * _BYTES_OF_A_PLACE


def require_room(needed: int, free: int) -> None:
    """Raise Busy when the server's disk has less free than erasing takes."""
    if free < needed:
        raise Busy(
            f"erasing needs about {size_text(needed)} on the source's disk for a while, "
            f"{size_text(free)} are free",
            hint="make room on the source's disk, or give temporary tables another one (temp_tablespaces)",
            needed=needed,
            free=free,
        )
