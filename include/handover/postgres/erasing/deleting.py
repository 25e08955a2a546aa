"""Deletes the rows of some numbers from one table, and compares what the server says it deleted.

The server sends each row with the digest that the backup has of it; a row whose content is another one is
told by that digest. Tables that refer to each other in a circle go in one statement, for only at its end the
server looks at foreign keys; their rows are locked and compared first.
"""

from __future__ import annotations

import hashlib
import select
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import pq, sql

from handover.model.plan import TablePlan
from handover.postgres.copying import (
    BINARY_HEADER,
    BINARY_TRAILER,
    WAIT_SECONDS,
    copy_options,
    finish_copy,
    start_copy,
)
from handover.postgres.erasing.batches import GOING, Work
from handover.postgres.erasing.staging import Stage
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, fetch

_COUNT_BYTES, _LENGTH_BYTES, _DIGEST_BYTES = 2, 4, 32
_BINARY_START = _COUNT_BYTES + _LENGTH_BYTES + _DIGEST_BYTES
_ESCAPED_HEX = 3  # "\\x", as COPY text writes the start of a bytea
_TEXT_END = _ESCAPED_HEX + 2 * _DIGEST_BYTES


@dataclass(frozen=True)
class Span:
    """The numbers that one transaction takes, both ends included."""

    first: int
    last: int

    def rows(self, alias: str = "k") -> sql.Composable:
        """Return the condition on a table of rows that may go that a row is of the span and going."""
        return sql.SQL("{0}.batch BETWEEN {1} AND {2} AND {0}.state = {3}").format(
            sql.Identifier(alias), sql.Literal(self.first), sql.Literal(self.last), sql.Literal(GOING)
        )


@dataclass
class Seen:
    """What came of a unit's rows: how many were to go, how many did, and digests of those that are unlike."""

    wanted: int
    rows: int = 0
    unlike: list[bytes] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Return how many rows were not where they had been found."""
        return self.wanted - self.rows


@contextmanager
def by_place(connection: Connection) -> Iterator[None]:
    """Let the server go to each row where it lies; it would read whole tables for every batch."""
    _prefer(connection, "off")
    yield
    _prefer(connection, "on")


def _prefer(connection: Connection, joins: str) -> None:
    settings = [
        sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(joins))
        for name in ("enable_hashjoin", "enable_mergejoin")
    ]
    connection.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(settings)))


def lock(connection: Connection, work: Work, span: Span) -> None:
    """Lock the rows of a table, so that nothing new can refer to them and nobody changes them."""
    for stage in work.stages:
        rows = sql.SQL("SELECT FROM {} AS t, {} AS k WHERE {} FOR UPDATE OF t").format(
            rows_of(stage.plan), work.place, _here(stage, span)
        )
        connection.execute(sql.SQL("SELECT count(*) FROM ({}) AS locked").format(rows))


def _here(stage: Stage, span: Span) -> sql.Composable:
    """Return the condition that ``k`` is a row of the unit and span, and ``t`` stands where it was found."""
    return sql.SQL("{} AND k.unit = {} AND t.ctid = k.place AND t.tableoid = k.part").format(
        span.rows(), sql.Literal(stage.number)
    )


def wanted(connection: Connection, work: Work, span: Span) -> dict[int, Seen]:
    """Return for each unit of a table that has rows in the span how many they are."""
    query = sql.SQL("SELECT k.unit, count(*) FROM {} AS k WHERE {} GROUP BY 1").format(
        work.place, span.rows()
    )
    return {int(str(unit)): Seen(int(str(rows))) for unit, rows in fetch(connection, query)}


def delete(connection: Connection, circle: Sequence[Work], span: Span, alone: bool) -> dict[int, Seen]:
    """Delete the rows of tables that refer to each other; ``alone``: none to another unit's."""
    seen: dict[int, Seen] = {}
    for work in circle:
        seen |= wanted(connection, work, span)
    units = [(work, stage) for work in circle for stage in work.stages if stage.number in seen]
    if alone or len(units) == 1:
        for work, stage in units:
            _compare(connection, _deletion(work, stage, span), stage.plan, seen[stage.number])
    elif units:
        for work, stage in units:
            query = sql.SQL("{} FOR UPDATE OF t").format(_reading(work, stage, span))
            _compare(connection, query, stage.plan, seen[stage.number])
        if not any(one.missing or one.unlike for one in seen.values()):
            _delete_at_once(connection, units, span, seen)
    return seen


