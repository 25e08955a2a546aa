"""A text column as bytes in numpy, and back: rows of one width are a matrix, no Python object per row."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Cells:
    """Where each row's UTF-8 bytes lie; those of a NULL, which is not valid, mean nothing."""

    data: Bytes
    starts: Ints
    lengths: Ints
    valid: Bools

    @classmethod
    def of(cls, column: pa.Array) -> Cells:
        """Look at a column of text; any other type is looked at in its text form."""
        if not pa.types.is_string(column.type):
            column = column.cast(pa.string())
        rows = len(column)
        if rows == 0:
            nothing = np.zeros(0, np.int64)
            return cls(np.zeros(0, np.uint8), nothing, nothing, np.zeros(0, np.bool_))
        _, offsets, data = column.buffers()
        ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + rows + 1].astype(np.int64)
        signs = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        return cls(signs, ends[:-1], np.diff(ends), valid)

    def __len__(self) -> int:
        return len(self.starts)

    def rows_of(self, width: int) -> Ints:
        """Return the rows that hold exactly so many bytes."""
        return np.flatnonzero(self.valid & (self.lengths == width))

    def widths(self) -> list[int]:
        """Return the lengths that occur."""
        return [int(width) for width in np.unique(self.lengths[self.valid])]

    def matrix(self, rows: Ints, width: int) -> Bytes:
        """Return the bytes of ascending rows that all have this length."""
        if len(rows) == 0 or width == 0:
            return np.zeros((len(rows), width), np.uint8)
        start = int(self.starts[rows[0]])
        if int(self.starts[rows[-1]]) - start == width * (len(rows) - 1):  # nothing lies between them
            return self.data[start : start + width * len(rows)].reshape(-1, width)
        return np.asarray(self.data[self.starts[rows][:, None] + np.arange(width)])

    def padded(self, rows: Ints, width: int, lead: int) -> Bytes:
        """Return rows of different lengths from byte ``lead`` on, all other bytes zero."""
        out = np.zeros((len(rows), width), np.uint8)
        lengths = self.lengths[rows]
        if len(rows) and lengths.min() == lengths.max():
            out[:, lead : lead + lengths[0]] = self.matrix(rows, int(lengths[0]))
            return out
        within = np.arange(width - lead) < lengths[:, None]
        out[:, lead:][within] = self._joined(rows, lengths)
        return out

    def _joined(self, rows: Ints, lengths: Ints) -> Bytes:
        total = int(lengths.sum())
        if total == 0:
            return np.zeros(0, np.uint8)
        start = int(self.starts[rows[0]])
        end = int(self.starts[rows[-1]] + lengths[-1])
        if end - start == total:
            return self.data[start:end]
        before = np.cumsum(lengths) - lengths
        return self.data[np.repeat(self.starts[rows] - before, lengths) + np.arange(total)]


@dataclass
class Pieces:
    """A column in the making: matrices for some of its rows each; a row that nobody fills is NULL."""

    rows: int
    _parts: list[tuple[Ints, Bytes]] = field(default_factory=list)

    def put(self, rows: Ints, matrix: Bytes) -> None:
        """Fill ascending rows with texts of one width."""
        if len(rows):
            self._parts.append((rows, matrix))

    def column(self) -> pa.Array:
        """Return the column of text."""
        lengths, filled = np.zeros(self.rows, np.int64), np.zeros(self.rows, np.bool_)
        for rows, matrix in self._parts:
            lengths[rows], filled[rows] = matrix.shape[1], True
        offsets = np.zeros(self.rows + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        if len(self._parts) == 1:
            data = np.ascontiguousarray(self._parts[0][1]).reshape(-1)
        else:
            data = np.empty(offsets[-1], np.uint8)
            for rows, matrix in self._parts:
                data[offsets[rows][:, None] + np.arange(matrix.shape[1])] = matrix
        bits = None if filled.all() else pa.py_buffer(np.packbits(filled, bitorder="little"))
        return pa.StringArray.from_buffers(self.rows, pa.py_buffer(offsets), pa.py_buffer(data), bits)


def with_texts(rows: Ints, values: pa.Array, column: pa.Array) -> pa.Array:
    """Return the column of text with other values at ascending rows."""
    if len(rows) == 0:
        return column
    mask = np.zeros(len(column), np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(column, pa.array(mask), values)
