"""Bad input ends before anything is written, with one message that names field or object and the remedy."""

import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fixtures.contents import contents, objects, run_sql
from fixtures.runs import CASE, Runner, backed_up, transferred, write_case
from handover.errors import (
    CaseInvalid,
    ConfigurationMissing,
    HandoverError,
    KeyUnavailable,
    NotReady,
    PreflightFailed,
)
from handover.local.clusters import Cluster
from handover.local.ports import free_block
from handover.model.case import load_case
from handover.model.catalog import Extension
from handover.postgres.preflight import check_target
from handover.postgres.session import connect
from handover.stages.inventory import check, inventory
from handover.stages.migrate import prepare_target
from handover.stages.plan import plan
from handover.stages.restore_test import restore_test
from handover.stages.snapshot import hold_snapshot

SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.person (id int PRIMARY KEY, name text);
INSERT INTO s.person VALUES (1, 'private one'), (2, 'private two');
CREATE SEQUENCE s.counter;
"""
PASSWORD = "reader-password"


def case_text(**changes: object) -> str:
    """The valid case with some fields changed, as a person would write it."""
    return yaml.safe_dump({**CASE, **changes}, allow_unicode=True)


CASE_FILES = {
    "not YAML": ("case: [1, 2", ["test-transfer.yaml", "not YAML", "line"]),
    "a list": ("- case\n- other\n", ["holds list", "expected a mapping"]),
    "empty": ("", ["holds NoneType", "expected a mapping"]),
    "a key twice": (case_text() + "lanes: 2\nlanes: 3\n", ["'lanes' twice", "line"]),
    "a key twice below": ("source:\n  connection: a\n  connection: b\n", ["'connection' twice"]),
    "an unknown key": (case_text(lane=3), ["lane: unknown key", "spelling"]),
    "a missing key": ("case: test-transfer\n", ["title: missing", "source: missing"]),
    "a wrong type": (case_text(lanes="many"), ["lanes: 'many'", "integer"]),
    "a number too large": (case_text(lanes=1000), ["lanes: 1000", "64"]),
    "an unknown kind": (case_text(kind="theft"), ["kind: 'theft'", "transfer"]),
    "the same ends": (case_text(target={"connection": "src"}), ["source.connection", "both 'src'"]),
    "a schema twice": (
        case_text(source={"connection": "src", "schemas": ["s", "s"]}),
        ["names a schema twice", "once"],
    ),
    "our own schema": (
        case_text(source={"connection": "src", "schemas": ["handover"]}),
        ["'handover'", "never handed over"],
    ),
    "another file's name": (case_text(case="other"), ["says case: other", "other.yaml"]),
    "half a character": (case_text() + 'acknowledge: ["\\ud800"]\n', ["half a character", "line"]),
}


@pytest.mark.parametrize("text, said", CASE_FILES.values(), ids=CASE_FILES)
def test_case_file_that_is_wrong(tmp_path: Path, text: str, said: list[str]) -> None:
    (tmp_path / "test-transfer.yaml").write_text(text)
    with pytest.raises(CaseInvalid) as caught:
        load_case(tmp_path, "test-transfer")
    for words in said:
        assert words in str(caught.value)
    assert caught.value.hint


def test_the_unchanged_case_is_valid(tmp_path: Path) -> None:
    assert load_case(tmp_path, write_case(tmp_path)).case == "test-transfer"


def test_case_file_missing_names_those_that_are_there(tmp_path: Path) -> None:
    write_case(tmp_path)
    with pytest.raises(CaseInvalid, match=r"'absent' has no file absent\.yaml in [^\n]*\n.*test-transfer"):
        load_case(tmp_path, "absent")


def test_case_file_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("case: latin\ntitle: Übergabe".encode("latin-1"))
    with pytest.raises(CaseInvalid, match="not UTF-8"):
        load_case(tmp_path, "latin")


def test_case_file_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(CaseInvalid, match=r"folder\.yaml cannot be read"):
        load_case(tmp_path, "folder")


@pytest.mark.parametrize("case_id", ["../x", "..", "a/../../x", "/etc/passwd", "", "X", "x\n", "x\0", "-x"])
def test_case_id_cannot_leave_the_folder(tmp_path: Path, case_id: str) -> None:
    (tmp_path / "cases").mkdir()
    write_case(tmp_path, case="x")
    with pytest.raises(CaseInvalid, match=r"case id .* is not valid"):
        load_case(tmp_path / "cases", case_id)


def test_address_in_place_of_a_connection_id_is_not_repeated(tmp_path: Path) -> None:
    address = "postgresql://someone:hidden-password@host/db"
    write_case(tmp_path, target={"connection": address})
    with pytest.raises(CaseInvalid, match=r"target\.connection.*\n?.*airflow connections") as caught:
        load_case(tmp_path, "test-transfer")
    assert "hidden-password" not in str(caught.value)


@pytest.fixture
def world(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A runner whose source is good."""
    monkeypatch.setattr("handover.stages.snapshot.POLL_SECONDS", 0.05)
    run_sql(runner.urls["src"], SOURCE)
    return runner


