"""Connections that were given to Airflow, for the command line: asked of Airflow's own program."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping

from handover.connections import conninfo, extra_options
from handover.local.airflow import program


def airflow_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which Airflow's program meets this installation."""
    return {**os.environ, **variables, "PYTHONWARNINGS": "ignore"}


def airflow_connection(variables: Mapping[str, str], connection_id: str) -> str:
    """Return the URL of a connection from Airflow's metadata database; KeyError when there is none."""
    if "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in variables:
        raise KeyError(connection_id)
    done = subprocess.run(
        [program(), "connections", "get", connection_id, "--output", "json"],
        env=airflow_environment(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    # Airflow prints log lines before the JSON.
    start = done.stdout.find("[{")
    if done.returncode != 0 or start < 0:
        raise KeyError(connection_id)
    found = json.loads(done.stdout[start:])[0]
    extra = found.get("extra_dejson") or {}
    return conninfo(
        found.get("host"),
        int(found["port"]) if found.get("port") else None,
        found.get("login"),
        found.get("password"),
        found.get("schema"),
        extra_options(extra if isinstance(extra, dict) else {}),
    )
