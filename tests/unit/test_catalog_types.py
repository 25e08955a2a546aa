"""Types: what travels in binary arrives unchanged in another cluster; how keys of each type are ordered."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from psycopg import sql

from fixtures.clusters import databases
from fixtures.contents import run_sql
from handover.local.clusters import Cluster
from handover.model.catalog import Catalog, Column
from handover.postgres.catalog import read_catalog, read_sequences
from handover.postgres.copying import copy_into, cut_by_size, read_rows
from handover.postgres.session import Connection, connect, fetch
from handover.postgres.types import BINARY_SAFE, BYTE_ORDER, FIRST_USER_OID, NATURAL_ORDER, Servers

NUMBERS = ["0", "-1", "32767", "-32768"]
TEXTS = [
    "",
    "NULL",
    "\\N",
    "\\.",
    " a ",
    "a\tb\nc\rd\ve\ff\bg",
    "'\"\\{},()[]",
    "张三𠮷🀄",
    "e\u0301\u200f\ufeff",
    "x" * 9000,
]
# For each type the values at its edges, as text.
EDGES: dict[str, list[str]] = {
    "bool": ["true", "false"],
    "int2": NUMBERS,
    "int4": [*NUMBERS, "2147483647", "-2147483648"],
    "int8": [*NUMBERS, "9223372036854775807", "-9223372036854775808"],
    "float4": ["0", "-0", "NaN", "Infinity", "-Infinity", "1e-45", "3.4028235e38", "0.1"],
    "float8": ["0", "-0", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308", "0.1"],
    "numeric": [
        "0",
        "0.00",
        "-0.0000000000000000001",
        "NaN",
        "Infinity",
        "-Infinity",
        f"1.{'0' * 16383}",
        "9" * 5000,
        "10000",
        "0.00010",
    ],
    "text": TEXTS,
    "varchar": TEXTS,
    "bpchar": [*TEXTS[1:], "a   "],
    "bytea": [r"\x", r"\x00ff0a5c", "\\x" + "".join(f"{n:02x}" for n in range(256))],
    "date": ["4713-01-01 BC", "0001-12-31 BC", "5874897-12-31", "infinity", "-infinity", "2000-02-29"],
    "time": ["00:00:00", "24:00:00", "23:59:59.999999"],
    "timetz": ["00:00:00+15:59:59", "24:00:00-15:59:59", "12:00:00.000001+08"],
    "timestamp": [
        "4713-01-01 00:00:00 BC",
        "294276-12-31 23:59:59.999999",
        "infinity",
        "-infinity",
        "1999-12-31 23:59:60",
    ],
    "timestamptz": [
        "4713-01-01 00:00:00+00 BC",
        "294276-12-31 23:59:59.999999+00",
        "infinity",
        "-infinity",
        "2024-03-31 02:30+08",
    ],
    "interval": [
        "0",
        "infinity",
        "-infinity",
        "-178000000 years",
        "1 mon -1 day 00:00:00.000001",
        "-2562047788:00:54.775807",
    ],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ['{"a" :  1, "a":2}', "null", '"\\u0000"', " [ ] "],
    "jsonb": ["{}", "null", '{"a": 1.00, "字": [null, ""]}', f'{{"n": {"9" * 400}}}', '"🀄"'],
    "inet": ["0.0.0.0/0", "255.255.255.255", "::", "::ffff:1.2.3.4/96", "10.0.0.1/8"],
    "cidr": ["0.0.0.0/0", "10.0.0.0/8", "::/0", "2001:db8::/32"],
    "macaddr": ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"],
    "macaddr8": ["00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff"],
    "bit": ["0", "1"],
    "varbit": ["", "0", "101", "1" * 1001],
    "oid": ["0", "4294967295"],
    "tsvector": ["", "'it''s':1A,2B 'a\\b' '张':16383", "word"],
    "point": ["(0,-0)", "(NaN,Infinity)", "(1e-300,0.1)"],
    "lseg": ["[(0,0),(0,0)]", "[(-1.5,2),(Infinity,0)]"],
    "path": ["[(0,0)]", "((0,0),(1,1),(2,0))"],
    "box": ["(1,1),(0,0)", "(Infinity,1),(-1,-Infinity)"],
    "polygon": ["((0,0))", "((0,0),(1,1),(2,0))"],
    "line": ["{1,-1,0}", "{0,1,0.1}"],
    "circle": ["<(0,0),0>", "<(1,-1),Infinity>"],
    "int4range": ["empty", "(,)", "[1,1]", "[-2147483648,2147483647)"],
    "int8range": ["empty", "(,)", "[1,)", "(,9223372036854775807)"],
    "numrange": ["empty", "(,)", "[1.00,1.000]", "(NaN,)", "[-Infinity,Infinity]"],
    "daterange": ["empty", "(,)", "[infinity,)", "[-infinity,infinity)", "[2000-02-29,2000-03-01)"],
    "tsrange": ["empty", "(,)", "[infinity,)", '["0001-01-01 00:00:00 BC",infinity]'],
    "tstzrange": ["empty", "(,)", "[infinity,)", '["0001-01-01 00:00:00+00 BC",infinity]'],
    "int4multirange": ["{}", "{(,)}", "{[1,2),[5,9)}"],
    "int8multirange": ["{}", "{(,)}", "{[1,2),[5,9)}"],
    "nummultirange": ["{}", "{(,)}", "{[1.0,1.00],(2,NaN)}"],
    "datemultirange": ["{}", "{(,)}", "{[2000-01-01,2000-02-01),[infinity,)}"],
    "tsmultirange": ["{}", "{(,)}", '{["2000-01-01 00:00:00",infinity]}'],
    "tstzmultirange": ["{}", "{(,)}", '{["2000-01-01 00:00:00+00",infinity]}'],
}
Pair = tuple[Connection, Connection]


@pytest.fixture(scope="module")
def pair(cluster: Cluster, second_cluster: Cluster) -> Iterator[Pair]:
    """Sessions in two clusters, in the second of which objects have other OIDs."""
    with databases(cluster) as here, databases(second_cluster) as there:
        urls = here("types", owner="types_owner"), there("types", owner="types_owner")
        run_sql(
            urls[1], "CREATE SCHEMA other; CREATE TYPE other.e AS ENUM ('x'); CREATE TABLE other.t (a int)"
        )
        for url in urls:
            run_sql(url, "CREATE SCHEMA s")
        with closing(connect(urls[0])) as first, closing(connect(urls[1])) as second:
            yield first, second


def carried(pair: Pair, type_name: str, values: list[str]) -> tuple[list[object], list[object]]:
    """Carry values in binary from one cluster to the other; what each shows as text."""
    table, shown = sql.Identifier("s", "values"), []
    for connection in pair:
        connection.execute("DROP TABLE IF EXISTS s.values")
        connection.execute(sql.SQL(f"CREATE TABLE s.values (n int, v {type_name})"))
    insert = sql.SQL("INSERT INTO s.values VALUES ({}, {})")
    for number, value in enumerate(values):
        pair[0].execute(insert.format(sql.Literal(number), sql.Literal(value)))
    pair[0].execute("INSERT INTO s.values VALUES (-1, NULL)")
    rows = read_rows(pair[0], sql.SQL("SELECT n, v FROM s.values"), "binary")
    for chunk in cut_by_size(rows):
        assert copy_into(pair[1], table, ("n", "v"), "binary", chunk.data) == chunk.rows
    for connection in pair:
        shown.append([v for (v,) in fetch(connection, "SELECT v::text FROM s.values ORDER BY n")])
    return shown[0], shown[1]


def test_every_listed_type_is_built_in(pair: Pair) -> None:
    query = "SELECT typname FROM pg_type WHERE oid < %s AND typname = ANY(%s)"
    wanted = BINARY_SAFE | NATURAL_ORDER | BYTE_ORDER
    assert {name for (name,) in fetch(pair[0], query, FIRST_USER_OID, list(wanted))} == wanted


def test_every_binary_type_has_edges_here() -> None:
    assert set(EDGES) == BINARY_SAFE


@pytest.mark.parametrize("type_name", sorted(EDGES))
def test_edges_arrive_in_binary(pair: Pair, type_name: str) -> None:
    here, there = carried(pair, f'"{type_name}"' if type_name != "bit" else "bit(1)", EDGES[type_name])
    assert there == here
    assert len(here) == len(EDGES[type_name]) + 1


@pytest.mark.parametrize("type_name", sorted(EDGES))
def test_arrays_arrive_in_binary(pair: Pair, type_name: str) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    values = [quoted(value) for value in EDGES[type_name]]
    comma = ";" if type_name == "box" else ","
    arrays = ["{}", "{" + comma.join(values) + "}"]
    arrays.append("[-2:0]={" + comma.join([values[0], "NULL", values[-1]]) + "}")
    arrays.append("{{" + values[0] + "}" + comma + "{NULL}}")
    here, there = carried(pair, f'"{type_name}"[]' if type_name != "bit" else "bit(1)[]", arrays)
    assert there == here


def test_enums_and_domains_arrive_in_binary(pair: Pair) -> None:
    for connection, labels in zip(pair, ("('a', '字')", "('b', '字', 'a')"), strict=True):
        connection.execute(sql.SQL(f"CREATE TYPE s.letters AS ENUM {labels}"))
        connection.execute("CREATE DOMAIN s.letter AS s.letters")
    assert carried(pair, "s.letters", ["a", "字"]) == ([None, "a", "字"],) * 2
    assert carried(pair, "s.letter", ["a", "字"])[1][1:] == ["a", "字"]


COLUMNS = """
CREATE SCHEMA c;
CREATE TYPE c.e AS ENUM ('a');
CREATE TYPE c.pair AS (a int, b int);
CREATE TYPE c.span AS RANGE (subtype = float8);
CREATE DOMAIN c.d AS c.e;
CREATE DOMAIN c.dd AS int[];
CREATE TABLE c.t (safe_enum c.e, safe_domain c.d, safe_array int[], safe_domain_of_array c.dd,
  safe_text varchar(3), safe_numeric numeric(5,2),
  unsafe_composite c.pair, unsafe_composites c.pair[], unsafe_enums c.e[], unsafe_domains c.d[],
  unsafe_range c.span, unsafe_money money, unsafe_moneys money[], unsafe_class regclass,
  unsafe_query tsquery, unsafe_xml xml, unsafe_name name);
