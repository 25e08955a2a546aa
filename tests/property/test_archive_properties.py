"""Rows of every PostgreSQL type come out of an archive as the COPY text that the server wrote."""

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from fixtures.archives import LOANS, SECRETS, write
from fixtures.types import COLUMNS, TYPES_SQL
from handover.archive import encryption, read
from handover.archive.kinds import kind_of
from handover.archive.rows import rows_of
from handover.model.archive import ArchivedColumn, ArchivedTable
from handover.postgres.copying import read_rows
from handover.postgres.session import Connection, connect

EDGES: dict[str, list[str | None]] = {
    "boolean": ["t", "f"],
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "oid": ["0", "4294967295"],
    "real": ["NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e38", "0.1", "1e6", "16777217"],
    "double precision": ["NaN", "Infinity", "-0", "5e-324", "1.7976931348623157e308", "1e15", "1e-5", "100"],
    "numeric": ["NaN", "-Infinity", "1.10", "1.1", "0." + "0" * 900 + "1", "9" * 200],
    "numeric(38,0)": ["9" * 38, "-" + "9" * 38, "0", "NaN"],
    "numeric(38,38)": ["0." + "9" * 38, "-0." + "0" * 37 + "1", "0"],
    "numeric(39,2)": ["9" * 37, "NaN"],
    "numeric(14,2)": ["0.00", "-0.01", "999999999999.99", "NaN"],
    "numeric(3,-2)": ["99900", "-100"],
    "numeric(2,4)": ["0.0099", "-0.0001"],
    "date": ["infinity", "-infinity", "0001-01-01", "0044-03-15 BC", "4713-11-24 BC", "9999-12-31",
        "10000-01-01"],
    "timestamp without time zone": ["infinity", "2000-01-01 00:00:00.000001", "2000-01-01", "0001-01-01 BC",
        "1969-12-31 23:59:59.9", "294276-12-31 23:59:59.999999", "1582-10-10 10:20:30.5"],
    "timestamp(3) without time zone": ["1999-12-31 23:59:59.9995", "-infinity"],
    "timestamp with time zone": ["infinity", "2000-01-01 00:00:00+05:30", "0001-01-01 00:00:00 BC",
        "9999-12-31 23:59:59.9"],
    "time without time zone": ["24:00:00", "00:00:00.000001"],
    "interval": ["1 mon -1 day 00:00:00.000001", "-178000000 years"],
    "text": ["", "\\N", "\\.", "\t\n\r\b\f\v\\", "中文😀", "x" * 5000, "NULL", "\"'"],
    "character(5)": ["", "a", "中 "],
    "character varying(9)": ["", " a "],
    "bytea": ["", "\\x", "\\x00ff5c0a", "\\x" + "ab" * 3000],
    "uuid": ["00000000-0000-0000-0000-000000000000"],
    "json": ['{"a": 1,  "a": 2}', "null"],
    "jsonb": ['{"a": [1.10, "\\u0001"]}'],
    "text[]": ["{}", '{NULL,"NULL","\\\\"}', "[0:0]={a}"],
}  # fmt: skip


def table_of(columns: dict[str, str]) -> ArchivedTable:
    return ArchivedTable(
        number=1,
        schema_name="s",
        name="t",
        columns=tuple(
            ArchivedColumn(name=name, type=type_name, identifying=place % 2 == 0)
            for place, (name, type_name) in enumerate(columns.items())
        ),
    )


def copied(session: Connection, table: str) -> bytes:
    query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(*table.split(".")))
    return b"".join(bytes(row) for row in read_rows(session, query, "text"))


def types_of(session: Connection, table: str) -> dict[str, str]:
    found = session.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
        [table],
    ).fetchall()
    return {str(name): str(type_name) for name, type_name in found}


def filled(session: Connection, values: dict[str, list[str | None]]) -> dict[str, str]:
    """Make s.t with a column for each type and a row for each of the longest list's values."""
    session.execute("CREATE SCHEMA IF NOT EXISTS s")
    session.execute("DROP TABLE IF EXISTS s.t")
    columns = ", ".join(f"c{place} {name}" for place, name in enumerate(values))
    session.execute(f"CREATE TABLE s.t ({columns})".encode())
    for number in range(max(map(len, values.values())) + 1):
        row = [found[number] if number < len(found) else None for found in values.values()]
        holes = ", ".join("%s" for _ in row)
        session.execute(f"INSERT INTO s.t VALUES ({holes})".encode(), row)
    return types_of(session, "s.t")


def test_edge_values_come_back_as_the_server_wrote_them(database: Callable[..., str], tmp_path: Path) -> None:
    with closing(connect(database("edges"))) as session:
        types = filled(session, EDGES)
        assert list(types.values()) == list(EDGES)
        data = copied(session, "s.t")
    (part,) = write(tmp_path, table_of(types), [(LOANS.term, data)])
    assert b"".join(rows_of(tmp_path / "data" / part.file, SECRETS)) == data


