"""Chunks lose and double nothing, however a stream is cut; rows come out of them as they went in."""

import math
import re
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from fixtures.clusters import databases
from fixtures.contents import run_sql
from handover.codec.rows import fields, split_rows
from handover.local.clusters import Cluster
from handover.model.plan import CopyFormat
from handover.postgres.copying import copy_into, cut_by_content, cut_by_size, read_rows, take
from handover.postgres.session import Connection, connect
from handover.stages.rolling import rolling_digest

STREAMS = st.lists(st.binary(min_size=1, max_size=40))
LIMITS = st.integers(1, 200)


@given(STREAMS, LIMITS)
def test_cutting_loses_and_doubles_nothing(rows: list[bytes], limit: int) -> None:
    chunks = list(cut_by_size(rows, limit))
    assert b"".join(chunk.data for chunk in chunks) == b"".join(rows)
    assert sum(chunk.rows for chunk in chunks) == len(rows)
    assert all(chunk.rows for chunk in chunks)


@given(STREAMS, LIMITS)
def test_chunks_end_at_rows_and_only_the_last_is_small(rows: list[bytes], limit: int) -> None:
    waiting = iter(rows)
    chunks = list(cut_by_size(rows, limit))
    for chunk in chunks:
        assert chunk.data == b"".join(next(waiting) for _ in range(chunk.rows))
        without_its_last = len(chunk.data) - max(map(len, rows))
        assert without_its_last < limit, "a chunk must not grow on after its limit"
    assert all(len(chunk.data) >= limit for chunk in chunks[:-1])


@given(STREAMS, LIMITS)
def test_cutting_by_content_loses_and_doubles_nothing_and_keeps_its_sizes(
    rows: list[bytes], limit: int
) -> None:
    waiting = iter(rows)
    chunks = list(cut_by_content(rows, limit))
    for chunk in chunks:
        assert chunk.data == b"".join(next(waiting) for _ in range(chunk.rows))
        assert len(chunk.data) - max(map(len, rows)) < 2 * limit, "a chunk must not grow on"
    assert next(waiting, None) is None
    assert all(4 * len(chunk.data) >= limit for chunk in chunks[:-1])


@given(st.integers(0, 2**32), st.integers(0, 2_999), st.integers(0, 3))
def test_a_change_moves_only_the_cuts_next_to_it(seed: int, place: int, taken: int) -> None:
    """Rows that went or came in the middle leave nearly all chunks as they were."""
    rows = [b"%d\t%d\n" % (n, seed) for n in range(3_000)]
    changed = rows[:place] + [b"new\n"] * (2 - taken) + rows[place + taken :]
    before = {chunk.data for chunk in cut_by_content(rows, 1_000)}
    after = {chunk.data for chunk in cut_by_content(changed, 1_000)}
    assert len(before) > 20
    assert len(after - before) <= 12


@given(STREAMS, LIMITS, LIMITS)
def test_the_digest_of_a_stream_does_not_hang_on_its_cuts(rows: list[bytes], one: int, other: int) -> None:
    assert rolling_digest(cut_by_size(rows, one)) == rolling_digest(cut_by_size(rows, other))


@given(STREAMS, LIMITS)
def test_a_stream_is_read_back_in_the_pieces_it_was_cut_into(rows: list[bytes], limit: int) -> None:
    """This is how a target is compared: each receipt takes its number of rows."""
    again = iter(rows)
    for chunk in cut_by_size(rows, limit):
        assert take(again, chunk.rows) == chunk
    assert take(again, 1).rows == 0


