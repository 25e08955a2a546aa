"""Proof of absence by value: every column of a database that could hold a value is streamed through a search.

What is looked for, and how, is the caller's: a function from rows of COPY text to the cells that hit. Nothing
of a row leaves but the token of its key. What cannot be read as text is listed, never passed over in silence.
"""

from __future__ import annotations

from binascii import unhexlify
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from psycopg import sql

from handover.model.base import Frozen
from handover.postgres.copying import Chunk, cut_by_size, read_rows
from handover.postgres.holding import Holder, NotSearched, read_holders
from handover.postgres.session import Connection, database_errors

# The search's own arrays are many times as large, and small ones stay near the processor.
READ_BYTES = 4 << 20
# A person who looks into a finding needs some rows, not all.
MOST_ROWS = 50
_HEX = b"\\\\x"
_ROW_SIGNS = bytes(32 if sign in b"\t\n\r" else sign for sign in range(256))
# Files whose text is compressed or drawn; the search sees their bytes and nothing in them.
_CLOSED = (
    b"\x1f\x8b",
    b"PK\x03\x04",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"%PDF",
    b"BZh",
    b"\xfd7zXZ",
    b"7z\xbc\xaf",
    b"II*\0",
)
_LARGEST_MAGIC = 8


class Hit(Protocol):
    """A cell that hit; row and column count from 0 in the rows that were searched."""

    @property
    def row(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def kind(self) -> str: ...


Find = Callable[[bytes], Iterable[Hit]]
# The token of a row's key, whose parts come as COPY text writes them.
RowToken = Callable[[Sequence[bytes]], str]
# Whether a cell may hold the value: schema, table, column, token of the row.
Excepted = Callable[[str, str, str, str], bool]


class Finding(Frozen):
    """Values found in a column: how many cells by kind, and tokens of the first rows."""

    schema_name: str
    table: str
    column: str
    cells: int
    kinds: dict[str, int]
    row_tokens: tuple[str, ...]


class Searched(Frozen):
    """What was read of a table; ``closed``: cells with a compressed file or a picture, whose text hides."""

    schema_name: str
    table: str
    columns: tuple[str, ...]
    rows: int
    bytes: int
    closed: int


class Membership(Frozen):
    """The result of a search; ``cannot_hold`` names the columns whose type has no room for such a value."""

    findings: tuple[Finding, ...]
    excepted: int
    searched: tuple[Searched, ...]
    not_searched: tuple[NotSearched, ...]
    cannot_hold: tuple[str, ...]

    @property
    def absent(self) -> bool:
        """Say whether everything could be read and nothing was found."""
        return not self.findings and not self.not_searched


def nothing_excepted(schema: str, table: str, column: str, row: str) -> bool:
    """No cell may hold a value."""
    return False


@dataclass
class _Column:
    """What was found in one column so far."""

    cells: set[str] = field(default_factory=set)
    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass
class _Tally:
    """What was read and found so far."""

    find: Find
    row_token: RowToken
    excepted_by: Excepted
    excepted: int = 0
    columns: dict[tuple[str, str, str], _Column] = field(default_factory=lambda: defaultdict(_Column))

    def take(self, holder: Holder, names: Sequence[str], chunk: Chunk, rows: bytes) -> None:
        """Search rows: the columns ``names``, then the key's; ``chunk`` has them as they were read."""
        lines: list[bytes] = []
        cells: dict[tuple[int, int], list[str]] = defaultdict(list)
        for hit in self.find(rows):
            if hit.column < len(names):
                cells[hit.row, hit.column].append(hit.kind)
        for (row, column), kinds in cells.items():
            lines = lines or chunk.data.split(b"\n")
            token = self.row_token(lines[row].split(b"\t")[len(names) :])
            self._add(holder, names[column], token, kinds)

    def _add(self, holder: Holder, name: str, token: str, kinds: list[str]) -> None:
        if self.excepted_by(holder.schema, holder.table, name, token):
            self.excepted += 1
            return
        column = self.columns[holder.schema, holder.table, name]
        column.count += 1
        column.kinds.update(kinds)
        if len(column.cells) < MOST_ROWS:
            column.cells.add(token)

    def findings(self) -> tuple[Finding, ...]:
        return tuple(
            Finding(
                schema_name=schema,
                table=table,
                column=name,
                cells=found.count,
                kinds=dict(sorted(found.kinds.items())),
                row_tokens=tuple(sorted(found.cells)),
            )
            for (schema, table, name), found in sorted(self.columns.items())
        )


def search_database(
    connection: Connection,
    find: Find,
    row_token: RowToken,
    excepted: Excepted = nothing_excepted,
    *,
    with_dates: bool = False,
    between: Callable[[int], None] = lambda read: None,
) -> Membership:
    """Search every table, materialised view and large object; ``between`` hears how many bytes were read.

    ``with_dates``: dates are read beside, for values that tell something only together. The caller's
    transaction decides whether all is seen at one moment.
    """
    tally = _Tally(find, row_token, excepted)
    found = read_holders(connection, with_dates)
    searched = [_search(connection, holder, tally, between) for holder in found.holders]
    return Membership(
        findings=tally.findings(),
        excepted=tally.excepted,
        searched=tuple(searched),
        not_searched=found.not_searched,
        cannot_hold=found.cannot_hold,
    )


def _search(
    connection: Connection, holder: Holder, tally: _Tally, between: Callable[[int], None]
) -> Searched:
    rows, size, closed = 0, 0, 0
    with database_errors(f"searching {holder.schema}.{holder.table}"):
        if holder.texts:
            for chunk in _chunks(connection, holder, [sql.Identifier(name) for name in holder.texts]):
                tally.take(holder, holder.texts, chunk, chunk.data)
                rows, size = rows + chunk.rows, size + len(chunk.data)
                between(len(chunk.data))
        for name, value in holder.binaries.items():
            count = 0
            for chunk in _chunks(connection, holder, [value]):
                text, closed_here = _opened(chunk.data)
                tally.take(holder, [name], chunk, text)
                count, closed, size = count + chunk.rows, closed + closed_here, size + len(text)
                between(len(chunk.data))
            rows = max(rows, count)
    return Searched(
        schema_name=holder.schema,
        table=holder.table,
        columns=(*holder.texts, *holder.binaries),
        rows=rows,
        bytes=size,
        closed=closed,
    )


def _chunks(connection: Connection, holder: Holder, values: Sequence[sql.Composable]) -> Iterator[Chunk]:
    query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join([*values, *holder.key]), holder.rows)
    return cut_by_size(read_rows(connection, query, "text"), READ_BYTES)


def _opened(data: bytes) -> tuple[bytes, int]:
    """Return rows whose first field is bytea with its bytes as text in place, and how many are closed.

    Bytes 0 go, so that UTF-16 shows its ASCII signs.
    """
    rows, closed = [], 0
    for line in data.split(b"\n")[:-1]:
        first, tab, key = line.partition(b"\t")
        value = unhexlify(first[len(_HEX) :]) if first.startswith(_HEX) else b""  # else NULL
        closed += value[:_LARGEST_MAGIC].startswith(_CLOSED)
        rows.append(value.translate(_ROW_SIGNS, b"\0") + tab + key)
    return b"\n".join([*rows, b""]), closed
