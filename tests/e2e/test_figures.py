"""Figures are exact and what a case declares is checked, on real tables without a whole run."""

from collections.abc import Iterator
from contextlib import closing
from decimal import Context, Decimal, Inexact
from itertools import zip_longest

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.clusters import DatabaseFactory, databases
from fixtures.contents import run_sql
from handover.errors import CaseInvalid
from handover.local.clusters import Cluster
from handover.model.figures import Figures
from handover.model.plan import TablePlan
from handover.model.reconciliation import Reconciliation
from handover.postgres.declared import read_items
from handover.postgres.declaring import check_reconciliation
from handover.postgres.figures import BATCH_TABLES, read_figures, read_relations
from handover.postgres.session import Connection, connect
from handover.quality.reconciliation import reconcile
from handover.sample import company

LEDGER = """
CREATE SCHEMA s;
CREATE TABLE s.voucher (id int PRIMARY KEY, made date);
CREATE TABLE s.line (voucher int, no int, debit numeric, credit numeric, PRIMARY KEY (voucher, no));
"""
BALANCE = {
    "name": "trial",
    "table": "s.line",
    "debit": "debit",
    "credit": "credit",
    "period": {"table": "s.voucher", "column": "made", "key": ["id"], "by": ["voucher"]},
}
RELATION = {
    "name": "vouchers",
    "table": "s.voucher",
    "key": ["id"],
    "total": {"table": "s.line", "column": "debit", "by": ["voucher"]},
    "minus": {"table": "s.line", "column": "credit", "by": ["voucher"]},
    "equals": 0,
}


@pytest.fixture
def ledger(database: DatabaseFactory) -> Iterator[Connection]:
    """A session in a database with a small ledger."""
    url = database("ledger_of_s")
    run_sql(url, LEDGER)
    with closing(connect(url)) as connection:
        yield connection


def test_far_too_many_groups_are_refused(ledger: Connection) -> None:
    ledger.execute("INSERT INTO s.voucher SELECT n, NULL FROM generate_series(100, 2100) n")
    by_key = Reconciliation.model_validate({"counts": [{"name": "each", "table": "s.voucher", "by": ["id"]}]})
    tables = read_relations(ledger, ["s"])
    with pytest.raises(CaseInvalid, match=r"each parts s\.voucher into more than 2000 groups"):
        list(read_items(ledger, by_key, tables, lambda rows: None))


def declared(**changes: object) -> Reconciliation:
    """The trial balance, the relation of vouchers, and a count, each with some fields changed."""
    kind, fields = next(iter(changes.items()))
    item = {"counts": {"name": "x", "table": "s.voucher", "by": ["made"]}} | {
        "balances": BALANCE,
        "relations": RELATION,
    }
    return Reconciliation.model_validate({kind: [{**item[kind], **fields}]})


IMPOSSIBLE = {
    "unknown table": (declared(counts={"table": "s.nowhere"}), "s.nowhere is no table of source.schemas"),
    "unknown column": (declared(counts={"by": ["Made"]}), "s.voucher has no column 'Made'"),
    "year of a number": (
        declared(counts={"year": "id"}),
        "column 'id' of s.voucher is not a date or timestamp",
    ),
    "debit of no number": (
        declared(balances={"table": "s.voucher", "debit": "made", "credit": "id", "period": "made"}),
        "column 'made' of s.voucher is not a number",
    ),
    "ambiguous parent": (
        declared(
            balances={"period": {"table": "s.voucher", "column": "made", "key": ["made"], "by": ["no"]}}
        ),
        "made is no unique key of s.voucher",
    ),
    "unknown children": (
        declared(relations={"minus": {"table": "s.line", "column": "credit", "by": ["id"]}}),
        "s.line has no column 'id'",
    ),
    "keys that cannot meet": (
        declared(relations={"minus": {"table": "s.voucher", "column": "id", "by": ["made"]}}),
        "the server does not plan it: the database refused it (SQLSTATE 42883",
    ),
    "outside the schemas": (
        declared(counts={"table": "pg_catalog.pg_class"}),
        "is no table of source.schemas",
    ),
}


