"""COPY text as Arrow columns and back, for tables whose values change on their way. Rows are never lost here.

Columns stay as COPY writes them (escaped), so that what is not changed is the same to the last byte; only a
column that is changed is taken out of that form and put back into it.
"""

from __future__ import annotations

import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from handover.errors import VaultCorrupt

NULL = "\\N"
# What COPY writes after a backslash, and what it means.
_ESCAPES = {
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"\\": b"\\",
}
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_SPECIAL = re.compile(rb"[\b\f\n\r\t\v\\]")
_BACKSLASH, _ESCAPED_SIGNS = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
_BACKSLASH[ord("\\")] = True
_ESCAPED_SIGNS[np.frombuffer(b"\b\f\n\r\t\v\\", np.uint8)] = True
_WRITTEN = {meant: b"\\" + sign for sign, meant in _ESCAPES.items()}


def columns_of(data: bytes, names: tuple[str, ...]) -> pa.Table:
    """Return the columns of rows in COPY text, each value as it is written there, NULL as null."""
    table = csv.read_csv(
        io.BytesIO(data),
        read_options=csv.ReadOptions(column_names=list(names), use_threads=False, block_size=len(data) + 1),
        parse_options=csv.ParseOptions(
            delimiter="\t", quote_char=False, escape_char=False, ignore_empty_lines=False
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.large_binary()),
            null_values=[NULL],
            strings_can_be_null=True,
            check_utf8=False,
        ),
    )
    if table.num_rows != data.count(b"\n"):
        raise VaultCorrupt("a chunk is not what COPY writes", hint="`handover verify FOLDER --vault`")
    return table.combine_chunks()


def text_of(table: pa.Table) -> bytes:
    """Return rows in COPY text from columns whose values are written as COPY writes them."""
    columns = [pc.fill_null(column.combine_chunks(), NULL.encode()) for column in table.columns]
    rows = pc.binary_join_element_wise(*columns, _bytes(b"\t"))
    return _joined(pc.binary_join_element_wise(rows, _bytes(b""), _bytes(b"\n")))


def _bytes(value: bytes) -> pa.Scalar:
    return pa.scalar(value, pa.large_binary())


def _joined(values: pa.Array) -> bytes:
    """Return all values one after the other: they lie so in memory already."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not len(values):
        return b""
    _, offsets, data = values.buffers()
    starts = memoryview(offsets).cast("q")
    return bytes(memoryview(data)[starts[values.offset] : starts[values.offset + len(values)]])


def values_of(column: pa.ChunkedArray) -> pa.Array:
    """Return the values of a written column, as text."""
    written = column.combine_chunks()
    if _holds(written, _BACKSLASH):
        written = pa.array([_unescaped(value) for value in written.to_pylist()], pa.large_binary())
    return written.cast(pa.large_string())


def written_of(values: pa.Array) -> pa.Array:
    """Return values as COPY writes them."""
    plain = values.cast(pa.large_string()).cast(pa.large_binary())
    if _holds(plain, _ESCAPED_SIGNS):
        plain = pa.array([_escaped(value) for value in plain.to_pylist()], pa.large_binary())
    return plain


def _holds(values: pa.Array, signs: np.ndarray) -> bool:
    """Say whether any of these bytes is in any value; quicker than a search in each of them."""
    _, offsets, data = values.buffers()
    if data is None or not len(values):
        return False
    ends = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    return bool(signs[np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]].any())


def _unescaped(value: bytes | None) -> bytes | None:
    return value and _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), value)


def _escaped(value: bytes | None) -> bytes | None:
    return value and _SPECIAL.sub(lambda found: _WRITTEN[found[0]], value)
