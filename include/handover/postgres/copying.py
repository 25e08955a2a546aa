"""COPY streams: rows out of a query, cut into chunks; chunks into a table. Rows are never parsed.

A cut stream can never pass for a short table: the end is believed only after the server said so.
"""

from __future__ import annotations

import hashlib
import select
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from zlib import crc32

import psycopg
from psycopg import pq, sql

from handover.errors import ConnectionLost
from handover.model.plan import CopyFormat
from handover.postgres.session import Connection

# Large enough that a file, its fsync and its ledger entry cost little beside it, small enough that
# a lane holds a few of them at once (plain, joined, compressed, encrypted) in well under 512 MB.
CHUNK_BYTES = 16 * 1024 * 1024
BINARY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
BINARY_TRAILER = b"\xff\xff"
# How long we sleep at most before looking whether the process was asked to end.
WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class Chunk:
    """Some rows of an ordered stream, joined; ``digest`` is the SHA-256 of ``data``."""

    rows: int
    data: bytes

    @property
    def digest(self) -> bytes:
        """Return the plain digest; keep it inside the process, publish keyed ones."""
        return hashlib.sha256(self.data).digest()


def copy_options(form: CopyFormat) -> sql.SQL:
    """Return the options of a COPY in a form."""
    return sql.SQL("(FORMAT binary)") if form == "binary" else sql.SQL("(FORMAT text)")


def start_copy(connection: Connection, statement: sql.Composed, expected: pq.ExecStatus) -> pq.abc.PGconn:
    """Begin a COPY on the wire; raises psycopg.Error when the server refuses."""
    connection_c = connection.pgconn
    result = connection_c.exec_(statement.as_bytes(connection))
    if result.status != expected:
        raise psycopg.errors.error_from_result(result)
    return connection_c


def finish_copy(connection_c: pq.abc.PGconn) -> None:
    """Take the results that end a COPY; a failure of the server shows here."""
    problem = None
    while (result := connection_c.get_result()) is not None:
        if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.COPY_OUT) and problem is None:
            problem = psycopg.errors.error_from_result(result)
    if problem is not None:
        raise problem


def _messages(connection: Connection, query: sql.Composable, form: CopyFormat) -> Iterator[memoryview]:
    """Yield what the server sends, one message at a time (PostgreSQL sends one row in each)."""
    statement = sql.SQL("COPY ({}) TO STDOUT {}").format(query, copy_options(form))
    wire = start_copy(connection, statement, pq.ExecStatus.COPY_OUT)
    finished = False
    try:
        while True:
            size, message = wire.get_copy_data(1)
            if size > 0:
                yield message
            elif size == 0:
                select.select([wire.socket], [], [], WAIT_SECONDS)
                wire.consume_input()
            else:
                break
        finish_copy(wire)
        finished = True
    finally:
        if not finished:
            connection.close()  # in the middle of a COPY a session is of no further use


def read_rows(
    connection: Connection, query: sql.Composable, form: CopyFormat
) -> Iterator[memoryview | bytes]:
    """Yield the rows of a query in COPY form, without the binary header and trailer.

    Raises psycopg.Error as the server does; the caller names what it was doing.
    """
    messages = _messages(connection, query, form)
    if form == "text":
        yield from messages
        return
    first = bytes(next(messages))
    if not first.startswith(BINARY_HEADER):
        raise ConnectionLost("the server did not start the binary stream as expected", hint="try again")
    row: memoryview | bytes = first[len(BINARY_HEADER) :]
    for following in messages:
        yield row
        row = following
    if bytes(row) != BINARY_TRAILER:
        raise ConnectionLost("the binary stream ended without its trailer", hint="try again")


def cut_by_size(rows: Iterable[memoryview | bytes], limit: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """Cut a stream into chunks of at least ``limit`` bytes; the last one may be smaller."""
    # One growing buffer: a list of half a million small rows would weigh ten times what is in them.
    buffer, count = bytearray(), 0
    for row in rows:
        buffer += row
        count += 1
        if len(buffer) >= limit:
            yield Chunk(count, bytes(buffer))
            buffer, count = bytearray(), 0
    if count:
        yield Chunk(count, bytes(buffer))


def cut_by_content(rows: Iterable[memoryview | bytes], limit: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """Cut a stream after rows whose own bytes say so, so that a change moves only the cuts next to it.

    A chunk has from a quarter of ``limit`` to its double, three quarters in the mean; the last one may be
    smaller. Each byte is as likely to end a chunk as any other, however long the rows are.
    """
    buffer, count = bytearray(), 0
    for row in rows:
        buffer += row
        count += 1
        chosen = len(buffer) * 4 >= limit and crc32(row) * (limit // 2) < len(row) << 32
        if chosen or len(buffer) >= 2 * limit:
            yield Chunk(count, bytes(buffer))
            buffer, count = bytearray(), 0
    if count:
        yield Chunk(count, bytes(buffer))


def take(rows: Iterator[memoryview | bytes], count: int) -> Chunk:
    """Take the next ``count`` rows of a stream, or fewer when it ends."""
    buffer, taken = bytearray(), 0
    for row in islice(rows, count):
        buffer += row
        taken += 1
    return Chunk(taken, bytes(buffer))


def copy_into(
    connection: Connection,
    table: sql.Composable,
    columns: Iterable[str],
    form: CopyFormat,
    data: bytes,
) -> int:
    """COPY a chunk into a table and return the number of rows the server counted."""
    names = [sql.Identifier(name) for name in columns]
    # "()" is no valid column list, so a table without columns has none.
    listed = sql.SQL(" ({})").format(sql.SQL(", ").join(names)) if names else sql.SQL("")
    statement = sql.SQL("COPY {}{} FROM STDIN {}").format(table, listed, copy_options(form))
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            if form == "binary":
                copy.write(BINARY_HEADER)
            view = memoryview(data)
            for start in range(0, len(view), 1 << 20):
                copy.write(bytes(view[start : start + (1 << 20)]))
            if form == "binary":
                copy.write(BINARY_TRAILER)
        return cursor.rowcount