@given(STREAMS, st.integers(0, 100))
def test_taking_more_than_there_is_takes_what_there_is(rows: list[bytes], count: int) -> None:
    taken = take(iter(rows), count)
    assert (taken.rows, taken.data) == (min(count, len(rows)), b"".join(rows[:count]))


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ODD = st.sampled_from(
    [*"\\\n\r\t\b\f\v.N\x01\x7f\x85'\"{},", "\\N", "\\.", "NULL", "", "\u2028", "🀄", "e\u0301"]
)
TEXTS = st.lists(ODD | st.text(CHARACTERS, max_size=5), max_size=8).map("".join)
NUMBERS = st.sampled_from([Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity")]) | st.decimals(
    min_value=-(10**30), max_value=10**30, allow_nan=False
).filter(lambda n: n.as_tuple().exponent > -1000)
# One NaN stands for all: PostgreSQL holds them equal, and only binary keeps which of them it was.
FLOATS = st.floats(allow_nan=False) | st.just(math.nan)
ROWS = st.tuples(
    st.none() | TEXTS,
    st.none() | st.binary(max_size=30),
    st.none() | NUMBERS,
    st.none() | FLOATS,
    st.none() | st.lists(st.none() | TEXTS, max_size=4),
    st.none() | st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), max_size=4),
    st.none() | st.booleans(),
)
Row = tuple[str | None, bytes | None, Decimal | None, float | None, list[object], list[object], bool | None]
COLUMNS = tuple("tbnfxyo")
SENT = "textsend(t), byteasend(b), numeric_send(n), float8send(f), array_send(x), array_send(y), boolsend(o)"
SHOWN = "t::text, b::text, n::text, f::text, x::text, y::text, CASE WHEN o THEN 't' WHEN NOT o THEN 'f' END"
# As the documentation of COPY lists them.
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
# A row goes to the server and back several times for one example.
MODEST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def session(cluster: Cluster) -> Iterator[Connection]:
    with databases(cluster) as factory:
        url = factory("streams", owner="streams_owner")
        for name in ("here", "there"):
            columns = "i int, t text, b bytea, n numeric, f float8, x text[], y int[], o bool"
            run_sql(url, f"CREATE TABLE {name} ({columns})")
        with closing(connect(url)) as connection:
            yield connection


def store(session: Connection, rows: list[Row]) -> None:
    session.execute("TRUNCATE public.here, public.there")
    with session.cursor() as cursor:
        places = ", ".join(["%s"] * (len(COLUMNS) + 1))
        cursor.executemany(
            sql.SQL(f"INSERT INTO public.here VALUES ({places})"), [(i, *row) for i, row in enumerate(rows)]
        )


def query(expressions: str, table: str = "here") -> sql.SQL:
    return sql.SQL(f"SELECT {expressions} FROM public.{table} ORDER BY i")


def expected(session: Connection, expressions: str) -> list[list[object]]:
    return [[None if v is None else v for v in row] for row in session.execute(query(expressions)).fetchall()]


def stream(session: Connection, form: CopyFormat) -> bytes:
    return b"".join(bytes(row) for row in read_rows(session, query(", ".join(COLUMNS)), form))


def unescaped(field: bytes | None) -> str | None:
    if field is None:
        return None
    return re.sub(r"\\(.)", lambda m: ESCAPES[m[1]], field.decode(), flags=re.DOTALL)


@MODEST
@given(st.lists(ROWS, max_size=6))
def test_binary_streams_come_apart_into_what_the_server_sent(session: Connection, rows: list[Row]) -> None:
    store(session, rows)
    data = stream(session, "binary")
    pieces = list(split_rows(data, "binary"))
    assert b"".join(pieces) == data
    assert [fields(piece, "binary") for piece in pieces] == expected(session, SENT)


@MODEST
@given(st.lists(ROWS, max_size=6))
def test_text_streams_come_apart_into_what_the_server_shows(session: Connection, rows: list[Row]) -> None:
    store(session, rows)
    data = stream(session, "text")
    pieces = list(split_rows(data, "text"))
    assert b"".join(pieces) == data
    assert [[unescaped(f) for f in fields(piece, "text")] for piece in pieces] == expected(session, SHOWN)


@MODEST
@given(st.lists(ROWS, max_size=6), st.sampled_from(["binary", "text"]), st.integers(1, 60))
def test_rows_arrive_unchanged(session: Connection, rows: list[Row], form: CopyFormat, limit: int) -> None:
    store(session, rows)
    names = ("i", *COLUMNS)
    source = read_rows(session, query(", ".join(names)), form)
    for chunk in list(cut_by_size(source, limit)):
        table = sql.Identifier("public", "there")
        assert copy_into(session, table, names, form, chunk.data) == chunk.rows
    for way in ("binary", "text"):
        here, there = (
            b"".join(bytes(r) for r in read_rows(session, query(", ".join(names), table), way))
            for table in ("here", "there")
        )
        assert there == here
