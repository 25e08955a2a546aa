"""Schema objects: taken apart exactly as pg_dump lists them, applied elsewhere, compared by name."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from fixtures.clusters import databases
from fixtures.contents import run_sql
from fixtures.dumps import schema_text
from handover.errors import Busy, DataRefused
from handover.local.clusters import Cluster
from handover.postgres import schema
from handover.postgres.schema import (
    SchemaEntry,
    apply_entry,
    compare_entries,
    dump_schema,
    pattern,
    read_entries,
    schema_digest,
)
from handover.postgres.session import connect
from handover.postgres.tools import ClientPrograms

PROGRAMS = ClientPrograms(os.environ)
SECTIONS = ("pre-data", "post-data")
SCHEMA = """
CREATE SCHEMA s;
CREATE SCHEMA "Odd ""Schema""; Type: TABLE";
CREATE TABLE s.a (id int PRIMARY KEY, name text DEFAULT 'private default');
CREATE TABLE s."two
lines" (id int REFERENCES s.a);
CREATE TABLE "Odd ""Schema""; Type: TABLE".t (id int);
CREATE INDEX by_name ON s.a (name);
COMMENT ON TABLE s.a IS 'private comment
-- Completed on 2020-01-01
--
-- PostgreSQL database dump complete
--';
CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS $$ SELECT 1; -- ; $$;
CREATE VIEW s.v AS SELECT id FROM s.a;
"""
IMITATION = """
CREATE FUNCTION s.imitator() RETURNS text LANGUAGE sql AS $$ SELECT '
--
-- TOC entry {number} (class 1259 OID 16384)
-- Name: a; Type: TABLE; Schema: s; Owner: company
--
DROP TABLE s.a' $$;
"""
Database = Callable[..., str]


def entries(url: str, *schemas: str, section: str = "") -> list[SchemaEntry]:
    archive = dump_schema(PROGRAMS, url, schemas or ("s",))
    return [e for s in ([section] if section else SECTIONS) for e in read_entries(archive, s)]


@pytest.fixture(scope="module")
def filled(cluster: Cluster) -> Iterator[str]:
    with databases(cluster) as factory:
        url = factory("schema", owner="schema_owner")
        run_sql(url, SCHEMA)
        yield url


def test_objects_come_apart_by_section(filled: str) -> None:
    before = [e.label for e in entries(filled, section="pre-data")]
    after = [e.label for e in entries(filled, section="post-data")]
    assert {"SCHEMA s", "TABLE s.a", "FUNCTION s.f()", "VIEW s.v", "COMMENT s.TABLE a"} <= set(before)
    assert {"INDEX s.by_name", "CONSTRAINT s.a a_pkey"} <= set(after)
    assert not set(before) & set(after)


def test_definitions_hold_nothing_of_their_neighbours(filled: str) -> None:
    found = {e.label: e.sql for e in entries(filled)}
    assert found["SCHEMA s"] == "CREATE SCHEMA s;"
    assert found["INDEX s.by_name"] == "CREATE INDEX by_name ON s.a USING btree (name);"
    assert found["FUNCTION s.f()"].endswith("SELECT 1; -- ; $$;")
    assert found["COMMENT s.TABLE a"].endswith("\n--';")
    assert not any("TOC entry" in text or "dump complete\n--\n\n" in text for text in found.values())


def test_a_key_rests_on_its_table(filled: str) -> None:
    found = {e.label: e for e in entries(filled)}
    assert found["TABLE s.a"].id in found["CONSTRAINT s.a a_pkey"].depends


def test_what_was_taken_apart_makes_the_same_schema(filled: str, target_database: Database) -> None:
    target = target_database(owner="schema_owner")
    names = ("s", 'Odd "Schema"; Type: TABLE')
    with closing(connect(target)) as connection:
        for entry in entries(filled, *names):
            apply_entry(connection, entry, "test: creating")
    assert schema_text(target) == schema_text(filled)
    assert compare_entries(entries(filled, *names), entries(target, *names)) == []


def test_a_pattern_means_exactly_one_schema(filled: str, database: Database) -> None:
    assert pattern('a"b') == '"a""b"'
    url = database()
    run_sql(url, 'CREATE SCHEMA "s*"; CREATE SCHEMA s1; CREATE SCHEMA "S"; CREATE TABLE s1.t (); ')
    assert [e.label for e in entries(url, "s*")] == ["SCHEMA s*"]
    assert [e.label for e in entries(url, "S")] == ["SCHEMA S"]


@pytest.mark.parametrize("number", ["999999", "{known}"], ids=["unknown id", "id of another object"])
def test_a_body_that_imitates_a_header_is_refused(filled: str, database: Database, number: str) -> None:
    url = database()
    run_sql(url, SCHEMA)
    known = next(e.id for e in entries(url) if e.label == "TABLE s.a")
    run_sql(url, IMITATION.format(number=number.format(known=known)))
    with pytest.raises(DataRefused, match="pre-data of the schema dump cannot be taken apart") as caught:
        entries(url)
    assert "imitates" in caught.value.hint
    assert "DROP TABLE" not in str(caught.value)


def test_a_schema_without_keys_and_indexes(database: Database) -> None:
    url = database()
    run_sql(url, "CREATE SCHEMA s; CREATE TABLE s.t (a int)")
    assert entries(url, section="post-data") == []
    assert [e.label for e in entries(url)] == ["SCHEMA s", "TABLE s.t"]


def test_the_digest_does_not_hang_on_order_or_ids(filled: str) -> None:
    found = entries(filled)
    again = [replace(e, id=e.id + 7, depends=frozenset()) for e in reversed(found)]
    assert schema_digest(again) == schema_digest(found)


def test_the_digest_shows_every_change(filled: str) -> None:
    found = entries(filled)
    variants = [schema_digest(found), schema_digest(found[1:]), schema_digest([*found, found[0]])]
    variants += [
        schema_digest([replace(found[0], **{name: value}), *found[1:]])
        for name, value in {"sql": "other", "name": "other", "schema": "other", "type": "OTHER"}.items()
    ]
    for place, entry in enumerate(found):
        variants.append(schema_digest([*found[:place], replace(entry, sql="one"), *found[place + 1 :]]))
    moved = replace(found[0], name=found[0].name[:-1], sql=found[0].name[-1] + found[0].sql)
    variants.append(schema_digest([moved, *found[1:]]))
    assert len(set(variants)) == len(variants)


def test_equal_schemas_made_in_another_order_are_equal(database: Database) -> None:
    one, other = database(), database()
    run_sql(one, "CREATE SCHEMA s; CREATE TABLE s.a (id int); CREATE TABLE s.b (id int)")
    run_sql(
        other, "CREATE TABLE gone (); CREATE SCHEMA s; CREATE TABLE s.b (id int); CREATE TABLE s.a (id int)"
    )
    assert schema_digest(entries(one)) == schema_digest(entries(other))


def test_differences_are_named_and_not_quoted(database: Database) -> None:
    one, other = database(), database()
    run_sql(one, SCHEMA)
    run_sql(other, SCHEMA.replace("private default", "another").replace("CREATE INDEX", "-- "))
    run_sql(other, "CREATE VIEW s.more AS SELECT 1 AS one")
    assert compare_entries(entries(one), entries(other)) == [
        "INDEX s.by_name is missing",
        "TABLE s.a is defined otherwise: name",
        "VIEW s.more is not in the source",
    ]


def test_a_schema_that_is_there_already_is_not_in_the_way(target_database: Database) -> None:
    entry = SchemaEntry(1, "SCHEMA", "-", "s", frozenset(), "CREATE SCHEMA s;")
    with closing(connect(target_database())) as connection:
        apply_entry(connection, entry, "test: creating")
        apply_entry(connection, entry, "test: creating")


def test_a_refused_object_is_named_without_its_definition(target_database: Database) -> None:
    entry = SchemaEntry(1, "TABLE", "s", "a", frozenset(), "CREATE TABLE s.a (n absent DEFAULT 'private');")
    with (
        closing(connect(target_database())) as connection,
        pytest.raises(DataRefused, match=r"test: creating: TABLE s\.a: .*SQLSTATE") as caught,
    ):
        apply_entry(connection, entry, "test: creating")
    assert "private" not in str(caught.value)


def test_a_table_that_stays_locked_is_tried_again_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = database()
    run_sql(url, SCHEMA)
    monkeypatch.setattr(schema, "LOCK_SECONDS", 1)
    with closing(connect(url)) as other, other.transaction():
        other.execute("LOCK TABLE s.a IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Busy, match="pg_dump: a table stayed locked"):
            entries(url)


def test_foreign_tables_stay_behind(cluster: Cluster, database: Database) -> None:
    url = database()
    run_sql(url, SCHEMA)
    name = url.rsplit("/", 1)[1]
    run_sql(
        cluster.admin_url(name),
        "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER far FOREIGN DATA WRAPPER nothing"
        ' OPTIONS (password \'private\'); CREATE FOREIGN TABLE s."far ""away""" (a int) SERVER far',
    )
    assert [e.label for e in entries(url) if "far" in e.label + e.sql] == []
