"""docker-compose.yaml is valid and starts what `make up` starts: the same commands and settings."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from handover.local import airflow
from handover.local.clusters import SETTINGS as CLUSTER_SETTINGS
from handover.local.home import Home, Ports
from handover.settings import REPOSITORY

SCHEMA = Path(__file__).parent.parent / "schemas" / "compose_spec.json"
VALIDATOR = jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text()))
# Where a container is told another place than this machine's services, by the nature of containers.
PLACES = {
    "HANDOVER_HOME",
    "HANDOVER_PG_BIN",
    "HANDOVER_LEDGER_URL",
    "PYTHONPATH",
    "AIRFLOW_HOME",
    "AIRFLOW_CONN_SAMPLE_SOURCE",
    "AIRFLOW_CONN_SAMPLE_TARGET",
    "AIRFLOW__CORE__DAGS_FOLDER",
    "AIRFLOW__CORE__PLUGINS_FOLDER",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
    "AIRFLOW__API__HOST",
    "AIRFLOW__API__PORT",
    "AIRFLOW__API__BASE_URL",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER",
    "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY",
}


@pytest.fixture
def text() -> str:
    return (REPOSITORY / "docker-compose.yaml").read_text()


@pytest.fixture
def compose(text: str) -> dict[str, Any]:
    return yaml.safe_load(text)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    home = Home(tmp_path / "home")
    home.create()
    return airflow.environment(home, Ports(8080))


def test_it_follows_the_compose_schema(compose: dict[str, Any]) -> None:
    VALIDATOR.validate(compose)


def test_the_schema_refuses_an_unknown_key(compose: dict[str, Any]) -> None:
    broken = copy.deepcopy(compose)
    broken["services"]["scheduler"]["comand"] = ["airflow"]
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        VALIDATOR.validate(broken)


def test_commands_are_those_of_this_machine(compose: dict[str, Any]) -> None:
    services = compose["services"]
    started = {name: services[name]["command"] for name in airflow.COMPONENTS}
    assert started == {name: ["airflow", *arguments] for name, arguments in airflow.COMPONENTS.items()}
    assert set(services) == {*airflow.COMPONENTS, "init", "control", "source", "target"}


def test_settings_are_those_of_this_machine(compose: dict[str, Any], environment: dict[str, str]) -> None:
    for name in airflow.COMPONENTS:
        inside = compose["services"][name]["environment"]
        assert set(inside) == set(environment)
        same = {key: value for key, value in inside.items() if key not in PLACES}
        assert same == {key: value for key, value in environment.items() if key not in PLACES}


def test_connections_name_the_same_database_and_role(
    compose: dict[str, Any], environment: dict[str, str]
) -> None:
    for name in ("source", "target"):
        key = f"AIRFLOW_CONN_SAMPLE_{name.upper()}"
        inside = json.loads(compose["services"]["scheduler"]["environment"][key])
        outside = json.loads(environment[key])
        assert inside.pop("host") == name
        assert set(inside) | {"host"} == set(outside)
        for field in ("conn_type", "login", "schema"):
            assert inside[field] == outside[field]


def test_server_logs_hold_no_rows_there_either(compose: dict[str, Any]) -> None:
    for name in ("control", "source", "target"):
        options = [option for option in compose["services"][name]["command"] if "=" in option]
        assert dict(option.split("=") for option in options).items() <= CLUSTER_SETTINGS.items()


def test_every_secret_is_required_and_the_head_of_the_file_makes_it(text: str) -> None:
    used = set(re.findall(r"\$\{HANDOVER_(\w+)", text))
    assert used == set(re.findall(r"\$\{HANDOVER_(\w+):\?", text))
    made = re.search(r"for name in (.+)", text)
    assert made is not None
    assert used == set(made[1].split())


def test_nothing_is_published_beyond_this_machine(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:8080:8080"]


def test_the_image_holds_what_the_settings_name(environment: dict[str, str]) -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    names = " ".join(copied).split()
    assert {"include", "dags", "plugins"} <= set(names)
    kept = (REPOSITORY / ".dockerignore").read_text()
    for name in names:
        assert (REPOSITORY / name).exists()
        assert f"!{name}\n" in kept or re.fullmatch(r"requirements[\w-]*\.txt", name)
