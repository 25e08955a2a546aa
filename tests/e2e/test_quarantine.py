"""What is to go is out of reach of all but the custodian until its time is over, or the run is aborted."""

from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from fixtures.contents import contents, run_sql
from fixtures.runs import Runner, backed_up
from handover.errors import CaseInvalid, NotReady, PreflightFailed
from handover.local.clusters import Cluster
from handover.postgres.quarantining import Barred, bar, lift, policy_name
from handover.postgres.session import connect
from handover.stages.abort import abort_run
from handover.stages.completeness import missing_steps
from handover.stages.context import Context
from handover.stages.inventory import current_schema_digest
from handover.stages.late_changes import late_faults, recheck_objects
from handover.stages.quarantine import (
    is_restricted,
    lift_quarantine,
    not_quarantined,
    quarantine,
    quarantine_over,
    require_quarantine_over,
    restriction_faults,
)

SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.person (id int PRIMARY KEY, "Closed" boolean, name text);
INSERT INTO s.person SELECT n, CASE WHEN n > 2 THEN n > 5 END, 'privat ' || n FROM generate_series(1, 10) n;
CREATE TABLE s.trace (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE s.trace_1 PARTITION OF s.trace FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO s.trace SELECT n, '2026-01-15' FROM generate_series(1, 4) n;
CREATE TABLE s.kept (id int PRIMARY KEY);
INSERT INTO s.kept VALUES (1);
CREATE TABLE s.owned (id int PRIMARY KEY, of text);
INSERT INTO s.owned VALUES (1, 'reader'), (2, 'other');
ALTER TABLE s.owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON s.owned USING (of <> 'other');
CREATE VIEW s.names AS SELECT name FROM s.person;
CREATE MATERIALIZED VIEW s.counted AS SELECT count(*) FROM s.trace;
"""
TABLES = ("s.person", "s.trace", "s.trace_1", "s.kept", "s.owned", "s.names")
CLASSES = [
    {
        "name": "closed",
        "tables": ["s.person"],
        "where": 'coalesce("Closed", false)',
        "target": "nothing",
        "source": "erase",
    },
    {"name": "open", "tables": ["s.person"], "where": '"Closed" IS NOT TRUE', "target": "archive"},
    {"name": "traces", "tables": ["s.trace"], "target": "archive", "source": "erase"},
    {"name": "owned", "tables": ["s.owned"], "target": "archive", "source": "erase"},
    {"name": "kept", "tables": ["s.kept"], "target": "archive"},
]
READER, KEEPER = "reader_of_quarantine", "keeper_of_quarantine"


@pytest.fixture
def company(runner: Runner, cluster: Cluster, second_cluster: Cluster) -> Runner:
    """A runner whose source has two roles that may do everything: anybody, and the custodian."""
    url = runner.urls["src"]
    run_sql(url, SOURCE)
    for name in (READER, KEEPER):
        for one in (cluster, second_cluster):
            one.create_role(name, name)
        run_sql(url, f"GRANT USAGE ON SCHEMA s TO {name}; GRANT ALL ON ALL TABLES IN SCHEMA s TO {name}")
    return runner


def waiting(company: Runner, more: dict[str, Any] | None = None, **disposal: Any) -> Context:
    """A run with a sealed backup of a deregistration."""
    context = company.open(
        kind="deregistration", target=None, transaction="deregistration",
        source={"connection": "src", "schemas": ["s"], "large_objects": False},
        disposal={"custodian": KEEPER, "quarantine_days": 30, **disposal},
        **{"classes": CLASSES, **(more or {})},
    )  # fmt: skip
    backed_up(context)
    return context


def seen(url: str, role: str) -> dict[str, int]:
    """How many rows of each table a role sees."""
    with psycopg.connect(make_conninfo(url, user=role, password=role)) as session:
        counts = [session.execute(f"SELECT count(*) FROM {table}").fetchone() for table in TABLES]
        return {table: int(str(count[0])) for table, count in zip(TABLES, counts, strict=True) if count}


ALL = {"s.person": 10, "s.trace": 4, "s.trace_1": 4, "s.kept": 1, "s.owned": 1, "s.names": 10}
# Of the persons 6 to 10 are closed. A view reads with its owner's rights, which the ledger says.
LEFT = ALL | {"s.person": 5, "s.trace": 0, "s.trace_1": 0, "s.owned": 0}
POLICIES = "SELECT polrelid::regclass::text, polname FROM pg_policy ORDER BY 1, 2"
IN_FORCE = "SELECT relname FROM pg_class WHERE relrowsecurity"
OTHER = "case other, run 1"


def catalog(url: str) -> list[Any]:
    """Policies, where they are in force, and grants."""
    with psycopg.connect(url) as session:
        grants = (
            "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 's'::regnamespace ORDER BY 1"
        )
        return [session.execute(query).fetchall() for query in (POLICIES, IN_FORCE, grants)]


def test_what_will_go_is_out_of_reach_and_nothing_else(company: Runner) -> None:
    context = waiting(company)
    url, before = context.source, catalog(context.source)
    assert seen(url, READER) == ALL
    rows, digest = contents(url), current_schema_digest(context)
    until = quarantine(context)
    assert (seen(url, READER), seen(url, KEEPER)) == (LEFT, ALL)
    nobody_writes_there(url)
    assert contents(url) == rows
    (entry,) = [e.body for e in context.entries("quarantined")]
    assert entry["tables"] == [
        {"table": "s.owned", "rows": 2, "of": 2},
        {"table": "s.person", "rows": 5, "of": 10},
        {"table": "s.trace", "rows": 4, "of": 4},
    ]
    ways = {"role company: owner", "role postgres: superuser", "view s.counted: holds rows of its own",
            "view s.names: reads with its owner's rights"}  # fmt: skip
    assert ways <= {*entry["not_covered"]}, entry["not_covered"]
    assert quarantine(context) == until, "a repeated step does not begin the time anew"
    no_change_of_the_schema(context, digest)
    waits_until_its_end(context)
    abort_run(context)
    assert (catalog(url), seen(url, READER), contents(url)) == (before, ALL, rows)
    assert lift_quarantine(context) == []


def nobody_writes_there(url: str) -> None:
    """Rows that would be locked away come in by nobody, and none of those there changes or goes."""
    with psycopg.connect(make_conninfo(url, user=READER, password=READER), autocommit=True) as session:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("INSERT INTO s.person VALUES (11, true, 'x')")
        assert session.execute("UPDATE s.trace SET id = id").rowcount == 0
        assert session.execute("DELETE FROM s.person WHERE id = 6").rowcount == 0
        session.execute("BEGIN; INSERT INTO s.person VALUES (12, NULL, 'x'); ROLLBACK")


def no_change_of_the_schema(context: Context, digest: str) -> None:
    """Reading the source again finds no change; a policy of somebody else is one."""
    assert current_schema_digest(context) == digest
    recheck_objects(context)
    assert not [line for line in late_faults(context) if line.startswith("changed")]
    run_sql(context.source, "CREATE POLICY other ON s.kept USING (true)")
    assert current_schema_digest(context) != digest
    run_sql(context.source, "DROP POLICY other ON s.kept; ALTER TABLE s.kept ENABLE ROW LEVEL SECURITY")
    assert current_schema_digest(context) != digest
    run_sql(context.source, "ALTER TABLE s.kept DISABLE ROW LEVEL SECURITY")


def waits_until_its_end(context: Context) -> None:
    assert not quarantine_over(context)
    with pytest.raises(NotReady, match="what is to go waits until 20"):
        require_quarantine_over(context)


def test_without_waiting_it_is_over_at_once_unless_somebody_lifted_it(company: Runner) -> None:
    context = waiting(company, quarantine_days=0)
    with pytest.raises(NotReady, match="step quarantine has not been done"):
        quarantine_over(context)
    quarantine(context)
    assert quarantine_over(context)
    require_quarantine_over(context)
    for lifting, back in (
        (f"DROP POLICY {NAME} ON s.trace_1", "s.trace_1"),
        ("ALTER TABLE s.person DISABLE ROW LEVEL SECURITY", "s.person"),
        (f"ALTER POLICY {NAME} ON s.owned TO {KEEPER}", "s.owned"),
    ):
        run_sql(context.source, lifting)
        assert not_quarantined(context) == [f"{back} is not in quarantine"]
        with pytest.raises(NotReady, match="can be reached again"):
            require_quarantine_over(context)
        quarantine(context)
        require_quarantine_over(context)
    assert seen(context.source, READER) == LEFT


NAME = policy_name("case test-transfer, run run-1")


def test_what_stays_restricted_is_out_of_reach_beyond_the_end_of_the_run(company: Runner) -> None:
    staying = [{**one, "source": one.get("source", "restrict")} for one in CLASSES]
    context = waiting(company, {"classes": staying})
    url, before = context.source, catalog(context.source)
    assert "s.kept is not restricted at the source" in missing_steps(context)
    quarantine(context)
    nothing = LEFT | {"s.person": 0, "s.kept": 0}
    assert (seen(url, READER), seen(url, KEEPER)) == (nothing, ALL)
    (entry,) = [e.body for e in context.entries("quarantined")]
    assert entry["restricted"] == [
        {"table": "s.kept", "rows": 1, "of": 1},
        {"table": "s.person", "rows": 5, "of": 10},
    ]
    assert is_restricted(context, "s.kept")
    assert not is_restricted(context, "s.owned")
    assert lift_quarantine(context) == ["source: quarantine"], "as closing does"
    assert seen(url, READER) == ALL | {"s.person": 5, "s.kept": 0}, "the five that were to go are seen again"
    assert restriction_faults(context) == []
    run_sql(url, f"DROP POLICY {policy_name(RESTRICTING)} ON s.kept")
    assert restriction_faults(context) == ["s.kept is not restricted at the source"]
    assert "s.kept is not restricted at the source" in missing_steps(context)
    quarantine(context)
    abort_run(context)
    assert catalog(url) == before


RESTRICTING = "case test-transfer, run run-1, restricted"


def test_two_quarantines_of_one_table_end_one_after_the_other(company: Runner) -> None:
    url = company.urls["src"]
    before = catalog(url)
    with closing(connect(url)) as session:
        bar(session, [Barred("s", "person")], OTHER, None)
        bar(session, [Barred("s", "person", ("id",), sql.SQL("t.id < 4"))], "mine", None)
        assert seen(url, KEEPER)["s.person"] == 0
        assert lift(session, OTHER)
        assert seen(url, READER)["s.person"] == 7
        assert lift(session, "mine")
        assert not lift(session, "mine")
    assert catalog(url) == before


def test_rows_that_cannot_be_locked_away_stop_it(company: Runner) -> None:
    context = waiting(company, custodian="nobody")
    with pytest.raises(PreflightFailed, match="custodian nobody: the source has no such role"):
        quarantine(context)
    other = connect(make_conninfo(context.source, user=READER, password=READER))
    with closing(other), pytest.raises(PreflightFailed, match=r"s\.person: only its owner"):
        bar(other, [Barred("s", "person")], OTHER, None)
    assert context.entries("quarantined") == []
    assert seen(context.source, READER) == ALL


def test_a_part_of_a_table_cannot_wait(company: Runner) -> None:
    """A policy knows no key set: which rows are in scope it cannot tell."""
    scope = {"roots": [{"table": "s.person", "where": "id > 5"}],
             "decided": [{"table": t, "rows": "all"} for t in ("s.trace", "s.owned", "s.kept")]}  # fmt: skip
    context = waiting(company, more={"scope": scope})
    with pytest.raises(CaseInvalid, match=r"only a part of these tables is in scope.*s\.person"):
        quarantine(context)
    assert seen(context.source, READER) == ALL
