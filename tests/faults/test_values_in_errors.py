"""Errors of databases quote rows. Ours never do: not in messages, ledger, progress or server logs.

One failing run per stage, each with a planted value in what the database says. The servers are set to log
everything that fails; our role may turn that off for its sessions, as the preflight demands.
"""

import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from fixtures.child import start
from fixtures.contents import objects, run_sql
from fixtures.runs import Runner, backed_up
from handover.errors import (
    ConfigurationMissing,
    ConnectionLost,
    DataRefused,
    HandoverError,
    VerificationFailed,
)
from handover.evidence import progress
from handover.local.clusters import Cluster
from handover.postgres.session import QUIET_LOG
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.migrate import finish_target, migrate_lane, prepare_target
from handover.stages.plan import plan
from handover.stages.restore_test import restore_test
from handover.stages.snapshot import hold_snapshot, wait_for_state
from handover.stages.verify import verify_lane, verify_objects

PLANTED = "planted-31415926"
SOURCE = f"""
CREATE SCHEMA s;
CREATE FUNCTION s.fine(v text) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN true;
CREATE FUNCTION s.part(v text) RETURNS text LANGUAGE sql IMMUTABLE RETURN v;
CREATE TYPE s.pair AS (a int, b text);
CREATE TABLE s.t (id int PRIMARY KEY, v text, p s.pair, CONSTRAINT checked CHECK (s.fine(v)));
INSERT INTO s.t VALUES (1, '{PLANTED}', '(1,{PLANTED})'), (2, '{PLANTED} too', NULL);
CREATE UNIQUE INDEX parts ON s.t (s.part(v));
CREATE TABLE s.k (name text PRIMARY KEY, v text);
INSERT INTO s.k VALUES ('{PLANTED}', 'x'), ('b', 'y');
CREATE MATERIALIZED VIEW s.numbers AS SELECT id, s.part(v) AS v FROM s.t;
"""
BAD_PART = "CREATE OR REPLACE FUNCTION s.part(v text) RETURNS text LANGUAGE sql IMMUTABLE RETURN {}"


@contextmanager
def loud(cluster: Cluster, url: str) -> Iterator[None]:
    """Let the server log failing statements of a database, and our role turn that off for itself."""
    name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
    wishes = {
        "log_min_messages": "warning",
        "log_min_error_statement": "error",
        "log_error_verbosity": "verbose",
    }
    with psycopg.connect(cluster.admin_url(), autocommit=True) as admin:
        for parameter, value in wishes.items():
            statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
            admin.execute(statement.format(name, sql.Identifier(parameter), sql.Literal(value)))
            admin.execute(sql.SQL("GRANT SET ON PARAMETER {} TO company").format(sql.Identifier(parameter)))
    assert set(wishes) == set(QUIET_LOG)
    yield


@pytest.fixture
def planted(world: Runner, cluster: Cluster, second_cluster: Cluster) -> Iterator[Runner]:
    """A runner whose source holds the planted value, between servers that log what fails."""
    run_sql(world.urls["src"], "DROP SCHEMA s CASCADE")
    run_sql(world.urls["src"], SOURCE)
    with loud(cluster, world.urls["src"]), loud(second_cluster, world.urls["dst"]):
        yield world


def logged(*clusters: Cluster) -> int:
    """How often the servers have written the planted value."""
    return sum(cluster.log.read_text().count(PLANTED) for cluster in clusters)


def check_silent(
    context: Context,
    clusters: tuple[Cluster, Cluster],
    stage: Callable[[], object],
    kind: type[HandoverError],
) -> str:
    """The stage fails with that error, and the planted value is nowhere."""
    before = logged(*clusters)
    with pytest.raises(kind) as caught:
        stage()
    shown = "".join(traceback.format_exception(caught.value))
    ledger = json.dumps([dict(entry.body) for entry in context.entries()], ensure_ascii=False)
    seen = progress.failures(context.ledger_url, context.case.case, context.run)
    assert seen, "the failure is not in the ledger"
    for place in (shown, repr(caught.value), repr(caught.value.data), ledger, str(seen)):
        assert PLANTED not in place
    assert logged(*clusters) == before
    return str(caught.value)


