"""Where bytes of erased rows stay: found before, gone after, and every check can say that they are not."""

import psycopg
import pytest

from fixtures.residue import (
    CANARY,
    ERASE,
    Site,
    cleaned,
    doubts,
    found,
    lab,
    name,
    now,
    open_window,
    outcomes,
    report,
    session,
    site,
)
from handover.model.residue import PLACES, Rewritten, Statistics, Wal
from handover.postgres.residue import cleaning as steps
from handover.postgres.residue import rewriting, statistics
from handover.postgres.residue.cleaning import clean
from handover.postgres.residue.inspecting import inspect, inspect_files
from handover.postgres.residue.searching import search_files
from handover.postgres.residue.storage import begin
from handover.risk.in_bytes import BytesSearch
from handover.risk.raw_values import RawValues

__all__ = ["lab", "site"]

# Constants in a DO block are not taken out of the text that the server keeps.
STATEMENT = f"DO $$ BEGIN PERFORM '{CANARY.decode()}'; END $$"
STORED = ("heap", "toast", "indexes")


def paths(site: Site, *relations: str) -> set[str]:
    """The files of relations, from the data directory on."""
    with psycopg.connect(site.admin) as connection:
        return {
            str(connection.execute("SELECT pg_relation_filepath(%s::regclass)", (one,)).fetchone()[0])
            for one in relations
        }


def test_values_are_there_before_and_gone_after(site: Site) -> None:
    site.run_as_admin(STATEMENT)
    site.run(ERASE)
    before = site.searched()
    assert paths(site, "t", "by_name", "m", "pg_statistic", "pg_statistic_ext_data") <= before
    assert {one.split("/")[0] for one in before} >= {"base", "pg_wal", "pg_stat_tmp"}
    with session(site.admin) as connection:
        done = cleaned(connection)
        said = outcomes(connection, done)
        assert said.keys() == PLACES.keys() - {"data-directory"}
        assert doubts(said) == set()
        assert {place for place, outcome in said.items() if outcome == "cleared"} == {
            *(*STORED, "statistics", "extended-statistics", "materialized-views", "statement-texts", "wal")
        }
        assert inspect_files(connection, site.cluster.data, found).outcome == "cleared"
    assert site.searched() == set()


SWITCHED_OFF = {
    "rewrite": (
        lambda _c, _b, table, *_: Rewritten(table=table, dead=0),
        {*STORED, "statistics", "extended-statistics"},
    ),
    "_refresh": (lambda *_: True, {"materialized-views", "statistics"}),
    "renew_statistics": (lambda *_: Statistics(), {"statistics", "extended-statistics"}),
    "_reset_statements": (lambda *_: True, {"statement-texts"}),
    "overwrite_wal": (lambda *_: Wal(first="0", last="0", switches=0), {"wal"}),
}


