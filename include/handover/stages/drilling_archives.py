"""An archive had again: the bag is whole, and its rows come back out of a database as they were archived."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from handover.archive.bag import PAYLOAD
from handover.archive.rows import rows_of
from handover.errors import VerificationFailed
from handover.evidence.progress import Meter
from handover.model.archive import ArchivedPart, ArchivedTable
from handover.postgres.drilled import create_part, fill_part, read_part
from handover.postgres.session import Connection, connect
from handover.stages.archive_terms import secrets_of
from handover.stages.archiving import SEALED, recorded_tables
from handover.stages.context import Context
from handover.stages.custody import SealedArchive
from handover.stages.rolling import rolling_digest
from handover.vault.keyring import KeyState


def read_archive_back(context: Context, url: str, progress: Meter) -> dict[str, Any]:
    """Load every archived row whose keys live into a database, and read it back.

    Raises VerificationFailed with all that differs from what was archived.
    """
    archive = SealedArchive.of(context)
    differences = [f"{damage.file} is {damage.what}" for damage in archive.damage()]
    if differences:
        raise VerificationFailed("the bag is not whole", differences=differences)
    parts = [part for part in archive.index.parts if _opens(archive, part)]
    progress.expect(sum(part.rows for part in parts), sum(part.bytes for part in parts))
    with closing(connect(url)) as connection:
        for part in parts:
            differences += _unlike(archive, connection, part)
            progress.add(part.rows, part.bytes)
    if differences:
        raise VerificationFailed("the archive does not hold what was archived", differences=differences)
    return {
        "rows": sum(part.rows for part in parts),
        "bytes": sum(part.bytes for part in parts),
        "closed": [part.file for part in archive.index.parts if part not in parts],
    }


def _opens(archive: SealedArchive, part: ArchivedPart) -> bool:
    """Say whether both keys of a file live; a term whose keys were destroyed is closed for good."""
    term = archive.term(part.term)
    return all(archive.state(key) is KeyState.ACTIVE for key in (term.identifying, term.other))


def _unlike(archive: SealedArchive, connection: Connection, part: ArchivedPart) -> Iterator[str]:
    table = next(one for one in archive.index.tables if one.number == part.table)
    name, width = f"part_{part.table}_{part.term}", len(table.columns)
    create_part(connection, name, [column.type for column in table.columns])
    rows = rows_of(archive.bag / PAYLOAD / part.file, secrets_of(archive.context, archive.index.terms))
    fill_part(connection, name, width, rows)
    count, digest = rolling_digest(read_part(connection, name, width))
    said = _recorded(archive, table, part)
    if count != part.rows:
        yield f"{part.file}: {count} rows came back, {part.rows} were archived"
    elif archive.context.digest(digest) != said:
        yield f"{part.file}: the rows that came back are others than were archived"


def _recorded(archive: SealedArchive, table: ArchivedTable, part: ArchivedPart) -> str:
    """Return the digest that the ledger has of a file's rows."""
    generation = int(archive.context.last(SEALED, "seal_archive").body["generation"])
    found = recorded_tables(archive.context, generation).values()
    parts = [one for body in found if body["document"]["number"] == table.number for one in body["parts"]]
    return next((str(one["digest"]) for one in parts if one["file"] == part.file), "")
