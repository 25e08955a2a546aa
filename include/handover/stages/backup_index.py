"""The index of a sealed backup: by what the ledger says of it, or by the vault alone."""

from __future__ import annotations

from handover.errors import VaultCorrupt
from handover.model.backup import BackupIndex, ObjectRef
from handover.stages.context import Context
from handover.vault.segment import open_segment, read_header


def read_index(context: Context) -> BackupIndex:
    """Return the index of this run's sealed backup, from the vault."""
    sealed = context.last("backup-sealed", "backup").body
    reference = ObjectRef.model_validate(sealed["index"])
    return BackupIndex.model_validate_json(
        context.get(context.label(int(sealed["generation"]), "index"), reference)
    )


def find_index(context: Context) -> BackupIndex:
    """Return the index of a run's sealed backup by looking into the vault."""
    prefix = f"{context.case.case}/{context.run}/"
    names = [name for name in context.store.list(prefix) if "/index-" in name]
    if len(names) != 1:
        raise VaultCorrupt(
            f"expected one sealed index under {prefix} in the vault, found {len(names)}",
            hint="give a run whose backup was sealed; `handover status CASE` lists the runs",
        )
    blob = context.store.get(names[0])
    header = read_header(blob, names[0])
    label = context.label(header.label.generation, "index")
    return BackupIndex.model_validate_json(
        open_segment(blob, label, context.keyring.key(header.key_id), names[0])
    )
