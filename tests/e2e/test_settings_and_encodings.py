"""Servers whose defaults and encodings differ: what is read is read alike, and arrives equal."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fixtures.contents import contents, run_sql
from fixtures.dumps import schema_text, sorted_rows
from fixtures.runs import Runner, transferred
from handover.errors import DataRefused, PreflightFailed
from handover.local.clusters import Cluster

VALUES = r"""
CREATE SCHEMA s;
CREATE TABLE s.moments (at timestamptz PRIMARY KEY, local timestamp, day date, lasting interval, t timetz);
INSERT INTO s.moments SELECT timestamptz '2020-03-04 22:30:00+00' + n * interval '7 hours', now(),
  '2020-02-01', n * interval '-1 year 2 mons -3 days 04:05:06.789', '01:02:03+08'
  FROM generate_series(1, 50) n;
CREATE TABLE s.keyed_by_interval (i interval PRIMARY KEY, f float8, r real, m money, b bytea, texts text[]);
INSERT INTO s.keyed_by_interval VALUES
  ('1 day', 0.1::float8 + 0.2, 1.0::real / 3, 12.34, '\x00ff5c27', '{NULL,"NULL",a}'),
  ('-1 month 1 day', 'NaN', '-0', -5, '', '{}'), ('1 month -1 day', 1e-300, 1e38, NULL, NULL, NULL);
CREATE TABLE s.words (w text PRIMARY KEY, e text DEFAULT E'it''s\t\\', d date DEFAULT '2020-02-01',
  CHECK (e IS NULL OR w <> e));
INSERT INTO s.words VALUES (E'back\\slash'), ('it''s'), ('表情😀'), ('é'), ('中文'), ('Z'), ('a');
CREATE TABLE s.no_key (i interval, f float8, at timestamptz);
INSERT INTO s.no_key SELECT i, f, now() FROM s.keyed_by_interval;
CREATE VIEW s.recent AS SELECT * FROM s.moments WHERE at > '2020-03-05 00:00+00' AND lasting < '1 day';
CREATE FUNCTION s.tomorrow() RETURNS date LANGUAGE sql RETURN date '2020-02-01' + 1;
CREATE MATERIALIZED VIEW s.days AS SELECT at::date AS day, count(*), min(at)::text AS first
  FROM s.moments GROUP BY 1;
"""
# Everything that changes what a value looks like, or how a definition or a statement is read.
UNUSUAL = {
    "datestyle": "SQL, DMY",
    "timezone": "Asia/Shanghai",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-3",
    "search_path": "s, public",
    "client_encoding": "GB18030",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "standard_conforming_strings": "off",
    "row_security": "off",
    "lc_monetary": "C.utf8",
    "lc_time": "C.utf8",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "check_function_bodies": "on",
    "statement_timeout": "20min",
    "default_text_search_config": "pg_catalog.german",
}
OTHERWISE = UNUSUAL | {
    "datestyle": "German, MDY",
    "timezone": "America/St_Johns",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "0",
    "search_path": "",
    "client_encoding": "LATIN1",
    "quote_all_identifiers": "off",
    "array_nulls": "on",
}


def name_of(url: str) -> str:
    return str(conninfo_to_dict(url)["dbname"])


def configure(cluster: Cluster, url: str, settings: dict[str, str]) -> None:
    """Give a database defaults of its own; none puts the server's back."""
    with psycopg.connect(cluster.admin_url(), autocommit=True) as admin:
        database = sql.Identifier(name_of(url))
        admin.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(database))
        for name, value in settings.items():
            literal = sql.Literal(value) if name != "search_path" else sql.SQL(value or "''")
            statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
            admin.execute(statement.format(database, sql.SQL(name), literal))