"""


def test_what_carries_oids_or_hangs_on_a_locale_is_not_binary(pair: Pair) -> None:
    pair[0].execute(COLUMNS)
    columns = read_catalog(pair[0], ["c"]).tables[0].columns
    assert len(columns) == 17
    assert [c.name for c in columns if c.binary_safe != c.name.startswith("safe_")] == []


KEYS = """
CREATE SCHEMA k;
CREATE COLLATION k.blind (provider = builtin, locale = 'C.UTF-8');
CREATE DOMAIN k.code AS text;
CREATE TYPE k.e AS ENUM ('b', 'a');
CREATE TABLE k.a_plain (t text PRIMARY KEY);
CREATE TABLE k.b_collated (t text COLLATE k.blind PRIMARY KEY);
CREATE TABLE k.c_domain (t k.code PRIMARY KEY);
CREATE TABLE k.d_mixed (n int, e k.e, i interval, PRIMARY KEY (n, e, i));
CREATE TABLE k.e_unique (n int NOT NULL UNIQUE, t text);
CREATE TABLE k.f_nullable (n int UNIQUE);
CREATE TABLE k.g_partial (n int NOT NULL); CREATE UNIQUE INDEX ON k.g_partial (n) WHERE n > 0;
CREATE TABLE k.h_expression (n int NOT NULL); CREATE UNIQUE INDEX ON k.h_expression ((n + 1));
CREATE TABLE k.i_deferrable (n int NOT NULL UNIQUE DEFERRABLE);
CREATE TABLE k.j_including (n int NOT NULL, m int); CREATE UNIQUE INDEX ON k.j_including (n) INCLUDE (m);
CREATE TABLE k.k_both (n int PRIMARY KEY, m int NOT NULL UNIQUE);
CREATE TABLE k.l_not_validated (n int UNIQUE); INSERT INTO k.l_not_validated VALUES (NULL), (NULL);
ALTER TABLE k.l_not_validated ADD CONSTRAINT later NOT NULL n NOT VALID;
"""


@pytest.mark.parametrize("bytewise", [True, False])
def test_the_key_of_a_table(pair: Pair, bytewise: bool) -> None:
    if not fetch(pair[0], "SELECT FROM pg_namespace WHERE nspname = 'k'"):
        pair[0].execute(KEYS)
    tables = read_catalog(pair[0], ["k"], Servers(bytewise, one_encoding=True)).tables
    plain = "natural" if bytewise else "bytes"
    assert {t.name: [(c.name, c.order) for c in t.key] for t in tables} == {
        "a_plain": [("t", plain)],
        "b_collated": [("t", "bytes")],
        "c_domain": [("t", plain)],
        "d_mixed": [("n", "natural"), ("e", "natural"), ("i", "text")],
        "e_unique": [("n", "natural")],
        "f_nullable": [],
        "g_partial": [],
        "h_expression": [],
        "i_deferrable": [],
        "j_including": [("n", "natural")],
        "k_both": [("n", "natural")],
        "l_not_validated": [],
    }


OBJECTS = """
CREATE SCHEMA o;
CREATE TABLE o.parent (y int) PARTITION BY LIST (y);
CREATE TABLE o.leaf PARTITION OF o.parent FOR VALUES IN (1);
CREATE TABLE o.base (a int); CREATE TABLE o.child () INHERITS (o.base);
CREATE UNLOGGED TABLE o.unlogged (a int, gone int, b int GENERATED ALWAYS AS (a + 1) STORED);
ALTER TABLE o.unlogged DROP gone;
CREATE VIEW o.a_view AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW o.z_first AS SELECT one FROM o.a_view;
CREATE VIEW o.between AS SELECT one FROM o.z_first;
CREATE MATERIALIZED VIEW o.a_second AS SELECT one FROM o.between WITH NO DATA;
CREATE SEQUENCE o.fresh; CREATE SEQUENCE o."used up" MAXVALUE 3; SELECT setval('o."used up"', 3);
"""


@pytest.fixture(scope="module")
def found(pair: Pair) -> Catalog:
    pair[0].execute(OBJECTS)
    return read_catalog(pair[0], ["o"])


def test_tables_are_those_that_hold_rows_themselves(found: Catalog) -> None:
    assert [t.label for t in found.tables] == ["o.base", "o.child", "o.leaf", "o.unlogged"]


def test_columns_are_those_that_are_left(found: Catalog) -> None:
    assert found.tables[3].columns == (
        Column(name="a", type="integer", binary_safe=True),
        Column(name="b", type="integer", binary_safe=True, generated=True),
    )


def test_materialised_views_come_after_what_they_read(found: Catalog) -> None:
    views = [(v.name, v.populated) for v in found.materialized_views]
    assert views == [("z_first", True), ("a_second", False)]


def test_sequences_stand_where_they_stand(pair: Pair, found: Catalog) -> None:
    stand = [(s.name, s.last_value, s.is_called) for s in read_sequences(pair[0], ["o"])]
    assert stand == [("fresh", 1, False), ("used up", 3, True)]
