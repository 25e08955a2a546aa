"""The search for raw values on a real PostgreSQL: planted in any kind of column they are found, else not."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from fixtures.clusters import databases
from fixtures.contents import run_sql
from fixtures.versions import old_cluster
from handover.errors import DataRefused
from handover.evidence.digest import token
from handover.local.clusters import Cluster
from handover.postgres.membership import Membership, search_database
from handover.postgres.session import connect
from handover.risk.persons import Person, Persons
from handover.risk.raw_values import RawValues
from handover.risk.searching import Search

KEY = b"k" * 32
MOBILE, IDENTITY, CARD, EMAIL, CODE = (
    "13800138000",
    "11010519491231002X",
    "6222021234567890123",
    "San.Zhang@example.com",
    "91110105MA0012345X",
)
TABLE = """
CREATE SCHEMA s;
CREATE TYPE s.place AS (street text, number int);
CREATE DOMAIN s.remark AS varchar(200);
CREATE TABLE s.odd (
    "Kéy" int PRIMARY KEY, remark s.remark, fixed char(30), profile jsonb, raw json, tags text[],
    documents jsonb[], scan bytea, scans bytea[], place s.place, words tsvector, number bigint,
    amount numeric, ratio float8, born_on date, flag boolean);
INSERT INTO s.odd ("Kéy", remark, fixed, profile, raw, tags, documents, scan, scans, place, words, number,
                   amount, ratio, born_on, flag)
SELECT n, '备注 ' || n, 'x', '{"a": 1}', '{"b": "c"}', '{a,b}', '{}', '\\x00ff', NULL,
       ROW('a', 1)::s.place, 'a b', n, n / 7.0, n / 3.0, '2020-01-01', true FROM generate_series(1, 300) n;