def test_the_servers_do_log_what_fails_elsewhere(
    planted: Runner, cluster: Cluster, second_cluster: Cluster
) -> None:
    """The tests below could not fail if the servers were quiet by themselves."""
    for server, url in ((cluster, planted.urls["src"]), (second_cluster, planted.urls["dst"])):
        before = logged(server)
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            run_sql(url, f"SELECT 'not {PLANTED}'::int")
        assert logged(server) > before


@pytest.fixture
def both(cluster: Cluster, second_cluster: Cluster) -> tuple[Cluster, Cluster]:
    """Source's and target's server."""
    return cluster, second_cluster


def test_snapshot_bad_value_in_a_view(planted: Runner, both: tuple[Cluster, Cluster]) -> None:
    context = planted.open(lanes=1)
    run_sql(context.source, BAD_PART.format("v::int::text"))
    inventory(context)
    plan(context)
    said = check_silent(context, both, lambda: hold_snapshot(context), DataRefused)
    assert "reading s.numbers" in said
    assert "22P02" in said


def test_backup_connection_lost(planted: Runner, both: tuple[Cluster, Cluster]) -> None:
    context = planted.open(lanes=1)
    inventory(context)
    plan(context)
    with start(planted, "hold_snapshot"):
        wait_for_state(context)
        with start(planted, "backup_lane", 0, pause_at="point:FILE_UNRECORDED:1") as lane:
            lane.reached()
            end_sessions(both[0], context.source)
            lane.resume()
            said = lane.refused()
    check_lost(context, said)


def check_lost(context: Context, said: str) -> None:
    """A stage in a process of its own has lost its server, and said nothing of any row."""
    assert said.startswith("ConnectionLost")
    assert [e.body["error"] for e in context.entries("failure")][-1:] != ["DataRefused"]
    ledger = json.dumps([dict(entry.body) for entry in context.entries()], ensure_ascii=False)
    assert PLANTED not in said + ledger


def end_sessions(cluster: Cluster, url: str) -> None:
    """What an administrator or a crash does to everybody in a database."""
    with psycopg.connect(cluster.admin_url()) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            [conninfo_to_dict(url)["dbname"]],
        )


FAILING_RESTORES = {
    "check violation": (
        "CREATE OR REPLACE FUNCTION s.fine(v text) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN false",
        ["23514", "constraint checked", "s.t"],
    ),
    "duplicate key": (BAD_PART.format("left(v, 10)"), ["23505", "INDEX s.parts"]),
    "bad value": (BAD_PART.format("v::int::text"), ["22P02", "INDEX s.parts"]),
}


@pytest.mark.parametrize("change, words", FAILING_RESTORES.values(), ids=FAILING_RESTORES)
def test_restore_test_refused(
    planted: Runner, both: tuple[Cluster, Cluster], change: str, words: list[str]
) -> None:
    """Functions that checks and indexes rest on have changed since the rows came in."""
    context = planted.open(lanes=1)
    run_sql(context.source, "DROP MATERIALIZED VIEW s.numbers")
    run_sql(context.source, change)
    backed_up(context)
    said = check_silent(context, both, lambda: restore_test(context), DataRefused)
    for word in words:
        assert word in said
    assert not any("scratch" in name for name in objects(context.target))


@pytest.fixture
def proven(planted: Runner) -> Context:
    """A run with a proven backup."""
    context = planted.open(lanes=1)
    backed_up(context)
    restore_test(context)
    return context


def test_prepare_refused(proven: Context, both: tuple[Cluster, Cluster]) -> None:
    run_sql(proven.target, f"CREATE SCHEMA s; CREATE TABLE s.\"{PLANTED[:7]}\" (v text DEFAULT '{PLANTED}')")
    said = check_silent(proven, both, lambda: prepare_target(proven), HandoverError)
    assert "target-not-empty:s" in said


