"""Connections as Airflow writes them become addresses that libpq reads; nothing secret is in an error."""

import json

import pytest
from psycopg.conninfo import conninfo_to_dict

from handover.connections import conninfo, environment_resolver, extra_options
from handover.errors import ConfigurationMissing

PARTS = {
    "conn_type": "postgres",
    "host": "db.example",
    "port": 6543,
    "login": "us er",
    "password": "p'a s\\s@/:?&=%",
    "schema": "Odd=Name",
}
MEANT = {
    "host": "db.example",
    "port": "6543",
    "user": "us er",
    "password": "p'a s\\s@/:?&=%",
    "dbname": "Odd=Name",
}


def resolved(value: object) -> dict[str, object]:
    text = value if isinstance(value, str) else json.dumps(value)
    return conninfo_to_dict(environment_resolver({"AIRFLOW_CONN_MY_DB": text})("my_db"))


def test_json_with_odd_characters_arrives_whole() -> None:
    assert resolved(PARTS) == MEANT


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_both_schemes_of_a_url(scheme: str) -> None:
    assert resolved(f"{scheme}://u:p%40w@h:1/d?sslmode=require") == {
        "host": "h",
        "port": "1",
        "user": "u",
        "password": "p@w",
        "dbname": "d",
        "sslmode": "require",
    }


@pytest.mark.parametrize("form", [dict, json.dumps], ids=["as an object", "as a text"])
def test_ssl_and_options_among_the_extras(form) -> None:
    extra = form({"sslmode": "verify-full", "sslrootcert": "/ca", "options": "-c x=y", "cursor": "dict"})
    assert resolved({**PARTS, "extra": extra}) == MEANT | {
        "sslmode": "verify-full",
        "sslrootcert": "/ca",
        "options": "-c x=y",
    }


def test_what_is_absent_is_left_to_libpq() -> None:
    assert resolved({"conn_type": "postgres", "extra": None}) == {"port": "5432"}
    assert conninfo_to_dict(conninfo(None, None, "u", None, "", {})) == {"port": "5432", "user": "u"}


def test_other_extras_are_airflows_business() -> None:
    assert extra_options({"sslmode": "require", "iam": True, "aws_conn_id": "x"}) == {"sslmode": "require"}


def test_an_unknown_connection_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        environment_resolver({})("absent")


UNUSABLE = {
    "cut": '{"host": "h", "password": "hidden',
    "extra is no object": {**PARTS, "password": "hidden", "extra": "[1]"},
    "an option that libpq does not know": {**PARTS, "password": "hidden", "extra": {"sslfoo": "hidden"}},
}


@pytest.mark.parametrize("value", UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_connection_is_told_without_its_content(value: object) -> None:
    with pytest.raises(ConfigurationMissing) as caught:
        resolved(value)
    assert "hidden" not in str(caught.value)
    assert caught.value.hint
