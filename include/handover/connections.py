"""Connection addresses: from Airflow's parts to a URL, and from the environment for the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from psycopg.conninfo import make_conninfo

DEFAULT_PORT = 5432


def conninfo(
    host: str | None,
    port: int | None,
    login: str | None,
    password: str | None,
    database: str | None,
    options: Mapping[str, str],
) -> str:
    """Return libpq's form of a connection; parts that are absent stay libpq's defaults."""
    parts = {"host": host, "user": login, "password": password, "dbname": database}
    given = {name: value for name, value in parts.items() if value}
    return make_conninfo("", port=str(port or DEFAULT_PORT), **given, **options)


def extra_options(extra: Mapping[str, object]) -> dict[str, str]:
    """Return the libpq options among a connection's extras; others are Airflow's own business."""
    return {name: str(value) for name, value in extra.items() if name.startswith("ssl") or name == "options"}


def environment_resolver(variables: Mapping[str, str]) -> Callable[[str], str]:
    """Return a resolver that knows Airflow's ``AIRFLOW_CONN_<ID>`` variables, as URL or JSON."""

    def resolve(connection_id: str) -> str:
        value = variables[f"AIRFLOW_CONN_{connection_id.upper()}"]
        if not value.lstrip().startswith("{"):
            return value.replace("postgres://", "postgresql://", 1)
        parts = json.loads(value)
        return conninfo(
            parts.get("host"),
            parts.get("port"),
            parts.get("login"),
            parts.get("password"),
            parts.get("schema"),
            extra_options(parts.get("extra") or {}),
        )

    return resolve
