"""Groups cut a table at any bounds into parts that together are the table, in an order that never changes."""

from collections.abc import Iterator
from contextlib import closing
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from fixtures.clusters import databases
from fixtures.contents import run_sql
from handover.local.clusters import Cluster
from handover.model.catalog import Table
from handover.model.plan import TablePlan, table_plan
from handover.postgres.catalog import read_catalog
from handover.postgres.copying import read_rows
from handover.postgres.ordering import Bound, draw_bounds, ends, order_by, ordered_rows
from handover.postgres.session import Connection, connect, fetch
from handover.postgres.types import ALIKE, Servers

TABLES = """
CREATE SCHEMA s;
CREATE DOMAIN s.code AS varchar(20);
CREATE TYPE s.e AS ENUM ('z', 'a', '中');
CREATE TABLE s.numbers (k int PRIMARY KEY);
CREATE TABLE s.texts (k text PRIMARY KEY);
CREATE TABLE s.collated (k text COLLATE "C.utf8" PRIMARY KEY);
CREATE TABLE s.codes (k s.code PRIMARY KEY);
CREATE TABLE s.padded (k char(5) PRIMARY KEY);
CREATE TABLE s.decimals (k numeric PRIMARY KEY);
CREATE TABLE s.floats (k float8 PRIMARY KEY);
CREATE TABLE s.blobs (k bytea PRIMARY KEY);
CREATE TABLE s.spans (k interval PRIMARY KEY);
CREATE TABLE s.documents (k jsonb PRIMARY KEY);
CREATE TABLE s.mixed (a s.e, b text, c int, d date, PRIMARY KEY (b, a, d, c));
CREATE TABLE s.keyless (a int, b text);
"""
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
SCRIPTS = st.text(st.sampled_from("aAzZ ä中文张é́\u200bＡ𠮷🀄'\\\"0") | CHARACTERS, max_size=5)
VALUES = {
    "numbers": st.tuples(st.integers(-(2**31), 2**31 - 1) | st.integers(-5, 5)),
    "texts": st.tuples(SCRIPTS),
    "collated": st.tuples(SCRIPTS),
    "codes": st.tuples(SCRIPTS),
    "padded": st.tuples(SCRIPTS),
    "decimals": st.tuples(st.decimals(-10, 10, allow_nan=False) | st.just("NaN") | st.just("-Infinity")),
    "floats": st.tuples(st.floats()),
    "blobs": st.tuples(st.binary(max_size=3)),
    "spans": st.tuples(st.timedeltas()),
    "documents": st.tuples(st.sampled_from(["1", "null", "[]", '"a"', '{"字": 1.0}', "10", "2", "{}"])),
    "mixed": st.tuples(
        st.sampled_from("za中"), SCRIPTS, st.integers(-2, 2), st.dates() | st.sampled_from(["infinity"])
    ),
}
MODEST = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Row = tuple[object, ...]
SERVERS = {
    "bytewise servers": ALIKE,
    "other servers": Servers(bytewise=False, one_encoding=True),
    "other encodings": Servers(bytewise=False, one_encoding=False),
}


@pytest.fixture(scope="module")
def session(cluster: Cluster) -> Iterator[Connection]:
    with databases(cluster) as factory:
        url = factory("ordering", owner="ordering_owner")
        run_sql(url, TABLES)
        with closing(connect(url)) as connection:
            yield connection


@pytest.fixture(scope="module", params=SERVERS.values(), ids=SERVERS)
def tables(request: pytest.FixtureRequest, session: Connection) -> dict[str, Table]:
    return {t.name: t for t in read_catalog(session, ["s"], request.param).tables}


def store(session: Connection, table: str, rows: list[Row]) -> None:
    """Fill a table; of rows with equal keys the first one stays."""
    session.execute(sql.SQL("TRUNCATE s.{}").format(sql.Identifier(table)))
    with session.cursor() as cursor:
        places = sql.SQL(", ").join([sql.Placeholder()] * len(rows[0])) if rows else sql.SQL("")
        insert = sql.SQL("INSERT INTO s.{} VALUES ({}) ON CONFLICT DO NOTHING")
        cursor.executemany(insert.format(sql.Identifier(table), places), rows)


