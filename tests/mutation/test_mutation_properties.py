"""Random rows of every PostgreSQL type and one random change: it is told by row and column, or there is none.

Whether a value really changed is decided by the server, which compares the bytes that it stores.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from fixtures.mutation import Copied, copied
from fixtures.types import COLUMNS, TYPES_SQL
from handover.local.clusters import Cluster
from handover.model.backup import BackupIndex, ChunkReceipt
from handover.postgres.copying import copy_into, cut_by_size, read_rows
from handover.postgres.ordering import ordered_rows
from handover.postgres.session import connect

Literals = st.SearchStrategy[str]
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ODD = st.sampled_from([*"\\\n\r\t\b\f\v.N\x01\x7f'\"{},() ", "\\N", "NULL", "\u2028", "🀄", "e\u0301"])
TEXTS = st.lists(ODD | st.text(CHARACTERS, max_size=3), max_size=5).map("".join)
INTEGERS = {2: "smallint", 4: "int", 8: "bigint"}
DECIMALS = st.decimals(-(10**20), 10**20, allow_nan=False).filter(lambda n: n.as_tuple().exponent > -100)
DATES = st.dates().map(str) | st.sampled_from(["infinity", "-infinity", "0044-03-15 BC"])
MOMENTS = st.datetimes().map(str) | st.sampled_from(["infinity", "-infinity"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def floats(width: Literal[32, 64]) -> Literals:
    """One NaN stands for all: PostgreSQL holds them equal."""
    return (st.floats(allow_nan=False, width=width) | st.just(math.nan)).map(repr)


def quoted(text: str | None) -> str:
    """An element of an array, composite or hstore literal."""
    return "NULL" if text is None else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def array(elements: Literals) -> Literals:
    """With NULLs, and now and then with a lower bound of its own."""

    def written(drawn: tuple[list[str | None], int | None]) -> str:
        found, lower = drawn
        bounds = f"[{lower}:{lower + len(found) - 1}]=" if found and lower is not None else ""
        return f"{bounds}{{{','.join(map(quoted, found))}}}"

    return st.tuples(st.lists(st.none() | elements, max_size=4), st.none() | st.integers(-3, 3)).map(written)


def ranges(bounds: st.SearchStrategy[object]) -> Literals:
    two = st.tuples(bounds, bounds).map(lambda pair: sorted(pair))
    return st.just("empty") | st.tuples(st.sampled_from("[("), two, st.sampled_from("])")).map(
        lambda drawn: f"{drawn[0]}{drawn[1][0]},{drawn[1][1]}{drawn[2]}"
    )


STRATEGIES: dict[str, Literals] = {
    "bool": st.sampled_from("tf"),
    **{
        name: st.integers(-(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1).map(str)
        for size, name in INTEGERS.items()
    },
    "oid": st.integers(0, 2**32 - 1).map(str),
    "real": floats(32),
    "float8": floats(64),
    "numeric": DECIMALS.map(lambda n: f"{n:f}") | st.sampled_from(["NaN", "Infinity", "-Infinity"]),
    "money": st.integers(-(10**15), 10**15).map(lambda cents: f"{cents}e-2").map(lambda n: f"{float(n):.2f}"),
    "text": TEXTS,
    "varchar(9)": TEXTS.map(lambda text: text[:9]),
    "char(9)": TEXTS.map(lambda text: text[:9]),
    "public.citext": TEXTS,
    "bytea": st.binary(max_size=10).map(lambda data: "\\x" + data.hex()),
    "date": DATES,
    "time": st.times().map(str),
    "timetz": st.tuples(st.times(), st.integers(-15, 15)).map(lambda drawn: f"{drawn[0]}{drawn[1]:+03}"),
    "timestamp": MOMENTS,
    "timestamptz": MOMENTS.map(lambda text: text if text.endswith("y") else f"{text}+00"),
    "interval": st.tuples(*[st.integers(-(10**6), 10**6)] * 3).map(
        lambda drawn: "{} mons {} days {} microseconds".format(*drawn)
    ),
    "uuid": st.uuids().map(str),
    "json": st.tuples(JSON, st.none() | st.just(1), st.booleans()).map(
        lambda drawn: json.dumps(drawn[0], indent=drawn[1], ensure_ascii=False)
    ),
    "jsonb": JSON.map(lambda value: json.dumps(value, ensure_ascii=False)),
    "inet": st.ip_addresses().map(str)
    | st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(lambda drawn: f"{drawn[0]}/{drawn[1]}"),
    "bit(5)": st.text("01", min_size=5, max_size=5),
    "varbit": st.text("01", max_size=9),
    "int4range": ranges(st.integers(-100, 100)),
    "numrange": ranges(DECIMALS),
    "s.floats": ranges(st.floats(allow_nan=False, allow_infinity=False)),
    "s.colour": st.sampled_from(["red", "Red", "blue"]),
    "s.code": TEXTS.map(lambda text: text[:9]).filter(bool),
    "s.pair": st.tuples(st.integers(-9, 9), st.none() | TEXTS).map(
        lambda drawn: f"({drawn[0]},{'' if drawn[1] is None else quoted(drawn[1])})"
    ),
    "text[]": array(TEXTS),
    "numeric[]": array(DECIMALS.map(lambda n: f"{n:f}")),
    "float8[]": array(floats(64)),
    "int[]": array(st.integers(-9, 9).map(str)),
    "s.colour[]": array(st.sampled_from(["red", "Red", "blue"])),
    "jsonb[]": array(JSON.map(lambda value: json.dumps(value, ensure_ascii=False))),
    "public.hstore": st.dictionaries(TEXTS, st.none() | TEXTS, max_size=3).map(
        lambda found: ",".join(f"{quoted(key)}=>{quoted(value)}" for key, value in found.items())
    ),
}
TYPES = sorted({column.type for column in COLUMNS})
QUICK = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LONG = settings(QUICK, max_examples=200)


def values(type_name: str) -> st.SearchStrategy[str | None]:
    """Literals of a type: drawn at random where we know how, and those that look like each other."""
    known = [text for c in COLUMNS if c.type == type_name for text in (c.value, *c.others)]
    return st.none() | st.sampled_from(known) | STRATEGIES.get(type_name, st.nothing())


@dataclass(frozen=True, repr=False)
class Pair:
    """A source and a target with one small table for each type, and the backup of one drawn content."""

    copied: Copied
    source: psycopg.Connection
    reader: psycopg.Connection[tuple[object, ...]]
    writer: psycopg.Connection[tuple[object, ...]]

    def fill(self, table: str, type_name: str, rows: list[str | None]) -> Copied:
        """Store rows in the source, back them up as the engine does, and load them into the target."""
        insert = sql.SQL(f"INSERT INTO s.{table} VALUES (%s, %s::{type_name})")
        self.source.execute(f"TRUNCATE s.{table}")
        with self.source.cursor() as cursor:
            cursor.executemany(insert, list(enumerate(rows)))
        plan, context = self.copied.table(table), self.copied.context
        stream = read_rows(self.reader, ordered_rows(plan), plan.format)
        self.writer.execute(f"TRUNCATE s.{table}")
        receipts = []
        for number, chunk in enumerate(cut_by_size(stream, 60)):
            label = context.label(self.copied.index.state.generation, "rows", f"{plan.id}/0", number)
            receipts.append(
                ChunkReceipt(
                    table=plan.id,
                    group=0,
                    chunk=number,
                    rows=chunk.rows,
                    bytes=len(chunk.data),
                    digest=context.digest(chunk.digest),
                    object=context.put(label, chunk.data, "drawn"),
                )
            )
            copy_into(self.writer, sql.Identifier("s", table), plan.columns, plan.format, chunk.data)
        old = self.copied.index
        index = BackupIndex(
            case=old.case, run=old.run, plan=old.plan, bounds={}, state=old.state, chunks=tuple(receipts)
        )
        return Copied(context, index, self.copied.server)

    def changes(self, table: str, type_name: str, row: int, value: str | None) -> bool:
        """Let the server say whether storing a value in a row would change the stored bytes."""
        query = f"SELECT record_image_ne(ROW(v), ROW(%s::{type_name})) FROM s.{table} WHERE id = %s"
        found = self.writer.execute(sql.SQL(query), (value, row)).fetchone()
        return bool(found and found[0])


@pytest.fixture(scope="module")
def pair(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    tables = [f"CREATE TABLE s.t{n} (id int PRIMARY KEY, v {name});" for n, name in enumerate(TYPES)]
    script = "\n".join(["CREATE SCHEMA s;", TYPES_SQL, *tables])
    with (
        copied(tmp_path_factory.mktemp("drawn"), cluster, second_cluster, script) as made,
        psycopg.connect(made.context.source, autocommit=True) as source,
        connect(made.context.source) as reader,
        connect(made.context.target) as writer,
    ):
        yield Pair(made, source, reader, writer)


def check_random_change(pair: Pair, type_name: str, data: st.DataObject) -> None:
    """Change, remove or add one row of a drawn content."""
    table = f"t{TYPES.index(type_name)}"
    rows = data.draw(st.lists(values(type_name), min_size=1, max_size=6), label="rows")
    copy = pair.fill(table, type_name, rows)
    assert copy.differing_rows(table) == []
    row = data.draw(st.integers(0, len(rows) - 1), label="row")
    kind = data.draw(st.sampled_from(["value", "value", "value", "gone", "came"]), label="kind")
    value = data.draw(values(type_name), label="value")
    name = f"s.{table}: row with id = "
    if kind == "gone":
        pair.writer.execute(sql.SQL(f"DELETE FROM s.{table} WHERE id = %s"), [row])
        expected = [f"{name}{row} is missing"]
    elif kind == "came":
        pair.writer.execute(sql.SQL(f"INSERT INTO s.{table} VALUES (-1, %s::{type_name})"), [value])
        expected = [f"{name}-1 is not in the backup"]
    else:
        expected = [f"{name}{row} differs in v"] if pair.changes(table, type_name, row, value) else []
        pair.writer.execute(sql.SQL(f"UPDATE s.{table} SET v = %s::{type_name} WHERE id = %s"), [value, row])
    assert copy.differing_rows(table) == expected


@pytest.mark.parametrize("type_name", TYPES)
@QUICK
@given(data=st.data())
def test_a_random_change_is_told(pair: Pair, type_name: str, data: st.DataObject) -> None:
    check_random_change(pair, type_name, data)


@pytest.mark.campaign
@pytest.mark.parametrize("type_name", TYPES)
@LONG
@given(data=st.data())
def test_a_random_change_is_told_in_the_long_run(pair: Pair, type_name: str, data: st.DataObject) -> None:
    check_random_change(pair, type_name, data)


def test_the_judge_holds_values_that_look_alike_for_different(pair: Pair) -> None:
    """A judge that held everything for equal would let every test here pass."""
    for column in COLUMNS:
        table = f"t{TYPES.index(column.type)}"
        pair.fill(table, column.type, [column.value])
        assert not pair.changes(table, column.type, 0, column.value)
        for other in (*column.others, None):
            assert pair.changes(table, column.type, 0, other)
