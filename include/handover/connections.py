"""Connection addresses: from Airflow's parts to a URL, and from the environment for the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import make_conninfo

from handover.errors import ConfigurationMissing

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
    try:
        return make_conninfo("", port=str(port or DEFAULT_PORT), **given, **options)
    except ProgrammingError:
        raise ConfigurationMissing(
            f"a connection's extras name an option unknown to libpq: {', '.join(sorted(options))}",
            hint="take them out of the connection's extras; `sslmode`, `sslrootcert` and `options` are known",
        ) from None


def extra_options(extra: Mapping[str, object]) -> dict[str, str]:
    """Return the libpq options among a connection's extras; others are Airflow's own business."""
    return {name: str(value) for name, value in extra.items() if name.startswith("ssl") or name == "options"}


def _parts(connection_id: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigurationMissing(
            f"AIRFLOW_CONN_{connection_id.upper()} or its extra is not a JSON object",
            hint="write it as a postgresql:// URL or as Airflow's JSON form",
        )
    return found


def environment_resolver(variables: Mapping[str, str]) -> Callable[[str], str]:
    """Return a resolver that knows Airflow's ``AIRFLOW_CONN_<ID>`` variables, as URL or JSON."""

    def resolve(connection_id: str) -> str:
        value = variables[f"AIRFLOW_CONN_{connection_id.upper()}"]
        if not value.lstrip().startswith("{"):
            return value.replace("postgres://", "postgresql://", 1)
        parts = _parts(connection_id, value)
        extra = parts.get("extra") or {}
        return conninfo(
            parts.get("host"),
            parts.get("port"),
            parts.get("login"),
            parts.get("password"),
            parts.get("schema"),
            extra_options(_parts(connection_id, extra) if isinstance(extra, str) else extra),
        )

    return resolve
