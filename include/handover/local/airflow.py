"""Airflow as this product runs it: components, settings, roles and pools, without importing Airflow.

docker-compose.yaml has to say the same; tests/unit/test_compose.py compares the two.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from handover.local.clusters import url
from handover.local.home import Home, Ports
from handover.local.programs import binaries
from handover.local.server import LEDGER, LEDGER_WRITER
from handover.settings import REPOSITORY

# Logs are read from the shared folder, so scheduler and triggerer need no log server of their own.
COMPONENTS: dict[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
MIGRATE = ("db", "migrate")

ROLES = {
    "engineer": "op",
    "approver": "user",
    "supervisor": "user",
    "receiver": "user",
    "auditor": "viewer",
}

# Lanes that run at the same time: two keep two cores busy, the third bridges the start of the next task.
POOLS = {
    "handover_source": (3, "Sessions that read the source"),
    "handover_target": (3, "Sessions that write to or read the target"),
    "handover_holder": (2, "Snapshot holders: of their own, so that readers never wait for them"),
}

SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    # The holder, five lanes: more would only share two cores.
    "AIRFLOW__CORE__PARALLELISM": "6",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    # The default asks DNS for a full name, which takes seconds where there is none.
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in ROLES.items()),
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__API__EXPOSE_CONFIG": "False",
    "AIRFLOW__API_AUTH__JWT_ISSUER": "handover",
    # One DAG file: a second parser would only cost memory. It is looked at often, so that edits show at once.
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "15",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
    "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
    # Between tasks the scheduler sleeps this long: a run of forty short tasks feels each of them.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    # Nothing about this installation is reported to anybody.
    "SCARF_ANALYTICS": "false",
    "DO_NOT_TRACK": "1",
}


def program() -> Path:
    """The ``airflow`` program of this Python environment."""
    return Path(sys.executable).parent / "airflow"


def environment(home: Home, ports: Ports) -> dict[str, str]:
    """Everything that services and the command line need to know, as handover.env holds it."""
    secrets = home.secrets()
    api = f"http://127.0.0.1:{ports.api}"
    metadata = url("airflow", secrets["airflow"], ports.clusters["control"], "airflow")
    return {
        "HANDOVER_HOME": str(home.root),
        "HANDOVER_PG_BIN": str(binaries()),
        "HANDOVER_LEDGER_URL": ledger_url(home, ports),
        "PYTHONPATH": f"{REPOSITORY / 'include'}",
        "AIRFLOW_HOME": str(home.root / "airflow"),
        **connections(home, ports),
        **SETTINGS,
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__CORE__FERNET_KEY": secrets["fernet"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.root / "airflow" / "passwords.json"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{api}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata.replace("postgresql:", "postgresql+psycopg:"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": metadata.replace("postgresql:", "postgresql+asyncpg:"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(ports.api),
        "AIRFLOW__API__BASE_URL": api,
        "AIRFLOW__API__SECRET_KEY": secrets["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets["jwt"],
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home.root / "logs" / "airflow"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home.root / "logs" / "dags"),
    }


def connections(home: Home, ports: Ports) -> dict[str, str]:
    """Airflow's connections to the sample source and target."""
    password = home.secrets()["company"]
    return {
        f"AIRFLOW_CONN_SAMPLE_{name.upper()}": json.dumps(
            {
                "conn_type": "postgres",
                "host": "127.0.0.1",
                "port": ports.clusters[name],
                "login": "company",
                "password": password,
                "schema": "company",
            }
        )
        for name in ("source", "target")
    }


def ledger_url(home: Home, ports: Ports) -> str:
    return url(LEDGER_WRITER, home.secrets()["ledger"], ports.clusters["control"], LEDGER)


def service_environment(variables: dict[str, str]) -> dict[str, str]:
    """The environment of a service: ours, without anybody else's Airflow settings, and no proxy to itself."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1", "localhost"]))
    return {**inherited, "NO_PROXY": direct, "no_proxy": direct, **variables}