def sorted_keys(session: Connection, table: Table) -> list[Bound]:
    """The keys that are stored, in their order, as bounds."""
    texts = sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(c.name)) for c in table.key)
    query = sql.SQL("SELECT {} FROM s.{} AS t ORDER BY {}").format(
        texts, sql.Identifier(table.name), order_by(table.key)
    )
    return [tuple(map(str, row)) for row in fetch(session, query)]


def stream(session: Connection, plan: TablePlan, *between: Bound | None) -> list[bytes]:
    return [bytes(row) for row in read_rows(session, ordered_rows(plan, *between), "text")]


@pytest.mark.parametrize("name", VALUES)
@MODEST
@given(data=st.data())
def test_groups_partition_a_table(
    session: Connection, tables: dict[str, Table], name: str, data: st.DataObject
) -> None:
    """Bounds may be equal to keys, between them, outside of them, equal to each other, or none."""
    table = tables[name]
    plan = table_plan(0, table, same_major=True, groups=1)
    store(session, name, data.draw(st.lists(VALUES[name], max_size=12), label="bounds"))
    candidates = sorted_keys(session, table)
    picks = data.draw(st.lists(st.integers(0, 30), max_size=5), label="picks")
    bounds = [candidates[n] for n in sorted(p for p in picks if p < len(candidates))]
    store(session, name, data.draw(st.lists(VALUES[name], max_size=20), label="rows"))
    parts = [stream(session, plan, *ends(bounds, n)) for n in range(len(bounds) + 1)]
    assert [row for part in parts for row in part] == stream(session, plan)
    assert (
        len(stream(session, plan))
        == fetch(session, sql.SQL("SELECT count(*) FROM s.{}").format(sql.Identifier(name)))[0][0]
    )


@pytest.mark.parametrize("name", VALUES)
@MODEST
@given(data=st.data())
def test_the_order_does_not_hang_on_how_rows_came(
    session: Connection, tables: dict[str, Table], name: str, data: st.DataObject
) -> None:
    plan = table_plan(0, tables[name], same_major=True, groups=1)
    store(session, name, data.draw(st.lists(VALUES[name], max_size=12)))
    once = stream(session, plan)
    shuffled = data.draw(st.permutations(once))
    session.execute(sql.SQL("TRUNCATE s.{}").format(sql.Identifier(name)))
    with session.cursor().copy(sql.SQL("COPY s.{} FROM STDIN").format(sql.Identifier(name))) as copy:
        for row in shuffled:
            copy.write(row)
    assert stream(session, plan) == once


@MODEST
@given(st.lists(st.tuples(st.none() | st.integers(0, 2), st.none() | SCRIPTS), max_size=12), st.randoms())
def test_a_table_without_a_key_gives_the_same_stream_for_the_same_rows(
    session: Connection, tables: dict[str, Table], rows: list[Row], random: Random
) -> None:
    plan = table_plan(0, tables["keyless"], same_major=True, groups=1)
    rows = [*rows, *rows[:3]]
    store(session, "keyless", rows)
    once = stream(session, plan)
    random.shuffle(rows)
    store(session, "keyless", rows)
    assert stream(session, plan) == once
    assert len(once) == len(rows)


@pytest.mark.parametrize("wanted", [1, 2, 7, 64])
@pytest.mark.parametrize("rows", [0, 1, 3, 5000])
def test_drawn_bounds_partition_a_table_evenly(
    session: Connection, tables: dict[str, Table], rows: int, wanted: int
) -> None:
    table = tables["mixed"]
    plan = table_plan(0, table, same_major=True, groups=wanted)
    session.execute("TRUNCATE s.mixed")
    session.execute(
        "INSERT INTO s.mixed SELECT 'a', n %% 9 || '中', n, '2020-01-01' FROM generate_series(1, %s) n",
        [rows],
    )
    bounds = draw_bounds(session, table, wanted, rows)
    assert len(bounds) <= wanted - 1
    assert bounds == list(dict.fromkeys(bounds))
    parts = [stream(session, plan, *ends(bounds, n)) for n in range(len(bounds) + 1)]
    assert [row for part in parts for row in part] == stream(session, plan)
    if rows == 5000:
        assert max(map(len, parts)) < 3 * rows / wanted
