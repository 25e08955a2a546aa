"""Reads the rows of one subject or voucher back out of a bag."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from handover.archive.bag import PAYLOAD
from handover.archive.columns import ABOUT, Field, Layout, about
from handover.archive.encryption import Secrets, reading
from handover.archive.sealing import read_archive
from handover.errors import DataRefused, VaultCorrupt
from handover.model.archive import Archive, ArchivedPart, ArchivedTable, Term, TermKeys


@dataclass(frozen=True)
class FoundRow:
    """A row as PostgreSQL writes its values; ``withheld`` are columns whose key is not there."""

    term: Term
    values: Mapping[str, str | None] = field(repr=False)
    withheld: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """The rows found, and the files in which nobody could look because a key is not there."""

    rows: tuple[FoundRow, ...]
    closed: tuple[str, ...]


def find_rows(bag: Path, secrets: Secrets, table: str, column: str, value: str) -> Found:
    """Return the rows of ``schema.table`` whose column has the value, as PostgreSQL's text writes it.

    Looks wherever ``secrets`` reach: what is in other files stays unknown, and ``closed`` names them.
    """
    archive = read_archive(bag)
    wanted = _table(archive, table, column)
    hidden = next(c for c in wanted.columns if c.name == column).identifying
    rows: list[FoundRow] = []
    closed: list[str] = []
    keys = {one.number: one for one in archive.terms.terms}
    for part in archive.of_table(wanted.number):
        term = keys[part.term]
        if term.other not in secrets or (hidden and term.identifying not in secrets):
            closed.append(part.file)
        else:
            rows += _found(bag, archive, part, term, secrets, column, value)
    return Found(tuple(rows), tuple(closed))


def _table(archive: Archive, label: str, column: str) -> ArchivedTable:
    found = next((table for table in archive.tables if table.label == label), None)
    if found is None or column not in [one.name for one in found.columns]:
        raise DataRefused(
            f"the archive has no table {label} with a column {column}",
            hint="the bag's index page lists tables and columns",
        )
    return found


def _found(
    bag: Path,
    archive: Archive,
    part: ArchivedPart,
    keys: TermKeys,
    secrets: Secrets,
    column: str,
    value: str,
) -> Iterator[FoundRow]:
    with reading(bag / PAYLOAD / part.file, secrets) as file:
        _confirm(file, archive, part, keys)
        layout = Layout.of(file.schema_arrow)
        of_column = next(one for one in layout.fields if one.column.name == column)
        can_see = [f for f in layout.fields if keys.identifying in secrets or not f.column.identifying]
        withheld = tuple(one.column.name for one in layout.fields if one not in can_see)
        for group in range(file.num_row_groups):
            tested = layout.texts(file.read_row_group(group, columns=list(of_column.names)), of_column)
            places = pc.indices_nonzero(pc.equal(tested, value))
            if len(places):
                for values in _values(file, layout, group, can_see, places):
                    yield FoundRow(keys.term, values, withheld)


def _values(
    file: pq.ParquetFile, layout: Layout, group: int, fields: list[Field], places: pa.Array
) -> list[dict[str, str | None]]:
    names = [name for one in fields for name in one.names]
    rows = file.read_row_group(group, columns=names).take(places)
    texts = {one.column.name: layout.texts(rows, one).to_pylist() for one in fields}
    return [dict(zip(texts, row, strict=True)) for row in zip(*texts.values(), strict=True)]


def _confirm(file: pq.ParquetFile, archive: Archive, part: ArchivedPart, keys: TermKeys) -> None:
    """Refuse a file that lies in another one's place: what it says of itself is under its own key."""
    said = json.loads(file.schema_arrow.metadata[ABOUT])
    table = next(one for one in archive.tables if one.number == part.table)
    said["table"] = ArchivedTable.model_validate(said["table"]).uncommented().document()
    if said != about(archive.terms.case, keys, table):
        raise VaultCorrupt(
            f"{part.file} holds rows of another table, term or case than the archive's index says",
            hint="check the bag's fixity and bring the file back from a copy of the bag",
        )
