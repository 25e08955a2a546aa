"""The demo through real Airflow: part of a company moves with approvals, its evidence holds, nobody shows."""

import base64
import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from fixtures.demo import SCALE, SEED, WHOLE, WHOLE_CASE, Demo
from fixtures.demo_scope import ARRIVED_WITHOUT_CONSENT, keys_in, keys_in_scope, rows_of
from fixtures.dumps import dump, schema_text, sorted_rows
from fixtures.evidence import CASE_KEY, LABEL
from handover.local.clusters import Cluster
from handover.sample.company import SCHEMAS, planted_values
from handover.settings import REPOSITORY
from handover.vault.segment import seal


def test_demo_ends_well_and_says_where_everything_is(demo: Demo) -> None:
    assert demo.status == 0, demo.output
    for line in (
        "case: demo-transfer",
        "evidence: ",
        "RESULT: everything holds",
        "Airflow: http://127.0.0.1:",
    ):
        assert line in demo.output
    assert "It stays up until `make down`." in demo.output
    assert stat.S_IMODE((demo.home / "demo.env").stat().st_mode) == 0o600
    assert {
        "SOURCE_URL",
        "TARGET_URL",
        "LEDGER_URL",
        "AIRFLOW_URL",
        "ENGINEER_PASSWORD",
    } <= demo.settings.keys()


def test_the_demo_says_in_whose_place_it_answers(demo: Demo) -> None:
    said = [line for line in demo.output.splitlines() if "answers in place of a person" in line]
    for account in ("approver", "supervisor", "receiver"):
        assert any(f"as {account}: " in line for line in said), said
    assert not any("as engineer: " in line for line in said)


def test_only_what_two_branches_need_arrives_with_consent(demo: Demo) -> None:
    source, target = demo.settings["SOURCE_URL"], demo.settings["TARGET_URL"]
    expected = keys_in_scope(source)
    assert keys_in(target, sorted(expected)) == expected
    assert 0 < len(expected["lending.customers"]) < rows_of(source, "lending.customers")
    with psycopg.connect(target) as connection:
        assert connection.execute(ARRIVED_WITHOUT_CONSENT).fetchall() == []
        assert connection.execute("SELECT to_regnamespace('账务')").fetchone() == (None,)


