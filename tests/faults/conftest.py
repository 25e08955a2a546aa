"""A source with a few thousand rows, cut into many small chunks, for everything that is killed here."""

from functools import partial

import pytest

from fixtures.contents import run_sql
from fixtures.runs import Runner
from handover.postgres.copying import cut_by_size

SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.a (id int PRIMARY KEY, t text);
INSERT INTO s.a SELECT n, repeat(md5(n::text), 3) FROM generate_series(1, 1200) n;
CREATE TABLE s.b (k text PRIMARY KEY, v int);
INSERT INTO s.b SELECT 'key ' || n, n FROM generate_series(1, 600) n;
CREATE TABLE s.keyless (a int, b text);
INSERT INTO s.keyless SELECT n % 50, repeat('same', 20) FROM generate_series(1, 400) n;
CREATE INDEX ON s.a (t);
CREATE MATERIALIZED VIEW s.m AS SELECT count(*) FROM s.a;
ALTER TABLE s.b ADD FOREIGN KEY (v) REFERENCES s.a;
"""


@pytest.fixture
def world(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A runner over the small source that cuts and polls as its children do."""
    monkeypatch.setattr("handover.stages.snapshot.POLL_SECONDS", 0.05)
    monkeypatch.setattr("handover.stages.stopping.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("handover.stages.backup.cut_by_size", partial(cut_by_size, limit=12_000))
    run_sql(runner.urls["src"], SOURCE)
    return runner