"""
# Each with the column where it is planted, as SQL.
PLANTED = {
    "in a remark": ("remark", f"'客户手机{MOBILE}，勿扰'"),
    "after a line end and a tab": ("remark", f"E'一\\n{MOBILE}\\t二'"),
    "with the country code and spaces": ("remark", "'+86 138 0013 8000'"),
    "in full width": ("remark", "'电话１３８００１３８０００'"),
    "with hyphens": ("remark", "'138-0013-8000'"),
    "a card in groups": ("remark", "'卡号6222 0212 3456 7890 123'"),
    "an identity number in lower case": ("fixed", f"'{IDENTITY.lower()}'"),
    "an e-mail in another case": ("remark", "'to:<san.zhang@EXAMPLE.com>'"),
    "an e-mail after a line end": ("remark", f"E'x\\n{EMAIL}'"),
    "in jsonb": ("profile", f"""'{{"a": {{"b": ["x", "{MOBILE}"]}}}}'"""),
    "as a number in jsonb": ("profile", f"""'{{"a": {MOBILE}}}'"""),
    "as a key in jsonb": ("profile", f"""'{{"{MOBILE}": 1}}'"""),
    "after an escape in jsonb": ("profile", f"""'{{"a": "x\\n{EMAIL}"}}'"""),
    "escaped in json": ("raw", """'{"a": "\\uff11\\u0033800138000"}'"""),
    "in an array": ("tags", f"ARRAY['a', 'b {CODE}']"),
    "in jsonb in an array": ("documents", f"""ARRAY['{{"a": "x\\n{EMAIL}"}}'::jsonb]"""),
    "in bytea": ("scan", f"convert_to('扫描件 {IDENTITY}', 'UTF8')"),
    "in bytea as UTF-16": ("scan", "'\\x" + MOBILE.encode("utf-16-le").hex() + "'"),
    "in bytea among line ends": ("scan", f"convert_to(E'a\\t\\n{EMAIL}\\n', 'UTF8')"),
    "in an array of bytea": ("scans", f"ARRAY['\\x00', convert_to('x {CARD}', 'UTF8')]"),
    "in a composite": ("place", f"ROW('{MOBILE}', 3)"),
    "in a text search vector": ("words", f"to_tsvector('simple', 'a {MOBILE}')"),
    "as a bigint": ("number", MOBILE),
    "as a numeric": ("amount", MOBILE),
    "as a float": ("ratio", MOBILE),
}


def values() -> RawValues:
    """One of each kind, and many more, so that the search is not for a handful."""
    found = RawValues()
    found.add("mobile", [MOBILE, *(f"139{n:08d}" for n in range(1000))])
    found.add("resident_id", [IDENTITY])
    found.add("bank_card", [CARD])
    found.add("email", [EMAIL])
    found.add("uscc", [CODE])
    return found


def row_token(parts: Sequence[bytes]) -> str:
    return token(KEY, *parts)


def search(url: str, find: Callable | None = None, **options: object) -> Membership:
    with closing(connect(url, read_only=True)) as connection:
        return search_database(connection, find or Search(values()), row_token, **options)


@pytest.fixture(scope="module")
def odd(cluster: Cluster) -> Iterator[str]:
    """A table with a column of every kind and no value that is looked for; tests put it back so."""
    with databases(cluster) as factory:
        url = factory("odd")
        run_sql(url, TABLE)
        yield url


def test_what_is_absent_is_not_found_and_everything_was_read(odd: str) -> None:
    found = search(odd)
    assert found.findings == () and found.not_searched == () and found.absent
    [table] = found.searched
    assert set(table.columns) == {
        *("remark", "fixed", "profile", "raw", "tags", "documents", "scan", "scans", "place", "words"),
        *("number", "amount", "ratio"),
    }
    assert table.rows == 300 and table.bytes > 300 * 20
    assert found.cannot_hold == ("s.odd.Kéy", "s.odd.born_on", "s.odd.flag")


@pytest.mark.parametrize("column, planted", PLANTED.values(), ids=PLANTED)
def test_a_planted_value_is_found(odd: str, column: str, planted: str) -> None:
    run_sql(odd, f'INSERT INTO s.odd ("Kéy", {column}) VALUES (1000, {planted})')
    try:
        [finding] = search(odd).findings
        assert (finding.schema_name, finding.table, finding.column) == ("s", "odd", column)
        assert finding.cells == 1 and list(finding.kinds.values()) == [1]
        assert finding.row_tokens == (token(KEY, b"1000"),)
    finally:
        run_sql(odd, 'DELETE FROM s.odd WHERE "Kéy" = 1000')


def test_findings_hold_no_value(odd: str, database: Callable[..., str]) -> None:
    url = database("leak")
    run_sql(url, "CREATE TABLE t (id text PRIMARY KEY, remark text)")
    run_sql(url, f"INSERT INTO t VALUES ('{MOBILE}', 'x {IDENTITY}')")
    found = search(url)
    assert {finding.column for finding in found.findings} == {"id", "remark"}
    assert MOBILE not in found.model_dump_json() and IDENTITY not in found.model_dump_json()
    assert found.findings[1].row_tokens == (token(KEY, MOBILE.encode()),)


def test_a_column_whose_output_may_hide_text_is_listed(
    cluster: Cluster, database: Callable[..., str]
) -> None:
    url = database("hidden")
    run_sql(
        url,
        "CREATE TYPE sealed AS (label text, scan bytea);"
        "CREATE TABLE t (id int PRIMARY KEY, seal sealed, x text)",
    )
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(cluster.admin_url(name), autocommit=True) as admin:
        admin.execute("CREATE TYPE own")
        for function, takes, gives in (("byteain", "cstring", "own"), ("byteaout", "own", "cstring")):
            admin.execute(
                f"CREATE FUNCTION own_{function}({takes}) RETURNS {gives} LANGUAGE internal IMMUTABLE STRICT"
                f" AS '{function}'"
            )
        admin.execute("CREATE TYPE own (INPUT = own_byteain, OUTPUT = own_byteaout)")
        admin.execute("CREATE TABLE u (id int, secret own[])")
        admin.execute("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w")
        admin.execute("CREATE FOREIGN TABLE f (x text) SERVER far")
    found = search(url)
    assert [(one.table, one.column) for one in found.not_searched] == [
        ("f", "x"),
        ("t", "seal"),
        ("u", "secret"),
    ]
    assert not found.absent, "what was not read is no proof"


def test_hstore_xml_views_partitions_and_large_objects_are_read(
    cluster: Cluster, database: Callable[..., str]
) -> None:
    url = database("places")
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(cluster.admin_url(name), autocommit=True) as admin:
        admin.execute("CREATE EXTENSION hstore")
    run_sql(
        url,
        f"""
        CREATE TABLE h (id int PRIMARY KEY, pairs hstore, markup xml);
        INSERT INTO h (id, pairs) VALUES (1, 'phone=>"+86 {MOBILE}"');
        CREATE TABLE keyless (remark text);
        INSERT INTO keyless VALUES ('a'), ('{CARD}');
        CREATE TABLE p (id int, remark text) PARTITION BY RANGE (id);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
        INSERT INTO p VALUES (1, '{EMAIL}');
        CREATE TABLE parent (id int, remark text);
        CREATE TABLE child () INHERITS (parent);
        INSERT INTO child VALUES (1, '{IDENTITY}');
        CREATE MATERIALIZED VIEW v AS SELECT remark AS note FROM p;
        CREATE MATERIALIZED VIEW empty AS SELECT 'x {MOBILE}' AS note WITH NO DATA;
        SELECT lo_from_bytea(0, convert_to('文件 {CODE}', 'UTF8'));
        """,
    )
    found = search(url)
    assert {(one.table, one.column, *one.kinds) for one in found.findings} == {
        ("h", "pairs", "mobile"),
        ("keyless", "remark", "bank_card"),
        ("p1", "remark", "email"),
        ("child", "remark", "resident_id"),
        ("v", "note", "email"),
        ("pg_largeobject", "data", "uscc"),
    }
    assert "markup" in next(one for one in found.searched if one.table == "h").columns


def test_cells_of_persons_handed_over_in_clear_are_excepted(database: Callable[..., str]) -> None:
    url = database("clear")
    run_sql(url, "CREATE TABLE t (id int PRIMARY KEY, mobile text, remark text)")
    run_sql(url, f"INSERT INTO t VALUES (1, '{MOBILE}', '{MOBILE}'), (2, '{MOBILE}', NULL)")
    clear = token(KEY, b"1")
    found = search(url, excepted=lambda *cell: cell == ("public", "t", "mobile", clear))
    assert found.excepted == 1
    assert [(one.column, one.row_tokens) for one in found.findings] == [
        ("mobile", (token(KEY, b"2"),)),
        ("remark", (clear,)),
    ]


def test_many_rows_over_many_reads_keep_their_places(database: Callable[..., str]) -> None:
    url = database("many")
    run_sql(
        url,
        "CREATE TABLE t (id int PRIMARY KEY, a text, b bytea);"
        "INSERT INTO t SELECT n, repeat('文字 ， ' || n, 10), convert_to(repeat('内容 ' || n, 9), 'UTF8')"
        " FROM generate_series(1, 60000) n;"
        f"UPDATE t SET a = a || ' {MOBILE}' WHERE id % 20000 = 7;"
        f"UPDATE t SET b = b || convert_to(' {CARD}', 'UTF8') WHERE id % 20000 = 9",
    )
    read: list[int] = []
    found = search(url, between=read.append)
    assert len(read) > 3
    tokens = {one.column: set(one.row_tokens) for one in found.findings}
    assert tokens == {
        "a": {token(KEY, str(n).encode()) for n in (7, 20007, 40007)},
        "b": {token(KEY, str(n).encode()) for n in (9, 20009, 40009)},
    }


def test_compressed_files_are_counted(database: Callable[..., str]) -> None:
    url = database("closed")
    run_sql(url, "CREATE TABLE t (id int PRIMARY KEY, f bytea)")
    run_sql(url, "INSERT INTO t VALUES (1, '\\x1f8b0800'), (2, '\\x89504e470d0a'), (3, '\\x41'), (4, NULL)")
    [table] = search(url).searched
    assert (table.rows, table.closed) == (4, 2)


def test_two_of_three_of_one_person_in_a_row(database: Callable[..., str]) -> None:
    url = database("persons")
    run_sql(url, "CREATE TABLE t (id int PRIMARY KEY, name text, born_on date, home jsonb, seen timestamptz)")
    run_sql(
        url,
        """INSERT INTO t VALUES
        (1, '王小明', '1985-06-12', NULL, NULL), (2, '王小明', '1990-01-02', NULL, NULL),
        (3, '李四', '1985-06-12', NULL, NULL), (4, 'x', NULL, '{"a": "示例省示例市示例路3号 王小明"}', NULL),
        (5, 'x', NULL, '{"a": "示例省示例市示例路3号"}', '1985-06-12 08:00+00'),
        (6, '李四', NULL, NULL, NULL)""",
    )
    persons = Persons(
        [Person("王小明", "1985-06-12", "示例省示例市示例路3号"), Person("李四", "1990-01-02", None)]
    )
    found = search(url, persons, with_dates=True)
    assert {(one.column, one.cells, *one.kinds) for one in found.findings} == {
        ("home", 2, "address + birth_date", "address + name"),
        ("name", 1, "birth_date + name"),
    }
    assert set(found.findings[1].row_tokens) == {token(KEY, b"1")}


def test_a_table_that_may_not_be_read_is_an_error_not_a_gap(
    cluster: Cluster, database: Callable[..., str]
) -> None:
    url = database("shut")
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(cluster.admin_url(name), autocommit=True) as admin:
        admin.execute("CREATE TABLE public.shut (remark text)")
    with pytest.raises(DataRefused, match=r"searching public\.shut"):
        search(url)


@pytest.mark.parametrize("major", [15])
def test_an_older_version_is_searched_as_well(cluster_home: Path, major: int) -> None:
    with old_cluster(cluster_home, major) as old, databases(old) as factory:
        url = factory("odd")
        run_sql(url, TABLE)
        assert search(url).absent
        run_sql(url, f'INSERT INTO s.odd ("Kéy", scans) VALUES (1000, {PLANTED["in an array of bytea"][1]})')
        assert [finding.column for finding in search(url).findings] == ["scans"]