def read(connection: Connection, work: Work, span: Span) -> dict[int, Seen]:
    """Compare the rows of a table that would go; nobody else can get at it."""
    seen = wanted(connection, work, span)
    for stage in work.stages:
        if stage.number in seen:
            _compare(connection, _reading(work, stage, span), stage.plan, seen[stage.number])
    return seen


def _columns(plan: TablePlan) -> sql.Composable:
    names = [sql.SQL(", t.{}").format(sql.Identifier(name)) for name in plan.columns]
    return sql.SQL("k.digest{}").format(sql.SQL("").join(names))


def _deletion(work: Work, stage: Stage, span: Span) -> sql.Composable:
    return sql.SQL("DELETE FROM {} AS t USING {} AS k WHERE {} RETURNING {}").format(
        rows_of(stage.plan), work.place, _here(stage, span), _columns(stage.plan)
    )


def _reading(work: Work, stage: Stage, span: Span) -> sql.Composable:
    return sql.SQL("SELECT {} FROM {} AS t, {} AS k WHERE {}").format(
        _columns(stage.plan), rows_of(stage.plan), work.place, _here(stage, span)
    )


def _delete_at_once(
    connection: Connection, units: list[tuple[Work, Stage]], span: Span, seen: dict[int, Seen]
) -> None:
    gone = [sql.Identifier(f"gone_{stage.number}") for _, stage in units]
    parts = [
        sql.SQL("{} AS (DELETE FROM {} AS t USING {} AS k WHERE {} RETURNING 1)").format(
            name, rows_of(stage.plan), work.place, _here(stage, span)
        )
        for name, (work, stage) in zip(gone, units, strict=True)
    ]
    counts = [sql.SQL("(SELECT count(*) FROM {})").format(name) for name in gone]
    query = sql.SQL("WITH {} SELECT {}").format(sql.SQL(", ").join(parts), sql.SQL(", ").join(counts))
    for (_, stage), rows in zip(units, fetch(connection, query)[0], strict=True):
        seen[stage.number].rows = int(str(rows))


def _compare(connection: Connection, query: sql.Composable, plan: TablePlan, seen: Seen) -> None:
    """Run a query that gives rows with their digests, and note those that are unlike."""
    messages = _messages(connection, query, plan)
    if plan.format == "binary":
        _compare_binary(_without_frame(messages), len(plan.columns), seen)
    else:
        _compare_text(messages, bool(plan.columns), seen)


def _messages(connection: Connection, query: sql.Composable, plan: TablePlan) -> Iterator[memoryview]:
    """Yield what the server sends; when it refuses, the session goes on, back at its savepoint."""
    statement = sql.SQL("COPY ({}) TO STDOUT {}").format(query, copy_options(plan.format))
    wire = start_copy(connection, statement, pq.ExecStatus.COPY_OUT)
    while True:
        size, message = wire.get_copy_data(1)
        if size > 0:
            yield message
        elif size == 0:
            select.select([wire.socket], [], [], WAIT_SECONDS)
            wire.consume_input()
        else:
            return finish_copy(wire)


def _without_frame(messages: Iterable[memoryview]) -> Iterator[bytes]:
    """Leave out the header, which comes with the first row, and the trailer, which comes alone."""
    start = len(BINARY_HEADER)
    for message in messages:
        row = bytes(message)[start:]
        start = 0
        if row and row != BINARY_TRAILER:
            yield row


def _compare_binary(rows: Iterable[bytes], columns: int, seen: Seen) -> None:
    count, sha256 = columns.to_bytes(_COUNT_BYTES, "big"), hashlib.sha256
    for row in rows:
        seen.rows += 1
        digest = row[_COUNT_BYTES + _LENGTH_BYTES : _BINARY_START]
        if sha256(count + row[_BINARY_START:]).digest() != digest:
            seen.unlike.append(digest)


def _compare_text(rows: Iterable[memoryview], any_column: bool, seen: Seen) -> None:
    start = _TEXT_END + 1 if any_column else _TEXT_END
    sha256 = hashlib.sha256
    for message in rows:
        seen.rows += 1
        row = bytes(message)
        digest = row[_ESCAPED_HEX:_TEXT_END]
        if sha256(row[start:]).hexdigest().encode() != digest:
            seen.unlike.append(bytes.fromhex(digest.decode()))
