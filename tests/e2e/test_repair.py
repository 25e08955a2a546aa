"""Rows that verification found different are mended from the backup, and nothing else is touched."""

import psycopg
import pytest

from fixtures.contents import contents, run_sql
from fixtures.dumps import large_objects, schema_text
from fixtures.runs import Runner, migrated, verified
from handover.errors import DataRefused, VerificationFailed
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.migrate import finish_target
from handover.stages.verify import verify_lane

SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.parent (id int PRIMARY KEY, name text NOT NULL, code text UNIQUE, at timestamptz);
CREATE TABLE s.child (parent int REFERENCES s.parent ON DELETE CASCADE, no int, v float8, j json,
  PRIMARY KEY (parent, no));
CREATE TABLE s.log (text text, copy int, j json, x double precision);
CREATE TABLE s.named (k text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY,
  twice int GENERATED ALWAYS AS (length(k) * 2) STORED);
CREATE TABLE s.spread (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
CREATE TABLE s.spread_0 PARTITION OF s.spread FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE s.spread_1 PARTITION OF s.spread FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE s.nothing ();
INSERT INTO s.parent SELECT n, 'parent ' || n, 'c' || n, '2026-01-01' FROM generate_series(1, 300) n;
INSERT INTO s.child SELECT n % 300 + 1, n / 300, n / 3.0, '{"a":  1}' FROM generate_series(0, 899) n;
INSERT INTO s.log SELECT 'line ' || n % 10, n % 3, '{}', 0 FROM generate_series(1, 200) n;
INSERT INTO s.named (k) SELECT 'key ' || n FROM generate_series(1, 50) n;
INSERT INTO s.spread SELECT n, 'v' || n FROM generate_series(1, 100) n;
INSERT INTO s.nothing SELECT FROM generate_series(1, 4);
CREATE FUNCTION s.meddle() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN IF TG_OP = 'DELETE' THEN RETURN NULL; END IF; NEW.name := 'meddled'; RETURN NEW; END $$;
CREATE TRIGGER meddle BEFORE INSERT OR UPDATE OR DELETE ON s.parent FOR EACH ROW EXECUTE FUNCTION s.meddle();
CREATE FUNCTION s.refuse() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN IF current_setting('application_name') = 'handover' THEN RAISE 'no'; END IF; RETURN NULL; END $$;
CREATE TRIGGER always AFTER UPDATE OR INSERT OR DELETE ON s.child FOR EACH ROW EXECUTE FUNCTION s.refuse();
ALTER TABLE s.child ENABLE ALWAYS TRIGGER always;
ALTER TABLE s.spread DISABLE TRIGGER ALL;
CREATE RULE quiet AS ON DELETE TO s.log DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW s.total AS SELECT count(*) AS n, sum(length(name)) AS size FROM s.parent;
SELECT lo_from_bytea(61001, 'first'), lo_from_bytea(61002, 'second');
"""
ASIDE = "ALTER TABLE s.parent DISABLE TRIGGER meddle; "
BACK = "; ALTER TABLE s.parent ENABLE TRIGGER meddle"
FAULTS = {
    "changed": ASIDE + "UPDATE s.parent SET name = name || ' ' WHERE id = 7" + BACK,
    "missing with its children": ASIDE + "DELETE FROM s.parent WHERE id IN (3, 299)" + BACK,
    "missing child": "DELETE FROM s.child WHERE parent = 12",
    "too many with children": ASIDE
    + "INSERT INTO s.parent VALUES (999, 'x', 'x', now()); INSERT INTO s.child VALUES (999, 0, 1, '{}')"
    + BACK,
    "key changed": "UPDATE s.child SET no = 77 WHERE parent = 5 AND no = 1",
    "minus zero": "UPDATE s.log SET x = '-0' WHERE text = 'line 3'",
    "json spaces": """UPDATE s.child SET j = '{"a": 1}' WHERE parent = 9""",
    "one of equal rows": "ALTER TABLE s.log DISABLE RULE quiet;"
    "DELETE FROM s.log WHERE ctid = (SELECT min(ctid) FROM s.log); ALTER TABLE s.log ENABLE RULE quiet",
    "equal rows too many": "INSERT INTO s.log SELECT * FROM s.log WHERE copy = 1 LIMIT 5",
    "identity": "DELETE FROM s.named WHERE n = 17",
    "partition": "UPDATE s.spread SET v = upper(v) WHERE id % 10 = 0; DELETE FROM s.spread WHERE id = 41",
    "no columns": "INSERT INTO s.nothing SELECT FROM generate_series(1, 3)",
    "large object": "SELECT lo_put(61001, 0, 'F'), lo_unlink(61002)",
    "everything": "TRUNCATE s.parent, s.child, s.log, s.named, s.spread, s.nothing",
}


@pytest.fixture
def faulty(runner: Runner) -> Context:
    """A run whose target is filled."""
    run_sql(runner.urls["src"], SOURCE)
    context = runner.open()
    migrated(context)
    return context


def looked_at(context: Context) -> list[str]:
    """Verify every lane, as the DAG does, whatever the others found; returns all differences."""
    found: list[str] = []
    for number in range(len(context.plan().lanes)):
        try:
            verify_lane(context, number)
        except VerificationFailed as problem:
            found += problem.data["differences"]
    return found


def test_every_fault_is_mended(faulty: Context) -> None:
    before = contents(faulty.target), schema_text(faulty.target), large_objects(faulty.target)
    assert before[0] == contents(faulty.source)
    for name, fault in FAULTS.items():
        run_sql(faulty.target, fault)
        assert looked_at(faulty), name
        finish_target(faulty)
        verified(faulty)
        after = contents(faulty.target), schema_text(faulty.target), large_objects(faulty.target)
        assert after == before, name
    mended = faulty.entries("repaired")
    assert {e.body["table"] for e in mended} >= {"s.parent", "s.child", "s.log", "s.named", "s.nothing"}
    close_run(faulty)
    assert faulty.entries("run-closed")[-1].body["status"] == "complete"


def test_rows_that_agree_are_not_touched(faulty: Context) -> None:
    with psycopg.connect(faulty.target) as connection:
        query = "SELECT xmin::text, id FROM s.parent WHERE id <> 7 ORDER BY id"
        before = connection.execute(query).fetchall()
        connection.commit()
        run_sql(faulty.target, FAULTS["changed"])
        with pytest.raises(VerificationFailed, match="row with id = 7 differs in name"):
            verified(faulty)
        finish_target(faulty)
        assert connection.execute(query).fetchall() == before
    last = faulty.entries("repaired")[-1].body
    assert (last["deleted"], last["updated"], last["inserted"]) == (0, 1, 0)


def test_what_cannot_be_mended_is_named_and_nothing_half_done(faulty: Context) -> None:
    swap = "UPDATE s.parent SET code = CASE id WHEN 1 THEN 'c2' ELSE 'c1' END WHERE id IN (1, 2)"
    run_sql(faulty.target, ASIDE + "ALTER TABLE s.parent DROP CONSTRAINT parent_code_key;" + swap + BACK)
    run_sql(faulty.target, "ALTER TABLE s.parent ADD UNIQUE (code)")
    with pytest.raises(VerificationFailed, match="row with id = 1 differs in code"):
        verified(faulty)
    held = contents(faulty.target)
    with pytest.raises(DataRefused, match=r"mending s\.parent.*23505.*parent_code_key"):
        finish_target(faulty)
    assert contents(faulty.target) == held


def test_nothing_is_mended_without_a_finding(faulty: Context) -> None:
    """An unverified difference stays for verification to find: finishing alone changes no row."""
    run_sql(faulty.target, FAULTS["changed"])
    held = contents(faulty.target)["s.parent"]
    finish_target(faulty)
    assert contents(faulty.target)["s.parent"] == held
    assert not faulty.entries("repaired")
