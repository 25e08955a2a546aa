"""A table's rows between COPY text and Arrow; its schema alone says how the text comes back.

Each field carries as metadata the column's own name, its PostgreSQL type and comment, whether it identifies
people and, for a text beside a typed value, whose text it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from handover.archive.kinds import TEXT, Kind, kind_of, text_again, typed
from handover.codec.columns import columns_of, text_of, values_of, written_of
from handover.errors import VaultCorrupt
from handover.model.archive import ArchivedColumn, ArchivedTable, TermKeys

# Names with other characters would be taken apart where columns are listed for a key.
_PLAIN_NAME = re.compile(r"\w[\w-]*")
ABOUT = b"handover"
# A row of no columns is an empty line in COPY text, as is one of an empty text.
_NO_COLUMNS = (ArchivedColumn(name="(none)", type="text", identifying=False),)


@dataclass(frozen=True)
class Field:
    """A column and the names of its Arrow fields; ``beside`` is empty where no text is kept beside."""

    column: ArchivedColumn
    kind: Kind
    name: str
    beside: str

    @property
    def names(self) -> tuple[str, ...]:
        """Return its one or two names."""
        return (self.name, self.beside) if self.beside else (self.name,)


class Layout:
    """How the columns of a table lie in a file."""

    def __init__(self, columns: tuple[ArchivedColumn, ...]) -> None:
        self.fields = tuple(_fields(columns or _NO_COLUMNS))

    @classmethod
    def of(cls, schema: pa.Schema) -> Layout:
        """Return the layout that a file says of itself."""
        return cls(tuple(_column(field) for field in schema if not _said(field).get("text_of")))

    def names(self, *, identifying: bool) -> list[str]:
        """Return the fields of the columns that identify people, or of the others."""
        return [n for field in self.fields if field.column.identifying is identifying for n in field.names]

    def schema(self, about: Mapping[str, object]) -> pa.Schema:
        """Return the Arrow schema; ``about`` says which rows a file holds."""
        fields = []
        for field in self.fields:
            fields.append(pa.field(field.name, field.kind.type, metadata=_saying(field.column, "")))
            if field.beside:
                fields.append(pa.field(field.beside, TEXT, metadata=_saying(field.column, field.name)))
        return pa.schema(fields, {ABOUT: json.dumps(about, ensure_ascii=False, sort_keys=True).encode()})

    def read(self, data: bytes, schema: pa.Schema) -> pa.Table:
        """Return rows in COPY text as they lie in a file."""
        try:
            written = columns_of(data, tuple(field.name for field in self.fields))
            arrays = []
            for field in self.fields:
                values, beside = typed(field.kind, values_of(written[field.name]))
                arrays += [values, beside] if field.beside else [values]
        except pa.ArrowInvalid:  # its message quotes the row
            raise VaultCorrupt(
                "rows to be archived are not what COPY writes of their table",
                hint="the backup and the table's columns must be of the same plan: make a new backup",
            ) from None
        return pa.Table.from_arrays(arrays, schema=schema)

    def texts(self, rows: pa.Table, field: Field) -> pa.Array:
        """Return a column's values as PostgreSQL's text."""
        beside = rows[field.beside].combine_chunks() if field.beside else None
        return text_again(field.kind, rows[field.name].combine_chunks(), beside)

    def write(self, rows: pa.Table) -> bytes:
        """Return rows of a file as COPY text."""
        return text_of(pa.table({f.name: written_of(self.texts(rows, f)) for f in self.fields}))


def about(case: str, keys: TermKeys, table: ArchivedTable) -> dict[str, object]:
    """Return what a file says of itself under its own encryption: it cannot pass for another one."""
    return {"case": case, "term": keys.document(), "table": table.document()}


def _fields(columns: tuple[ArchivedColumn, ...]) -> list[Field]:
    names = [_plain(c.name, place) for place, c in enumerate(columns, 1)]
    if len(set(names)) != len(names):
        names = [f"column_{place}" for place in range(1, len(columns) + 1)]
    taken = list(names)
    found = []
    for column, name in zip(columns, names, strict=True):
        kind = kind_of(column.type)
        beside = _free(f"{name}__text", taken) if kind.beside else ""
        taken.append(beside)
        found.append(Field(column, kind, name, beside))
    return found


def _plain(name: str, place: int) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else f"column_{place}"


def _free(name: str, taken: list[str]) -> str:
    return _free(f"{name}_", taken) if name in taken else name


def _saying(column: ArchivedColumn, text_of: str) -> dict[str, str]:
    said = column.document() | {"text_of": text_of}
    return {"column": json.dumps(said, ensure_ascii=False, sort_keys=True)}


def _said(field: pa.Field) -> dict[str, object]:
    found: dict[str, object] = json.loads((field.metadata or {}).get(b"column", b"{}"))
    return found


def _column(field: pa.Field) -> ArchivedColumn:
    said = _said(field)
    said.pop("text_of", None)
    return ArchivedColumn.model_validate(said)
