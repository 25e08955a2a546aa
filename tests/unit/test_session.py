"""Sessions: every pinned setting holds whatever roles and databases say; errors come without values."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg import sql

from fixtures.clusters import databases
from handover.errors import Busy, ConfigurationMissing, ConnectionLost, DataRefused, HandoverError
from handover.local.clusters import Cluster
from handover.local.ports import free_block
from handover.postgres.session import (
    KEEPALIVE,
    LOCK_SECONDS,
    PINNED,
    PINNED_SINCE,
    QUIET_LOG,
    TUNED,
    connect,
    database_errors,
    fetch,
    quiet_log,
    stripped,
    with_database,
)

# What a role or database may have set instead, in ways that change how data looks or is seen.
CONTRARY = {
    "client_encoding": "GBK",
    "datestyle": "German, DMY",
    "intervalstyle": "iso_8601",
    "timezone": "Asia/Shanghai",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "lc_monetary": "POSIX",
    "xmloption": "document",
    "search_path": "s, public",
    "row_security": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "synchronous_commit": "off",
    "statement_timeout": "100",
    "lock_timeout": "100",
    "idle_session_timeout": "100",
    "transaction_timeout": "100",
    "idle_in_transaction_session_timeout": "100",
    "check_function_bodies": "on",
    "client_min_messages": "debug5",
    "application_name": "other",
    "default_transaction_read_only": "on",
}
NOTHING_WRONG = "SELECT name, setting FROM pg_catalog.pg_settings WHERE lower(name) = ANY(%s)"
TABLES = """
CREATE SCHEMA s;
CREATE TYPE s.state AS ENUM ('open');
CREATE DOMAIN s.short AS text CONSTRAINT is_short CHECK (length(value) < 5);
CREATE TABLE s.parent (id int CONSTRAINT parent_key PRIMARY KEY);
CREATE TABLE s.t (id int CONSTRAINT t_key PRIMARY KEY, name text NOT NULL,
  n int CONSTRAINT small CHECK (n < 9), day date, state s.state, short s.short,
  parent int CONSTRAINT to_parent REFERENCES s.parent,
  at tsrange, CONSTRAINT no_overlap EXCLUDE USING gist (at WITH &&), wide varchar(3));
INSERT INTO s.t (id, name, at) VALUES (4711, 'x', '[2020-01-01,2020-02-01)');
CREATE FUNCTION s.fail() RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'private message' USING DETAIL = 'private detail', HINT = 'private hint',
     ERRCODE = 'P0001'; END $$;
"""


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> Iterator[str]:
    with databases(cluster) as factory:
        address = factory("session", owner="session_owner")
        with psycopg.connect(address) as connection:
            connection.execute(TABLES)
        yield address


def settings(connection: psycopg.Connection, names: object) -> dict[str, object]:
    return {str(n).lower(): v for n, v in fetch(connection, NOTHING_WRONG, list(names))}


@pytest.fixture(params=["role", "database", "role in database"])
def contrary(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[str]:
    """The address of a database where role or database set everything otherwise."""
    with databases(cluster) as factory:
        address = factory("contrary", owner="contrary_owner")
        name = address.rsplit("/", 1)[1]
        what = {
            "role": "ROLE contrary_owner",
            "database": f"DATABASE {name}",
            "role in database": f"ROLE contrary_owner IN DATABASE {name}",
        }[request.param]
        with psycopg.connect(cluster.admin_url(), autocommit=True) as admin:
            for setting, value in CONTRARY.items():
                values = value if setting == "search_path" else sql.Literal(value).as_string(admin)
                admin.execute(sql.SQL(f"ALTER {what} SET {setting} = {values}"))
            yield address
            admin.execute(sql.SQL(f"ALTER {what} RESET ALL"))


def test_a_peer_that_vanished_is_noticed_on_either_side(url: str) -> None:
    theirs = {f"tcp_keepalives_{name}": str(value) for name, value in KEEPALIVE.items()}
    with closing(connect(url)) as connection:
        assert settings(connection, theirs) == theirs
        ours = connection.info.get_parameters()
    assert {f"tcp_keepalives_{name}": ours[f"keepalives_{name}"] for name in KEEPALIVE} == theirs


def test_every_pinned_setting_has_a_contrary_here() -> None:
    assert set(CONTRARY) == set(PINNED) | set(PINNED_SINCE) | {
        "default_transaction_read_only",
        "lock_timeout",
    }


@pytest.mark.parametrize("read_only", [True, False])
def test_pinned_settings_hold(contrary: str, read_only: bool) -> None:
    with psycopg.connect(contrary, client_encoding="UTF8") as plain:
        assert plain.execute("SHOW timezone").fetchone() == ("Asia/Shanghai",), "the contrary is in force"
    wanted = PINNED | {"default_transaction_read_only": "on" if read_only else "off"}
    wanted |= {name: value for name, (value, _) in PINNED_SINCE.items()}
    wanted["lock_timeout"] = f"{LOCK_SECONDS}000" if read_only else "0"
    with closing(connect(contrary, read_only=read_only)) as connection:
        assert settings(connection, wanted) == wanted


VALUES = """
SELECT timestamptz '2024-01-02 03:04:05+00', interval '1 month 2 days', float8 '0.1' + float8 '0.2',
       bytea 'a', money '1.5', '{NULL}'::text[], 'ü', date '2024-01-02'