def refused(runner: Runner, *said: str, **changes: object) -> None:
    """The inventory refuses, says all of it, and leaves the target as it was."""
    before = objects(runner.urls["dst"])
    context = runner.open(**changes)
    with pytest.raises(PreflightFailed) as caught:
        inventory(context)
    for words in said:
        assert words in str(caught.value)
    assert "private" not in str(caught.value)
    assert [e.body["error"] for e in context.entries("failure")] == ["PreflightFailed"]
    assert not context.entries("inventory")
    assert objects(runner.urls["dst"]) == before
    with pytest.raises(NotReady, match="inventory"):
        plan(context)


def database_of(url: str) -> str:
    """The database's name in an address."""
    return str(conninfo_to_dict(url)["dbname"])


def as_role(cluster: Cluster, url: str, *, createdb: bool = False) -> tuple[str, str]:
    """A new role without any privilege, and the address of the same database for it."""
    name = f"reader_{secrets.token_hex(4)}"
    cluster.create_role(name, PASSWORD, createdb=createdb)
    return name, make_conninfo(url, user=name, password=PASSWORD)


def test_good_input_passes(world: Runner) -> None:
    assert check(world.open()) == []
    assert [table.label for table in inventory(world.open()).tables] == ["s.person"]


def test_unknown_connection(world: Runner) -> None:
    with pytest.raises(CaseInvalid, match=r"target\.connection: connection 'nowhere' is not known") as caught:
        world.open(target={"connection": "nowhere"})
    assert "airflow connections add nowhere" in caught.value.hint


def test_two_ids_of_one_database(world: Runner) -> None:
    same = world.between(world.urls["src"], make_conninfo(world.urls["src"], application_name="other"))
    refused(same, "same-database", database_of(same.urls["src"]), "correct source.connection or target")


def test_target_not_empty(world: Runner) -> None:
    run_sql(world.urls["dst"], "CREATE SCHEMA s; CREATE TABLE s.mine (a int); CREATE VIEW s.v AS SELECT 1")
    refused(world, "target-not-empty:s", "schema 's'", "(2 objects)", "give an empty database")


def test_target_holds_large_objects(world: Runner) -> None:
    run_sql(world.urls["dst"], "SELECT lo_create(4711)")
    refused(world, "target-has-large-objects", "give an empty database")


def test_target_holds_receipts_of_another_run(world: Runner) -> None:
    backed_up(world.open("run-a"))
    restore_test(world.open("run-a"))
    prepare_target(world.open("run-a"))
    before = objects(world.urls["dst"])
    with pytest.raises(PreflightFailed, match=r"receipts-left: .*run-a.*\n.*target-not-empty:s"):
        inventory(world.open("run-b"))
    assert objects(world.urls["dst"]) == before


def test_target_filled_after_the_inventory(world: Runner) -> None:
    context = world.open()
    backed_up(context)
    restore_test(context)
    run_sql(world.urls["dst"], "CREATE SCHEMA s; CREATE TABLE s.mine (a int)")
    before = objects(world.urls["dst"])
    with pytest.raises(PreflightFailed, match="target-not-empty:s"):
        prepare_target(context)
    assert objects(world.urls["dst"]) == before


