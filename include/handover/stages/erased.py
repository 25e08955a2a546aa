"""What the ledger says of the rows that were erased: by table, with what stayed and what triggers changed."""

from __future__ import annotations

from handover.postgres.erasing.request import ErasedTable
from handover.stages.context import Context
from handover.stages.hold_epoch import ERASED


def erased_tables(context: Context) -> dict[str, ErasedTable]:
    """Return what became of the rows of each table, by its label; nothing before rows were erased."""
    entries = context.entries(ERASED)
    names = ErasedTable.model_fields
    tables = entries[-1].body["tables"] if entries else ()
    found = [ErasedTable.model_validate({name: one[name] for name in names}) for one in tables]
    return {one.table: one for one in found}


def effects(context: Context) -> tuple[str, ...]:
    """Return the labels of the tables that triggers changed while rows were erased."""
    entries = context.entries(ERASED)
    return tuple(dict.fromkeys(str(one["table"]) for one in entries[-1].body["effects"])) if entries else ()
