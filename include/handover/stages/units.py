"""Units: what the ledger's entries of comparisons are about: a group of rows, all objects, the scope."""

from __future__ import annotations

from handover.model.plan import Group

OBJECTS = "objects"
SCOPE = "scope"


def unit_of(group: Group) -> str:
    """Return the name of a group."""
    return f"{group.table}/{group.number}"
