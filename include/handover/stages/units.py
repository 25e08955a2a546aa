"""Units: what the ledger's verification entries are about, a group of rows or all objects."""

from __future__ import annotations

from handover.model.plan import Group

OBJECTS = "objects"


def unit_of(group: Group) -> str:
    """Return the name of a group."""
    return f"{group.table}/{group.number}"
