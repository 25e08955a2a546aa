"""A predicate says what the server would take it for, or is refused; no way leads past the grammar."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from fixtures.clusters import databases
from handover.errors import CaseInvalid, DataRefused, HandoverError, NotReady
from handover.local.clusters import Cluster
from handover.postgres.predicates import parse_predicate
from handover.postgres.row_classes import checked_predicate, class_problems, classify_rows
from handover.postgres.session import Connection, connect, fetch

TABLE = """
CREATE SCHEMA s;
CREATE TYPE s.colour AS ENUM ('red', '绿', 'it''s');
CREATE TABLE s.things (
  id int PRIMARY KEY, n numeric, big bigint, real float8, name text, code char(4), born date, at timestamp,
  zoned timestamptz, colour s.colour, doc jsonb, tags text[], ok boolean, "Odd ""Name" int, "名字" text
);
INSERT INTO s.things VALUES
  (1, 1.5, 10, 0.5, 'Ann', 'ab', '2020-02-29', '2020-02-29 10:00', '2020-02-29 10:00+00', 'red',
   '{"a": 1}', '{x,y}', true, 7, '张三'),
  (2, -2, NULL, 'NaN', 'Bob %s', 'cd', '2024-12-31', NULL, '2024-12-31 23:30+00', '绿', '{"b": "c"}', '{}',
   false, NULL, NULL),
  (3, NULL, -3, 0, NULL, NULL, NULL, '2021-01-01', NULL, NULL, NULL, NULL, NULL, 0, ''),
  (4, 0, 4, -1, 'it''s "O"', 'ab', '1999-01-01', '1999-01-01', '1999-01-01 00:00+08', 'it''s',
   '[1]', '{y}', true, 4, '李四');
