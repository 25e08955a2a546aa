"""Restore: a backup back out of the vault into an empty database, on a person's demand.

For its rows nothing but the vault and the keyring is needed: the index is found there, not in the ledger.
What was erased since does not come back with them.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from handover.errors import VerificationFailed
from handover.evidence.progress import Meter
from handover.model.backup import BackupIndex
from handover.postgres import preflight
from handover.postgres.identity import database_identity
from handover.postgres.receipts import drop_receipts, runs_with_receipts
from handover.postgres.session import connect, database_errors
from handover.stages.applying_tombstones import Again, erase_again, erased_again, leave_in, require_known
from handover.stages.backup_index import find_index
from handover.stages.context import Context
from handover.stages.definitions import by_name_alone
from handover.stages.inventory import preflight_failed
from handover.stages.loading import Destination
from handover.stages.restore_override import keeps_erased, require_identities_stay_gone
from handover.stages.restore_test import restore_and_compare

STEP = "restore"
BEGUN, RESTORED = "restore-begun", "restored"
BY_NAME = "compared by name alone: that version writes them otherwise, and no restore test ran on it"


@dataclass(frozen=True)
class Restored:
    """How definitions were compared, and what was erased again."""

    definitions: str
    again: Again


def restore(context: Context, url: str, progress: Meter, *, keep_erased: str = "") -> Restored:
    """Fill the database at ``url``, compare it, and erase again what was erased since the backup.

    ``keep_erased``: the request by which two persons decided otherwise, written down as used before. Raises
    PreflightFailed when it is not empty, VerificationFailed when it differs afterwards, LedgerRefused when
    identities would be back and no two persons have decided so.
    """
    index = find_index(context)
    progress.expect(*index.rows(index.plan.groups()))
    _require_empty(context, index, url)
    keep = bool(keep_erased) and keeps_erased(context, keep_erased)
    if not keep:
        require_known(context)
    if not keep_erased:
        require_identities_stay_gone(context)
    with closing(connect(url)) as connection:
        place = database_identity(connection)
    # Before a row comes back: until the end, rows that were erased since are in that database.
    begun = {"generation": index.state.generation, "database": place, "keep_erased": keep_erased}
    context.record(BEGUN, begun)
    restored = restore_again(context, index, Destination(url, STEP), progress, keep=keep)
    with closing(connect(url)) as connection:
        drop_receipts(connection, context.holder)
    body = {
        "generation": index.state.generation,
        "database": place,
        "rows": index.rows(index.plan.groups())[0],
        "definitions": restored.definitions,
        "erased_again": restored.again.document(),
        "keep_erased": keep_erased,
    }
    context.record(RESTORED, body)
    progress.finish()
    return restored


def _require_empty(context: Context, index: BackupIndex, url: str) -> None:
    schemas = list(context.case.source.schemas)
    with database_errors("looking at the database to restore into"), closing(connect(url)) as connection:
        findings = list(
            preflight.check_target(connection, schemas, index.state.extensions, True, context.holder)
        )
    blocking = [finding for finding in findings if not finding.acknowledgeable]
    if blocking:
        raise preflight_failed(blocking)


def restore_again(
    context: Context, index: BackupIndex, destination: Destination, progress: Meter, *, keep: bool = False
) -> Restored:
    """Fill an empty database, compare it with the backup, then erase again what was erased since."""
    if not keep:
        require_known(context)
    with closing(connect(destination.url)) as connection:
        begun = context.holder in runs_with_receipts(connection)
        if not (begun and erased_again(connection, context, destination.step)):
            _fill(context, index, destination, progress)
    definitions = BY_NAME if by_name_alone(context, index, destination.url) else "compared"
    again = leave_in(context) if keep else erase_again(context, index, destination.url, destination.step)
    return Restored(definitions, again)


def _fill(context: Context, index: BackupIndex, destination: Destination, progress: Meter) -> None:
    differences = restore_and_compare(context, index, destination, progress)
    if differences:
        raise VerificationFailed(
            "what was restored differs from the backup:\n  " + "\n  ".join(differences),
            hint="do not use it; verify the vault with handover verify --vault",
            differences=differences,
        )
