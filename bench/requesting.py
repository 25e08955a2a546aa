"""A person's request over 30 tables and ten million rows: what is theirs, and every text that names them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import psycopg

from bench import BenchFailed
from bench.arena import Arena
from bench.costs import Figure
from handover.model.datamap import DataMap
from handover.model.reconciliation import TableName
from handover.model.registered import RegisteredSource
from handover.postgres.session import connect
from handover.stages.person_copy import PersonCopy
from handover.stages.subjects import find_subject

REQUEST = "request"
TABLES, ROWS = 30, 10_000_000
MOBILE = "13800138000"
_PERSONS = """
CREATE SCHEMA s;
CREATE TABLE s.person (id bigint PRIMARY KEY, name text, born date, mobile text, resident_id text);
INSERT INTO s.person SELECT n, 'Person ' || left(md5(n::text), 9), date '1980-01-01' + (n % 9000)::int,
  '139' || lpad((n * 104729 % 100000000)::text, 8, '0'),
  '11010119' || lpad((n * 7919 % 10000000000)::text, 10, '0') FROM generate_series(1, {rows}::bigint) AS n;
UPDATE s.person SET mobile = '13800138000' WHERE id = 7;
CREATE INDEX ON s.person (mobile);
"""
_TABLE = """
CREATE TABLE s.t{n} (id bigint, person_id bigint REFERENCES s.person, at timestamptz, amount numeric(12, 2),
  said text);
INSERT INTO s.t{n}
  SELECT i, 1 + i * 7919 % {persons}, timestamptz '2020-01-01 00:00Z' + i * interval '1 minute', i % 997,
  'spoke to the customer ' || left(md5(i::text), 8) || ' about plan ' || i % 50 || ', reference '
  || i * 104729 % 100000000 || ', call again in spring' FROM generate_series(1, {rows}::bigint) AS i;
CREATE INDEX ON s.t{n} (person_id);
UPDATE s.t{n} SET said = 'call 138-0013 8000 instead' WHERE id = 5;
"""
_LEVELS = {"jrt0171": "C1", "pipl_sensitive": False, "gbt43697": 2, "gdpr": "personal"}


def answered(place: Arena, rows: int = ROWS) -> Iterator[Figure]:
    """Find a person by number, read what is theirs and look for them in all that others have."""
    url = place.fresh(place.source, "asked")
    each = rows // TABLES
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_PERSONS.format(rows=each).encode())
        for n in range(1, TABLES):
            connection.execute(_TABLE.format(n=n, persons=each, rows=each).encode())
        connection.execute("VACUUM ANALYZE")
    place.settle()
    began = time.monotonic()
    own, named = _asked(url)
    took = time.monotonic() - began
    if named < TABLES - 1 or not own:
        raise BenchFailed(f"{own} rows of the person, {named} that name them", hint="see person_copy")
    print(f"a request over {rows:,} rows in {TABLES} tables: {took:.1f} s, {own} own rows, {named} name them")
    yield Figure("request_10m_rows", took, "s")


def _asked(url: str) -> tuple[int, int]:
    datamap = _map()
    source = RegisteredSource.model_construct(
        source="asked",
        database=type("Database", (), {"schemas": ("s",)}),
        virtual_keys=(),
        polymorphic=(),
    )
    with closing(connect(url, read_only=True)) as connection:
        subject = find_subject(connection, datamap, MOBILE, b"k" * 32)
    with PersonCopy(source, url, datamap, subject) as copy:
        own = sum(len(table.rows) for table in copy.own(copy.known))
        named = sum(len(table.rows) for table in copy.mentions(copy.known))
    return own, named


def _map() -> DataMap:
    def dataset(table: str, subject: dict[str, object], **kinds: str) -> dict[str, object]:
        columns = {column: {**_LEVELS, "kind": kind} for column, kind in kinds.items()}
        return {
            "table": f"s.{table}",
            "purpose": "p",
            "origin": "o",
            "subject": [subject],
            "columns": columns,
        }

    one = TableName.model_validate("s.person")
    person = dataset(
        "person", {"by": ["id"]}, id="internal_id", name="person_name", born="birth_date", mobile="mobile",
        resident_id="resident_id",
    )  # fmt: skip
    others = [
        dataset(f"t{n}", {"by": ["person_id"], "to": one.label}, id="internal_id", person_id="internal_id",
                at="related", amount="amount", said="free_text")
        for n in range(1, TABLES)
    ]  # fmt: skip
    return DataMap.model_validate({"map": "asked", "datasets": [person, *others]})