def test_every_type_comes_back(database: Callable[..., str], tmp_path: Path, cluster) -> None:
    url = database("types")
    with psycopg.connect(cluster.admin_url(url.rpartition("/")[2]), autocommit=True) as admin:
        admin.execute("CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO PUBLIC")
        admin.execute(TYPES_SQL.encode())
        admin.execute(
            "CREATE TABLE s.t ({})".format(", ".join(f"{c.name} {c.type}" for c in COLUMNS)).encode()
        )
        for place in range(1 + max(len(c.others) for c in COLUMNS)):
            row = [(c.value, *c.others)[place] if place <= len(c.others) else None for c in COLUMNS]
            holes = ", ".join("%s" for _ in row)
            admin.execute(f"INSERT INTO s.t VALUES ({holes})".encode(), row)
        admin.execute("GRANT SELECT ON s.t TO PUBLIC")
    with closing(connect(url)) as session:
        data, types = copied(session, "s.t"), types_of(session, "s.t")
    (part,) = write(tmp_path, table_of(types), [(LOANS.term, data)])
    assert b"".join(rows_of(tmp_path / "data" / part.file, SECRETS)) == data


def finite(**limits: object) -> st.SearchStrategy[str]:
    return st.decimals(allow_nan=False, allow_infinity=False, **limits).map(lambda number: f"{number:f}")


RANDOM = {
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "double precision": st.floats().map(repr),
    "real": st.floats(width=32).map(repr),
    "numeric(20,7)": finite(min_value=-(10**12), max_value=10**12, places=7),
    "numeric": finite(),
    "date": st.dates().map(str),
    "timestamp without time zone": st.datetimes().map(str),
    "timestamp with time zone": st.datetimes().map(lambda at: f"{at}+00"),
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "bytea": st.binary().map(lambda value: f"\\x{value.hex()}"),
    "boolean": st.sampled_from(["t", "f"]),
}


@pytest.fixture
def session(database: Callable[..., str]):
    with closing(connect(database("random"))) as opened:
        yield opened


def test_random_values_come_back(session: Connection, tmp_path: Path) -> None:
    columns = {name: st.lists(st.none() | some, min_size=30, max_size=60) for name, some in RANDOM.items()}

    @settings(max_examples=8, deadline=None)
    @given(st.fixed_dictionaries(columns))
    def check(values: dict[str, list[str | None]]) -> None:
        types = filled(session, values)
        data = copied(session, "s.t")
        (part,) = write(tmp_path, table_of(types), [(LOANS.term, data)])
        assert b"".join(rows_of(tmp_path / "data" / part.file, SECRETS)) == data

    check()


def test_the_csv_of_the_bags_own_program_says_the_same(session: Connection, tmp_path: Path) -> None:
    """Typed values are right, not only such that their text comes back: the server reads them."""
    types = filled(session, EDGES)
    data = copied(session, "s.t")
    (part,) = write(tmp_path, table_of(types), [(LOANS.term, data)])
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({name: b64encode(secret).decode() for name, secret in SECRETS.items()}))
    done = subprocess.run(
        [sys.executable, "-I", read.__file__, tmp_path / "data" / part.file, keys],
        capture_output=True,
        check=True,
    )
    session.execute("CREATE TABLE s.again (LIKE s.t)")
    with (
        session.cursor() as cursor,
        cursor.copy("COPY s.again FROM STDIN (FORMAT csv, HEADER match)") as copy,
    ):
        copy.write(done.stdout)
    assert copied(session, "s.again") == data


def test_what_can_be_typed_is_typed_beside_what_cannot(session: Connection, tmp_path: Path) -> None:
    """A kind that gave every value up to text would be lossless as well, and of no use."""
    ordinary: dict[str, list[str | None]] = {
        "date": ["2026-01-31", "infinity"],
        "numeric(14,2)": ["1234.50", "NaN"],
        "timestamp without time zone": ["2026-01-31 10:20:30.5", "-infinity"],
        "timestamp with time zone": ["2026-01-31 10:20:30+00", "0044-03-15 00:00:00+00 BC"],
    }
    types = filled(session, ordinary)
    (part,) = write(tmp_path, table_of(types), [(LOANS.term, copied(session, "s.t"))])
    with encryption.reading(tmp_path / "data" / part.file, SECRETS) as file:
        rows = file.read()
    for place, (name, (_, odd)) in enumerate(ordinary.items()):
        assert rows.schema.field(f"c{place}").type == kind_of(name).type
        assert rows[f"c{place}"].is_valid().to_pylist() == [True, False, False]
        assert rows[f"c{place}__text"].to_pylist() == [None, odd, None]


def test_a_value_that_its_kind_cannot_say_stays_as_text(tmp_path: Path) -> None:
    table = table_of({"amount": "numeric(4,2)", "at": "timestamp with time zone"})
    data = b"123456.789\t2026-01-31 10:20:30+08\n1.5\t2026-01-31 10:20:30\n12.50\t2026-02-31 10:20:30+00\n"
    (part,) = write(tmp_path, table, [(LOANS.term, data)])
    assert b"".join(rows_of(tmp_path / "data" / part.file, SECRETS)) == data