def test_source_schema_absent(world: Runner) -> None:
    wanted = {"connection": "src", "schemas": ["s", "S", "账务"]}
    refused(
        world,
        "source.schemas: schema 'S' does not exist",
        "schema '账务' does not exist",
        "correct its name",
        source=wanted,
    )


def test_privileges_missing(world: Runner, cluster: Cluster) -> None:
    _, url = as_role(cluster, world.urls["src"])
    refused(
        world.between(url, world.urls["dst"]),
        "no USAGE privilege on schema 's'",
        'GRANT USAGE ON SCHEMA "s"',
        "no SELECT privilege in the source on s.counter, s.person",
        "GRANT SELECT on them",
    )


def test_select_missing_on_one_sequence(world: Runner, cluster: Cluster) -> None:
    role, url = as_role(cluster, world.urls["src"])
    run_sql(world.urls["src"], f"GRANT USAGE ON SCHEMA s TO {role}; GRANT SELECT ON s.person TO {role}")
    refused(world.between(url, world.urls["dst"]), "no SELECT privilege in the source on s.counter;")


def test_target_role_without_create(world: Runner, second_cluster: Cluster) -> None:
    _, url = as_role(second_cluster, world.urls["dst"], createdb=True)
    limited = replace(world, urls={**world.urls, "dst": url})
    refused(limited, "no-create:", "no CREATE privilege", "GRANT CREATE ON DATABASE")


def test_target_role_without_create_in_a_schema_that_is_there(world: Runner, second_cluster: Cluster) -> None:
    role, url = as_role(second_cluster, world.urls["dst"], createdb=True)
    database = database_of(url)
    run_sql(world.urls["dst"], f"CREATE SCHEMA s; GRANT CREATE ON DATABASE {database} TO {role}")
    refused(
        replace(world, urls={**world.urls, "dst": url}), "no-create:s", 'GRANT CREATE, USAGE ON SCHEMA "s"'
    )


def test_restore_test_role_without_createdb(world: Runner, second_cluster: Cluster) -> None:
    _, url = as_role(second_cluster, world.urls["dst"])
    limited = replace(world, urls={**world.urls, "scratch": url})
    refused(
        limited, "no-createdb:", "restore_test.connection", "CREATEDB", restore_test={"connection": "scratch"}
    )


def test_extension_not_available_in_the_target(world: Runner) -> None:
    absent = Extension(name="no_such_extension", schema_name="public", version="1")
    with connect(world.urls["dst"]) as target:
        findings = list(check_target(target, ["s"], (absent,), True, "run-1"))
    assert [f.id for f in findings] == ["extension-absent:target:no_such_extension"]
    assert "'no_such_extension'" in findings[0].message
    assert "install" in findings[0].remedy


def test_row_security_hides_rows_from_a_reader(world: Runner, cluster: Cluster) -> None:
    role, url = as_role(cluster, world.urls["src"])
    run_sql(
        world.urls["src"],
        f"GRANT USAGE ON SCHEMA s TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA s TO {role};"
        f"GRANT SELECT ON s.counter TO {role}; ALTER TABLE s.person ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY part ON s.person USING (id = 1)",
    )
    limited = world.between(url, world.urls["dst"])
    refused(limited, "rows-hidden: row-level security", "s.person", "owner", "BYPASSRLS")


def test_row_security_forced_on_the_owner(world: Runner) -> None:
    run_sql(
        world.urls["src"],
        "ALTER TABLE s.person ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY part ON s.person USING (id = 1)",
    )
    refused(world, "rows-hidden: row-level security", "s.person", "BYPASSRLS")


