"""Databases of every shape arrive equal, by the word of pg_dump; what cannot move is listed beforehand."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, cast

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from fixtures.contents import contents, run_sql
from fixtures.dumps import large_objects, schema_text, sorted_rows
from fixtures.runs import Runner, migrated, transferred
from handover.errors import PreflightFailed
from handover.local.clusters import Cluster
from handover.postgres.schema import dump_schema
from handover.stages.abort import abort_run
from handover.stages.context import Context
from handover.stages.inventory import check, inventory, is_acknowledged

ZOO = (Path(__file__).parent.parent / "fixtures" / "zoo.sql").read_text()
LONG = "名字很长的模式用来检查六十三字节的上限啊啊"
SCHEMAS = ["s", LONG]
# Which partition holds a row hangs on the OIDs of the enum: the rows of the root are compared instead.
MIXED = ("by_colour", "by_colours_1", "by_text")
T = TypeVar("T", str, bytes)


@pytest.fixture(autouse=True)
def reader(cluster: Cluster, second_cluster: Cluster) -> Iterator[None]:
    """A role that grants name, on both servers."""
    for server in (cluster, second_cluster):
        server.create_role("zoo_reader", "reader")
    yield


def assert_equal(source: str, target: str) -> None:
    """Compare two databases by pg_dump and by plain sorted COPY."""
    assert schema_text(target).splitlines() == schema_text(source).splitlines()
    assert merged(sorted_rows(target)) == merged(sorted_rows(source))
    assert large_objects(target) == large_objects(source)
    assert merged(contents(target)) == merged(contents(source))


def merged(tables: dict[str, list[T]]) -> dict[str, list[T]]:
    """Put the rows of partitions that may exchange them together under their root."""
    found: dict[str, list[T]] = {}
    for name, rows in tables.items():
        root = name[:-2] if name[2:-2] in MIXED and name[-2] == "_" else name
        found[root] = sorted(found.get(root, []) + rows)
    return found


# Rows that break what was declared NOT VALID or NOT ENFORCED move as they are, once somebody has said so.
ACCEPTED = [
    f"expectation:s.{name}"
    for name in (
        "constrained/too_late/check",
        "constrained/unenforced/check",
        "referring/maybe_null/not_null",
        "referring/tied/not_null",
        "referring/referring_p_fkey/foreign_key",
    )
]


def test_the_zoo_arrives(runner: Runner) -> None:
    source, target = runner.urls["src"], runner.urls["dst"]
    with psycopg.connect(source) as connection:
        connection.execute(ZOO)
    run_sql(
        target,
        "CREATE SCHEMA others; CREATE TABLE others.kept (); CREATE PUBLICATION kept FOR TABLE others.kept",
    )
    transferred(runner.open(source={"connection": "src", "schemas": SCHEMAS}, acknowledge=ACCEPTED))
    run_sql(target, "DROP SCHEMA others CASCADE; DROP PUBLICATION kept")
    assert_equal(source, target)


# What only a superuser may create, and what stands in no schema.
SUPERUSERS = """
CREATE SCHEMA s;
CREATE TYPE s.pair AS (a integer, b text);
CREATE FUNCTION s.pair_same(s.pair, s.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.a = $2.a';
CREATE FUNCTION s.pair_hash(s.pair) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1.a';
CREATE OPERATOR s.=== (LEFTARG = s.pair, RIGHTARG = s.pair, PROCEDURE = s.pair_same, HASHES);
CREATE OPERATOR FAMILY s.pair_family USING hash;
CREATE OPERATOR CLASS s.pair_ops FOR TYPE s.pair USING hash FAMILY s.pair_family
  AS OPERATOR 1 s.===, FUNCTION 1 s.pair_hash(s.pair);
CREATE TABLE s.pairs (id integer PRIMARY KEY, p s.pair);
INSERT INTO s.pairs VALUES (1, (1, 'x')), (2, (2, NULL));
CREATE INDEX ON s.pairs USING hash (p s.pair_ops);
CREATE TYPE s.word;
CREATE FUNCTION s.word_in(cstring) RETURNS s.word LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION s.word_out(s.word) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE s.word (INPUT = s.word_in, OUTPUT = s.word_out, LIKE = text);
CREATE CAST (s.word AS text) WITHOUT FUNCTION;
CREATE TABLE s.words (w s.word, PRIMARY KEY (id), id integer);
INSERT INTO s.words VALUES ('a', 1), ('词', 2);
CREATE TABLE s.seen (at timestamptz DEFAULT now(), tag text);
CREATE FUNCTION s.note_ddl() RETURNS event_trigger LANGUAGE plpgsql
  AS $$ BEGIN INSERT INTO s.seen (tag) VALUES (TG_TAG); END $$;
CREATE FUNCTION s.refuse_drop() RETURNS event_trigger LANGUAGE plpgsql
  AS $$ BEGIN RAISE EXCEPTION 'nothing is dropped here'; END $$;
CREATE EVENT TRIGGER note_ddl ON ddl_command_end EXECUTE FUNCTION s.note_ddl();
CREATE EVENT TRIGGER "refuse ""a"" drop" ON sql_drop WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA')
  EXECUTE FUNCTION s.refuse_drop();
ALTER EVENT TRIGGER "refuse ""a"" drop" ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER note_ddl IS 'an event trigger stands in no schema';
CREATE MATERIALIZED VIEW s.m AS SELECT count(*) FROM s.pairs;
DELETE FROM s.seen;
"""


@pytest.fixture
def by_superusers(runner: Runner, cluster: Cluster, second_cluster: Cluster) -> Runner:
    """The runner with superusers at all ends, its source filled."""
    between = runner.between(admin_of(cluster, runner, "src"), admin_of(second_cluster, runner, "dst"))
    run_sql(between.urls["src"], SUPERUSERS)
    return between


def admin_of(cluster: Cluster, runner: Runner, side: str) -> str:
    """The superuser's address of one side's database."""
    return cluster.admin_url(str(conninfo_to_dict(runner.urls[side])["dbname"]))


def test_what_superusers_made_arrives(by_superusers: Runner) -> None:
    transferred(by_superusers.open())
    assert_equal(by_superusers.urls["src"], by_superusers.urls["dst"])
    with psycopg.connect(by_superusers.urls["dst"]) as target:
        assert target.execute("SELECT count(*) FROM s.seen").fetchone() == (0,)  # our own DDL fired nothing
        target.execute("CREATE TABLE s.fires ()")
        assert target.execute("SELECT tag FROM s.seen").fetchall() == [("CREATE TABLE",)]
        with pytest.raises(psycopg.errors.RaiseException, match="nothing is dropped"):
            target.execute("DROP TABLE s.fires")


def test_without_superusers_it_is_listed(by_superusers: Runner, runner: Runner) -> None:
    mixed = runner.between(by_superusers.urls["src"], runner.urls["dst"])
    assert refusals(mixed.open()) == [
        "cast:(s.word AS text)",
        "event-trigger:note_ddl",
        'event-trigger:refuse "a" drop',
        "superusers-only:restore_test",
        "superusers-only:target",
    ]


def test_an_acknowledged_event_trigger_stays_behind(by_superusers: Runner, runner: Runner) -> None:
    source, target = by_superusers.urls["src"], runner.urls["dst"]
    run_sql(source, "DROP OPERATOR FAMILY s.pair_family USING hash CASCADE; DROP TYPE s.word CASCADE")
    run_sql(source, "DELETE FROM s.seen")
    ids = ["event-trigger:note_ddl", 'event-trigger:refuse "a" drop']
    mixed = runner.between(source, target)
    assert refusals(mixed.open("run-1", acknowledge=ids[1:])) == ids[:1]
    transferred(mixed.open("run-2", acknowledge=ids))
    run_sql(source, 'DROP EVENT TRIGGER note_ddl; DROP EVENT TRIGGER "refuse ""a"" drop"')
    # Exempt: the owner, who is a superuser in the source.
    assert schema_text(target) == schema_text(source).replace("postgres", "company")
    assert contents(target) == contents(source)


def test_an_abort_takes_everything_back(by_superusers: Runner) -> None:
    source, target = by_superusers.urls["src"], by_superusers.urls["dst"]
    run_sql(source, "CREATE PUBLICATION ours FOR TABLE s.pairs")
    theirs = "CREATE SCHEMA o; CREATE TABLE o.t (); CREATE PUBLICATION theirs FOR TABLE o.t; CREATE SCHEMA s"
    run_sql(target, theirs)
    before = schema_text(target)
    migrated(by_superusers.open())
    filled = schema_text(target)
    assert all(f"CREATE {what}" in filled for what in ("EVENT TRIGGER", "PUBLICATION ours", "CAST"))
    abort_run(by_superusers.open())
    assert schema_text(target) == before


def refusals(context: Context) -> list[str]:
    """The ids of what the inventory refuses."""
    with pytest.raises(PreflightFailed) as caught:
        inventory(context)
    assert "very secret" not in str(caught.value)
    return sorted(cast("list[str]", caught.value.data["findings"]))


# One for each thing that does not move: what a superuser makes, and which ids it is listed under.
LEFT_BEHIND = {
    "CREATE PUBLICATION all_tables FOR ALL TABLES": ["publication:all_tables"],
    "CREATE PUBLICATION schemas FOR TABLES IN SCHEMA s": ["publication:schemas"],
    "CREATE TABLE o.t (); CREATE PUBLICATION two FOR TABLE s.t, o.t; COMMENT ON PUBLICATION two IS 'x'": [
        "publication:two"
    ],
    "CREATE FUNCTION o.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
    "CREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION o.e(); COMMENT ON EVENT TRIGGER e IS 'x'": [
        "event-trigger:e"
    ],
    "CREATE TYPE s.a AS ENUM (); CREATE TYPE o.c AS ENUM ();"
    "CREATE FUNCTION o.cast_it(s.a) RETURNS o.c LANGUAGE sql AS 'SELECT NULL::o.c';"
    "CREATE CAST (s.a AS o.c) WITH FUNCTION o.cast_it(s.a)": ["cast:(s.a AS o.c)"],
    "CREATE CAST (bytea AS point) WITH INOUT": ["cast:(bytea AS point)"],
    "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w;"
    "CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (password 'very secret');"
    "COMMENT ON SERVER far IS 'far'; GRANT USAGE ON FOREIGN SERVER far TO PUBLIC;"
    "CREATE FOREIGN TABLE s.away (x int) SERVER far;"
    "CREATE VIEW s.near AS SELECT x FROM s.away; CREATE VIEW s.nearer AS SELECT x FROM s.near;"
    "CREATE MATERIALIZED VIEW s.kept AS SELECT x FROM s.nearer WITH NO DATA": [
        "foreign-data-wrapper:w",
        "foreign-server:far",
        "foreign-table:s.away",
        "reads-foreign-table:s.kept",
        "reads-foreign-table:s.near",
        "reads-foreign-table:s.nearer",
    ],
    "CREATE SUBSCRIPTION sub CONNECTION 'password=very-secret' PUBLICATION p"
    " WITH (connect = false, slot_name = NONE)": ["subscription:sub"],
    "CREATE LANGUAGE other HANDLER plpgsql_call_handler": ["language:other"],
    "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;"
    "CREATE TABLE s.other (a int) USING heap2; INSERT INTO s.other VALUES (1)": [
        "access-method:heap2",
        "table-access-method:heap2",
    ],
    "ALTER DATABASE {} SET work_mem = '5MB';"
    "ALTER ROLE company IN DATABASE {} SET app.password = 'very secret'": ["database-settings"],
    "COMMENT ON DATABASE {} IS 'very secret'": ["database-comment"],
    "REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC": ["database-grants"],
    "GRANT EXECUTE ON FUNCTION pg_reload_conf() TO PUBLIC; REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC": [
        "system-grants"
    ],
    "ALTER DEFAULT PRIVILEGES FOR ROLE company GRANT SELECT ON TABLES TO PUBLIC": [
        "default-privileges:company"
    ],
    "CREATE DOMAIN s.others AS int": ["owners"],
    "CREATE TABLE s.p (a int) PARTITION BY LIST (a);CREATE TABLE o.p1 PARTITION OF s.p FOR VALUES IN (1)": [
        "child-outside:o.p1"
    ],
    "CREATE TABLE s.base (a int); CREATE TABLE o.derived () INHERITS (s.base)": ["child-outside:o.derived"],
    "CREATE MATERIALIZED VIEW s.v AS SELECT 1 AS x; CREATE MATERIALIZED VIEW s.w AS SELECT x FROM s.v;"
    "REFRESH MATERIALIZED VIEW s.v WITH NO DATA": ["reads-unfilled-view:s.w"],
}
# A cast, a publication and an event trigger of others alone are none of the case's business.
OF_OTHERS = """
CREATE TYPE o.x AS ENUM (); CREATE CAST (o.x AS json) WITH INOUT;
CREATE TABLE o.u (); CREATE PUBLICATION others FOR TABLE o.u;
"""


def test_what_cannot_move_is_listed_and_can_be_accepted(runner: Runner, cluster: Cluster) -> None:
    source, target = runner.urls["src"], runner.urls["dst"]
    run_sql(source, "CREATE SCHEMA s; CREATE TABLE s.t (a int); INSERT INTO s.t VALUES (1); CREATE SCHEMA o")
    ids = sorted(finding for found in LEFT_BEHIND.values() for finding in found)
    admin = admin_of(cluster, runner, "src")
    name = str(conninfo_to_dict(source)["dbname"])
    try:
        for script in (*LEFT_BEHIND, OF_OTHERS):
            run_sql(admin, script.replace("{}", name))
        hand_over(admin)
        context = runner.open("run-1")
        assert refusals(context) == ids
        listed = check(context)
        for left_out in ids:
            accepting = runner.open("run-1", acknowledge=[finding for finding in ids if finding != left_out])
            assert [f.id for f in listed if not is_acknowledged(accepting, f)] == [left_out]
        transferred(runner.open("run-2", acknowledge=ids))
        assert b"very secret" not in dump_schema(context.programs, admin, ["s", "o"])
    finally:
        run_sql(admin, "DROP SUBSCRIPTION IF EXISTS sub")
    assert set(sorted_rows(target)) == {"s.t", "s.other", "s.base"}
    arrived = schema_text(target)
    assert [
        what for what in ("EVENT", "PUBLICATION", "CAST", "SERVER", "MAPPING", "AWAY") if what in arrived
    ] == []


def hand_over(admin: str) -> None:
    """Give the relations and enums that a superuser made to the ordinary role."""
    relations = (
        "SELECT 'TABLE', oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND relnamespace IN ('s'::regnamespace, 'o'::regnamespace) AND relowner <> 'company'::regrole"
    )
    with psycopg.connect(admin) as connection:
        for kind, name in connection.execute(relations).fetchall():
            connection.execute(f"ALTER {kind} {name} OWNER TO company")


# What rests on another schema, by what the finding calls it.
OUTSIDE = {
    "view s.v": "CREATE TABLE o.t (a int); CREATE VIEW s.v AS SELECT a FROM o.t",
    "column e of table s.enums": "CREATE TYPE o.e AS ENUM ('x'); CREATE TABLE s.enums (e o.e)",
    "default value": "CREATE SEQUENCE o.q; CREATE TABLE s.numbers (a int DEFAULT nextval('o.q'))",
    "trigger t": "CREATE FUNCTION o.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE TRIGGER t BEFORE INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION o.f()",
    "table s.child": "CREATE TABLE o.parent (a int); CREATE TABLE s.child () INHERITS (o.parent)",
    "constraint t_a_check": "CREATE FUNCTION o.ok(int) RETURNS bool LANGUAGE sql AS 'SELECT true';"
    "ALTER TABLE s.t ADD CHECK (o.ok(a))",
    "table s.collated": 'CREATE COLLATION o.c FROM "C"; CREATE TABLE s.collated (t text COLLATE o.c)',
    "function s.f": "CREATE TYPE o.r AS (x int); CREATE FUNCTION s.f(o.r) RETURNS int LANGUAGE sql RETURN 1",
}


def test_what_rests_on_another_schema_is_refused(runner: Runner) -> None:
    source = runner.urls["src"]
    run_sql(
        source, "CREATE SCHEMA s; CREATE SCHEMA o; CREATE TABLE s.t (a int); " + ";".join(OUTSIDE.values())
    )
    found = refusals(runner.open("run-1"))
    assert all(finding.startswith("leaves-scope:") for finding in found)
    parts = [part for part in OUTSIDE if not any(part.split(" of ")[-1] in finding for finding in found)]
    assert parts == []
    transferred(runner.open("run-2", source={"connection": "src", "schemas": ["s", "o"]}))
    assert_equal(source, runner.urls["dst"])


def test_many_tables(runner: Runner) -> None:
    many_tables(runner, 150)


@pytest.mark.campaign
def test_two_thousand_tables(runner: Runner) -> None:
    many_tables(runner, 2000)


def many_tables(runner: Runner, count: int) -> None:
    """Move a database of small tables."""
    with psycopg.connect(runner.urls["src"], autocommit=True) as source:
        source.execute("CREATE SCHEMA s")
        for number in range(count):
            source.execute(
                f"CREATE TABLE s.t{number} (id integer PRIMARY KEY, name text DEFAULT 'none', at date);"
                f"INSERT INTO s.t{number} SELECT n, 'row ' || n FROM generate_series(1, {number % 5}) n"
            )
    transferred(runner.open())
    assert_equal(runner.urls["src"], runner.urls["dst"])
