"""Archiving: rows that the law keeps go from the proven backup into encrypted Parquet in a bag (C05, C06).

Each class has keys of its own, one for what identifies people and one for the rest, so that destroying a key
destroys exactly that. The archive counts only when it was read back and equals the backup row by row.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from shutil import rmtree
from typing import Any

from handover.archive.bag import PAYLOAD, TAG_MANIFEST, check_fixity
from handover.archive.rows import write_table
from handover.archive.sealing import read_archive, seal
from handover.crashpoints import CrashPoint, passing
from handover.errors import Busy, NotReady, VaultCorrupt
from handover.model.archive import Archive, ArchivedPart, ArchivedTable
from handover.model.backup import BackupIndex
from handover.model.catalog import Catalog
from handover.model.plan import TablePlan
from handover.postgres.session import connect
from handover.stages.approvals import require_approval
from handover.stages.archive_terms import (
    Begun,
    archived_classes,
    bag_of,
    begin,
    begun,
    contact_of,
    making_of,
    secrets_of,
)
from handover.stages.archived_rows import ArchivedRows, Sum, archived_tables, described, summed
from handover.stages.classed_rows import ClassedRows
from handover.stages.context import Context
from handover.stages.datamaps import planned_datamap
from handover.stages.gates import require_gates
from handover.stages.hearings import require_passed
from handover.stages.proven import proven_index
from handover.vault.files import PRIVATE_FILE, make_private_folders, refusal

STEP = "archive"
TABLE, SEALED = "archived-table", "archive-sealed"


def prepare_archive(context: Context) -> None:
    """Ask the gates about the rows that were backed up, and decide terms and keys. Safe to repeat."""
    with context.step("prepare-archive"):
        require_approval(context, "execute")
        proven_index(context)
        require_gates(context, ahead=True)
        if archived_classes(context):
            begin(context)


def archive_lane(context: Context, number: int) -> int:
    """Archive the tables that begin in a lane; returns their archived rows. Safe to repeat."""
    with context.step(STEP, str(number)) as progress:
        if not archived_classes(context):
            return 0
        require_approval(context, "execute")
        require_passed(context)
        index = proven_index(context)
        started = begun(context)
        with closing(connect(context.source)) as source:
            rows = ClassedRows(context, index, source)
            tables = _of_lane(rows, number)
            groups = [g for g in index.plan.groups() if g.table in {table.id for _, table in tables}]
            progress.expect(*index.rows(groups))
            reading = ArchivedRows(rows, started.by_class, progress)
            return sum(_archive(reading, started, place, table) for place, table in tables)


def _of_lane(rows: ClassedRows, number: int) -> list[tuple[int, TablePlan]]:
    """Return the tables whose first group is in the lane: one file is written by one hand."""
    first = {group.table for group in rows.index.plan.lanes[number].groups if group.number == 0}
    return [(place, table) for place, table in archived_tables(rows) if table.id in first]


def recorded_tables(context: Context, generation: int) -> dict[str, dict[str, Any]]:
    """Return what the ledger says of each archived table, by its id in the plan."""
    entries = context.entries(TABLE)
    return {str(e.body["table"]): dict(e.body) for e in entries if e.body["generation"] == generation}


def _archive(reading: ArchivedRows, started: Begun, number: int, table: TablePlan) -> int:
    context, generation = reading.rows.context, reading.rows.index.state.generation
    done = recorded_tables(context, generation).get(table.id)
    if done is None:
        with alone(context, table.id, f"{table.label} is being archived"):  # of two, the second finds it done
            done = recorded_tables(context, generation).get(table.id)
            if done is None:
                done = _write(reading, started, number, table)
                passing(CrashPoint.ARCHIVED_TABLE_UNRECORDED)
                context.record(TABLE, done, key=f"g{generation}/{table.id}")
    return sum(int(part["rows"]) for part in done["parts"])


def _write(reading: ArchivedRows, started: Begun, number: int, table: TablePlan) -> dict[str, Any]:
    """Write the files of a table; returns what the ledger is told."""
    context, index = reading.rows.context, reading.rows.index
    catalog = Catalog.model_validate(context.last("inventory", "inventory").body["catalog"])
    datamap = planned_datamap(context, index.plan)
    document = described(reading.rows.source, catalog, datamap, number, table)
    sums: dict[str, Sum] = {}
    parts = write_table(
        making_of(context),
        started.terms,
        document,
        summed(reading.of(table), sums),
        secrets_of(context, started.terms),
    )
    whole = reading.rows.table(table).label
    told = _body(context, started, table, document, parts, sums)
    return told | {"generation": index.state.generation, "whole": whole}


def _body(
    context: Context,
    started: Begun,
    table: TablePlan,
    document: ArchivedTable,
    parts: tuple[ArchivedPart, ...],
    sums: dict[str, Sum],
) -> dict[str, Any]:
    classes = {one.number: one.term.row_class for one in started.terms.terms}
    told = [
        {**part.document(), "class": name, "digest": context.digest(sums[name].sha256.digest())}
        for part in parts
        for name in [classes[part.term]]
    ]
    # Without comments: they are free text, and the ledger lies open.
    return {"table": table.id, "document": document.uncommented().document(), "parts": told}


@contextmanager
def alone(context: Context, name: str, said: str) -> Iterator[None]:
    """Keep out another attempt at the same that is still alive; the operating system lets a dead one's go."""
    folder = making_of(context).with_name(f"{context.run}.locks")
    path = folder / name
    try:
        make_private_folders(folder)
        handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, PRIVATE_FILE)
    except OSError as error:
        raise refusal(error, path, "opened") from None
    try:
        _lock(handle, said)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, said: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(f"{said} by another process", hint="wait for it, or end it") from None


