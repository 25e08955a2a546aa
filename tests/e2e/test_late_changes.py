"""Whatever changes in the source between backup and acceptance is found and named before anybody accepts."""

from datetime import UTC, datetime

import psycopg
import pytest

from e2e.test_transfer_engine import SMALL
from fixtures.contents import run_sql
from fixtures.runs import Runner, backed_up, filled, migrated, read_back, rechecked
from handover.errors import LateChanges, NotReady
from handover.stages.abort import abort_run
from handover.stages.approval_standing import standing
from handover.stages.approvals import Answer, accept_faults, record_answer, record_requester
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.late_changes import late_faults, recheck_lane, recheck_objects
from handover.stages.plan import plan
from handover.stages.verify import verify_lane

# What somebody does after the backup, what is said of it (in part), and what takes it back.
CHANGES = {
    "UPDATE": (
        "UPDATE s.a SET t = 'secret' WHERE id = 7",
        ["s.a: row with id = 7 differs in t"],
        "UPDATE s.a SET t = 'row 7' WHERE id = 7",
    ),
    "INSERT": (
        "INSERT INTO s.a (id, t) VALUES (5000, 'late')",
        ["s.a: row with id = 5000 is not in the backup"],
        "DELETE FROM s.a WHERE id = 5000",
    ),
    "DELETE": (
        "CREATE TABLE public.kept AS SELECT * FROM s.a WHERE id = 9; DELETE FROM s.a WHERE id = 9",
        ["s.a: row with id = 9 is missing"],
        "INSERT INTO s.a SELECT * FROM public.kept; DROP TABLE public.kept",
    ),
    "another key": (
        "UPDATE s.a SET id = -1 WHERE id = 1",
        ["s.a: row with id = -1 is not in the backup", "s.a: row with id = 1 is missing"],
        "UPDATE s.a SET id = 1 WHERE id = -1",
    ),
    "into another partition": (
        "UPDATE s.p SET y = 15 WHERE (y, v) = (1, 'v19')",
        ["s.p1: row with (y, v) = token ", "s.p2: row with (y, v) = token "],
        "UPDATE s.p SET y = 1 WHERE (y, v) = (15, 'v19')",
    ),
    "one more of equal rows": (
        "INSERT INTO s.keyless VALUES (1, 'same')",
        ["s.keyless: row "],
        "DELETE FROM s.keyless WHERE ctid = (SELECT max(ctid) FROM s.keyless)",
    ),
    "a row without columns": (
        "INSERT INTO s.nothing DEFAULT VALUES",
        ["s.nothing: row "],
        "DELETE FROM s.nothing WHERE ctid = (SELECT max(ctid) FROM s.nothing)",
    ),
    "into an empty table": (
        "INSERT INTO s.empty VALUES (gen_random_uuid())",
        ["s.empty: row with id = "],
        "TRUNCATE s.empty",
    ),
    "a large object": (
        "SELECT lo_put(4711, 5, 'secret')",
        ["large-objects: row with oid = 4711, at = 0 differs in data"],
        "SELECT lo_put(4711, 5, 'xxxxxx')",
    ),
    "a new column": (
        "ALTER TABLE s.a ADD late text DEFAULT 'secret'",
        ["TABLE s.a is defined otherwise: late"],
        "ALTER TABLE s.a DROP late",
    ),
    "a new table": (
        "CREATE TABLE s.late AS SELECT 'secret' AS c",
        ["TABLE s.late is new in the source"],
        "DROP TABLE s.late",
    ),
    "a table that is gone": (
        "ALTER TABLE s.empty SET SCHEMA public",
        ["TABLE s.empty is missing", "UndefinedTable"],
        "ALTER TABLE public.empty SET SCHEMA s",
    ),
}
LATE = "changed in the source after the backup"
# Work that changes no row of the case.
HARMLESS = "SELECT nextval('s.g_id_seq'); REFRESH MATERIALIZED VIEW s.m; VACUUM s.a; ANALYZE s.a"


