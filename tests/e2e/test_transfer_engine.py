"""The engine moves databases of every shape, and what it says of them is true."""

import json
from pathlib import Path

import psycopg
import pytest

from fixtures.runs import Runner, transferred

SMALL = """
CREATE SCHEMA s;
CREATE TYPE s.state AS ENUM ('open', 'closed');
CREATE TABLE s.a (id int PRIMARY KEY, t text, d date DEFAULT '2020-01-01', state s.state, states s.state[]);
INSERT INTO s.a SELECT n, 'row ' || n, NULL, 'open', '{open,NULL,closed}' FROM generate_series(1, 1000) n;
CREATE TABLE s.p (y int, v text, PRIMARY KEY (y, v)) PARTITION BY RANGE (y);
CREATE TABLE s.p1 PARTITION OF s.p FOR VALUES FROM (1) TO (10);
CREATE TABLE s.p2 PARTITION OF s.p FOR VALUES FROM (10) TO (20);
INSERT INTO s.p SELECT n % 19 + 1, 'v' || n FROM generate_series(1, 100) n;
CREATE TABLE s.keyless (a int, b text);
INSERT INTO s.keyless SELECT n % 3, 'same' FROM generate_series(1, 30) n;
CREATE TABLE s.nothing ();
INSERT INTO s.nothing DEFAULT VALUES;
CREATE TABLE s.empty (id uuid PRIMARY KEY);
CREATE TABLE s.g (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n numeric,
  twice numeric GENERATED ALWAYS AS (n * 2) STORED);
INSERT INTO s.g (n) VALUES (1.50), ('NaN'), (NULL);
ALTER TABLE s.a ADD parent int REFERENCES s.a;
CREATE VIEW s.v AS SELECT id FROM s.a;
CREATE MATERIALIZED VIEW s.m AS SELECT state, count(*) FROM s.a GROUP BY state;
CREATE MATERIALIZED VIEW s.unfilled AS SELECT 1 AS one WITH NO DATA;
CREATE INDEX ON s.a (t);
SELECT lo_from_bytea(4711, repeat('x', 3000000)::bytea), lo_from_bytea(4712, '');
"""


def run_sql(url: str, script: str) -> None:
    """Run a script as the owner of a database."""
    with psycopg.connect(url) as connection:
        connection.execute(script)


@pytest.fixture
def small(runner: Runner) -> Runner:
    """A runner whose source holds the small database."""
    run_sql(runner.urls["src"], SMALL)
    return runner


def test_small_database_arrives_complete(small: Runner) -> None:
    evidence = transferred(small.open())
    statement = json.loads(
        __import__("base64").b64decode(json.loads((evidence / "manifest.dsse.json").read_text())["payload"])
    )
    predicate = statement["predicate"]
    assert predicate["status"] == "complete"
    rows = {table["table"]: table["rows"] for table in predicate["tables"]}
    assert rows == {
        "s.a": 1000,
        "s.p1": 50,
        "s.p2": 50,
        "s.keyless": 30,
        "s.nothing": 1,
        "s.empty": 0,
        "s.g": 3,
        "large-objects": 4,
    }
    with psycopg.connect(small.urls["dst"]) as target:
        assert target.execute("SELECT count(*) FROM s.m").fetchone() == (1,)
        assert target.execute("SELECT length(lo_get(4711)), length(lo_get(4712))").fetchone() == (3000000, 0)
        assert target.execute("SELECT to_regclass('handover.receipt')").fetchone() == (None,)
    assert Path(evidence / "verify.py").is_file()