@pytest.mark.parametrize("sides", ["src", "dst", "src dst"])
def test_defaults_of_either_side_change_nothing(
    runner: Runner, cluster: Cluster, second_cluster: Cluster, sides: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = runner.urls["src"], runner.urls["dst"]
    run_sql(source, VALUES)
    configure(cluster, source, UNUSUAL if "src" in sides else {})
    run_sql(source, "SET TRANSACTION READ WRITE; REFRESH MATERIALIZED VIEW s.days")  # under them
    configure(second_cluster, target, OTHERWISE if "dst" in sides else {})
    with monkeypatch.context() as environment:
        environment.setenv("PGCLIENTENCODING", "GB18030")
        transferred(runner.open(acknowledge=["database-settings"]))
    configure(cluster, source, {})
    configure(second_cluster, target, {})
    assert schema_text(target).splitlines() == schema_text(source).splitlines()
    assert sorted_rows(target) == sorted_rows(source)
    assert contents(target) == contents(source)


@contextmanager
def encoded(cluster: Cluster, runner: Runner, side: str, encoding: str) -> Iterator[str]:
    """A database of another encoding in place of one side's."""
    name = f"encoded_{secrets.token_hex(4)}"
    with psycopg.connect(cluster.admin_url(), autocommit=True) as admin:
        statement = (
            "CREATE DATABASE {} OWNER company TEMPLATE template0 ENCODING {} LOCALE_PROVIDER libc LOCALE 'C'"
        )
        admin.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(encoding)))
    yield make_conninfo(runner.urls[side], dbname=name)
    cluster.drop_database(name)


# 啊 comes before 一 in EUC_CN, after it in UTF-8.
EUC_CN = ["啊", "一", "吧", "丁", "a", "阿", "Z", "中文", "中", "", "座", "亍", "（", "１"]
LATIN1 = ["é", "z", "ä", "Z", "a", "ß", "", "ÿ", "éa", "e"]
ENCODED = """
CREATE SCHEMA s;
CREATE TYPE s.e AS ENUM ({values});
CREATE DOMAIN s.d AS varchar(20);
CREATE TABLE s.keyed (k text PRIMARY KEY, e s.e, v varchar(8), d s.d DEFAULT {first}, j json);
CREATE TABLE s.composed (k char(8), d s.d, n integer, PRIMARY KEY (k, d));
CREATE TABLE s.keyless (a text, b varchar(4));
CREATE TABLE s.parted (k text, n integer, PRIMARY KEY (k, n)) PARTITION BY HASH (k);
CREATE TABLE s.parted_0 PARTITION OF s.parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE s.parted_1 PARTITION OF s.parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE s.{first_name} ({first_name} integer);
COMMENT ON TABLE s.keyed IS {first};
CREATE MATERIALIZED VIEW s.m AS SELECT k, length(k) FROM s.keyed;
CREATE TYPE s.r AS RANGE (subtype = text);
CREATE TABLE s.by_range (r s.r PRIMARY KEY);
INSERT INTO s.by_range VALUES ('[a,b)'), ('empty'), ('(,z]');
"""


def fill(url: str, words: list[str]) -> None:
    """Make the tables and put every word everywhere."""
    with psycopg.connect(url, client_encoding="utf8") as connection:
        values = sql.SQL(", ").join(map(sql.Literal, words))
        first = {"first": sql.Literal(words[0]), "first_name": sql.Identifier(words[0])}
        connection.execute(sql.SQL(ENCODED).format(values=values, **first))
        for number, word in enumerate(words):
            json = '{"' + word + '": "' + word + '"}'
            connection.execute(
                "INSERT INTO s.keyed VALUES (%s, %s, %s, %s, %s)", (word, word, word, word, json)
            )
            connection.execute("INSERT INTO s.composed VALUES (%s, %s, %s)", (word, words[-number], number))
            connection.execute("INSERT INTO s.keyless SELECT %s, 'x' FROM generate_series(1, 2)", (word,))
            connection.execute("INSERT INTO s.parted SELECT %s, generate_series(1, 9)", (word,))
        connection.execute("REFRESH MATERIALIZED VIEW s.m")