CREATE FUNCTION s.always(anyelement) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE TYPE s.pair AS (a int, b int);
CREATE FUNCTION s.number(s.pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1.a';
CREATE CAST (s.pair AS int) WITH FUNCTION s.number(s.pair) AS IMPLICIT;
CREATE TABLE s.pairs (p s.pair);
CREATE SEQUENCE s.sequence;
CREATE VIEW s.seen AS SELECT * FROM s.things;
"""
COLUMNS = [
    "id", "n", "big", "real", "name", "code", "born", "at", "zoned", "colour", "doc", "tags", "ok",
    'Odd "Name', "名字",
]  # fmt: skip
MEANINGS = {
    "id = 1": [1],
    "ID = 1 OR iD >= 4": [1, 4],
    "not id in (1, 2) and id <> 3": [4],
    "n IS NULL": [3],
    "n IS NOT NULL AND ok IS NOT TRUE": [2],
    "ok": [1, 4],
    "ok IS UNKNOWN": [3],
    "big BETWEEN 4 AND 10": [1, 4],
    "big NOT BETWEEN 4 AND 10": [3],
    "big IS DISTINCT FROM 10": [2, 3, 4],
    "name LIKE 'B%' OR name ILIKE 'ann'": [1, 2],
    "name NOT LIKE '%n%'": [2, 4],
    "name = 'it''s \"O\"'": [4],
    "name = 'Bob %s'": [2],
    "colour = '绿' OR colour IN ('it''s')": [2, 4],
    "born < DATE_TRUNC('year', at)": [],
    "born >= '2020-01-01' AND born < '2021-01-01'": [1],
    "extract(year from born) = 2024": [2],
    "extract(YEAR FROM at) - 20 = 2001": [3],
    '"Odd ""Name" > 3': [1, 4],
    "\"名字\" = '张三' or 名字 = '李四'": [1, 4],
    "doc ->> 'b' = 'c'": [2],
    "doc @> '{\"a\": 1}'": [1],
    "tags @> '{y}' AND tags && '{x,z}'": [1],
    "length(name) > 3 AND lower(left(name, 1)) = 'b'": [2],
    "coalesce(n, 0) = 0": [3, 4],
    "nullif(n, 0) IS NULL": [3, 4],
    "greatest(n, big) = 10": [1],
    "CASE WHEN n > 0 THEN id WHEN n < 0 THEN -id ELSE 0 END < 0": [2],
    "CASE WHEN ok THEN ok END": [1, 4],
    "- id + 2 * 3 = 5": [1],
    "7 / 2. = 3.5 AND id = 1": [1],
    "7 / 2 = 3 AND id = 1": [1],
    "1e1 = big": [1],
    "name || 'x' = 'Annx'": [1],
    "name || id + 1 = 'Ann2'": [1],
    "id = 1 OR id = 2 AND ok": [1],
    "NOT id = 1 AND NOT ok OR id = 4": [2, 4],
    "name ~ '^[AB]' AND name !~* 'ANN'": [2],
    "CAST(name AS text) = 'Ann'": [1],
    "zoned < '2020-03-01 00:00+00'": [1, 4],
    "real = 'NaN'": [2],
    "real::double precision < 0": [4],
    "code = 'ab  '": [1, 4],
    "true": [1, 2, 3, 4],
    "id::text::varchar::text = '1'": [1],
    "ok" + " AND ok" * 1200: [1, 4],
    "id" + " + 1" * 900 + " = 901": [1],
    "id" + "::int" * 1500 + " = 1": [1],
    "NOT " * 2000 + "ok": [1, 4],
    "(" * 29 + "id = 1" + ")" * 29: [1],
    "NOT NOT NOT (id = 1)": [2, 3, 4],
    "name = 'today'::text OR id = 3": [3],
    "(((id))) = (1)": [1],
}
REFUSED = {
    "": "expected a column",
    "id": "not one boolean expression",
    "'x'": "no value of the type",
    "1": "not one boolean expression",
    "id = 1; DROP TABLE s.things": "something that no predicate may hold",
    "id = 1 -- rest": "something that no predicate may hold",
    "id = 1 /* in */": "something that no predicate may hold",
    "id = $1": "something that no predicate may hold",
    "name = $$x$$": "something that no predicate may hold",
    "name = E'x'": "something that no predicate may hold",
    "name = U&'x'": "something that no predicate may hold",
    "name = 'x": "something that no predicate may hold",
    "name = 'a' 'b'": "expected the end",
    "s.things.id = 1": "something that no predicate may hold",
    "t.id = 1": "something that no predicate may hold",
    "id = (SELECT 1)": "expected a column, literal or function",
    "EXISTS (SELECT 1)": "the function exists is not allowed",
    "id = ANY (tags)": "the function any is not allowed",
    "ctid = '(0,1)'": "the table has no column 'ctid'",
    "tableoid = 1": "the table has no column 'tableoid'",
    "Name = 1 AND nAmme = 'x'": "the table has no column 'namme'",
    '"Name" = 1': "the table has no column 'Name'",
    "current_user = name": "the table has no column 'current_user'",
    "pg_sleep(10) IS NULL": "the function pg_sleep is not allowed",
    "random() < 1": "the function random is not allowed",
    "always(id)": "the function always is not allowed",
    "count(id) > 1": "the function count is not allowed",
    "generate_series(1, 2) = 1": "the function generate_series is not allowed",
    "replace(name, 'a', 'aa') = ''": "the function replace is not allowed",
    "repeat(name, 1000000000) = ''": "the function repeat is not allowed",
    "born < 'today'": "another moment each day",
    "born < ' Now '::date": "another moment each day",
    "name::regclass IS NULL": "the type is not allowed in a cast",
    "colour::colour IS NULL": "the type is not allowed in a cast",
    "(id, n) = (1, 2)": "expected )",
    "id = 1 = true": "expected the end",
    "id NOT 1": "expected IN, BETWEEN, LIKE or ILIKE",
    "id = 1 AND": "expected a column, literal or function, got the end",
    "id IN ()": "expected a column, literal or function",
    "CASE id WHEN 1 THEN true END": "expected WHEN",
    "id = 1 COLLATE \"C\"": "expected the end",
    "colour::text = '绿'": "hangs on more than the row",  # a label can be renamed
    "zoned < born": "hangs on more than the row",
    "zoned::date = '2020-01-01'": "hangs on more than the row",
    "date_trunc('day', zoned) = zoned": "hangs on more than the row",
    "id = 'secret'": "no value of the type",
    "born = '2021-02-29'": "no value of the type",
    "colour = 'blue'": "no value of the type",
    "id / 0 = 1 AND 1 / 0 = 1": "no value of the type",
    "name = 1": "does not fit the types",
    "NOT name": "no boolean|not one boolean expression",
    "lower(id) = 'x'": "does not fit the types",
    "((" * 40 + "id = 1" + "))" * 40: "nested deeper",
    "-" + " - " * 80 + "id = 1": "nested deeper",
    "id = 1\0": "something that no predicate may hold",
    "id ? 1": "something that no predicate may hold",
    "id = 1_000": "expected the end",
    "id OPERATOR(pg_catalog.=) 1": "something that no predicate may hold",
}  # fmt: skip


@pytest.fixture(scope="module")
def session(cluster: Cluster) -> Iterator[Connection]:
    with databases(cluster) as factory:
        url = factory("predicates", owner="predicates_owner")
        with psycopg.connect(url) as setup:
            setup.execute(TABLE)
        with closing(connect(url, read_only=True)) as connection:
            yield connection


def matching(session: Connection, condition: sql.Composable) -> list[int]:
    query = sql.SQL("SELECT id FROM s.things AS t WHERE {} ORDER BY id").format(condition)
    return [row[0] for row in fetch(session, query)]


@pytest.mark.parametrize("text", MEANINGS, ids=lambda text: text[:60])
def test_a_predicate_selects_the_rows_that_it_means(session: Connection, text: str) -> None:
    assert matching(session, checked_predicate(session, "s", "things", text)) == MEANINGS[text]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:60])
def test_what_is_not_one_allowed_expression_is_refused(session: Connection, text: str) -> None:
    with pytest.raises(CaseInvalid, match=REFUSED[text].replace("(", r"\(").replace(")", r"\)")) as caught:
        checked_predicate(session, "s", "things", text)
    assert caught.value.hint


def test_the_place_and_the_nearest_column_are_named_but_no_literal(session: Connection) -> None:
    with pytest.raises(
        CaseInvalid, match=r"at character 8: the table has no column 'nme'.*\n.*mean \"name\"\?"
    ):
        checked_predicate(session, "s", "things", "ok AND nme = 'Ann Secret'")
    for text in (
        "id = 'Ann Secret'",
        "name = 'Ann Secret' 'Ann Secret'",
        "ok AND 'Ann Secret'",
        "x('Ann Secret')",
    ):
        with pytest.raises(CaseInvalid) as caught:
            checked_predicate(session, "s", "things", text)
        assert "Secret" not in str(caught.value)


def test_a_users_function_is_never_called(session: Connection) -> None:
    """An implicit cast of a user's own type would run the user's code."""
    with pytest.raises(CaseInvalid, match="function or operator of the database's users"):
        checked_predicate(session, "s", "pairs", "p = 1")


def test_a_users_function_cannot_stand_in_for_the_servers_own(session: Connection) -> None:
    with closing(psycopg.connect(session.info.dsn + f" password={session.info.password}")) as setup:
        setup.execute(
            "CREATE FUNCTION s.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT NULL::text'"
        )
        setup.execute(
            "CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT NULL'"
        )
        setup.commit()
    assert matching(session, checked_predicate(session, "s", "things", "lower(name) = 'ann'")) == [1]


@pytest.mark.parametrize("name", ["seen", "nothing", "things_pkey"])
def test_only_a_tables_columns_are_known(session: Connection, name: str) -> None:
    with pytest.raises(CaseInvalid, match="no column"):
        checked_predicate(session, "s", name, "id = 1")


def test_nothing_is_left_behind(session: Connection) -> None:
    for text in ("id = 1", "id = 'x'", "id"):
        with suppress(CaseInvalid):
            checked_predicate(session, "s", "things", text)
    assert session.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert fetch(session, "SELECT count(*) FROM pg_class WHERE relpersistence = 't'")[0][0] == 0


def test_an_open_transaction_is_not_ended_by_a_proof(session: Connection) -> None:
    session.execute("BEGIN")
    with pytest.raises(NotReady, match="inside a transaction"):
        checked_predicate(session, "s", "things", "id = 1")
    assert session.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    session.execute("ROLLBACK")


NUMBERS = st.sampled_from(["id", "n", "big", "1", "2.5", "3", "-id", "- 2", "(n)", "length(name)", "id::int"])
SUMS = st.sampled_from(["+", "-", "*", "/", "%"])
TESTS = st.sampled_from(
    ["= 2", "<> 1", "< id", "IS NULL", "BETWEEN 0 AND 3", "NOT IN (1, 2)", "IS DISTINCT FROM n"]
)
TRUTHS = st.sampled_from(["ok", "NOT ok", "true", "NULL", "name LIKE '%n%'", "NOT name || id = 'Ann1'"])
JOINTS = st.sampled_from(["AND", "OR", "AND NOT", "OR NOT"])
WILD = st.sampled_from(
    ["=", "<", "||", "+", "IS TRUE OR", "IS NOT NULL =", "::text ||", "LIKE", "AND", "IN (1) ="]
)


@st.composite
def flat_texts(draw: st.DrawFn) -> str:
    """Sums, tests of them, and truths in a row, with nothing to say what binds tighter; some of it wild."""

    def row(atoms: st.SearchStrategy[str], joints: st.SearchStrategy[str]) -> str:
        text = draw(atoms)
        for _ in range(draw(st.integers(0, 3))):
            text += f" {draw(joints)} {draw(atoms)}"
        return text

    if draw(st.integers(0, 4)) == 0:
        return row(NUMBERS | TRUTHS, WILD)
    tested = st.builds(lambda test: f"{row(NUMBERS, SUMS)} {test}", TESTS)
    return row(TRUTHS | tested, JOINTS)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flat_texts())
def test_operators_bind_as_the_server_binds_them(session: Connection, text: str) -> None:
    """What the grammar accepts gives for every row what the text itself gives, or the same refusal."""
    try:
        condition = parse_predicate(text, COLUMNS)
    except CaseInvalid:
        return
    answers = []
    for form in (sql.SQL(text), condition):
        try:
            query = sql.SQL("SELECT ({})::text FROM s.things AS t ORDER BY id").format(form)
            answers.append(fetch(session, query))
        except psycopg.Error as problem:
            answers.append(problem.sqlstate)
    assert answers[0] == answers[1]


CLASSES = {
    "closed": "n < 0",
    "open": "n >= 0 AND n < 1",
    "also open": "n = 0",
}


def classes(session: Connection, **texts: str) -> dict[str, sql.Composable]:
    return {name: checked_predicate(session, "s", "things", text) for name, text in texts.items()}


def test_rows_without_class_with_several_and_unknown_ones_are_counted_apart(session: Connection) -> None:
    found = classify_rows(session, sql.SQL("s.things"), classes(session, **CLASSES))
    assert (found.rows, found.by_class) == (4, {"closed": 1, "open": 0, "also open": 0})
    assert (found.none, found.several, found.unknown) == (1, 1, 1)
    assert not found.complete
    problems = class_problems(("classes", 0), "s.things", found)
    assert [problem.said for problem in problems] == [
        "1 rows of s.things match no class",
        "1 rows of s.things match several classes",
        "1 rows of s.things make a predicate NULL",
    ]


def test_a_null_blocks_even_where_another_class_matches(session: Connection) -> None:
    found = classify_rows(session, sql.SQL("s.things"), classes(session, one="id > 0", other="big < -100"))
    assert (found.by_class, found.unknown, found.complete) == ({"one": 3, "other": 0}, 1, False)


def test_classes_that_part_the_rows_are_complete(session: Connection) -> None:
    found = classify_rows(session, sql.SQL("s.things"), classes(session, low="id < 3", high="id >= 3"))
    assert (found.by_class, found.complete) == ({"low": 2, "high": 2}, True)
    assert class_problems((), "s.things", found) == []
    some = classify_rows(
        session, sql.SQL("s.things"), classes(session, low="id < 3", high="id >= 3"), sql.SQL("t.id > 1")
    )
    assert (some.rows, some.by_class) == (3, {"low": 1, "high": 2})
    assert classify_rows(session, sql.SQL("s.things"), {}).none == 4


def test_a_predicate_runs_only_where_nothing_can_be_written(
    database: Callable[..., str], session: Connection
) -> None:
    with closing(connect(database())) as writer, writer.transaction():
        writer.execute("CREATE SCHEMA s; CREATE TABLE s.things (id int)")
        with pytest.raises(NotReady, match="outside a read-only transaction"):
            classify_rows(writer, sql.SQL("s.things"), {"all": sql.SQL("true")})
    # Even a condition that was never proven cannot write.
    session.execute("BEGIN READ ONLY")
    with pytest.raises(HandoverError, match="SQLSTATE 25006"):
        classify_rows(session, sql.SQL("s.things"), {"x": sql.SQL("nextval('s.sequence') > 0")})
    session.execute("ROLLBACK")


def test_a_predicate_that_takes_too_long_is_ended(
    session: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handover.postgres.row_classes.SCAN_SECONDS", 1)
    with pytest.raises(DataRefused, match="SQLSTATE 57014"):
        classify_rows(session, sql.SQL("s.things"), {"slow": sql.SQL("pg_sleep(60) IS NULL")})
