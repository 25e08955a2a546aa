"""Builders of Arrow columns from numpy arrays, and their form as COPY CSV.

Text of a fixed width is built as a matrix of ASCII bytes: one pass per position, no Python object per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
from numpy.typing import ArrayLike, NDArray

from handover.sample.dice import Bools, Ints, Words

Bytes = NDArray[np.uint8]
Columns = Mapping[str, pa.Array]

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_ZERO = np.uint8(ord("0"))
_UUID_GAPS = (8, 12, 16, 20)
# Rows that the CSV writer formats at once: its working memory stays small beside the batch itself.
_WRITER_ROWS = 16_384


def digits(values: Ints, width: int) -> Bytes:
    """Each value as a row of decimal digits (0..9, not ASCII), padded with zeros."""
    matrix = np.empty((len(values), width), np.uint8)
    rest = values
    for position in range(width - 1, -1, -1):
        rest, matrix[:, position] = np.divmod(rest, 10)
    return matrix


def ascii_digits(values: Ints, width: int) -> Bytes:
    return digits(values, width) + _ZERO


def hexadecimal(words: Sequence[Words]) -> Bytes:
    """The words' bytes side by side as ASCII hexadecimal, 16 characters for each word."""
    raw = np.column_stack(words).astype("<u8").view(np.uint8)
    matrix = np.empty((len(raw), raw.shape[1] * 2), np.uint8)
    matrix[:, 0::2] = _HEX[raw >> 4]
    matrix[:, 1::2] = _HEX[raw & 15]
    return matrix


def fixed_text(*parts: Bytes | bytes) -> pa.Array:
    """One text per row: the matrices (and constant bytes) side by side."""
    rows = next(len(part) for part in parts if isinstance(part, np.ndarray))
    matrix = np.concatenate([_matrix(part, rows) for part in parts], axis=1)
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(matrix.shape[1])
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(matrix))


def _matrix(part: Bytes | bytes, rows: int) -> Bytes:
    if isinstance(part, bytes):
        return np.broadcast_to(np.frombuffer(part, np.uint8), (rows, len(part)))
    return part


def uuid_text(first: Words, second: Words) -> pa.Array:
    """Random bits in the form of a version 4 UUID."""
    matrix = hexadecimal([first, second])
    matrix[:, 12] = ord("4")
    matrix[:, 16] = _HEX[8 + (first & np.uint64(3))]
    return fixed_text(np.insert(matrix, _UUID_GAPS, ord("-"), axis=1))


def pick(pool: pa.Array | Sequence[str | None], index: Ints) -> pa.Array:
    """The pool's entry for each index."""
    values = pool if isinstance(pool, pa.Array) else pa.array(pool, pa.string())
    return values.take(pa.array(index))


def join(*parts: pa.Array | str) -> pa.Array:
    """Texts, numbers and constants joined row by row; NULL if a part is NULL."""
    texts = [pa.scalar(part) if isinstance(part, str) else pc.cast(part, pa.string()) for part in parts]
    return pc.binary_join_element_wise(*texts, "")


def numbers(values: ArrayLike) -> pa.Array:
    return pa.array(np.asarray(values))


def cents(values: Ints) -> pa.Array:
    """Whole cents as exact decimals with two places."""
    return scaled(values, 2)


def scaled(values: Ints, places: int) -> pa.Array:
    """Whole numbers as exact decimals with that many places."""
    halves = np.empty((len(values), 2), np.int64)
    halves[:, 0] = values
    halves[:, 1] = values >> 63
    kind = pa.decimal128(18, places)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(halves)])


def dates(days: Ints) -> pa.Array:
    """Days since 1970 as dates."""
    return pa.array(days.astype(np.int32)).cast(pa.date32())


def instants(days: Ints, microseconds: Ints) -> pa.Array:
    """Timestamps without a zone in their text; the session that loads them says UTC."""
    return pa.array(days * 86_400_000_000 + microseconds).cast(pa.timestamp("us"))


def null_where(mask: Bools, column: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(mask), pa.scalar(None, column.type), column)


def empty_unless(mask: Bools, column: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(mask), column, "")


def csv(columns: Columns) -> memoryview:
    """COPY CSV: every text in quotes, NULL as nothing, so that NULL, '' and the text \\N stay apart."""
    sink = pa.BufferOutputStream()
    options = pcsv.WriteOptions(include_header=False, batch_size=_WRITER_ROWS, quoting_style="needed")
    pcsv.write_csv(pa.table(dict(columns)), sink, options)
    return cast(memoryview, memoryview(sink.getvalue()))