def test_manifest_verifies_with_the_vault_and_with_a_second_opinion(demo: Demo) -> None:
    done = demo.handover("verify", demo.evidence, "--vault", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    checked = json.loads(done.stdout)["checked"]
    assert checked["vault files"] > 20
    script = [sys.executable, demo.evidence / "verify.py", demo.evidence]
    assert subprocess.run(script, capture_output=True, cwd="/", check=False).returncode == 0


def flip_byte(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    """Cut the last ten bytes off."""
    path.write_bytes(path.read_bytes()[:-10])


def edit_manifest(folder: Path) -> None:
    """Say something else in the signed statement."""
    path = folder / "manifest.dsse.json"
    document = json.loads(path.read_text())
    document["payload"] = document["payload"][:-8] + "AAAA" + document["payload"][-4:]
    path.write_text(json.dumps(document))


def remove_ledger_row(folder: Path) -> None:
    """Take a row out of the middle of the ledger."""
    path = folder / "ledger.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:20] + lines[21:]))


@pytest.fixture
def copies(demo: Demo, tmp_path: Path) -> tuple[Path, Path, list[Path]]:
    """Copies of evidence and vault to damage, and the segments of the run."""
    evidence, vault = tmp_path / "evidence", tmp_path / "vault"
    shutil.copytree(demo.evidence, evidence)
    shutil.copytree(demo.home / "vault", vault)
    segments = sorted((vault / "demo-transfer" / demo.run).glob("g1/t*/*.seg"))
    return evidence, vault, segments


@pytest.mark.parametrize("damage", [flip_byte, truncate], ids=lambda f: f.__name__)
def test_damaged_backup_file_is_named(
    demo: Demo, copies: tuple[Path, Path, list[Path]], damage: Callable[[Path], None]
) -> None:
    evidence, vault, segments = copies
    damage(segments[3])
    done = demo.handover("verify", evidence, "--vault", vault)
    assert done.returncode == 1 and segments[3].name in done.stdout


def test_swapped_files_are_both_named(demo: Demo, copies: tuple[Path, Path, list[Path]]) -> None:
    evidence, vault, segments = copies
    first, second = segments[1].read_bytes(), segments[2].read_bytes()
    segments[1].write_bytes(second)
    segments[2].write_bytes(first)
    done = demo.handover("verify", evidence, "--vault", vault)
    assert done.returncode == 1
    assert segments[1].name in done.stdout and segments[2].name in done.stdout


def test_file_of_another_case_is_named(demo: Demo, copies: tuple[Path, Path, list[Path]]) -> None:
    evidence, vault, segments = copies
    foreign = replace(LABEL, case="another-case", run=demo.run)
    segments[1].write_bytes(seal(foreign, [b"rows of somebody else"], "backup-x", CASE_KEY))
    done = demo.handover("verify", evidence, "--vault", vault)
    assert done.returncode == 1
    assert segments[1].name in done.stdout and "another-case" in done.stdout


@pytest.mark.parametrize(
    ("damage", "named"), [(edit_manifest, "manifest.dsse.json"), (remove_ledger_row, "ledger")]
)
def test_edited_evidence_is_named(
    demo: Demo, copies: tuple[Path, Path, list[Path]], damage: Callable[[Path], None], named: str
) -> None:
    evidence, _, _ = copies
    damage(evidence)
    done = demo.handover("verify", evidence)
    assert done.returncode == 1 and named in done.stdout


def everything_written(demo: Demo) -> dict[str, str]:
    """Return all that the installation wrote outside source and target: logs, evidence, control databases."""
    texts = {}
    for folder in ("logs", "airflow", "evidence", "keyring", "run"):
        for path in (demo.home / folder).rglob("*"):
            if path.is_file():
                texts[str(path)] = path.read_bytes().decode("utf-8", "replace")
    for path in demo.home.glob("*/*.log"):
        texts[str(path)] = path.read_bytes().decode("utf-8", "replace")
    for path in demo.home.glob("*.log"):
        texts[str(path)] = path.read_bytes().decode("utf-8", "replace")
    control = Cluster.at(demo.home, "control", ports(demo)["control"])
    for database in ("airflow", "handover_ledger"):
        texts[f"database {database}"] = dump(control.admin_url(database))
    return texts


def ports(demo: Demo) -> dict[str, int]:
    """Return the ports of the clusters."""
    from handover.local.home import Home

    found = Home(demo.home).remembered_ports()
    assert found is not None
    return found.clusters


def leaks(demo: Demo) -> list[str]:
    """Return where personal values of the sample company can be read."""
    values = planted_values(SEED, SCALE, count=300)
    assert len(values) > 100
    written = everything_written(demo)
    assert len(written) > 20
    return [f"{place}: a personal value" for place, text in written.items() if any(v in text for v in values)]


def test_no_personal_value_is_written_anywhere(demo: Demo) -> None:
    with psycopg.connect(demo.settings["TARGET_URL"]) as target:  # the search itself must be able to find
        rows = target.execute(
            "SELECT count(*) FROM lending.customers WHERE name = ANY(%s)",
            (planted_values(SEED, SCALE, count=300),),
        ).fetchone()
    assert rows is not None and rows[0] > 0
    assert leaks(demo) == []


def empty_target(demo: Demo) -> None:
    """Drop what an earlier run left in the target."""
    with psycopg.connect(demo.settings["TARGET_URL"]) as target:
        for schema in (*SCHEMAS, "handover"):
            target.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        target.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")


def test_dry_run_touches_nothing(demo: Demo) -> None:
    before = schema_text(demo.settings["TARGET_URL"])
    empty_target(demo)
    assert demo.trigger("dry", case="demo-transfer", dry_run=True) == "success"
    assert schema_text(demo.settings["TARGET_URL"]) != before
    states = demo.tasks("dry")
    assert states["plan"] == "success"
    assert {states[name] for name in ("snapshot", "seal", "migrate", "close")} == {"skipped"}
    with psycopg.connect(demo.settings["TARGET_URL"]) as target:
        assert target.execute("SELECT to_regnamespace('lending')").fetchone() == (None,)


def test_target_that_is_not_empty_stops_the_inventory(demo: Demo) -> None:
    with psycopg.connect(demo.settings["TARGET_URL"]) as target:
        target.execute("CREATE SCHEMA IF NOT EXISTS lending")
        target.execute("CREATE TABLE lending.in_the_way (id int)")
    assert demo.trigger("occupied", case="demo-transfer") == "failed"
    states = demo.tasks("occupied")
    assert states["inventory"] == "failed" and states["snapshot"] == "upstream_failed"
    status = demo.handover("status", "demo-transfer")
    assert status.returncode == 0 and "occupied" in status.stdout
    empty_target(demo)


def test_the_whole_database_moves_too_and_is_equal_for_pg_dump(demo: Demo) -> None:
    empty_target(demo)
    assert demo.trigger("whole", **WHOLE) == "success"
    source, target = demo.settings["SOURCE_URL"], demo.settings["TARGET_URL"]
    assert schema_text(target) == schema_text(source)
    assert sorted_rows(target) == sorted_rows(source)
    done = demo.handover("verify", demo.evidence_of(WHOLE_CASE, "whole"), "--vault")
    assert done.returncode == 0, done.stdout + done.stderr


# Functions that answer otherwise outside the source, so that a stage fails on rows that were fine there;
# the server's own words about each of these quote the row.
HERE = "SELECT inet_server_port() = {port} AND current_database() = 'company'"
CHECK = "ALTER TABLE lending.customers ADD CONSTRAINT planted CHECK (lending.planted(name) IS NOT NULL)"
ONLY_TARGET_FAILS = HERE + " OR current_database() <> 'company'"
UNIQUE = (
    "CREATE UNIQUE INDEX planted ON lending.customers"
    " ((coalesce(lending.planted(name) || customer_id, left(name, 1) || 'planted')))"
)
FAILING = {
    "restore_test": (HERE, CHECK, "lending.customers", "23514"),
    "migrate": (ONLY_TARGET_FAILS, CHECK, "lending.customers", "23514"),
    "finish": (ONLY_TARGET_FAILS, UNIQUE, "INDEX lending.planted", "23505"),
}


def break_stage(demo: Demo, condition: str, object_sql: str) -> None:
    """Plant an object in the source whose copy fails elsewhere."""
    url = demo.settings["SOURCE_URL"]
    test = condition.format(port=ports(demo)["source"])
    with psycopg.connect(url) as source:
        source.execute(
            "CREATE FUNCTION lending.planted(text) RETURNS text IMMUTABLE LANGUAGE sql"
            f" AS $$ SELECT CASE WHEN ({test}) THEN $1 END $$"
        )
        source.execute(object_sql)


def mend(demo: Demo) -> None:
    """Take the planted object out of the source again."""
    with psycopg.connect(demo.settings["SOURCE_URL"]) as source:
        source.execute("DROP FUNCTION lending.planted CASCADE")


@pytest.mark.parametrize("stage", FAILING)
def test_failing_stage_is_named_and_leaks_nothing(demo: Demo, stage: str) -> None:
    empty_target(demo)
    condition, planted, named, sqlstate = FAILING[stage]
    break_stage(demo, condition, planted)
    run = f"broken-{stage.replace('_', '-')}"
    try:
        assert demo.trigger(run, **WHOLE) == "failed"
    finally:
        mend(demo)
    evidence = demo.evidence_of(WHOLE_CASE, run)
    assert demo.tasks(run)[stage] == "failed", (evidence / "ledger.jsonl").read_text()[-3000:]
    assert demo.handover("verify", evidence).returncode == 0
    manifest = json.loads((evidence / "manifest.dsse.json").read_text())
    predicate = json.loads(base64.b64decode(manifest["payload"]))["predicate"]
    assert predicate["status"] == "not complete"
    assert any(named in reason and sqlstate in reason for reason in predicate["reasons"])
    assert leaks(demo) == []


def masked(line: str) -> str:
    """Return a line of output without what differs from run to run: numbers, keys, folders, spacing."""
    line = re.sub(r"\b[0-9a-f]{16}(?:[0-9a-f]{48})?\b", "KEY", line)
    line = re.sub(r"(engineer|approver|supervisor|receiver|auditor)(\s+)\S+", r"\1 PASSWORD", line)
    line = re.sub(r"\S*/(evidence/demo-transfer/|demo\.env)\S*", r"\1", line)
    return re.sub(r"\s+", " ", re.sub(r"[\d,.]+", "N", line)).strip()


def test_readme_shows_what_the_demo_prints(demo: Demo) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"<!-- demo -->\n```text\n(.*?)```", readme, re.DOTALL)[0].splitlines()
    assert len(shown) > 20
    printed = {masked(line) for line in demo.output.splitlines()}
    assert [line for line in shown if masked(line) not in printed] == []