def seal_archive(context: Context) -> str:
    """Make a bag of all archived tables; returns the digest by which its fixity is checked.

    Empty where nothing is archived. Safe to repeat.
    """
    with context.step("seal-archive"):
        if not archived_classes(context):
            return ""
        if not context.entries(SEALED):
            _seal(context, proven_index(context))
        rmtree(making_of(context).with_name(f"{context.run}.locks"), ignore_errors=True)
        return str(context.entries(SEALED)[-1].body["tag_manifest_sha256"])


def _seal(context: Context, index: BackupIndex) -> None:
    archive = _archive_of(context, index)
    making, bag = making_of(context), bag_of(context)
    make_private_folders(making / PAYLOAD)
    if bag.exists():  # its name was given, the ledger did not hear of it
        digest = _adopted(context, archive)
        rmtree(making, ignore_errors=True)
    else:
        digest = seal(making, bag, archive, contact_of(context))
    passing(CrashPoint.ARCHIVE_UNRECORDED)
    rows = {one.number: sum(p.rows for p in archive.of_term(one.number)) for one in archive.terms.terms}
    context.record(
        SEALED,
        {
            "generation": index.state.generation,
            "bag": bag.relative_to(context.settings.vault).as_posix(),
            "tag_manifest_sha256": digest,
            "made_on": archive.made_on.isoformat(),
            "rows": sum(rows.values()),
            "terms": [one.document() | {"rows": rows[one.number]} for one in archive.terms.terms],
        },
        key=f"g{index.state.generation}",
    )


def _archive_of(context: Context, index: BackupIndex) -> Archive:
    """Return the archive as the ledger says it; raises NotReady while a table is missing."""
    found = recorded_tables(context, index.state.generation)
    with closing(connect(context.source)) as source:
        wanted = archived_tables(ClassedRows(context, index, source))
    if missing := [table.label for _, table in wanted if table.id not in found]:
        raise NotReady(
            f"{len(missing)} tables are not archived, first {missing[0]}",
            hint="run or clear the task archive",
        )
    started = begun(context)
    tables = [ArchivedTable.model_validate(found[table.id]["document"]) for _, table in wanted]
    fields = ArchivedPart.model_fields
    parts = [
        ArchivedPart.model_validate({name: part[name] for name in fields})
        for _, table in wanted
        for part in found[table.id]["parts"]
    ]
    return Archive(made_on=started.made_on, terms=started.terms, tables=tuple(tables), parts=tuple(parts))


def _adopted(context: Context, archive: Archive) -> str:
    """Return the digest of a bag that has its name, after a look at whether it is the one that was made."""
    bag = bag_of(context)
    faults = [f"{damage.file} is {damage.what}" for damage in check_fixity(bag)]
    if not faults and read_archive(bag) != archive.uncommented():
        faults = ["its index is of another archive"]
    for part in archive.parts if not faults else ():
        with (bag / PAYLOAD / part.file).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
                faults.append(f"{part.file} is changed")
    if faults:
        raise VaultCorrupt(
            f"{bag} is not the archive that this run made: {faults[0]}",
            hint="find out who put it there; abort this run, start a new one",
            faults=faults,
        )
    return hashlib.sha256((bag / TAG_MANIFEST).read_bytes()).hexdigest()
