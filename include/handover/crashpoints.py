"""Places where a process can die with an effect half done; the fault tests stop and kill it at each of them.

In the product, passing one is a call that does nothing. A new effect gets a point of its own here, and
tests/faults fails until something is killed there.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class CrashPoint(StrEnum):
    """What has happened and what has not when a process dies here."""

    KEYRING_UNREPLACED = "a changed keyring is on the medium, beside the one in force"
    LEDGER_ENTRY_UNCOMMITTED = "a ledger entry is inserted, not committed"
    SNAPSHOT_UNRECORDED = "the snapshot is exported, not in the ledger"
    SNAPSHOT_HELD = "the snapshot is in the ledger, its holder waits"
    FILE_UNNAMED = "a vault file is on the medium, without its name"
    FILE_UNRECORDED = "a vault file has its name, its receipt is not in the ledger"
    GROUP_UNRECORDED = "all chunks of a group are in the ledger, that it is complete is not"
    TALLY_UNRECORDED = "one side's figures are in the vault, the ledger does not know"
    INDEX_UNRECORDED = "the index is in the vault and debris removed, the backup is not sealed"
    BACKUP_SEALED = "the backup is sealed, nothing restored"
    SCRATCH_CREATED = "the scratch database is there, empty"
    RESTORE_TEST_UNRECORDED = "the backup was restored and compared, the ledger does not know"
    RECEIPTS_UNCOMMITTED = "the receipts' schema is made, not committed"
    MASKED_UNLOADED = "a masked chunk recorded, not loaded"
    ROWS_UNCOMMITTED = "a chunk is loaded, not committed"
    ROWS_UNRECORDED = "a group is committed, the ledger does not know"
    OBJECT_UNCOMMITTED = "a table, index or key is made, not committed"
    OBJECTS_COMMITTED = "all objects are there, sequences and views are not"
    TARGET_UNRECORDED = "the target is complete, the ledger does not know"
    REPAIR_UNCOMMITTED = "rows that differed are mended, not committed"
    COMPARISON_UNRECORDED = "a group was compared, the ledger does not know"
    RECONCILED_UNRECORDED = "both sides' figures were reconciled, the ledger does not know"
    EXPECTATIONS_UNRECORDED = "one side was held against its suites, the ledger does not know"
    QUARANTINE_UNRECORDED = "rows are locked away at the source, the ledger does not know"
    DISPOSAL_OPENED = "the ledger says that the source is disposed of, nothing there has changed"
    MASKED_HERE_UNCOMMITTED = "rows are masked at the source and read again, not committed"
    MASKED_HERE_UNRECORDED = "rows are masked at the source, the ledger does not know"
    ARCHIVED_TABLE_UNRECORDED = "a table is archived, the ledger does not know"
    ARCHIVE_UNRECORDED = "the archive's bag has its name, the ledger does not know"
    HELD_ROWS_UNRECORDED = "held rows are in an archive of their own and read back, the ledger does not know"
    HELD_ROWS_RECORDED = "held rows are in an archive of their own, the keys of their term live"
    ARCHIVE_KEY_DESTROYED = "a key of an archive is destroyed, the ledger does not know"
    CLOSING_RECORDED = "the run is closed in the ledger, the receipts are still in the target"
    RECEIPTS_DROPPED = "the receipts are dropped, no evidence is written"
    ERASED_UNCOMMITTED = "a batch is erased and compared, not committed"
    ERASED_COMMITTED = "a batch is erased for good, nobody was told"
    ERASED_UNRECORDED = "all batches are erased, the ledger does not know"
    REWRITTEN_RECORDED = "a table is rewritten and the ledger knows, others wait"
    RESIDUE_UNRECORDED = "all places are cleaned and looked at, the ledger does not know"
    PROVED_UNRECORDED = "it was looked for what went, the ledger does not know"
    TOMBSTONES_UNRECORDED = "tombstones of a table are written, the ledger does not know"
    BACKUP_KEY_DESTROYED = "the backup's key is destroyed, its files lie there, the ledger does not know"
    BACKUP_EMPTIED = "the backup's files are gone, the ledger does not know"
    TOMBSTONE_KEY_DESTROYED = "the tombstones' key is destroyed, the ledger does not know"
    EVIDENCE_UNNAMED = "evidence is on the medium, without its name"
    EVIDENCE_UNRECORDED = "evidence is written, the ledger does not know"
    ABORT_TARGET_EMPTIED = "an abort emptied the target, the vault is full"
    ABORT_VAULT_EMPTIED = "an abort emptied the vault, its key lives"
    ABORT_KEY_DESTROYED = "an abort destroyed the key, the ledger does not know"


_watchers: list[Callable[[CrashPoint], None]] = []


def passing(point: CrashPoint) -> None:
    """Mark a place that has just been reached."""
    for watcher in _watchers:
        watcher(point)


def watch(watcher: Callable[[CrashPoint], None]) -> None:
    """Call ``watcher`` at every point from now on; for tests."""
    _watchers.append(watcher)