SPOILED_TABLES = {
    "bad COPY value": (
        "DROP MATERIALIZED VIEW s.numbers; ALTER TABLE s.t DROP CONSTRAINT checked, ALTER v TYPE int USING 1",
        ["22P02", "s.t"],
    ),
    "check violation": ("ALTER TABLE s.t ADD CHECK (v = 'other')", ["23514", "table t"]),
    "not null": ("ALTER TABLE s.t ALTER p SET NOT NULL", ["23502", "column p"]),
    "duplicate key": ("CREATE UNIQUE INDEX ON s.t (left(v, 10))", ["23505", "table t"]),
    "trigger that quotes": (
        "CREATE FUNCTION s.no() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'no % here', NEW.v USING DETAIL = NEW.v, HINT = NEW.v; END$$;"
        "CREATE TRIGGER no BEFORE INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.no()",
        ["P0001", "s.t"],
    ),
    "trigger that drops rows": (
        "CREATE FUNCTION s.no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER no BEFORE INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.no()",
        ["0 rows arrived, expected 2"],
    ),
}


@pytest.mark.parametrize("change, words", SPOILED_TABLES.values(), ids=SPOILED_TABLES)
def test_migration_refused(
    proven: Context, both: tuple[Cluster, Cluster], change: str, words: list[str]
) -> None:
    prepare_target(proven)
    run_sql(proven.target, change)
    said = check_silent(proven, both, lambda: migrate_lane(proven, 0), DataRefused)
    for word in words:
        assert word in said
    assert not any(
        e.body["step"] == "migrate" and e.body["table"] == "t00001" for e in proven.entries("group-loaded")
    )
    with psycopg.connect(proven.target) as target:
        assert target.execute("SELECT count(*) FROM s.t").fetchone() == (0,)


def test_migration_connection_lost(planted: Runner, proven: Context, both: tuple[Cluster, Cluster]) -> None:
    prepare_target(proven)
    with start(planted, "migrate_lane", 0, pause_at="copy:2") as lane:
        lane.reached()
        end_sessions(both[1], proven.target)
        lane.resume()
        said = lane.refused()
    check_lost(proven, said)
    migrate_lane(proven, 0)
    finish_target(proven)


def test_finish_refused_by_a_duplicate(proven: Context, both: tuple[Cluster, Cluster]) -> None:
    prepare_target(proven)
    migrate_lane(proven, 0)
    run_sql(proven.target, f"INSERT INTO s.k VALUES ('{PLANTED}', 'twice')")
    said = check_silent(proven, both, lambda: finish_target(proven), DataRefused)
    assert "CONSTRAINT s.k k_pkey" in said
    assert "23505" in said


def test_verify_names_rows_without_their_values(proven: Context, both: tuple[Cluster, Cluster]) -> None:
    prepare_target(proven)
    migrate_lane(proven, 0)
    finish_target(proven)
    run_sql(
        proven.target,
        f"UPDATE s.k SET v = '{PLANTED} new' WHERE name = '{PLANTED}'; COMMENT ON TABLE s.k IS '{PLANTED}'",
    )
    said = check_silent(proven, both, lambda: verify_lane(proven, 0), VerificationFailed)
    assert "s.k: row with (name) = token" in said
    said = check_silent(proven, both, lambda: verify_objects(proven), VerificationFailed)
    assert "COMMENT s.TABLE k is not in the source" in said
    said = check_silent(proven, both, lambda: close_run(proven), VerificationFailed)
    evidence = proven.settings.evidence / proven.case.case
    files = [path for path in evidence.rglob("*") if path.is_file()]
    assert files
    assert not any(PLANTED.encode() in path.read_bytes() for path in files)


def test_verify_server_down(proven: Context, second_cluster: Cluster, both: tuple[Cluster, Cluster]) -> None:
    prepare_target(proven)
    second_cluster.stop()
    try:
        for stage in (lambda: verify_lane(proven, 0), lambda: verify_objects(proven)):
            check_silent(proven, both, stage, ConnectionLost)
    finally:
        second_cluster.start()


def test_plan_when_the_source_is_gone(planted: Runner, both: tuple[Cluster, Cluster]) -> None:
    inventory(planted.open())
    gone = planted.between(planted.urls["src"].replace("source_", "gone_"), planted.urls["dst"]).open()
    said = check_silent(gone, both, lambda: plan(gone), ConfigurationMissing)
    assert "does not exist" in said


def test_nothing_of_the_planted_value_is_in_the_vault_or_in_files(proven: Context) -> None:
    files = [path for path in proven.settings.home.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not any(PLANTED.encode() in path.read_bytes() for path in files)
