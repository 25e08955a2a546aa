"""Reads what is about one person: rows by condition, and rows in which a value stands, wherever it is.

Values are looked for in the server, on all its cores, by a sieve that lets pass too much; only what passes is
sent, and looked at by the caller's search.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from psycopg import sql

from handover.postgres.copying import cut_by_size, read_rows
from handover.postgres.holding import Holder, NotSearched, read_holders
from handover.postgres.membership import READ_BYTES, Find
from handover.postgres.session import Connection, database_errors, fetch

Place = tuple[str, str]  # of a row: the table that holds it, and where in it
_ROWS = "SELECT t.tableoid::regclass::text, t.ctid::text, to_json(t)::text FROM {} AS t WHERE {}"


class Sieve(Protocol):
    """Expressions: a text that may hold a value matches ``head`` and one of ``whole``."""

    @property
    def head(self) -> str: ...
    @property
    def whole(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Row:
    """A row as JSON has it, numbers with decimals as text so that none is rounded."""

    place: Place
    values: dict[str, Any]


@dataclass(frozen=True)
class Mentions:
    """Rows of a table with the columns in which a value stands."""

    schema: str
    table: str
    rows: list[Row]
    columns: dict[Place, frozenset[str]]


def read_where(connection: Connection, rows: sql.Composable, condition: sql.Composable) -> list[Row]:
    """Return the rows that meet a condition on the alias ``t``."""
    with database_errors("reading the rows of a person"):
        found = fetch(connection, sql.SQL(_ROWS).format(rows, condition))
    return [Row((str(a), str(b)), json.loads(str(c), parse_float=str)) for a, b, c in found]


def read_mentions(
    connection: Connection,
    schemas: Sequence[str],
    sieve: Sieve,
    plain: Sequence[bytes],
    find: Find,
    between: Callable[[], None] = lambda: None,
) -> tuple[list[Mentions], list[NotSearched]]:
    """Return the rows of all tables in which ``find`` hits, and the columns that could not be searched.

    ``sieve``: everything that may hit passes it; ``plain``: what to look for in bytes. Dates are shown to
    ``find`` beside what passes, since they tell something together with a name.
    """
    holders = read_holders(connection, with_dates=False)
    dated = {(one.schema, one.table): one.texts for one in read_holders(connection, with_dates=True).holders}
    found: list[Mentions] = []
    for holder in holders.holders:
        if holder.schema in schemas:
            between()
            shown = dated[holder.schema, holder.table]
            with database_errors(f"searching {holder.schema}.{holder.table}"):
                hits = [
                    *_in_texts(connection, holder, shown, sieve, find),
                    *_in_bytes(connection, holder, plain),
                ]
                found += _mentions(connection, holder, hits)
    return found, [one for one in holders.not_searched if one.schema_name in schemas]


def _mentions(connection: Connection, holder: Holder, found: Iterable[tuple[str, str]]) -> Iterator[Mentions]:
    hits: dict[str, set[str]] = {}
    for place, column in found:
        hits.setdefault(place, set()).add(column)
    if not hits:
        return
    at = sql.SQL("t.ctid = ANY({}::tid[])").format(sql.Literal(list(hits)))
    rows = read_where(connection, holder.rows, at)
    columns = {row.place: frozenset(hits[row.place[1]]) for row in rows}
    yield Mentions(holder.schema, holder.table, rows, columns)


def _in_texts(
    connection: Connection, holder: Holder, shown: Sequence[str], sieve: Sieve, find: Find
) -> Iterator[tuple[str, str]]:
    if not holder.texts or not sieve.whole:
        return
    names, texts = (sql.SQL(", ").join(map(sql.Identifier, columns)) for columns in (shown, holder.texts))
    row = sql.SQL("concat_ws(' ', {}) COLLATE \"C\"").format(texts)
    whole = [sql.SQL("{} ~ {}").format(row, sql.Literal(one)) for one in sieve.whole]
    query = sql.SQL("SELECT {}, ctid FROM {} WHERE {} ~ {} AND ({})").format(
        names, holder.rows, row, sql.Literal(sieve.head), sql.SQL(" OR ").join(whole)
    )
    for chunk in cut_by_size(read_rows(connection, query, "text"), READ_BYTES):
        lines = chunk.data.split(b"\n")
        for hit in find(chunk.data):
            if hit.column < len(shown):
                yield lines[hit.row].rsplit(b"\t", 1)[1].decode(), shown[hit.column]


def _in_bytes(connection: Connection, holder: Holder, plain: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    wanted = list(plain)
    for name, value in holder.binaries.items() if wanted else ():
        tests = sql.SQL(" OR ").join(
            sql.SQL("position({}::bytea IN {}) > 0").format(sql.Literal(one), value) for one in wanted
        )
        for (place,) in fetch(
            connection, sql.SQL("SELECT ctid::text FROM {} WHERE {}").format(holder.rows, tests)
        ):
            yield str(place), name
