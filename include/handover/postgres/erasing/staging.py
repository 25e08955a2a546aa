"""Loads the backed-up rows that may go beside their tables, so that the server itself compares them.

They are never taken apart here. Of a table without a key each has its SHA-256 beside it, which names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct

from psycopg import sql

from handover.errors import DataRefused
from handover.model.plan import TablePlan
from handover.postgres.copying import BINARY_HEADER, BINARY_TRAILER, copy_options
from handover.postgres.erasing.request import Unit
from handover.postgres.keysets import scoped_rows
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, database_errors

DIGEST = "handover digest"
_SEND_BYTES = 256 * 1024
_SHORT, _LONG = Struct(">H"), Struct(">i")
_DIGEST_LENGTH = _LONG.pack(hashlib.sha256().digest_size)


@dataclass(frozen=True)
class Stage:
    """The temporary table with the backed-up rows of a unit, by its number in the request."""

    number: int
    unit: Unit

    @property
    def plan(self) -> TablePlan:
        """Return the plan of the table."""
        return self.unit.plan

    @property
    def keyed(self) -> bool:
        """Say whether a row is found by its key, else by its content."""
        return has_stored_key(self.plan)

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
        return sql.SQL('ROW({})::text COLLATE "C"').format(self._row(alias))

    def unlike(self) -> sql.Composable:
        """Return the condition that the alias ``t`` has not the content of the alias ``s``.

        Rows with the same bytes have the same text. Those with others may have: a compressed value, say.
        """
        images = sql.SQL("(ROW({})::record OPERATOR(pg_catalog.*=) ROW({})::record)").format(
            self._row("s"), self._row("t")
        )
        return sql.SQL("CASE WHEN {} THEN false ELSE {} <> {} END").format(
            images, self.text("s"), self.text("t")
        )

    def _row(self, alias: str) -> sql.Composable:
        names = [sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(c)) for c in self.plan.columns]
        return sql.SQL(", ").join(names)


def has_stored_key(plan: TablePlan) -> bool:
    """Say whether a row is found by its key; one that the server computes is not in the backup."""
    return bool(plan.key) and {c.name for c in plan.key} <= set(plan.columns)


def load(connection: Connection, number: int, unit: Unit) -> tuple[Stage, int]:
    """Load a unit's backed-up rows; returns how many of them may go."""
    stage = Stage(number, unit)
    _require_key_set_columns(unit)
    with database_errors(f"loading what the backup says of {unit.plan.label}"):
        _create(connection, stage)
        rows = _fill(connection, stage)
        if unit.keys is not None:
            chosen = scoped_rows(unit.keys)
            others = sql.SQL("DELETE FROM {} AS t WHERE NOT {}").format(stage.place, chosen)
            rows -= connection.execute(others).rowcount
        connection.execute(sql.SQL("ANALYZE {}").format(stage.place))
    return stage, rows


def _require_key_set_columns(unit: Unit) -> None:
    """Raise DataRefused where the backup has not what names a row in the key set."""
    if unit.keys and {c.name for c in unit.keys.table.key} - set(unit.plan.columns):
        raise DataRefused(
            f"{unit.plan.label}: its key is computed by the server and is not in the backup",
            hint="give the table a key of stored columns, or let all of its rows go",
            table=unit.plan.label,
        )


def _create(connection: Connection, stage: Stage) -> None:
    columns = [sql.SQL("t.{}").format(sql.Identifier(name)) for name in stage.plan.columns]
    if not stage.keyed:
        columns.append(sql.SQL("NULL::bytea AS {}").format(sql.Identifier(DIGEST)))
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} AS SELECT {} FROM {} AS t WITH NO DATA").format(
            sql.Identifier(f"erase_backup_{stage.number}"), sql.SQL(", ").join(columns), rows_of(stage.plan)
        )
    )


def _fill(connection: Connection, stage: Stage) -> int:
    form = stage.plan.format
    columns = stage.plan.columns if stage.keyed else (*stage.plan.columns, DIGEST)
    statement = sql.SQL("COPY {} ({}) FROM STDIN {}").format(
        stage.place, sql.SQL(", ").join(map(sql.Identifier, columns)), copy_options(form)
    )
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            if form == "binary":
                copy.write(BINARY_HEADER)
            for piece in _in_pieces(stage.unit.rows if stage.keyed else _digested(stage)):
                copy.write(piece)
            if form == "binary":
                copy.write(BINARY_TRAILER)
        return cursor.rowcount


def _in_pieces(rows: Iterable[bytes]) -> Iterator[bytes]:
    """Cut and join what comes into pieces of a size that travels well."""
    buffer = bytearray()
    for some in rows:
        if len(some) >= _SEND_BYTES:
            yield bytes(buffer)
            buffer.clear()
            yield from (some[start : start + _SEND_BYTES] for start in range(0, len(some), _SEND_BYTES))
            continue
        buffer += some
        if len(buffer) >= _SEND_BYTES:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)


def _digested(stage: Stage) -> Iterator[bytes]:
    """Yield rows with the digest of each as its last field."""
    columns = len(stage.plan.columns)
    if stage.plan.format == "binary":
        count = _SHORT.pack(columns + 1)
        for row in stage.unit.rows:
            yield count + row[2:] + _DIGEST_LENGTH + hashlib.sha256(row).digest()
        return
    for row in stage.unit.rows:
        start = row[:-1] + b"\t" if columns else b""
        yield start + b"\\\\x" + hashlib.sha256(row).hexdigest().encode() + b"\n"