@pytest.fixture
def run(runner: Runner) -> Context:
    """A sealed backup of the small database, in two lanes."""
    run_sql(runner.urls["src"], SMALL)
    context = runner.open()
    backed_up(context)
    return context


def do(context: Context, script: str) -> None:
    """Let somebody work at the source, one statement after the other."""
    with psycopg.connect(context.source, autocommit=True) as source:
        for statement in script.split("; "):
            source.execute(statement)


def look(context: Context) -> list[str]:
    """Read the source again, all of it; returns the changes that were said."""
    said: list[str] = []
    lanes = range(len(context.plan().lanes))
    for step in [*(lambda n=n: recheck_lane(context, n) for n in lanes), lambda: recheck_objects(context)]:
        try:
            step()
        except LateChanges as found:
            said += found.data["differences"]
    return said


def test_every_change_is_named_without_its_values_and_only_changes_are(run: Context) -> None:
    assert look(run) == []
    assert late_faults(run) == []
    do(run, HARMLESS)
    assert look(run) == []
    for name, (change, expected, back) in CHANGES.items():
        do(run, change)
        said = look(run)
        text = "\n".join(said)
        assert all(line in text for line in expected), (name, said)
        assert len(said) >= len(expected), (name, said)
        assert "secret" not in text, name
        assert sorted(late_faults(run)) == sorted(f"{LATE}: {line}" for line in said), name
        do(run, back)
    assert look(run) == []
    assert late_faults(run) == []
    assert all("secret" not in entry.line for entry in run.entries())


def test_a_change_says_what_to_do_and_stays_until_the_source_is_read_again(run: Context) -> None:
    do(run, CHANGES["UPDATE"][0])
    with pytest.raises(LateChanges, match=r"s\.a: row with id = 7 differs in t") as caught:
        rechecked(run)
    assert "abort this run and start a new one" in caught.value.hint
    do(run, CHANGES["UPDATE"][2])
    assert "s.a: row with id = 7 differs in t" in late_faults(run)[-1]


def test_what_was_not_read_again_is_a_fault(run: Context, runner: Runner) -> None:
    parts = len(run.plan().groups()) + 2
    assert late_faults(runner.open("none")) == ["step recheck is not done"]
    assert late_faults(run) == [f"the source was not read again: {parts} of {parts} parts"]
    recheck_lane(run, 0)
    seen = len(run.plan().lanes[0].groups)
    assert late_faults(run) == [f"the source was not read again: {parts - seen} of {parts} parts"]


def test_a_new_run_takes_the_change_along(run: Context, runner: Runner) -> None:
    do(run, CHANGES["UPDATE"][0])
    assert look(run)
    abort_run(run)
    again = runner.open("run-2")
    backed_up(again)
    assert look(again) == []


APPROVALS = {"execute": {"approvers": ["first", "second"], "count": 2}, "accept": {"approvers": ["receiver"]}}


def approve(context: Context, what: str, *names: str) -> None:
    """Say yes as some accounts."""
    for name in names:
        answer = Answer(name, name, "tests", True, standing(context, what).code, "seen", datetime.now(UTC))
        record_answer(context, what, answer)


def test_only_what_was_read_again_can_be_accepted(runner: Runner) -> None:
    run_sql(runner.urls["src"], SMALL)
    context = runner.open(approvals=APPROVALS)
    record_requester(context, "asker")
    backed_up_after_approval(context)
    read_back(context)
    with pytest.raises(NotReady, match="nothing to accept yet:\n  the source was not read again"):
        standing(context, "accept")
    rechecked(context)
    assert "not accepted by the receiving side: accept is not approved: 0 of 1" in accept_faults(context)[0]
    before = standing(context, "accept").digest
    recheck_lane(context, 0)  # the same result, but a new one
    assert standing(context, "accept").digest != before
    approve(context, "accept", "receiver")
    assert accept_faults(context) == []
    do(context, CHANGES["UPDATE"][0])
    assert look(context)
    assert f"{LATE}: s.a: row with id = 7" in accept_faults(context)[0]
    do(context, CHANGES["UPDATE"][2])
    assert look(context) == []
    assert "0 of 1" in accept_faults(context)[0], "accepted was what had been read before"
    approve(context, "accept", "receiver")
    verify_lane(context, 0)
    assert "0 of 1" in accept_faults(context)[0]


