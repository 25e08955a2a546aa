"""Takes some rows out of a file of an archive, as they are, by what stands in some of their columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from handover.archive.columns import ABOUT, Field, Layout
from handover.archive.encryption import Secrets, reading
from handover.model.archive import ArchivedTable


@dataclass(frozen=True)
class Match:
    """Names rows whose columns have these values; without values, rows in which none of them is null."""

    columns: tuple[str, ...]
    values: tuple[str, ...] | None = field(default=None, repr=False)


def selected_rows(path: Path, secrets: Secrets, matches: Sequence[Match]) -> Iterator[bytes]:
    """Yield as COPY text the rows of a file that one of the matches names; needs both keys."""
    with reading(path, secrets) as file:
        layout = Layout.of(file.schema_arrow)
        fields = {one.column.name: one for one in layout.fields}
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            named = pa.array([False] * rows.num_rows)
            for match in matches:
                named = pc.or_(named, _named(layout, fields, rows, match))
            places = pc.indices_nonzero(named)
            if len(places):
                yield layout.write(rows.take(places))


def described_in(file: Path, secrets: Secrets) -> ArchivedTable:
    """Return the table of a file with its comments, which lie in the encrypted part alone."""
    with reading(file, secrets) as opened:
        return ArchivedTable.model_validate(json.loads(opened.schema_arrow.metadata[ABOUT])["table"])


def _named(layout: Layout, fields: dict[str, Field], rows: pa.Table, match: Match) -> pa.Array:
    found = pa.array([True] * rows.num_rows)
    for place, name in enumerate(match.columns):
        texts = layout.texts(rows, fields[name])
        here = texts.is_valid()
        if match.values is not None:
            here = pc.and_(here, pc.fill_null(pc.equal(texts, match.values[place]), fill_value=False))
        found = pc.and_(found, here)
    return found
