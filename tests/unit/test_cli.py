"""The command line: what each call answers, on which stream, with which exit status; never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from fixtures.contents import run_sql
from fixtures.evidence import make_bundle
from fixtures.runs import Runner, write_case
from handover.cli import main
from handover.commands import machine
from handover.errors import ConnectionLost, HandoverError
from handover.evidence.ledger import Ledger
from handover.local.clusters import Cluster
from handover.model.case import load_case
from handover.vault.keyring import Keyring
from handover.vault.roots import Purpose

HANDOVER = Path(sys.executable).parent / "handover"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder that holds nothing, and no settings of anybody else."""
    for name in [n for n in os.environ if n.startswith(("AIRFLOW", "HANDOVER")) and n != "HANDOVER_PG_BIN"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HANDOVER_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def installation(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """An installation: a case, its connections, its ledger, and a source with one table."""
    monkeypatch.setenv("HANDOVER_LEDGER_URL", runner.ledger_url)
    monkeypatch.setenv("HANDOVER_CASES", str(runner.home / "cases"))
    for name, url in runner.urls.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", url)
    write_case(runner.home / "cases")
    run_sql(runner.urls["src"], "CREATE SCHEMA s; CREATE TABLE s.person (id int PRIMARY KEY, name text)")
    return runner


WRONG_CALLS = [
    [],
    ["nonsense"],
    ["case"],
    ["case", "check"],
    ["case", "new", "x", "--source", "y"],
    ["run"],
    ["run", "x", "--dry"],
    ["run", "x", "--dry-run"],
    ["plan"],
    ["case", "brief"],
    ["explain", "x"],
    ["explain", "x", "--subject"],
    ["explain", "x", "--subject", "1", "--token", "t"],
    ["resume"],
    ["inventory"],
    ["stop", "x", "--force"],
    ["verify"],
    ["restore", "x", "run"],
    ["restore", "x", "--into", "y"],
    ["keys"],
    ["keys", "rotate"],
    ["keys", "destroy", "some-key"],
    ["keys", "destroy", "some-key", "--y"],
    ["demo", "--scale", "many"],
    ["sample", "create"],
]


@pytest.mark.parametrize("arguments", WRONG_CALLS, ids=" ".join)
def test_a_wrong_call_ends_with_2_and_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    said = capsys.readouterr()
    assert (caught.value.code, said.out) == (2, "")
    assert said.err.startswith("usage: handover")


COMMANDS = ["case check", "inventory", "status", "stop", "verify", "restore", "keys", "version"]
COMMANDS += [
    "case new",
    "case brief",
    "plan",
    "explain",
    "run",
    "resume",
    "demo",
    "up",
    "down",
    "clean",
    "sample create",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_0(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: handover {command}")


REFUSED = {
    "unknown case": (["inventory", "absent"], "case 'absent' has no file absent.yaml"),
    "path that leaves the folder": (["case", "check", "../x"], "case id '../x' is not valid"),
    "case file elsewhere": (["case", "check", "/etc/x.yaml"], "/etc/x.yaml is not a .yaml file in"),
    "case file of another ending": (["case", "check", "x.yml"], "x.yml is not a .yaml file in"),
    "no ledger": (["status", "x"], "HANDOVER_LEDGER_URL is not set"),
    "unknown key": (["keys", "destroy", "absent", "--yes"], "absent"),
    "unknown purpose": (["keys", "rotate", "nonsense"], "unknown purpose 'nonsense'"),
    "address that is none": (["sample", "create", "nonsense"], "address cannot be parsed"),
    "no database": (["sample", "create", "postgresql://u:hidden@127.0.0.1:1/d"], "cannot be reached"),
    "too small": (["sample", "create", "postgresql://u@127.0.0.1:1/d", "--scale", "-1"], "-1"),
}


@pytest.mark.parametrize("arguments, said", REFUSED.values(), ids=REFUSED)
def test_a_refusal_ends_with_1_and_says_what_to_do(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert "\nHINT: " in told.err
    assert "Traceback" not in told.err
    assert "hidden" not in told.err


@pytest.mark.parametrize(
    "problem, status, said",
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (ConnectionLost("gone", hint="wait"), 1, "ConnectionLost: gone\nHINT: wait\n"),
        (HandoverError("plain"), 1, "HandoverError: plain\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_way_out_has_its_status(
    problem: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> int:
        raise problem

    monkeypatch.setattr(machine, "show_version", fail)
    assert main(["version"]) == status
    assert said in capsys.readouterr().err


def test_the_program_is_installed_and_knows_what_does_the_work() -> None:
    done = subprocess.run([HANDOVER, "version"], capture_output=True, text=True, check=True)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"handover", "python", "git-commit", "psycopg", "cryptography"} <= set(names)
    assert "not installed" not in done.stdout
    assert done.stderr == ""


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {HANDOVER} version | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_evidence_that_holds_and_evidence_that_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle(tmp_path)
    key = str(bundle.folder / "public-key.pem")
    assert main(["verify", str(bundle.folder), "--public-key", key]) == 0
    assert main(["verify", str(bundle.folder), "--vault", str(bundle.vault), "--json"]) == 0
    capsys.readouterr()
    assert main(["verify", str(bundle.folder), "--vault", "--json"]) == 0, "this installation's vault"
    assert json.loads(capsys.readouterr().out)
    (bundle.vault / bundle.names[0]).unlink()
    assert main(["verify", str(bundle.folder)]) == 0
    assert main(["verify", str(bundle.folder), "--vault", str(bundle.vault)]) == 1
    assert bundle.names[0] in capsys.readouterr().out


def test_an_evidence_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "absent")]) == 1
    said = capsys.readouterr()
    assert "absent" in said.out + said.err
    assert "Traceback" not in said.err


def test_checking_a_case(installation: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["case", "check", str(installation.home / "cases" / "test-transfer.yaml")]) == 0
    said = capsys.readouterr().out
    assert "blocking: " not in said
    assert said.endswith("\ncase test-transfer: 0 findings, 0 blocking\n")
    run_sql(installation.urls["dst"], "CREATE SCHEMA s; CREATE TABLE s.mine (a int)")
    assert main(["case", "check", "test-transfer"]) == 1
    said = capsys.readouterr().out
    assert "blocking: target-not-empty:s: schema 's'" in said
    assert "remedy: give an empty database" in said
    assert said.endswith("1 findings, 1 blocking\n")


def test_an_acknowledged_finding_does_not_block(
    installation: Runner, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    database = str(conninfo_to_dict(installation.urls["src"])["dbname"])
    run_sql(
        cluster.admin_url(database),
        "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER far FOREIGN DATA WRAPPER nothing;"
        "CREATE FOREIGN TABLE s.far_away (a int) SERVER far; GRANT SELECT ON s.far_away TO company",
    )
    ids = ["foreign-table:s.far_away", "foreign-server:far", "foreign-data-wrapper:nothing"]
    write_case(installation.home / "cases", acknowledge=ids)
    assert main(["case", "check", "test-transfer"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("acknowledged: foreign-table:s.far_away")
    assert said.endswith("3 findings, 0 blocking\n")


def test_a_new_case_is_valid_and_never_overwritten(
    installation: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    run_sql(installation.urls["src"], 'CREATE SCHEMA "Odd, Schema"; CREATE SCHEMA empty')
    run_sql(installation.urls["src"], 'CREATE TABLE "Odd, Schema".t ()')
    call = ["case", "new", "fresh", "--source", "src", "--target", "dst"]
    assert main(call) == 0
    case = load_case(installation.home / "cases", "fresh")
    assert case.source.schemas == ("Odd, Schema", "s")
    assert main(call) == 1
    assert "fresh.yaml is there already" in capsys.readouterr().err
    assert main([*call[:2], "../fresh", *call[3:]]) == 1
    assert not (installation.home / "fresh.yaml").exists()


def test_a_connection_that_is_not_known(
    installation: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_DST")
    assert main(["case", "check", "test-transfer"]) == 1
    assert "target.connection: connection 'dst' is not known" in capsys.readouterr().err


def test_the_inventory_names_tables_whole(installation: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    long = "a_table_with_a_name_as_long_as_a_name_may_be_in_postgresql_1234"
    run_sql(installation.urls["src"], f"CREATE TABLE s.{long} (a int)")
    assert main(["inventory", "test-transfer"]) == 0
    said = capsys.readouterr().out
    assert f"s.{long}" in said
    assert "whole row (no key)" in said
    assert "2 tables, 0 materialised views, 0 large objects, PostgreSQL" in said


def test_status_without_a_case_lists_them(installation: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert "no case has a ledger yet" in capsys.readouterr().out
    assert main(["stop", "test-transfer"]) == 0
    capsys.readouterr()
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "test-transfer\n"


def test_status_of_an_unknown_case_is_refused(
    installation: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "never-heard"]) == 1
    assert "case 'never-heard' has no file" in capsys.readouterr().err


def test_stopping_a_case_and_letting_it_go_on(
    installation: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> bool:
        capsys.readouterr()
        assert main(["status", "test-transfer", "--json"]) == 0
        return json.loads(capsys.readouterr().out)["stopped"]

    assert not stopped()
    assert main(["stop", "test-transfer"]) == 0
    assert stopped()
    assert main(["stop", "test-transfer", "--lift"]) == 0
    assert not stopped()
    assert main(["status", "test-transfer"]) == 0
    assert "0 runs, not stopped" in capsys.readouterr().out


def test_keys_are_listed_rotated_and_destroyed(
    installation: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    keyring = Keyring.open(installation.home / "keyring")
    key = keyring.ensure(Purpose.BACKUP, "test-transfer").key_id
    assert main(["keys", "list"]) == 0
    assert key in capsys.readouterr().out
    assert main(["keys", "rotate", "backup"]) == 0
    assert "root of backup is now version 2" in capsys.readouterr().out
    assert main(["keys", "destroy", key, "--yes"]) == 0
    assert capsys.readouterr().out.startswith(f"{key}: ")
    assert main(["keys", "list"]) == 0
    assert "destroyed" in capsys.readouterr().out
    kinds = [entry.kind for entry in Ledger(installation.ledger_url, None).entries("test-transfer")]
    assert kinds == ["root-rotated", "key-destroyed"]


def test_restoring_what_is_not_there(installation: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", "test-transfer", "run-1", "--into", "nowhere"]) == 1
    assert "connection 'nowhere' is not known" in capsys.readouterr().err
    assert main(["restore", "test-transfer", "run-1", "--into", "dst"]) == 1
    assert "expected one sealed index under test-transfer/run-1/" in capsys.readouterr().err