@pytest.mark.parametrize("block, said", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_cannot_be_computed_is_found_before_anything_is_read(
    ledger: Connection, block: Reconciliation, said: str
) -> None:
    found = list(check_reconciliation(ledger, block, ["s"]))
    assert len(found) == 1
    assert said in found[0].message
    assert not found[0].acknowledgeable


def test_what_can_be_computed_passes_the_check(ledger: Connection) -> None:
    block = Reconciliation.model_validate({"balances": [BALANCE], "relations": [RELATION]})
    assert list(check_reconciliation(ledger, block, ["s"])) == []
    assert list(check_reconciliation(ledger, Reconciliation(), ["s"])) == []


def test_lines_without_a_voucher_and_endless_dates_have_a_period(ledger: Connection) -> None:
    ledger.execute(
        "INSERT INTO s.voucher VALUES (1, '2024-02-29'), (2, 'infinity'), (3, '0044-03-15 BC'), (4, NULL),"
        " (5, '5874897-12-31');"
        "INSERT INTO s.line SELECT n, 1, n, 0 FROM generate_series(1, 6) n"
    )
    for grain, periods in (
        ("month", ["-44-03", "2024-02", "5874897-12", "Infinity", None]),
        ("year", ["-44", "2024", "5874897", "Infinity", None]),
    ):
        block = Reconciliation.model_validate({"balances": [BALANCE | {"grain": grain}]})
        (item,) = read_items(ledger, block, read_relations(ledger, ["s"]), lambda rows: None)
        totals = {group.labels[0]: group.amounts[0].total for group in item.groups}
        assert totals == dict(zip(periods, ["3", "1", "5", "2", "10"], strict=True))


def test_a_relation_counts_missing_children_as_nothing_and_a_missing_total_as_broken(
    ledger: Connection,
) -> None:
    ledger.execute(
        "CREATE TABLE s.loan (id int, lent numeric, left_over numeric);"
        "INSERT INTO s.loan VALUES (1, 10, 4), (2, 10, 10), (3, NULL, NULL), (4, 10, NULL), (NULL, 10, 10);"
        "INSERT INTO s.line VALUES (1, 1, 5, 0), (1, 2, 1, 0), (1, 3, NULL, 0), (9, 1, 7, 0)"
    )
    relation = {
        "name": "left",
        "table": "s.loan",
        "key": ["id"],
        "total": "lent",
        "minus": {"table": "s.line", "column": "debit", "by": ["voucher"]},
        "equals": "left_over",
    }
    block = Reconciliation.model_validate({"relations": [relation]})
    (item,) = read_items(ledger, block, read_relations(ledger, ["s"]), lambda rows: None)
    (group,) = item.groups
    assert (group.rows, group.broken) == (5, 2)
    assert [amount.total for amount in group.amounts] == ["40", "6", "34"]


def table_plans(names: list[str], rows_estimate: int = 0) -> list[TablePlan]:
    """Plans of tables of the schema s without a key."""
    return [
        TablePlan(
            id=name,
            schema_name="s",
            name=name,
            columns=(),
            key=(),
            format="text",
            text_because="",
            groups=1,
            rows_estimate=rows_estimate,
        )
        for name in names
    ]


def test_many_tables_are_read_in_few_queries(ledger: Connection) -> None:
    names = [f"many_{n}" for n in range(2 * BATCH_TABLES + 3)]
    ledger.execute("".join(f"CREATE TABLE s.{n} AS SELECT 7 AS a, 'x' AS b;" for n in names))
    heard: list[int] = []
    relations = read_relations(ledger, ["s"])
    found = list(read_figures(ledger, table_plans([*names, "absent"]), relations, heard.append))
    batches = len(heard) - len(names)
    heard.clear()
    giants = list(read_figures(ledger, table_plans(names[:4], 10**9), relations, heard.append))
    assert [table.name for table in found] == names
    assert {(table.rows, table.columns[0].amount.total) for table in found} == {(1, "7")}
    assert batches == 3
    assert len(heard) - len(giants) == 4


def test_a_partitioned_table_that_travels_whole_is_summed_whole(ledger: Connection) -> None:
    ledger.execute(
        "CREATE TABLE s.root (id int, amount numeric, twice numeric GENERATED ALWAYS AS (amount * 2) STORED)"
        " PARTITION BY HASH (id);"
        "CREATE TABLE s.leaf_0 PARTITION OF s.root FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE s.leaf_1 PARTITION OF s.root FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "INSERT INTO s.root SELECT n, n FROM generate_series(1, 100) n; INSERT INTO s.root VALUES (0, 'NaN')"
    )
    plans = [plan.model_copy(update={"partitioned": True}) for plan in table_plans(["root"])]
    (found,) = read_figures(ledger, plans, read_relations(ledger, ["s"]), lambda rows: None)
    amounts = {column.column: (column.amount.total, column.nan) for column in found.columns}
    assert found.rows == 101
    assert amounts == {"id": ("5050", 0), "amount": ("5050", 1), "twice": ("10100", 1)}
    assert len(found.generated_digest) == 64


def test_a_very_wide_table_is_summed_also_by_parallel_workers(ledger: Connection) -> None:
    columns = [f"c{n}" for n in range(1_500)]
    ledger.execute(f"CREATE TABLE s.wide ({', '.join(f'{c} smallint' for c in columns)})")
    ledger.execute(
        f"INSERT INTO s.wide SELECT {', '.join(map(str, range(1_500)))} FROM generate_series(1, 20)"
    )
    ledger.execute(
        "ANALYZE s.wide; SET debug_parallel_query = on; SET min_parallel_table_scan_size = 0;"
        "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0"
    )
    (found,) = read_figures(ledger, table_plans(["wide"]), read_relations(ledger, ["s"]), lambda rows: None)
    assert found.rows == 20
    assert [(c.column, c.amount.total) for c in found.columns] == [
        (c, str(20 * n)) for n, c in enumerate(columns)
    ]


def test_rows_of_inheriting_tables_are_their_own(ledger: Connection) -> None:
    ledger.execute(
        "CREATE TABLE s.heir (more int) INHERITS (s.line); INSERT INTO s.heir VALUES (1, 1, 5, 0, 7)"
    )
    found = read_figures(ledger, table_plans(["line"]), read_relations(ledger, ["s"]), lambda rows: None)
    assert [table.rows for table in found] == [0]
    block = Reconciliation.model_validate({"balances": [BALANCE | {"period": None}]})
    (item,) = read_items(ledger, block, read_relations(ledger, ["s"]), lambda rows: None)
    assert item.groups == ()


DECIMALS = st.builds(
    lambda digits, scale: Decimal(digits).scaleb(-scale, WIDE),
    st.integers(-(10**40), 10**40),
    st.integers(0, 45),
)
WIDE = Context(prec=500)


@pytest.fixture(scope="module")
def session(cluster: Cluster) -> Iterator[Connection]:
    """A session in a database with one table of numbers."""
    with databases(cluster) as factory:
        url = factory("numbers", owner="numbers_owner")
        run_sql(url, "CREATE SCHEMA s; CREATE TABLE s.t (n numeric, f float8)")
        with closing(connect(url)) as connection:
            yield connection


def tallied(session: Connection, numbers: list[Decimal | None], floats: list[float]) -> Figures:
    """Fill the table with these numbers, in this order, and return its figures."""
    session.execute("TRUNCATE s.t")
    with session.cursor().copy("COPY s.t FROM STDIN") as copy:
        for number, real in zip_longest(numbers, floats):
            copy.write_row([number, real])
    found = read_figures(session, table_plans(["t"]), read_relations(session, ["s"]), lambda rows: None)
    return Figures(tables=tuple(found), items=())


@given(
    st.lists(DECIMALS | st.none(), max_size=30),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=14),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_sum_is_exact_and_hangs_on_no_order(
    session: Connection, numbers: list[Decimal | None], floats: list[float]
) -> None:
    source = tallied(session, numbers, floats)
    target = tallied(session, numbers[::-1], floats[::-1])
    planned = {("s", "t"): max(len(numbers), len(floats))}
    found = reconcile(Reconciliation(), source, target, planned, frozenset(), "".join)
    assert found.differences == ()
    given_numbers = [number for number in numbers if number is not None]
    nulls = len(numbers) - len(given_numbers)
    for row, values in zip(found.tables[1]["rows"], (stored_floats(session), given_numbers), strict=True):
        assert row[6] == row[7]
        if 0 < sum(value != 0 for value in values) < 10:
            assert row[6].startswith("<10 · ")
        else:
            assert (row[6] == "–") if not values else (Decimal(row[6]) == sum_of(values))
    if given_numbers:
        first = WIDE.add(given_numbers[0], Decimal(1).scaleb(-45, WIDE))
        again = tallied(session, [*given_numbers[1:], first, *[None] * nulls], floats)
        wrong = reconcile(Reconciliation(), source, again, planned, frozenset(), "".join)
        assert "s.t: column n: its sum in the target is not that of the source" in wrong.differences


def stored_floats(session: Connection) -> list[Decimal]:
    """The decimals by which the server names its floats; each leads back to the very same float."""
    rows = session.execute("SELECT f::text, f FROM s.t WHERE f IS NOT NULL")
    named = [(Decimal(str(text)), real) for text, real in rows]
    assert all(float(text) == real for text, real in named)
    return [text for text, _ in named]


def sum_of(values: list[Decimal]) -> Decimal:
    """The exact sum."""
    unbounded = Context(prec=2000, traps=[Inexact])
    total = Decimal(0)
    for value in values:
        total = unbounded.add(total, value)
    return total


SAMPLE = {
    "counts": [
        {"name": "loans-by-status", "table": "lending.loans", "by": ["status", "product_code"]},
        {"name": "applications-by-year", "table": "lending.credit_applications", "year": "applied_at"},
        {
            "name": "repayments-by-channel",
            "table": "lending.repayments",
            "by": ["channel"],
            "year": "paid_on",
        },
        {"name": "vouchers-by-kind", "table": "账务.vouchers", "by": ["kind"], "year": "made_on"},
    ],
    "balances": [
        {
            "name": "trial-balance",
            "table": "账务.voucher_lines",
            "debit": "debit",
            "credit": "credit",
            "period": {"table": "账务.vouchers", "column": "made_on", "key": ["voucher_id"]},
        }
    ],
    "relations": [
        {
            "name": "vouchers-balance",
            "table": "账务.vouchers",
            "key": ["voucher_id"],
            "total": {"table": "账务.voucher_lines", "column": "debit"},
            "minus": {"table": "账务.voucher_lines", "column": "credit"},
            "equals": 0,
            "show_by": ["kind"],
        },
        {
            "name": "principal-in-instalments",
            "table": "lending.loans",
            "key": ["loan_id"],
            "total": "principal",
            "minus": {"table": "lending.instalments", "column": "principal"},
            "equals": 0,
            "show_by": ["status"],
        },
        {
            "name": "instalments-repaid",
            "table": "lending.instalments",
            "key": ["loan_id", "instalment_no"],
            "total": "total",
            "minus": {"table": "lending.repayments", "column": "amount"},
            "show_by": ["paid"],
        },
        {
            "name": "outstanding-loans",
            "table": "lending.loans",
            "key": ["loan_id"],
            "total": {"table": "lending.instalments", "column": "total"},
            "minus": {"table": "lending.repayments", "column": "amount"},
            "show_by": ["status"],
        },
    ],
}


def test_the_sample_companys_books_are_in_order(database: DatabaseFactory) -> None:
    url, schemas = database("sample"), list(company.SCHEMAS)
    company.generate(url, rows=3_000)
    block = Reconciliation.model_validate(SAMPLE)
    with closing(connect(url, read_only=True)) as source:
        assert list(check_reconciliation(source, block, schemas)) == []
        relations = read_relations(source, schemas)
        items = {item.name: item for item in read_items(source, block, relations, lambda rows: None)}
    repaid = {group.labels: group.amounts for group in items["instalments-repaid"].groups}
    assert Decimal(repaid[("true",)][2].total or "NaN") == 0
    assert Decimal(repaid[("false",)][1].total or "NaN") == 0
    assert not any(group.broken for item in items.values() for group in item.groups)
    months = [group for group in items["trial-balance"].groups]
    assert len(months) > 60
    assert all(group.amounts[0].total == group.amounts[1].total for group in months)