@pytest.mark.parametrize("step", SWITCHED_OFF)
def test_a_step_that_is_switched_off_is_missed(
    site: Site, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead, expected = SWITCHED_OFF[step]
    site.run_as_admin(STATEMENT)
    site.run(ERASE)
    monkeypatch.setattr(steps, step, instead)
    with session(site.admin) as connection:
        said = report(connection, cleaned(connection))
        assert doubts({place: one.outcome for place, one in said.items()}) == expected
        assert {said[place].outcome for place in expected} == {"not cleared"}
        files = inspect_files(connection, site.cluster.data, found)
    assert files.outcome == "not cleared" and files.counts["hits"] > 0
    assert site.searched()


@pytest.mark.parametrize("table", ["pg_statistic", "pg_statistic_ext_data"])
def test_catalogs_of_statistics_keep_old_entries(
    site: Site, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.run(ERASE)
    monkeypatch.setattr(steps, "CATALOGS", [one for one in steps.CATALOGS if one.name != table])
    with session(site.admin) as connection:
        place = "statistics" if table == "pg_statistic" else "extended-statistics"
        assert doubts(outcomes(connection, cleaned(connection))) == {place}
    assert site.searched() == paths(site, table)


def test_the_names_of_values_are_nowhere(site: Site) -> None:
    """A report is read by many: it counts, and names relations only."""
    with session(site.admin) as connection:
        done = cleaned(connection)
        said = inspect(connection, done, found)
    assert sum(not one.clean for one in said) > 0
    assert CANARY.decode() not in done.model_dump_json() + "".join(one.model_dump_json() for one in said)


def test_a_session_that_still_sees_the_rows_is_named(site: Site) -> None:
    with psycopg.connect(site.owner) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT count(*) FROM t")
        site.run(ERASE)
        with session(site.admin) as connection:
            said = report(connection, cleaned(connection))
            for place in STORED:
                assert said[place].outcome == "not cleared"
                assert f"session {reader.info.backend_pid} of role company" in said[place].reasons[0].en
    assert site.searched() & paths(site, "t")


def test_a_prepared_transaction_is_named(site: Site) -> None:
    with psycopg.connect(site.owner) as other:
        other.execute("CREATE TABLE unrelated ()")
        number = other.execute("SELECT txid_current()").fetchone()[0]
        other.execute("PREPARE TRANSACTION 'waits'")
    try:
        site.run(ERASE)
        with session(site.owner) as connection:
            said = report(connection, cleaned(connection))
            assert f"prepared transaction {number}" in said["heap"].reasons[0].en
            assert str(number) in said["prepared-transactions"].reasons[0].en
    finally:
        site.run("ROLLBACK PREPARED 'waits'")


def test_a_logical_slot_keeps_rows_of_catalogs_and_log(site: Site) -> None:
    site.run_as_admin("SELECT pg_create_logical_replication_slot('late', 'test_decoding')")
    try:
        site.run(ERASE)
        with session(site.admin) as connection:
            said = report(connection, cleaned(connection))
        assert doubts({place: one.outcome for place, one in said.items()}) == {
            *("logical-slots", "statistics", "extended-statistics", "wal")
        }
        assert "replication slot late" in said["statistics"].reasons[0].en
        assert said["wal"].counts["older segments"] > 0
        assert said["wal"].outcome == "not cleared"
    finally:
        site.run_as_admin("SELECT pg_drop_replication_slot('late')")


def test_a_holder_that_nobody_saw_shows_in_the_count(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "holders", lambda *_, **__: ())
    with psycopg.connect(site.owner) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT count(*) FROM pg_class")
        site.run(ERASE)
        with session(site.owner) as connection:
            said = report(connection, cleaned(connection))
    assert said["heap"].outcome == "cannot be verified"
    assert said["heap"].counts["dead rows"] >= 400


def test_a_table_that_became_empty_keeps_no_statistics(site: Site) -> None:
    site.run("DELETE FROM t")
    with session(site.admin) as connection:
        assert doubts(outcomes(connection, cleaned(connection))) == set()
    assert site.searched() == set()


def test_of_an_empty_table_an_owner_cannot_take_extended_statistics_away(site: Site) -> None:
    site.run("DELETE FROM t")
    with session(site.owner) as connection:
        said = report(connection, cleaned(connection))
    assert said["statistics"].outcome == "cleared"
    assert said["extended-statistics"].outcome == "not cleared"
    assert "public.t" in said["extended-statistics"].reasons[0].en


def test_before_version_18_an_owner_cannot_take_any_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_CAN_CLEAR", "SELECT false")
    site.run("DELETE FROM t")
    with session(site.owner) as connection:
        done = cleaned(connection)
        assert set(done.statistics.left) == {name("t"), name("m")}
        assert report(connection, done)["statistics"].outcome == "not cleared"


def test_entries_are_judged_without_the_values_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search knows unique values only; an old entry holds names as well."""
    monkeypatch.setattr(statistics, "_CAN_CLEAR", "SELECT false")
    site.run("DELETE FROM t")
    with session(site.owner) as connection:
        said = {one.place: one for one in inspect(connection, cleaned(connection), lambda _: False)}
    assert said["statistics"].outcome == "not cleared"


FAMILY = """
CREATE TABLE parent (id int, v text);
CREATE TABLE child () INHERITS (parent);
INSERT INTO child SELECT n, 'CANARY-7-planted' FROM generate_series(1, 50) n;
INSERT INTO child SELECT n, 'kept' FROM generate_series(1, 50) n;
CREATE TABLE whole (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF whole FOR VALUES FROM (0) TO (30);
CREATE TABLE high PARTITION OF whole FOR VALUES FROM (30) TO (1000);
INSERT INTO whole TABLE child;
CREATE INDEX ON child ((v || '-made'));
DROP MATERIALIZED VIEW m;
DROP TABLE t;
CREATE FUNCTION hidden() RETURNS SETOF text LANGUAGE plpgsql
  AS 'BEGIN RETURN QUERY SELECT v FROM public.whole; END';
CREATE MATERIALIZED VIEW by_function AS SELECT * FROM hidden() AS v;
CREATE VIEW between AS SELECT v FROM by_function;
CREATE MATERIALIZED VIEW above AS SELECT v FROM between;
ANALYZE;
"""


def test_partitions_parents_and_views_above_are_found(site: Site) -> None:
    site.run(FAMILY)
    site.run("DELETE FROM child WHERE v <> 'kept'; DELETE FROM whole WHERE v <> 'kept'")
    with session(site.admin) as connection:
        done = cleaned(connection, name("child"), name("whole"))
        assert set(done.begun.tables) == {name("child"), name("low"), name("high")}
        assert set(done.begun.above) == {name("parent"), name("whole")}
        assert done.begun.views == (name("by_function"), name("above"))
        assert doubts(outcomes(connection, done)) == set()
    assert site.searched() == set()


def test_large_objects_that_are_left_are_searched(site: Site) -> None:
    site.run(
        "SELECT lo_from_bytea(4711, convert_to(repeat('x', 9000) || 'CANARY-7-planted', 'UTF8')); "
        "SELECT lo_from_bytea(4712, 'kept')"
    )
    site.run(ERASE)
    with session(site.owner) as connection:
        one = report(connection, cleaned(connection))["large-objects"]
        assert one.outcome == "not cleared" and one.counts["with an erased value"] == 1
        site.run("SELECT lo_unlink(4711)")
        assert report(connection, cleaned(connection))["large-objects"].outcome == "cleared"
    assert site.searched() & paths(site, "pg_largeobject") == set()


def test_space_of_a_removed_large_object_is_not_forgotten(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.run("SELECT lo_from_bytea(4711, 'CANARY-7-planted')")
    site.run("SELECT lo_unlink(4711)")
    monkeypatch.setattr(steps, "CATALOGS", steps.CATALOGS[:2])
    with session(site.owner) as connection:
        assert report(connection, cleaned(connection))["large-objects"].outcome == "not cleared"
    assert site.searched() & paths(site, "pg_largeobject")


NEEDS_A_RIGHT = {
    "heap": "ownership of table",
    "toast": "ownership of table",
    "indexes": "ownership of table",
    "statistics": "SELECT",
    "extended-statistics": "ownership",
    "materialized-views": "ownership of the view",
    "large-objects": "SELECT on large objects",
    "statement-texts": "EXECUTE on its reset",
    "temporary-files": "pg_monitor",
    "wal": "pg_switch_wal",
}


def as_reader(site: Site) -> str:
    """The address of a role that may connect, and nothing else."""
    site.cluster.create_role("reader", "pw")
    return psycopg.conninfo.make_conninfo(site.owner, user="reader", password="pw")


def test_entries_that_a_role_can_read_are_judged(site: Site) -> None:
    site.run("GRANT SELECT ON t, m TO PUBLIC")
    site.run(ERASE)
    with session(as_reader(site)) as connection:
        said = report(connection, cleaned(connection))
    assert said["statistics"].outcome == "not cleared"
    assert said["extended-statistics"].outcome == "cannot be verified"


def test_extended_statistics_are_shown_to_owners_only(site: Site) -> None:
    """The owner of the database may rewrite and analyse a table of another, and sees no entry of it."""
    site.run_as_admin("ALTER TABLE t OWNER TO postgres; GRANT SELECT ON t TO PUBLIC")
    site.run_as_admin("DELETE FROM t")
    with session(site.owner) as connection:
        said = report(connection, cleaned(connection))
    assert said["heap"].outcome == "cleared"
    assert said["extended-statistics"].outcome == "cannot be verified"
    assert "public.t" in said["extended-statistics"].reasons[0].en


def test_an_ordinary_role_is_told_the_right_that_it_lacks(site: Site) -> None:
    site.run("SELECT lo_from_bytea(4711, 'of another')")
    site.run(ERASE)
    with session(as_reader(site)) as connection:
        said = report(connection, cleaned(connection))
    assert doubts({place: one.outcome for place, one in said.items()}) == NEEDS_A_RIGHT.keys()
    for place, right in NEEDS_A_RIGHT.items():
        assert said[place].outcome == "cannot be verified"
        assert "missing right" in said[place].reasons[0].en and right in said[place].reasons[0].en
        assert "缺少权限" in said[place].reasons[0].zh


def test_raw_values_are_found_in_files_as_the_server_writes_them(site: Site) -> None:
    """Before a short text stands its length as one byte, which for 23 to 27 signs is a digit."""
    site.run("CREATE TABLE u (phone text, next text, doc jsonb)")
    site.run("INSERT INTO u VALUES ('10000000001', repeat('x', 24), '{}')")
    site.run("""INSERT INTO u VALUES ('', '', '{"card": "9900001234567890123", "n": "5"}')""")
    site.run_as_admin("CHECKPOINT")
    (file,) = paths(site, "u")
    folder = (site.cluster.data / file).parent
    for kind, value, hits in (
        ("mobile", "10000000001", (file.split("/")[-1],)),
        ("bank_card", "9900001234567890123", (file.split("/")[-1],)),
        ("mobile", "10000000002", ()),
    ):
        known = RawValues()
        known.add(kind, [value])
        assert search_files(folder, BytesSearch(known)).hits == hits


def test_what_is_done_is_not_done_again(site: Site) -> None:
    site.run(ERASE)
    recorded: list[Rewritten] = []
    with session(site.owner) as connection:
        begun = begin(connection, [name("t")])
        clean(connection, begun, open_window(), now, record=recorded.append)
        file = paths(site, "t")
        assert name("t") in {one.table for one in recorded}
        again = clean(connection, begun, open_window(), now, done=recorded)
        assert paths(site, "t") == file
        assert report(connection, again)["heap"].outcome == "cleared"
