"""Proving the archive: its bag is whole, and what is read back from it equals the backup, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from shutil import rmtree
from typing import Any

from handover.archive.bag import PAYLOAD, check_fixity
from handover.archive.rows import rows_of
from handover.archive.sealing import read_archive
from handover.crashpoints import CrashPoint, passing
from handover.errors import VerificationFailed
from handover.evidence.progress import Meter
from handover.model.archive import Archive, ArchivedPart
from handover.model.backup import BackupIndex
from handover.model.plan import TablePlan
from handover.postgres.session import connect
from handover.stages.archive_terms import (
    archived_classes,
    bag_of,
    begun,
    keys_of,
    making_of,
    secrets_of,
)
from handover.stages.archived_rows import ArchivedRows, Sum, archived_tables
from handover.stages.archiving import SEALED, recorded_tables
from handover.stages.classed_rows import ClassedRows
from handover.stages.context import Context
from handover.stages.proven import proven_index
from handover.vault.files import sync_folder

VERIFIED = "archive-verified"


def verify_archive(context: Context) -> None:
    """Check the bag, read every row back and compare it with the backup. Raises VerificationFailed."""
    with context.step("verify-archive") as progress:
        if not archived_classes(context):
            return
        sealed = context.last(SEALED, "seal_archive").body
        index, bag = proven_index(context), bag_of(context)
        damaged = check_fixity(bag, str(sealed["tag_manifest_sha256"]))
        differences = [f"{damage.file} is {damage.what}" for damage in damaged]
        rows: Counter[str] = Counter()
        if not differences:
            with closing(connect(context.source)) as source:
                classed = ClassedRows(context, index, source)
                differences += _compare(classed, read_archive(bag), rows, progress)
            differences += _other_counts(context, rows)
        body = {
            "generation": index.state.generation,
            "tag_manifest_sha256": sealed["tag_manifest_sha256"],
            "rows": sum(rows.values()),
            "differences": differences,
        }
        passing(CrashPoint.COMPARISON_UNRECORDED)
        context.record(VERIFIED, body)
        if differences:
            raise VerificationFailed(
                "the archive is not what was backed up:\n  " + "\n  ".join(differences),
                hint="bring the bag back from a copy and clear the task, or abort and start a new run",
                differences=differences,
            )


def _compare(classed: ClassedRows, archive: Archive, rows: Counter[str], progress: Meter) -> list[str]:
    """Count what the backup has of each archived class; return how the archive differs from it."""
    context, index, differences = classed.context, classed.index, list[str]()
    tables = [table for _, table in archived_tables(classed)]
    progress.expect(*index.rows([g for g in index.plan.groups() if g.table in {t.id for t in tables}]))
    reading = ArchivedRows(classed, begun(context).by_class, progress)
    for table in tables:
        sums = reading.sums(table)
        # The plan counts a partition's rows with those of its table.
        label = classed.table(table).label
        rows.update({f"{label}: class {name}": one.rows for name, one in sums.items()})
        differences += _unlike(context, index, archive, table, sums)
    return differences


def _unlike(
    context: Context, index: BackupIndex, archive: Archive, table: TablePlan, expected: dict[str, Sum]
) -> Iterator[str]:
    """Yield a line for each class of a table whose rows in the archive are others than in the backup."""
    document = next((one for one in archive.tables if one.label == table.label), None)
    if document is None:
        yield f"{table.label} is not in the archive"
        return
    terms = {one.number: one for one in archive.terms.terms}
    parts = {terms[part.term].term.row_class: part for part in archive.of_table(document.number)}
    recorded = recorded_tables(context, index.state.generation)[table.id]["parts"]
    said = {str(one["class"]): one for one in recorded}
    for name in sorted({*expected, *parts}):
        there = _read_back(context, archive, parts.get(name))
        wanted = expected.get(name, Sum())
        digest = context.digest(there.sha256.digest())
        if there.rows != wanted.rows:
            yield f"{table.label}, class {name}: {there.rows} rows, {wanted.rows} in the backup"
        elif there.sha256.digest() != wanted.sha256.digest():
            yield f"{table.label}, class {name}: as many rows, but not the same"
        elif there.rows and said.get(name, {}).get("digest") != digest:
            yield f"{table.label}, class {name}: other rows than the ledger says were archived"


def _read_back(context: Context, archive: Archive, part: ArchivedPart | None) -> Sum:
    found = Sum()
    if part is not None:
        secrets = secrets_of(context, archive.terms)
        for data in rows_of(bag_of(context) / PAYLOAD / part.file, secrets):
            context.honour_stop()
            found.add(data)
    return found


def _other_counts(context: Context, rows: Counter[str]) -> Iterator[str]:
    """Yield a line for each class of a table of which more or fewer rows are archived than was approved."""
    scope = context.plan().scope
    planned = {
        f"{table.table}: class {one.name}": one.rows
        for table in (scope.tables if scope else ())
        for one in table.classes
        if one.target == "archive"
    }
    for name in sorted({*planned, *rows}):
        if planned.get(name, 0) != rows[name]:
            yield f"{name}: {rows[name]} rows are archived, {planned.get(name, 0)} were planned"


def archive_faults(context: Context) -> list[str]:
    """Return why the archive is not complete; empty also where nothing is archived."""
    if not archived_classes(context):
        return []
    sealed, verified = context.entries(SEALED), context.entries(VERIFIED)
    if not sealed:
        return ["archive: not made"]
    last: dict[str, Any] = dict(verified[-1].body) if verified else {}
    if last.get("tag_manifest_sha256") != sealed[-1].body["tag_manifest_sha256"]:
        return ["archive: not read back"]
    return [f"archive: {line}" for line in last["differences"]]


def require_archive_verified(context: Context) -> None:
    """Raise VerificationFailed unless everything that is to be archived was, and was read back."""
    if faults := archive_faults(context):
        raise VerificationFailed(
            "what the law keeps is not safe:\n  " + "\n  ".join(faults),
            hint="run or clear the tasks archive, seal_archive, verify_archive",
            differences=faults,
        )


def abandon_archive(context: Context) -> list[str]:
    """Destroy the keys of an archive whose run is taken back, and remove its files; returns what was done."""
    removed = []
    for name in keys_of(context):
        done = context.keyring.destroy(name)
        passing(CrashPoint.ARCHIVE_KEY_DESTROYED)
        context.record("key-destroyed", {"key": done.key_id, "result": done.result}, key=done.key_id)
        removed.append(f"key {done.key_id}: {done.result}")
    folders = [bag_of(context), making_of(context), making_of(context).with_name(f"{context.run}.locks")]
    for folder in folders:
        if folder.is_dir():
            rmtree(folder)
            sync_folder(folder.parent)
            removed.append(f"vault: {folder.name} of the archive")
    return removed
