"""Writes the rows of a table into one encrypted Parquet file for each term, and reads them back as COPY text.

Rows may come in any order of terms; what is held in memory is bounded, whatever a table holds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from hashlib import file_digest
from pathlib import Path

import pyarrow.parquet as pq

from handover.archive.bag import PAYLOAD
from handover.archive.columns import Layout, about
from handover.archive.encryption import Secrets, reading, writing
from handover.errors import DataRefused
from handover.model.archive import ArchivedPart, ArchivedTable, ArchiveTerms, Term, TermKeys
from handover.vault.files import create_private, make_private_folders, refusal

# A row group's text: twice as much makes files a quarter smaller and a task's memory half as large again
# (measured: 450 MB against 300 MB, whatever the number of rows).
GROUP_BYTES = 8 * 1024 * 1024
# All terms of a table together; past it the largest buffer becomes a row group early.
BUFFER_BYTES = 64 * 1024 * 1024


class _Part:
    """The file of a table and term while it is written."""

    def __init__(self, writer: pq.ParquetWriter, layout: Layout, name: str, keys: TermKeys) -> None:
        self.name, self.keys = name, keys
        self.buffer = bytearray()
        self.rows = 0
        self._writer, self._layout = writer, layout

    def flush(self) -> None:
        """Write what was gathered as a row group."""
        if self.buffer:
            rows = self._layout.read(bytes(self.buffer), self._writer.schema)
            self.buffer = bytearray()
            self._writer.write_table(rows, row_group_size=max(1, rows.num_rows))
            self.rows += rows.num_rows


def write_table(
    staging: Path,
    terms: ArchiveTerms,
    table: ArchivedTable,
    rows: Iterable[tuple[Term, bytes]],
    secrets: Secrets,
) -> tuple[ArchivedPart, ...]:
    """Write a table's rows into the bag being made; begun again, it starts the table from the beginning.

    ``rows``: COPY text of whole rows, in the order of the table's columns, each with the term it goes with.
    """
    folder = staging / PAYLOAD / table.folder
    known = {one.term: one for one in terms.terms}
    try:
        shutil.rmtree(folder, ignore_errors=True)
        make_private_folders(folder)
        parts: dict[Term, _Part] = {}
        with ExitStack() as opened:
            for term, data in rows:
                if term not in parts:
                    parts[term] = _begin(opened, folder, terms.case, _known(known, term), table, secrets)
                parts[term].buffer += data
                _relieve(parts, parts[term])
            for part in parts.values():
                part.flush()
        return tuple(_written(folder, table, part) for part in parts.values())
    except OSError as error:
        raise refusal(error, folder, "written") from None


def _known(known: Mapping[Term, TermKeys], term: Term) -> TermKeys:
    if term not in known:
        raise DataRefused(
            f"rows to be archived belong to class {term.row_class!r} from {term.destroy_from or 'no date'}, "
            "which the archive has no keys for",
            hint="list every class and date among the archive's terms before its rows are written",
        )
    return known[term]


def _begin(
    opened: ExitStack, folder: Path, case: str, keys: TermKeys, table: ArchivedTable, secrets: Secrets
) -> _Part:
    layout = Layout(table.columns)
    path = folder / f"term-{keys.number:02}.parquet"
    os.close(create_private(path))
    schema = layout.schema(about(case, keys, table))
    writer = opened.enter_context(writing(path, schema, layout, keys, secrets))
    return _Part(writer, layout, path.name, keys)


def _relieve(parts: Mapping[Term, _Part], grown: _Part) -> None:
    if len(grown.buffer) >= GROUP_BYTES:
        grown.flush()
    elif sum(len(part.buffer) for part in parts.values()) >= BUFFER_BYTES:
        max(parts.values(), key=lambda part: len(part.buffer)).flush()


def _written(folder: Path, table: ArchivedTable, part: _Part) -> ArchivedPart:
    path = folder / part.name
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return ArchivedPart(
        table=table.number,
        term=part.keys.number,
        file=f"{table.folder}/{part.name}",
        rows=part.rows,
        bytes=path.stat().st_size,
        sha256=digest,
    )


def rows_of(path: Path, secrets: Secrets) -> Iterator[bytes]:
    """Yield a file's rows as the COPY text they came from, one row group at a time; needs both keys."""
    with reading(path, secrets) as file:
        layout = Layout.of(file.schema_arrow)
        for group in range(file.num_row_groups):
            yield layout.write(file.read_row_group(group))