"""


def test_values_look_the_same_under_every_contrary(contrary: str, url: str) -> None:
    def shown(address: str) -> list[bytes]:
        with (
            closing(connect(address)) as connection,
            connection.cursor().copy(f"COPY ({VALUES}) TO STDOUT") as copy,
        ):
            return [bytes(row) for row in copy]

    assert shown(contrary) == shown(url)


def test_tuned_settings_hold(contrary: str) -> None:
    with closing(connect(contrary)) as connection:
        for name, value in TUNED.items():
            assert fetch(connection, f"SHOW {name}") == [(value,)]


def test_rows_that_a_policy_hides_are_an_error_and_not_a_gap(cluster: Cluster, url: str) -> None:
    name = url.rsplit("/", 1)[1]
    cluster.create_role("session_reader", "reader-password")
    with psycopg.connect(url) as owner:
        owner.execute(
            "CREATE TABLE s.hidden (id int); ALTER TABLE s.hidden ENABLE ROW LEVEL SECURITY;"
            "GRANT USAGE ON SCHEMA s TO session_reader; GRANT SELECT ON s.hidden TO session_reader"
        )
    reader = f"postgresql://session_reader:reader-password@127.0.0.1:{cluster.port}/{name}"
    with (
        closing(connect(reader)) as connection,
        pytest.raises(DataRefused, match="InsufficientPrivilege"),
        database_errors("reading"),
    ):
        fetch(connection, "SELECT * FROM s.hidden")


def test_a_read_only_session_cannot_write(url: str) -> None:
    with (
        closing(connect(url, read_only=True)) as connection,
        pytest.raises(DataRefused, match="SQLSTATE 25006"),
        database_errors("writing"),
    ):
        connection.execute("INSERT INTO s.parent VALUES (1)")


def test_the_servers_log_is_kept_quiet_where_that_is_allowed(cluster: Cluster, url: str) -> None:
    name = url.rsplit("/", 1)[1]
    loud = "ALTER ROLE session_owner SET log_min_messages = 'debug1'"
    with psycopg.connect(cluster.admin_url(name), autocommit=True) as admin:
        admin.execute(loud)
        try:
            with closing(connect(url)) as connection:
                assert not quiet_log(connection), "an ordinary role may not"
            for setting in QUIET_LOG:
                admin.execute(sql.SQL(f"GRANT SET ON PARAMETER {setting} TO session_owner"))
            with closing(connect(url)) as connection:
                assert settings(connection, QUIET_LOG) == QUIET_LOG
        finally:
            admin.execute("ALTER ROLE session_owner RESET ALL")
            for setting in QUIET_LOG:
                admin.execute(sql.SQL(f"REVOKE SET ON PARAMETER {setting} FROM session_owner"))


# Statement with values that must not be told; SQLSTATE; names that must be told.
REFUSED = {
    "unique violation": (
        "INSERT INTO s.t (id, name) VALUES (4711, 'private')",
        "23505",
        {"schema": "s", "table": "t", "constraint": "t_key"},
    ),
    "check violation": (
        "INSERT INTO s.t (id, name, n) VALUES (1, 'private', 4711)",
        "23514",
        {"schema": "s", "table": "t", "constraint": "small"},
    ),
    "null": (
        "INSERT INTO s.t (id, day) VALUES (4711, '2020-01-01')",
        "23502",
        {"schema": "s", "table": "t", "column": "name"},
    ),
    "foreign key": (
        "INSERT INTO s.t (id, name, parent) VALUES (1, 'private', 4711)",
        "23503",
        {"schema": "s", "table": "t", "constraint": "to_parent"},
    ),
    "exclusion": (
        "INSERT INTO s.t (id, name, at) VALUES (1, 'private', '[2020-01-11,2020-01-12)')",
        "23P01",
        {"schema": "s", "table": "t", "constraint": "no_overlap"},
    ),
    "domain": (
        "INSERT INTO s.t (id, name, short) VALUES (1, 'x', 'private')",
        "23514",
        {"schema": "s", "datatype": "short", "constraint": "is_short"},
    ),
    "bad value": ("SELECT 'private'::int", "22P02", {}),
    "bad date": ("SELECT '4711-99-99'::date", "22008", {}),
    "bad enum": ("SELECT 'private'::s.state", "22P02", {}),
    "too long": ("INSERT INTO s.t (id, name, wide) VALUES (1, 'x', 'private')", "22001", {}),
    "out of range": ("SELECT 47114711471147114711::numeric::int", "22003", {}),
    "division by zero": ("SELECT 4711 / 0 FROM s.t WHERE name <> 'private'", "22012", {}),
    "bad json": ("SELECT '{private}'::json", "22P02", {}),
    "syntax": ("SELECT 'private' private private", "42601", {}),
    "absent": ("SELECT private FROM s.t", "42703", {}),
    "raised by the company's own function": ("SELECT s.fail()", "P0001", {}),
}


@pytest.mark.parametrize("statement, state, names", REFUSED.values(), ids=REFUSED)
def test_an_error_names_objects_and_no_value(
    url: str, statement: str, state: str, names: dict[str, str]
) -> None:
    with closing(connect(url)) as connection, pytest.raises(DataRefused) as caught, database_errors("a step"):
        connection.execute(statement)
    told = str(caught.value)
    assert told.startswith(f"a step: the database refused it (SQLSTATE {state}, ")
    assert caught.value.data == {"sqlstate": state, **names}
    assert all(f"{kind} {name}" in told for kind, name in names.items())
    assert "private" not in told + repr(caught.value.data)
    assert "4711" not in told
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "the original error would be printed with its values"


def test_a_bad_value_in_a_copy_is_not_told(url: str) -> None:
    with (
        closing(connect(url)) as connection,
        pytest.raises(DataRefused) as caught,
        database_errors("a step"),
        connection.cursor().copy("COPY s.t (id, day) FROM STDIN") as copy,
    ):
        copy.write(b"4711\tprivate\n")
    assert "22007" in str(caught.value)
    assert "private" not in str(caught.value)
    assert "4711" not in str(caught.value)


CLASSES = {
    "08006": ConnectionLost,
    "08P01": ConnectionLost,
    "57P01": ConnectionLost,
    "57P02": ConnectionLost,
    "57P03": ConnectionLost,
    "40001": Busy,
    "40P01": Busy,
    "55P03": Busy,
    "53100": Busy,
    "53200": Busy,
    "53300": Busy,
    "22P02": DataRefused,
    "23505": DataRefused,
    "25006": DataRefused,
    "42501": DataRefused,
    "42P01": DataRefused,
    "55006": DataRefused,
    "57014": DataRefused,
    "XX001": DataRefused,
}


@pytest.mark.parametrize("state, error", CLASSES.items())
def test_the_sqlstate_decides_whether_it_is_tried_again(state: str, error: type[HandoverError]) -> None:
    found = stripped(psycopg.errors.lookup(state)("private"), "a step")
    assert type(found) is error
    assert "private" not in str(found)


def test_an_ended_session_is_a_lost_connection(cluster: Cluster, url: str) -> None:
    with closing(connect(url)) as connection:
        with psycopg.connect(cluster.admin_url()) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        with (
            pytest.raises(ConnectionLost, match="a step: the connection was lost"),
            database_errors("a step"),
        ):
            connection.execute("SELECT 1")


def test_a_lock_that_is_not_to_be_had_is_busy(url: str) -> None:
    with closing(connect(url)) as one, closing(connect(url)) as other, one.transaction():
        one.execute("LOCK TABLE s.parent IN ACCESS EXCLUSIVE MODE")
        other.execute("SET lock_timeout = '10ms'")
        with pytest.raises(Busy, match="55P03"), database_errors("a step"):
            other.execute("SELECT * FROM s.parent")


PLACES = {
    "wrong password": ({"password": "hidden-one"}, ConfigurationMissing, "password authentication failed"),
    "no such database": ({"dbname": "absent_one"}, ConfigurationMissing, "does not exist"),
    "no server": ({"port": "{free}"}, ConnectionLost, "cannot be reached"),
}


@pytest.mark.parametrize("changes, error, said", PLACES.values(), ids=PLACES)
def test_a_refused_connection_says_where_and_hides_the_password(
    url: str, changes: dict[str, str], error: type[HandoverError], said: str
) -> None:
    password = url.split(":")[2].split("@")[0]
    changes = {name: value.format(free=free_block(1)) for name, value in changes.items()}
    with pytest.raises(error, match=said) as caught:
        connect(psycopg.conninfo.make_conninfo(url, **changes))
    assert "127.0.0.1" in str(caught.value)
    assert password not in str(caught.value)
    assert "hidden-one" not in str(caught.value)


def test_an_address_that_cannot_be_parsed_is_not_repeated() -> None:
    with pytest.raises(ConfigurationMissing, match="address cannot be parsed") as caught:
        connect("postgresql://u:hidden-one@[h/db")
    assert "hidden-one" not in str(caught.value)


def test_another_database_of_a_server_keeps_the_rest_of_the_address() -> None:
    url = "postgresql://u%3A%40:p%27%25%26@h:1/d?sslmode=require"
    parts = psycopg.conninfo.conninfo_to_dict(url)
    assert psycopg.conninfo.conninfo_to_dict(with_database(url, "d b?")) == parts | {"dbname": "d b?"}