def test_row_security_forced_where_it_is_read_back(world: Runner, cluster: Cluster) -> None:
    """A superuser reads all of the source, but nobody could read the copy back."""
    run_sql(world.urls["src"], "ALTER TABLE s.person ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    source = cluster.admin_url(database_of(world.urls["src"]))
    refused(
        world.between(source, world.urls["dst"]),
        "rows-hidden-later:target",
        "rows-hidden-later:restore_test",
        "s.person",
        "BYPASSRLS",
    )


ROLES_NAMED = {
    "table": "GRANT SELECT ON s.person TO {role}",
    "column": "GRANT SELECT (name) ON s.person TO {role}",
    "schema": "GRANT USAGE ON SCHEMA s TO {role}",
    "function": "CREATE FUNCTION s.f() RETURNS int RETURN 1; GRANT ALL ON FUNCTION s.f TO {role}",
    "type": "CREATE TYPE s.e AS ENUM ('a'); GRANT USAGE ON TYPE s.e TO {role}",
    "policy": "CREATE POLICY p ON s.person TO {role} USING (true)",
    "default": "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO {role}",
}


@pytest.mark.parametrize("statement", ROLES_NAMED.values(), ids=ROLES_NAMED)
def test_role_named_in_the_source_is_missing(world: Runner, cluster: Cluster, statement: str) -> None:
    role, _ = as_role(cluster, world.urls["src"])
    run_sql(world.urls["src"], statement.format(role=role))
    refused(
        world,
        f"role-absent:target:{role}",
        f"role-absent:restore_test:{role}",
        f"role '{role}'",
        f'CREATE ROLE "{role}" there',
    )


def test_foreign_key_leaves_the_scope(world: Runner) -> None:
    run_sql(
        world.urls["src"],
        "CREATE SCHEMA other; CREATE TABLE other.a (id int PRIMARY KEY);"
        "ALTER TABLE s.person ADD CONSTRAINT leaving FOREIGN KEY (id) REFERENCES other.a NOT VALID",
    )
    refused(
        world,
        "key-leaves-scope:s.person.leaving",
        "to other.a",
        "add the schema of other.a to source.schemas",
    )


def test_an_acknowledged_key_stays_behind_and_its_columns_move(world: Runner) -> None:
    run_sql(
        world.urls["src"],
        "CREATE SCHEMA other; CREATE TABLE other.a (id int PRIMARY KEY);"
        "INSERT INTO other.a SELECT id FROM s.person;"
        'ALTER TABLE s.person ADD CONSTRAINT "leaving it" FOREIGN KEY (id) REFERENCES other.a;'
        """COMMENT ON CONSTRAINT "leaving it" ON s.person IS 'goes with it';"""
        "CREATE TABLE s.child (id int PRIMARY KEY REFERENCES s.person);"
        "INSERT INTO s.child SELECT id FROM s.person",
    )
    transferred(world.open(acknowledge=["key-leaves-scope:s.person.leaving it"]))
    with psycopg.connect(world.urls["dst"]) as target:
        keys = target.execute(
            "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
        ).fetchall()
        moved = target.execute("SELECT count(*) FROM s.person").fetchall()
    with psycopg.connect(world.urls["src"]) as source:
        assert moved == source.execute("SELECT count(*) FROM s.person").fetchall()
    assert keys == [("s.child",)]


def test_extension_that_only_a_superuser_may_create(world: Runner, cluster: Cluster) -> None:
    run_sql(cluster.admin_url(database_of(world.urls["src"])), "CREATE EXTENSION pageinspect SCHEMA s")
    refused(
        world,
        "extension-refused:target:pageinspect",
        "extension-refused:restore_test:pageinspect",
        "superuser",
    )


def test_extension_in_a_schema_of_the_case_is_carried(world: Runner) -> None:
    run_sql(world.urls["src"], "CREATE EXTENSION pg_trgm SCHEMA s")
    transferred(world.open())
    assert "extension pg_trgm" in objects(world.urls["dst"])


def test_extension_made_beforehand_does_not_count_as_occupying(world: Runner) -> None:
    run_sql(world.urls["dst"], "CREATE SCHEMA s; CREATE EXTENSION pg_trgm SCHEMA s")
    assert check(world.open()) == []


def test_schema_that_every_database_has_is_carried(world: Runner) -> None:
    run_sql(world.urls["src"], "CREATE TABLE public.thing (id int PRIMARY KEY); INSERT INTO thing VALUES (1)")
    transferred(world.open(source={"connection": "src", "schemas": ["public"]}))
    assert contents(world.urls["dst"]) == {"public.thing": [b"1\n"]}


def test_foreign_table_needs_to_be_acknowledged(
    world: Runner, cluster: Cluster, second_cluster: Cluster
) -> None:
    run_sql(
        cluster.admin_url(database_of(world.urls["src"])),
        "CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;"
        "CREATE FOREIGN TABLE s.far_away (a int) SERVER far; GRANT SELECT ON s.far_away TO company",
    )
    refused(world, "foreign-table:s.far_away", "keeps its rows elsewhere", "under acknowledge")
    target = second_cluster.admin_url(database_of(world.urls["dst"]))  # who may create postgres_fdw
    ids = ["foreign-server:far", "foreign-table:s.far_away"]
    accepted = world.between(world.urls["src"], target).open("run-2", acknowledge=ids)
    transferred(accepted)
    assert sorted(contents(target)) == ["s.person"]
    assert accepted.last("inventory", "").body["acknowledged"] == ids[::-1]


def test_wrong_password(world: Runner) -> None:
    wrong = make_conninfo(world.urls["dst"], password="not-the-password")
    limited = replace(world, urls={"src": world.urls["src"], "dst": wrong, "scratch": world.urls["dst"]})
    with pytest.raises(PreflightFailed) as caught:
        inventory(limited.open(restore_test={"connection": "scratch"}))
    assert "unreachable:dst: target.connection" in str(caught.value)
    assert "password authentication failed" in str(caught.value)
    assert "not-the-password" not in str(caught.value)


def test_server_down(world: Runner) -> None:
    port = str(free_block(1))
    down = make_conninfo(world.urls["src"], port=port)
    refused(
        world.between(down, world.urls["dst"]),
        "unreachable:src: source.connection",
        f"127.0.0.1:{port}/",
        "cannot be reached",
        "check that it runs",
    )


def test_database_absent(world: Runner) -> None:
    gone = make_conninfo(world.urls["src"], dbname="no_such_database")
    refused(world.between(gone, world.urls["dst"]), "no_such_database", "does not exist", "correct user")


def test_every_finding_is_told_at_once(world: Runner) -> None:
    run_sql(world.urls["dst"], "CREATE SCHEMA s; CREATE TABLE s.mine (a int)")
    wanted = {"connection": "src", "schemas": ["s", "absent"]}
    refused(world, "schema-absent:absent", "target-not-empty:s", source=wanted)


def test_pg_dump_not_found(world: Runner, tmp_path: Path) -> None:
    before = objects(world.urls["dst"])
    with pytest.raises(ConfigurationMissing, match=f"pg_dump not found in {tmp_path}") as caught:
        inventory(replace(world, pg_bin=str(tmp_path)).open())
    assert "HANDOVER_PG_BIN" in caught.value.hint
    assert objects(world.urls["dst"]) == before


def test_keyring_of_another_installation(world: Runner) -> None:
    backed_up(world.open())
    shutil.move(world.home / "keyring", world.home / "keyring-of-ours")
    before = objects(world.urls["dst"])
    stranger = world.open()
    for stage in (restore_test, prepare_target):
        with pytest.raises(KeyUnavailable, match=f"is not in the keyring {world.home}") as caught:
            stage(stranger)
        assert "installation that made the backup" in caught.value.hint
    assert objects(world.urls["dst"]) == before
    assert not stranger.entries("restore-tested")


STEPS: dict[str, Callable[..., object]] = {
    "plan": plan,
    "snapshot": hold_snapshot,
    "restore test": restore_test,
    "prepare": prepare_target,
}


@pytest.mark.parametrize("stage", STEPS.values(), ids=STEPS)
def test_step_before_its_time(world: Runner, stage: Callable[..., object]) -> None:
    before = objects(world.urls["dst"])
    with pytest.raises(HandoverError, match=r"step .* has not been done in this run") as caught:
        stage(world.open())
    assert isinstance(caught.value, NotReady)
    assert objects(world.urls["dst"]) == before


def test_migration_without_a_proven_backup(world: Runner) -> None:
    context = world.open()
    backed_up(context)
    with pytest.raises(NotReady, match="not been proven by a restore"):
        prepare_target(context)
    with psycopg.connect(world.urls["dst"]) as target:
        assert target.execute("SELECT to_regnamespace('s')").fetchone() == (None,)


def test_a_case_that_changed_within_its_run(world: Runner) -> None:
    inventory(world.open())
    with pytest.raises(HandoverError, match=r"case file changed .* run run-1"):
        inventory(world.open(lanes=3))
