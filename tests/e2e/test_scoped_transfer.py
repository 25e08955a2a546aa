"""A transfer of a part: only rows in scope arrive, and what the plan said of them must still hold."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from fixtures.runs import Runner, backed_up, transferred
from handover.errors import CaseInvalid, ScopeChanged
from handover.stages.backup import abandon_backup
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.inventory import inventory, servers
from handover.stages.plan import plan
from handover.stages.scoping import plan_scope
from handover.stages.snapshot import hold_snapshot

# Three branches; customer 7 of branch 2 has a note of an employee, who belongs to branch 1.
SCHEMA = """
CREATE SCHEMA s;
CREATE TABLE s.branches (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE s.customers (id bigint PRIMARY KEY, branch_id int NOT NULL REFERENCES s.branches, name text,
    doubled bigint GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE s.payments (customer_id bigint NOT NULL REFERENCES s.customers, paid_on date NOT NULL,
    amount numeric(12, 2) NOT NULL, PRIMARY KEY (customer_id, paid_on)) PARTITION BY RANGE (paid_on);
CREATE TABLE s.payments_old PARTITION OF s.payments FOR VALUES FROM ('2020-01-01') TO ('2024-01-01');
CREATE TABLE s.payments_new PARTITION OF s.payments FOR VALUES FROM ('2024-01-01') TO ('2030-01-01');
CREATE TABLE s.notes (customer_id bigint REFERENCES s.customers, note text);
CREATE TABLE s.logs (line text);
INSERT INTO s.branches SELECT n, 'branch ' || n FROM generate_series(1, 3) n;
INSERT INTO s.customers SELECT n, n % 3 + 1, 'customer ' || n FROM generate_series(1, 300) n;
INSERT INTO s.payments SELECT c, make_date(2020 + m, 1 + c % 12, 1), c + m * 0.01
    FROM generate_series(1, 300) c, generate_series(0, 6) m;
INSERT INTO s.notes SELECT c, 'note' FROM generate_series(1, 300) c, generate_series(1, 2);
INSERT INTO s.logs VALUES ('nobody moves this');
CREATE MATERIALIZED VIEW s.totals AS SELECT branch_id, count(*) FROM s.customers GROUP BY branch_id;
"""
SCOPE = {
    "roots": [{"table": "s.customers", "where": "branch_id = 2"}],
    "decided": [{"table": "s.logs", "rows": "none"}],
}
PART = {"source": {"connection": "src", "schemas": ["s"], "large_objects": False}, "scope": SCOPE}
SUMS = {"reconciliation": {"counts": [{"name": "by-branch", "table": "s.customers", "by": ["branch_id"]}]}}


@pytest.fixture
def company(runner: Runner) -> Iterator[Runner]:
    with psycopg.connect(runner.urls["src"]) as source:
        source.execute(SCHEMA)
    yield runner


def rows(runner: Runner, query: str, side: str = "dst") -> list[tuple[object, ...]]:
    with psycopg.connect(runner.urls[side]) as connection:
        return connection.execute(query.encode()).fetchall()


def change(runner: Runner, statement: str) -> None:
    with psycopg.connect(runner.urls["src"]) as source:
        source.execute(statement.encode())


def held(context: Context) -> None:
    """Let a holder export and end at once: a failure of its scope comes before anybody waits."""
    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold_snapshot, context)
        abandon_backup(context)
        holder.result()


def test_only_rows_in_scope_arrive_and_the_run_is_complete(company: Runner) -> None:
    context = company.open(**PART, **SUMS)
    transferred(context)
    assert rows(company, "SELECT count(*), min(branch_id), max(branch_id) FROM s.customers") == [(100, 2, 2)]
    assert rows(company, "SELECT id FROM s.branches") == [(2,)]
    assert rows(company, "SELECT count(*) FROM s.payments") == [(700,)]
    assert rows(company, "SELECT count(*) FROM s.notes") == [(200,)]
    assert rows(company, "SELECT count(*) FROM s.logs") == [(0,)]
    assert rows(company, "SELECT * FROM s.totals") == [(2, 100)]
    everything = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t WHERE {}"
    for table, inside in (
        ("s.customers", "branch_id = 2"),
        ("s.payments", "customer_id % 3 = 1"),
        ("s.notes", "customer_id % 3 = 1"),
    ):
        there = rows(company, everything.format(table, inside), "src")
        assert rows(company, everything.format(table, "true")) == there
    scope = context.plan().scope
    assert scope is not None
    counted = {table.table: (table.owned, table.needed, table.total) for table in scope.tables}
    assert counted == {
        "s.branches": (0, 1, 3),
        "s.customers": (100, 0, 300),
        "s.logs": (0, 0, 1),
        "s.notes": (200, 0, 600),
        "s.payments": (700, 0, 2100),
    }


def test_keys_lie_in_the_vault_encrypted_and_nowhere_else(company: Runner) -> None:
    context = company.open(**PART)
    backed_up(context)
    kept = {one.scoped.table.name: len(one.objects) for one in read_index(context).state.keys}
    assert kept == {"branches": 1, "customers": 1, "logs": 0, "notes": 1, "payments": 1}
    assert not any("customer 1" in line for line in context.ledger.lines("test-transfer"))


def test_a_class_of_which_nothing_is_copied_stays(company: Runner) -> None:
    classes = [
        {"name": "old", "tables": ["s.notes"], "where": "customer_id < 100", "target": "nothing"},
        {"name": "young", "tables": ["s.notes"], "where": "customer_id >= 100"},
    ]
    context = company.open(**PART, classes=classes)
    transferred(context)
    assert rows(company, "SELECT min(customer_id), count(*) FROM s.notes") == [(100, 134)]
    notes = context.plan().scope.of("s.notes")  # type: ignore[union-attr]
    assert [(one.name, one.target, one.rows) for one in notes.classes] == [
        ("old", "nothing", 66),
        ("young", "copy", 134),
    ]


def test_classes_without_scope_concern_all_rows(company: Runner) -> None:
    classes = [{"name": "old", "tables": ["s.logs"], "target": "nothing"}]
    context = company.open(classes=classes)
    transferred(context)
    assert rows(company, "SELECT count(*) FROM s.logs") == [(0,)]
    assert rows(company, "SELECT count(*) FROM s.notes") == [(600,)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO s.customers VALUES (1000, 2, 'late')", "s.customers: 100 rows were planned, 101 are"),
        ("UPDATE s.customers SET branch_id = 1 WHERE id = 1", "s.customers: 100 rows were planned, 99 are"),
        (
            "UPDATE s.customers SET branch_id = 3 - branch_id WHERE id IN (1, 3)",
            "s.customers: as many rows, but not the same",
        ),
        (
            "UPDATE s.notes SET note = 'changed' WHERE customer_id = 1",
            "s.notes: as many rows, but not the same",
        ),
    ],
    ids=["inserted", "moved-away", "swapped", "keyless-changed"],
)
def test_a_scope_that_changed_after_planning_stops_the_run(
    company: Runner, statement: str, said: str
) -> None:
    context = company.open(**PART)
    inventory(context)
    plan(context)
    change(company, statement)
    with pytest.raises(ScopeChanged) as refused:
        held(context)
    assert said in refused.value.message
    assert not rows(company, "SELECT 1 FROM pg_namespace WHERE nspname = 's'")


def test_a_row_that_changed_its_class_stops_the_run(company: Runner) -> None:
    classes = [
        {"name": "a", "tables": ["s.customers"], "where": "name LIKE 'customer%'"},
        {"name": "b", "tables": ["s.customers"], "where": "name NOT LIKE 'customer%'"},
    ]
    context = company.open(**PART, classes=classes)
    inventory(context)
    plan(context)
    change(company, "UPDATE s.customers SET name = 'other' WHERE id = 1")
    with pytest.raises(ScopeChanged, match="the same rows, but in other classes"):
        held(context)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"decided": []}, "nothing reaches table s.logs, and nobody decided about it"),
        ({"roots": [{"table": "s.nobody", "where": "true"}]}, "s.nobody is no table of source.schemas"),
        ({"roots": [{"table": "s.customers", "where": "branch = 2"}]}, "roots.0.where"),
        ({"roots": [{"table": "s.customers", "where": "pg_sleep(1) IS NULL"}]}, "roots.0.where"),
    ],
)
def test_a_scope_that_cannot_be_is_refused_with_line_and_field(
    company: Runner, changes: dict[str, object], said: str
) -> None:
    context = company.open(**{**PART, "scope": {**SCOPE, **changes}})
    inventory(context)
    with pytest.raises(CaseInvalid) as refused:
        plan(context)
    assert said in refused.value.message
    assert "line " in refused.value.message


@pytest.mark.parametrize(
    ("wheres", "said"),
    [
        (["customer_id < 100", "customer_id > 100"], "2 rows of s.notes match no class"),
        (["customer_id <= 100", "customer_id >= 100"], "2 rows of s.notes match several classes"),
        (["nullif(customer_id, 100) > 1", "customer_id <= 1"], "2 rows of s.notes make a predicate NULL"),
    ],
)
def test_rows_in_no_one_class_block(company: Runner, wheres: list[str], said: str) -> None:
    classes = [{"name": str(n), "tables": ["s.notes"], "where": w} for n, w in enumerate(wheres)]
    context = company.open(**PART, classes=classes)
    inventory(context)
    with pytest.raises(CaseInvalid, match=said):
        plan(context)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_ten_million_rows_are_scoped(runner: Runner) -> None:
    """Prints how long it takes; what is asserted is that every row is counted once, by arithmetic."""
    customers, payments = 500_000, 19
    with psycopg.connect(runner.urls["src"]) as source:
        source.execute(SCHEMA.encode())
        source.execute("TRUNCATE s.customers CASCADE")
        source.execute(f"INSERT INTO s.customers SELECT n, n % 3 + 1 FROM generate_series(1, {customers}) n")
        source.execute(
            "INSERT INTO s.payments SELECT c, date '2020-01-01' + m * 90, c + m * 0.01"
            f" FROM generate_series(1, {customers}) c, generate_series(1, {payments}) m"
        )
    with psycopg.connect(runner.urls["src"], autocommit=True) as source:
        source.execute("VACUUM ANALYZE")
    context = runner.open(**PART)
    began = time.monotonic()
    scope = plan_scope(context, servers(context))
    print(f"10,000,000 rows scoped in {time.monotonic() - began:.1f} s")
    assert scope is not None
    inside = len(range(1, customers + 1, 3))
    counted = {table.table: (table.owned, table.total) for table in scope.tables}
    assert counted["s.customers"] == (inside, customers)
    assert counted["s.payments"] == (inside * payments, customers * payments)
