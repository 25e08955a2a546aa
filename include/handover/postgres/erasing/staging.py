"""Loads what the backup says of the rows that may go: their keys, and the SHA-256 of each as it was.

Of a table without a key whole rows are loaded: only by its content a row is found there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from struct import Struct

from psycopg import sql

from handover.errors import DataRefused
from handover.model.plan import TablePlan
from handover.postgres.copying import BINARY_HEADER, BINARY_TRAILER
from handover.postgres.erasing.request import Unit
from handover.postgres.keysets import scoped_rows
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, database_errors, fetch

DIGEST = "handover digest"
_SEND_BYTES = 256 * 1024
_SHORT, _LONG = Struct(">H"), Struct(">i")
_DIGEST_LENGTH = _LONG.pack(hashlib.sha256().digest_size)


@dataclass(frozen=True)
class Stage:
    """The temporary table with what the backup says of a unit, by its number in the request."""

    number: int
    unit: Unit
    columns: tuple[str, ...]

    @property
    def plan(self) -> TablePlan:
        """Return the plan of the table."""
        return self.unit.plan

    @property
    def keyed(self) -> bool:
        """Say whether a row is found by its key; one that the server computes is not in the backup."""
        return bool(self.plan.key) and {c.name for c in self.plan.key} <= set(self.plan.columns)

    @property
    def place(self) -> sql.Identifier:
        """Return the temporary table's quoted name."""
        return sql.Identifier("pg_temp", f"erase_backup_{self.number}")

    def same(self) -> sql.Composable:
        """Return the condition that the alias ``s`` of the stage has the key of the alias ``t``."""
        tests = []
        for column in self.plan.key:
            cast = sql.SQL("::text" if column.order in ("text", "utf8") else "")
            name = sql.Identifier(column.name)
            tests.append(sql.SQL("s.{0}{1} = t.{0}{1}").format(name, cast))
        return sql.SQL(" AND ").join(tests)

    def text(self, alias: str) -> sql.Composable:
        """Return the text of a whole row, equal to the last byte."""
        names = [sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(c)) for c in self.plan.columns]
        return sql.SQL('ROW({})::text COLLATE "C"').format(sql.SQL(", ").join(names))


def load(connection: Connection, number: int, unit: Unit) -> tuple[Stage, int]:
    """Load a unit's backed-up rows; returns how many of them may go."""
    stage = Stage(number, unit, _columns(unit))
    with database_errors(f"loading what the backup says of {unit.plan.label}"):
        _create(connection, stage)
        _fill(connection, stage)
        if unit.keys is not None:
            chosen = scoped_rows(unit.keys)
            connection.execute(sql.SQL("DELETE FROM {} AS t WHERE NOT {}").format(stage.place, chosen))
        connection.execute(sql.SQL("ANALYZE {}").format(stage.place))
        count = fetch(connection, sql.SQL("SELECT count(*) FROM {}").format(stage.place))
    return stage, int(str(count[0][0]))


def _columns(unit: Unit) -> tuple[str, ...]:
    """Return what is loaded of a row: what finds it in the table, and in the key set."""
    plan, keys = unit.plan, unit.keys
    by_key = bool(plan.key) and (keys is None or bool(keys.table.key))
    wanted = {c.name for c in (*plan.key, *(keys.table.key if keys else ()))}
    if keys is not None and wanted - set(plan.columns):
        raise DataRefused(
            f"{plan.label}: its key is computed by the server and is not in the backup",
            hint="give the table a key of stored columns, or let all of its rows go",
            table=plan.label,
        )
    if not by_key or wanted - set(plan.columns):
        return plan.columns
    return tuple(name for name in plan.columns if name in wanted)


def _create(connection: Connection, stage: Stage) -> None:
    names = [sql.SQL("t.{}, ").format(sql.Identifier(name)) for name in stage.columns]
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} AS SELECT {}NULL::bytea AS {} FROM {} AS t WITH NO DATA").format(
            sql.Identifier(f"erase_backup_{stage.number}"),
            sql.SQL("").join(names),
            sql.Identifier(DIGEST),
            rows_of(stage.plan),
        )
    )


def _fill(connection: Connection, stage: Stage) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, (*stage.columns, DIGEST)))
    form = sql.SQL(stage.plan.format)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(stage.place, names, form)
    binary, buffer = stage.plan.format == "binary", bytearray()
    with connection.cursor().copy(statement) as copy:
        if binary:
            buffer += BINARY_HEADER
        for row in _staged(stage):
            buffer += row
            if len(buffer) > _SEND_BYTES:
                copy.write(bytes(buffer))
                buffer.clear()
        copy.write(bytes(buffer + (BINARY_TRAILER if binary else b"")))


def _staged(stage: Stage) -> Iterator[bytes]:
    """Yield rows of the stage in COPY form: chosen fields as they are, and the digest of the whole."""
    whole = stage.columns == stage.plan.columns
    places = [stage.plan.columns.index(name) for name in stage.columns]
    make = _binary_rows if stage.plan.format == "binary" else _text_rows
    return make(stage.unit.rows, places, whole)


def _text_rows(rows: Iterable[bytes], places: list[int], whole: bool) -> Iterator[bytes]:
    last = max(places, default=0) + 1
    for row in rows:
        digest = hashlib.sha256(row).hexdigest().encode()
        if whole:
            start = row[:-1] + b"\t" if places else b""
        else:
            parts = row[:-1].split(b"\t", last)
            start = b"\t".join([parts[place] for place in places]) + b"\t"
        yield start + b"\\\\x" + digest + b"\n"


def _binary_rows(rows: Iterable[bytes], places: list[int], whole: bool) -> Iterator[bytes]:
    count = _SHORT.pack(len(places) + 1)
    cut: Callable[[bytes], bytes] = (lambda row: row[2:]) if whole else _cutter(places)
    for row in rows:
        yield count + cut(row) + _DIGEST_LENGTH + hashlib.sha256(row).digest()


def _cutter(places: list[int]) -> Callable[[bytes], bytes]:
    """Return what takes some fields, with their lengths, out of a binary row."""
    last, unpack = max(places) + 1, _LONG.unpack_from

    def cut(row: bytes) -> bytes:
        position, ends = 2, []
        for _ in range(last):
            (length,) = unpack(row, position)
            ends.append(position)
            position += 4 + (length if length > 0 else 0)
        if len(places) == last:  # the key stands first, as it mostly does
            return row[2:position]
        ends.append(position)
        return b"".join([row[ends[place] : ends[place + 1]] for place in places])

    return cut
