"""Restore: a backup back out of the vault into an empty database, on a person's demand.

Nothing but the vault and the keyring is needed: the index is found there, not in the ledger.
"""

from __future__ import annotations

from contextlib import closing

from handover.errors import VaultCorrupt, VerificationFailed
from handover.evidence.progress import Meter
from handover.model.backup import BackupIndex
from handover.postgres import preflight
from handover.postgres.receipts import drop_receipts
from handover.postgres.session import connect, database_errors
from handover.stages.context import Context
from handover.stages.definitions import by_name_alone
from handover.stages.inventory import preflight_failed
from handover.stages.loading import Destination
from handover.stages.restore_test import restore_and_compare
from handover.vault.segment import open_segment, read_header

STEP = "restore"
BY_NAME = "compared by name alone: that version writes them otherwise, and no restore test ran on it"


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


def restore(context: Context, url: str, progress: Meter) -> str:
    """Fill the database at ``url`` and compare it; returns how definitions were compared.

    Raises PreflightFailed when it is not empty, VerificationFailed when it differs afterwards.
    """
    index = find_index(context)
    progress.expect(*index.rows(index.plan.groups()))
    schemas = list(context.case.source.schemas)
    with database_errors("looking at the database to restore into"), closing(connect(url)) as connection:
        findings = list(
            preflight.check_target(connection, schemas, index.state.extensions, True, context.run)
        )
    blocking = [finding for finding in findings if not finding.acknowledgeable]
    if blocking:
        raise preflight_failed(blocking)
    differences = restore_and_compare(context, index, Destination(url, STEP), progress)
    if differences:
        raise VerificationFailed(
            "what was restored differs from the backup:\n  " + "\n  ".join(differences),
            hint="do not use it; verify the vault with handover verify --vault",
            differences=differences,
        )
    with closing(connect(url)) as connection:
        drop_receipts(connection)
    definitions = BY_NAME if by_name_alone(context, index, url) else "compared"
    rows = index.rows(index.plan.groups())[0]
    body = {"generation": index.state.generation, "rows": rows, "definitions": definitions}
    context.record("restored", body)
    progress.finish()
    return definitions
