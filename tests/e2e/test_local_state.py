"""A whole state folder: clusters, databases, ledger and settings, made by the steps of `up`, and cleaned."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from handover.errors import ConfigurationMissing
from handover.local import ServiceFailed, airflow, services
from handover.local.clusters import Cluster
from handover.local.container import SAMPLE_ROWS, prepare_servers
from handover.local.ports import free_block
from handover.local.services import Machine
from handover.settings import read_env_file


@pytest.fixture(scope="module")
def state(cluster_home: Path) -> Iterator[Path]:
    """One state folder for all tests here: making and stopping three clusters takes some seconds."""
    folder = cluster_home / "state"
    yield folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HANDOVER_HOME", str(folder))
        services.clean(lambda line: None)
    assert not folder.exists()


@pytest.fixture
def machine(state: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("HANDOVER_HOME", str(state))
    monkeypatch.setenv("HANDOVER_PORT", "0")
    machine = services.open_machine()
    services.start_clusters(machine)
    return machine


def test_addresses_in_the_files_work_and_the_files_are_closed(machine: Machine) -> None:
    demo = read_env_file(machine.home.root / "demo.env")
    for name in ("SOURCE_URL", "TARGET_URL", "LEDGER_URL"):
        with psycopg.connect(demo[name]) as connection:
            row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
            assert row == (False,)
    for name in ("demo.env", "handover.env", "airflow/passwords.json"):
        assert stat.S_IMODE((machine.home.root / name).stat().st_mode) == 0o600
    assert read_env_file(machine.home.root / "handover.env") == airflow.environment(
        machine.home, machine.ports
    )


def test_source_and_target_roles_differ_in_one_right(machine: Machine) -> None:
    rights = {}
    for name in ("source", "target"):
        with psycopg.connect(machine.company_url(name)) as connection:
            query = "SELECT rolcreatedb FROM pg_roles WHERE rolname = current_user"
            rights[name] = connection.execute(query).fetchone()
    assert rights == {"source": (False,), "target": (True,)}


def test_a_second_start_finds_everything_as_it_was(machine: Machine) -> None:
    with psycopg.connect(machine.company_url("source")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS id")
    again = services.open_machine()
    services.start_clusters(again)
    assert again == machine
    with psycopg.connect(again.company_url("source")) as connection:
        assert connection.execute("SELECT id FROM kept").fetchone() == (1,)


def test_new_ports_are_moved_to_and_data_stays(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_block(4)
    monkeypatch.setenv("HANDOVER_PORT", str(free))
    moved = services.open_machine()
    assert moved.ports.api == free
    assert not any(cluster.is_running() for cluster in machine.clusters.values())
    services.start_clusters(moved)
    assert read_env_file(moved.home.root / "demo.env")["AIRFLOW_URL"] == f"http://127.0.0.1:{free}"


def test_a_service_that_does_not_run_is_named_with_its_log(machine: Machine) -> None:
    with pytest.raises(ServiceFailed) as failure:
        services.require_alive(machine)
    assert "api-server ended by itself" in failure.value.message
    assert str(machine.services["api-server"].log) in failure.value.hint


def test_clean_leaves_a_foreign_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    monkeypatch.setenv("HANDOVER_HOME", str(tmp_path))
    with pytest.raises(ConfigurationMissing, match="not a state folder"):
        services.clean(lambda line: None)
    assert (tmp_path / "letter.txt").read_text() == "mine"


def test_servers_of_a_compose_file_are_prepared_once(cluster: Cluster, second_cluster: Cluster) -> None:
    connection_json = json.dumps({"host": "127.0.0.1", "port": cluster.port, "password": "company-secret"})
    variables = {
        "HANDOVER_CONTROL_ADMIN_URL": second_cluster.admin_url(),
        "HANDOVER_SOURCE_ADMIN_URL": cluster.admin_url(),
        "HANDOVER_TARGET_ADMIN_URL": second_cluster.admin_url(),
        "HANDOVER_AIRFLOW_PASSWORD": "airflow-secret",
        "HANDOVER_LEDGER_PASSWORD": "ledger-secret",
        "HANDOVER_COMPANY_PASSWORD": "company-secret",
        "AIRFLOW_CONN_SAMPLE_SOURCE": connection_json,
    }
    prepare_servers(variables)
    first = cluster.remark("company")
    prepare_servers(variables)
    assert first is not None
    assert f"{SAMPLE_ROWS} rows" in first
    assert cluster.remark("company") == first
    for server, role, database in (
        (cluster, "company", "company"),
        (second_cluster, "company", "company"),
        (second_cluster, "airflow", "airflow"),
        (second_cluster, "handover_writer", "handover_ledger"),
    ):
        password = "ledger-secret" if role == "handover_writer" else f"{role}-secret"
        psycopg.connect(f"postgresql://{role}:{password}@127.0.0.1:{server.port}/{database}").close()