def read(url: str) -> dict[str, list[bytes]]:
    """Everything as UTF-8, partitions of one table together."""
    found = contents(make_conninfo(url, client_encoding="utf8"))
    found["parted"] = sorted(found.pop("s.parted_0") + found.pop("s.parted_1"))
    return {name: sorted(rows) for name, rows in found.items()}


@pytest.mark.parametrize(("encoding", "words"), [("EUC_CN", EUC_CN), ("LATIN1", LATIN1)])
def test_a_source_of_another_encoding(
    runner: Runner, cluster: Cluster, encoding: str, words: list[str]
) -> None:
    with encoded(cluster, runner, "src", encoding) as source:
        fill(source, words)
        transferred(runner.between(source, runner.urls["dst"]).open())
        assert read(runner.urls["dst"]) == read(source)
        run_sql(runner.urls["dst"], "INSERT INTO s.keyed (k) VALUES ('another')")


def test_both_of_another_encoding(runner: Runner, cluster: Cluster, second_cluster: Cluster) -> None:
    with (
        encoded(cluster, runner, "src", "EUC_CN") as source,
        encoded(second_cluster, runner, "dst", "EUC_CN") as target,
    ):
        fill(source, EUC_CN)
        between = runner.between(source, target)
        between.urls["scratch"] = runner.urls["dst"]
        transferred(between.open(restore_test={"connection": "scratch"}))
        assert read(target) == read(source)


def test_a_source_without_an_encoding_is_read_as_utf8(runner: Runner, cluster: Cluster) -> None:
    with encoded(cluster, runner, "src", "SQL_ASCII") as source:
        url = make_conninfo(source, client_encoding="utf8")
        run_sql(
            url,
            "CREATE SCHEMA s; CREATE TABLE s.keyed (k text PRIMARY KEY); CREATE TABLE s.keyless (v text)",
        )
        for word in EUC_CN:
            run_sql(url, f"INSERT INTO s.keyed VALUES ('{word}'); INSERT INTO s.keyless VALUES ('{word}')")
        transferred(runner.between(source, runner.urls["dst"]).open(acknowledge=["encoding-unknown"]))
        assert contents(runner.urls["dst"]) == contents(url)


def test_text_that_is_no_utf8_is_refused_and_not_quoted(runner: Runner, cluster: Cluster) -> None:
    with encoded(cluster, runner, "src", "SQL_ASCII") as source:
        with psycopg.connect(source) as connection:
            connection.execute("CREATE SCHEMA s; CREATE TABLE s.t (t text)")
            connection.execute("SET standard_conforming_strings = off")
            connection.execute(rb"INSERT INTO s.t VALUES (E'secret \xb0\xa1')".decode())
        between = runner.between(source, runner.urls["dst"])
        with pytest.raises(PreflightFailed, match="encoding-unknown"):
            transferred(between.open("run-1"))
        with pytest.raises(DataRefused, match=r"reading s\.t from the source.*22021") as caught:
            transferred(between.open("run-2", acknowledge=["encoding-unknown"]))
        assert "secret" not in str(caught.value)


ORDERED_BY_BYTES = """
CREATE SCHEMA s;
CREATE TABLE s.documents (id integer PRIMARY KEY, j jsonb);
INSERT INTO s.documents VALUES (1, '{"plain": "价值"}');
"""


def test_jsonb_between_encodings_is_listed(runner: Runner, cluster: Cluster) -> None:
    with encoded(cluster, runner, "src", "EUC_CN") as source:
        run_sql(make_conninfo(source, client_encoding="utf8"), ORDERED_BY_BYTES)
        between = runner.between(source, runner.urls["dst"])
        with pytest.raises(PreflightFailed, match=r"order-by-encoding: .*s\.documents\.j"):
            transferred(between.open("run-1"))
        transferred(between.open("run-2", acknowledge=["order-by-encoding"]))
