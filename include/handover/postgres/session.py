"""Connections with every setting pinned that changes what a value looks like, and stripped errors.

What a database says about a failing row (DETAIL, CONTEXT, the message of a bad value) never leaves
this module: errors travel with SQLSTATE and the names of table, column and constraint only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from handover.errors import Busy, ConfigurationMissing, ConnectionLost, DataRefused, HandoverError

Connection = psycopg.Connection[tuple[object, ...]]

# Each of these changes the text or the visibility of data; two servers with other defaults would
# disagree or, worse, agree by accident. row_security=off makes a hidden row an error, not a gap.
PINNED = {
    "client_encoding": "UTF8",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "array_nulls": "on",  # off reads a NULL in an array as the text 'NULL'
    "transform_null_equals": "off",  # on reads `= NULL` in a definition as IS NULL
    "quote_all_identifiers": "off",  # on changes the text of every definition
    "xmloption": "content",
    "search_path": "pg_catalog",
    "row_security": "off",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": "read committed",
    "synchronous_commit": "on",  # off could lose, in a crash, what the ledger says was done
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "check_function_bodies": "off",
    "client_min_messages": "error",
    "application_name": "handover",
}
# Timeouts that would end a long backup, each with the first server version that knows it.
PINNED_SINCE = {"idle_session_timeout": ("0", 140000), "transaction_timeout": ("0", 170000)}
# A superuser's session can, from this version on, keep event triggers from firing on what we create and drop;
# only superusers can own one.
EVENT_TRIGGERS_SINCE = 170000
# Sorts of keys that no index serves, and index builds, are the long steps; two lanes of these fit easily.
# random_page_cost as PostgreSQL ships it: a server tuned lower reads a table by its random key one page at
# a time, where scanning and sorting takes half.
TUNED = {"work_mem": "64MB", "maintenance_work_mem": "256MB", "jit": "off", "random_page_cost": "4"}
# Keep failing values out of the server's own log. Only a superuser, or a role granted SET on these
# parameters, may; where it may not, the preflight says so.
QUIET_LOG = {"log_min_messages": "fatal", "log_min_error_statement": "panic", "log_error_verbosity": "terse"}
# A table locked exclusively for longer than this is somebody's maintenance: try again later. Sessions that
# write wait as long as it takes, because they wait for an earlier attempt of their own step.
LOCK_SECONDS = 30
# A server that was restarted is back within this time; longer waits are the retry's business.
CONNECT_SECONDS = 10
# A peer that vanished without a word is noticed within two minutes, on either side: we stop waiting for its
# answer, and the server gives up the receipt that a dead worker's session holds.
KEEPALIVE = {"idle": 60, "interval": 10, "count": 6}
_TRANSIENT_CLASSES = ("08", "57P", "40", "55P03", "53")
_LOST = ("08", "57P")


def _describe(problem: psycopg.Error) -> tuple[str, dict[str, object]]:
    """Return what may be said of a database error: its state and the names it carries."""
    diag = problem.diag
    named = {
        "sqlstate": problem.sqlstate or "",
        "schema": diag.schema_name,
        "table": diag.table_name,
        "column": diag.column_name,
        "constraint": diag.constraint_name,
        "datatype": diag.datatype_name,
    }
    data: dict[str, object] = {name: value for name, value in named.items() if value}
    kind = type(problem).__name__
    words = ", ".join(f"{name} {value}" for name, value in data.items() if name != "sqlstate")
    state = f"SQLSTATE {problem.sqlstate}, {kind}" if problem.sqlstate else kind
    return f"{state}{', ' + words if words else ''}", data


def _is_of_libpq(problem: psycopg.Error) -> bool:
    """Say whether the client library, not the server, reported it: in a COPY as a bare DatabaseError."""
    return isinstance(problem, psycopg.OperationalError) or type(problem) is psycopg.DatabaseError


def stripped(problem: psycopg.Error, doing: str) -> HandoverError:
    """Return our error for a database error, without any value of a row."""
    words, data = _describe(problem)
    state = problem.sqlstate or ""
    if state.startswith(_LOST) or (not state and _is_of_libpq(problem)):
        return ConnectionLost(
            f"{doing}: the connection was lost ({words})",
            hint="check that the server runs and can be reached; the step may then be tried again",
            **data,
        )
    if state.startswith(_TRANSIENT_CLASSES):
        return Busy(
            f"{doing}: the server could not go on ({words})",
            hint="locks, slots, memory or disk: see the SQLSTATE; the step may be tried again",
            **data,
        )
    return DataRefused(
        f"{doing}: the database refused it ({words})",
        hint="look the SQLSTATE up, correct the named object or privilege, then clear the failed task",
        **data,
    )


@contextmanager
def database_errors(doing: str) -> Iterator[None]:
    """Turn database errors inside the block into ours; ``doing`` names step and object."""
    try:
        yield
    except psycopg.Error as problem:
        raise stripped(problem, doing) from None


def place(url: str) -> str:
    """Return where a connection leads, without its password."""
    parts = conninfo_to_dict(url)
    host = parts.get("host") or parts.get("hostaddr") or "local socket"
    return f"{parts.get('user', '')}@{host}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def with_database(url: str, database: str) -> str:
    """Return the same connection to another database of the same server."""
    return make_conninfo(url, dbname=database)


def keepalives() -> dict[str, Any]:
    """Return connection parameters by which our side notices a vanished server."""
    return {f"keepalives_{name}": value for name, value in KEEPALIVE.items()}


def _open(url: str) -> Connection:
    try:
        return psycopg.connect(
            url, connect_timeout=CONNECT_SECONDS, autocommit=True, prepare_threshold=None, **keepalives()
        )
    except psycopg.ProgrammingError:
        raise ConfigurationMissing(
            "a connection's address cannot be parsed", hint="expected postgresql://user:password@host/db"
        ) from None
    except psycopg.OperationalError as problem:
        refused = problem.sqlstate or _refusal(str(problem))
        if refused:
            raise ConfigurationMissing(
                f"the server at {place(url)} refused the connection: {refused}",
                hint="correct user, password or database name of that connection",
            ) from None
        raise ConnectionLost(
            f"the server at {place(url)} cannot be reached",
            hint="check that it runs, its host and port, and the network between",
        ) from None


def _refusal(message: str) -> str:
    """Say why a server turned us away; libpq gives no SQLSTATE for a refused connection."""
    for sign, words in (
        ("password authentication failed", "password authentication failed"),
        ("no password supplied", "no password given"),
        ("does not exist", "user or database does not exist"),
        ("no pg_hba.conf entry", "no pg_hba.conf entry"),
        ("permission denied for database", "permission denied for the database"),
    ):
        if sign in message:
            return words
    return ""


def connect(url: str, *, read_only: bool = False) -> Connection:
    """Open a pinned session in autocommit mode.

    Raises ConfigurationMissing when the server refuses us, ConnectionLost when it is not there.
    """
    connection = _open(url)
    pinned = PINNED | TUNED | {f"tcp_keepalives_{name}": str(value) for name, value in KEEPALIVE.items()}
    pinned |= {"default_transaction_read_only": "on" if read_only else "off"}
    pinned["lock_timeout"] = f"{LOCK_SECONDS}s" if read_only else "0"
    known = connection.info.server_version
    pinned |= {name: value for name, (value, since) in PINNED_SINCE.items() if known >= since}
    if known >= EVENT_TRIGGERS_SINCE and connection.info.parameter_status("is_superuser") == "on":
        pinned["event_triggers"] = "off"
    try:
        _set_all(connection, pinned)
        quiet_log(connection)
    except psycopg.Error as problem:
        connection.close()
        raise stripped(problem, f"setting up the session at {place(url)}") from None
    return connection


def quiet_log(connection: Connection) -> bool:
    """Keep values of refused rows out of the server's log; return whether that is so now."""
    query = "SELECT name FROM pg_catalog.pg_settings WHERE name = ANY(%s) AND setting <> ALL(%s)"
    loud = fetch(connection, query, list(QUIET_LOG), list(QUIET_LOG.values()))
    try:
        _set_all(connection, {str(name): QUIET_LOG[str(name)] for (name,) in loud})
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def _set_all(connection: Connection, settings: dict[str, str]) -> None:
    """Set parameters for the session, all in one round trip."""
    if settings:
        calls = sql.SQL(", ").join([sql.SQL("pg_catalog.set_config(%s, %s, false)")] * len(settings))
        values = [part for pair in settings.items() for part in pair]
        connection.execute(sql.SQL("SELECT {}").format(calls), values)


def qualified(schema: str, name: str) -> sql.Composed:
    """Return a quoted schema-qualified name."""
    return sql.SQL("{}.{}").format(sql.Identifier(schema), sql.Identifier(name))


def major_version(connection: Connection) -> int:
    """Return the major version of the server, as in 18."""
    return connection.info.server_version // 10000


def fetch(connection: Connection, query: sql.Composable | str, *values: object) -> list[tuple[object, ...]]:
    """Run a query and return all rows; for the catalog, never for tables of the case."""
    composed = sql.Composed([sql.SQL(query) if isinstance(query, str) else query])
    return connection.execute(composed, values or None).fetchall()