def backed_up_after_approval(context: Context) -> None:
    """Plan, let two approve, and fill the target."""
    inventory(context)
    plan(context)
    approve(context, "execute", "first", "second")
    backed_up(context)
    filled(context)


def test_where_nobody_is_asked_nobody_has_to_accept(runner: Runner) -> None:
    run_sql(runner.urls["src"], SMALL)
    context = runner.open()
    migrated(context)
    assert accept_faults(context) == []
    assert [e.body["what"] for e in context.entries("approval-not-required")] == ["execute", "accept"]


COMPANY = """
CREATE SCHEMA s;
CREATE TABLE s.branches (branch int PRIMARY KEY, name text);
INSERT INTO s.branches SELECT n, 'branch ' || n FROM generate_series(1, 3) n;
CREATE TABLE s.customers (id int PRIMARY KEY, branch int REFERENCES s.branches, name text);
INSERT INTO s.customers SELECT n, n % 3 + 1, 'customer ' || n FROM generate_series(1, 60) n;
CREATE TABLE s.loans (id int PRIMARY KEY, customer int NOT NULL REFERENCES s.customers, amount numeric);
INSERT INTO s.loans SELECT n, n % 60 + 1, n FROM generate_series(1, 180) n;
"""
SCOPED = {
    "source": {"connection": "src", "schemas": ["s"], "large_objects": False},
    "scope": {"roots": [{"table": "s.customers", "where": "branch = 2"}]},
}
OF_OTHERS = """
UPDATE s.customers SET name = 'other' WHERE branch = 1; DELETE FROM s.loans WHERE customer = 3;
INSERT INTO s.loans VALUES (900, 2, 1)
"""
# Of rows in scope, or that come into it: what is done, what is said, what takes it back.
OF_SCOPE = {
    "changed": (
        "UPDATE s.loans SET amount = 0 WHERE id = 60",
        ["s.loans: row with id = 60 differs in amount"],
        "UPDATE s.loans SET amount = 60 WHERE id = 60",
    ),
    "comes into it": (
        "INSERT INTO s.loans VALUES (901, 1, 1)",
        ["s.loans: 60 rows were planned, 61 are in scope now", "s.loans: row with id = 901 came into scope"],
        "DELETE FROM s.loans WHERE id = 901",
    ),
    "leaves it": (
        "UPDATE s.customers SET branch = 3 WHERE id = 1",
        [
            "s.customers: row with id = 1 differs in branch",
            "s.customers: 20 rows were planned, 19 are in scope now",
            "s.customers: row with id = 1 is in scope no more",
            "s.loans: row with id = 60 is in scope no more",
        ],
        "UPDATE s.customers SET branch = 2 WHERE id = 1",
    ),
    "in another's place": (
        "UPDATE s.loans SET customer = 2 WHERE id = 60; UPDATE s.loans SET customer = 1 WHERE id = 61",
        ["s.loans: as many rows, but not the same", "s.loans: row with id = 61 came into scope"],
        "UPDATE s.loans SET customer = 1 WHERE id = 60; UPDATE s.loans SET customer = 2 WHERE id = 61",
    ),
}


def test_of_a_part_only_what_is_in_scope_counts(runner: Runner) -> None:
    run_sql(runner.urls["src"], COMPANY)
    context = runner.open(**SCOPED)
    backed_up(context)
    assert look(context) == []
    do(context, OF_OTHERS)
    assert look(context) == []
    for name, (change, expected, back) in OF_SCOPE.items():
        do(context, change)
        said = look(context)
        assert [line for line in expected if line not in said] == [], (name, said)
        assert sorted(late_faults(context)) == sorted(f"{LATE}: {line}" for line in said), name
        do(context, back)
    assert look(context) == []
    assert late_faults(context) == []
