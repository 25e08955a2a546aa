"""Reconciliation sees, to the last digit, what a move changed, apart from what the source had wrong."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest

from fixtures.clusters import databases
from fixtures.contents import contents, run_sql
from fixtures.copies import Finished
from fixtures.runs import Runner, backed_up, filled, make_ledger, migrated, verified
from handover.errors import NotReady, SnapshotLost, Stopped, VerificationFailed
from handover.local.clusters import Cluster
from handover.model.backup import SnapshotState
from handover.stages.backup import abandon_backup, backup_lane
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.sealing import seal_backup
from handover.stages.snapshot import hold_snapshot, latest_state, wait_for_state
from handover.stages.tally import (
    reconciliation_faults,
    source_figures,
    source_reconciliation_faults,
    tally_missing,
    tally_source,
    tally_target,
)

# An amount that only one row has: no ledger entry, message or file of evidence may quote it.
PRIVATE = "7654321.09"
SOURCE = f"""
CREATE SCHEMA s;
CREATE TYPE s.state AS ENUM ('open', 'settled', 'lost');
CREATE DOMAIN s.yuan AS numeric(18, 2);
CREATE FUNCTION s.code(n int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''L'' || n';
CREATE TABLE s.loan (
  id int PRIMARY KEY, status s.state, branch text, made date, principal s.yuan NOT NULL, owed numeric,
  code text GENERATED ALWAYS AS (s.code(id)) STORED, half numeric GENERATED ALWAYS AS (id / 2.0) STORED
);
INSERT INTO s.loan SELECT n, (ARRAY['open', 'settled'])[n % 2 + 1]::s.state, 'b' || n % 3,
  date '2023-06-01' + n * 2, 1000 + n, 1000 + n - CASE WHEN n % 4 > 0 THEN 30.5 * (n % 4) ELSE 0 END
  FROM generate_series(1, 300) n;
INSERT INTO s.loan VALUES (301, 'lost', 'far', 'infinity', {PRIVATE}, {PRIVATE});
CREATE TABLE s.repayment (id int PRIMARY KEY, loan int, paid numeric);
INSERT INTO s.repayment SELECT row_number() OVER (), n, 30.5
  FROM generate_series(1, 300) n, generate_series(1, n % 4) m;
INSERT INTO s.repayment VALUES (9001, 4, NULL), (9002, NULL, 5);
CREATE TABLE s.voucher (id int PRIMARY KEY, made timestamptz);
INSERT INTO s.voucher SELECT n, timestamptz '2024-01-01 00:00+00' + n * interval '1 day'
  FROM generate_series(1, 120) n;
CREATE TABLE s.line (voucher int, no int, debit numeric(18, 2), credit numeric(18, 2),
  PRIMARY KEY (voucher, no));
INSERT INTO s.line SELECT n, m, (n + 0.07) * (m % 2), (n + 0.07) * ((m + 1) % 2)
  FROM generate_series(1, 120) n, generate_series(1, 2) m;
CREATE TABLE s.floating (id int PRIMARY KEY, f float8, r real, n numeric, m money);
INSERT INTO s.floating SELECT n, 0.1, 0.1, 0.1, 0.1::numeric::money FROM generate_series(1, 30) n;
INSERT INTO s.floating VALUES (31, 'NaN', 'Infinity', 'NaN', 1), (32, '-Infinity', 'NaN', NULL, NULL),
  (33, '-0', '-Infinity', 'Infinity', -1), (34, 5e-324, 3.4028235e38, '-Infinity', 0);
CREATE TABLE s.small (id int PRIMARY KEY, secret numeric);
INSERT INTO s.small VALUES (1, {PRIVATE}), (2, 1);
CREATE TABLE s.mostly_nothing (id int PRIMARY KEY, secret numeric);
INSERT INTO s.mostly_nothing SELECT n, CASE n WHEN 7 THEN {PRIVATE} ELSE 0 END FROM generate_series(1, 50) n;
CREATE TABLE s.nothing (id int, amount numeric);
CREATE TABLE s.words (word text);
INSERT INTO s.words VALUES ('one');
CREATE TABLE s."a.b ""c"" d" ("d.e %s" numeric);
INSERT INTO s."a.b ""c"" d" SELECT n FROM generate_series(1, 12) n;
CREATE TABLE s.part (id int, day date, amount numeric) PARTITION BY RANGE (day);
CREATE TABLE s.part_1 PARTITION OF s.part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE s.part_2 PARTITION OF s.part FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO s.part SELECT n, date '2020-12-01' + n, n / 3.0 FROM generate_series(1, 60) n;
"""
BLOCK = {
    "counts": [
        {"name": "loans", "table": "s.loan", "by": ["status"], "year": "made"},
        {"name": "branches", "table": "s.loan", "by": ["branch"]},
        {"name": "odd", "table": ["s", 'a.b "c" d'], "by": ["d.e %s"]},
        {"name": "parts", "table": "s.part", "year": "day"},
    ],
    "balances": [
        {
            "name": "trial",
            "table": "s.line",
            "debit": "debit",
            "credit": "credit",
            "period": {"table": "s.voucher", "column": "made", "key": ["id"], "by": ["voucher"]},
        }
    ],
    "relations": [
        {
            "name": "owed",
            "table": "s.loan",
            "key": ["id"],
            "total": "principal",
            "minus": {"table": "s.repayment", "column": "paid", "by": ["loan"]},
            "equals": "owed",
            "show_by": ["status"],
        },
        {
            "name": "vouchers",
            "table": "s.voucher",
            "key": ["id"],
            "total": {"table": "s.line", "column": "debit", "by": ["voucher"]},
            "minus": {"table": "s.line", "column": "credit", "by": ["voucher"]},
            "equals": 0,
        },
        {
            "name": "open-amounts",
            "table": "s.loan",
            "key": ["id"],
            "total": "principal",
            "minus": {"table": "s.repayment", "column": "paid", "by": ["loan"]},
        },
    ],
}


UNEVEN = "periods where debit and credit of s.line differ"


@contextmanager
def held(context: Context) -> Iterator[Future[int]]:
    """Plan, and hold the snapshot during the block; if the block fails, the holder is told to end too."""
    inventory(context)
    plan(context)
    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold_snapshot, context)
        wait_for_state(context)
        try:
            yield holder
        except BaseException:
            abandon_backup(context)
            raise


def back_up(context: Context) -> None:
    """Do the work of all lanes."""
    for number in range(len(context.plan().lanes)):
        backup_lane(context, number)


def said(context: Context) -> list[str]:
    """What the reconciliation of the target finds; also what closing would read of it."""
    try:
        tally_target(context)
    except VerificationFailed as error:
        found = list(error.data["differences"])  # type: ignore[call-overload]
        assert reconciliation_faults(context) == found
        assert found
        return found
    assert reconciliation_faults(context) == []
    return []


def sheet(context: Context, name: str) -> list[list[str]]:
    """The rows of one table of the latest reconciliation."""
    tables = context.entries("reconciled")[-1].body["tables"]
    return next(table["rows"] for table in tables if table["id"] == name)


def told(context: Context) -> str:
    """Everything that the ledger says."""
    return "\n".join(entry.body_text for entry in context.entries())


@pytest.fixture(scope="module")
def finished(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    """One migration for all tests that spoil only the target."""
    home = tmp_path_factory.mktemp("finished")
    with (
        databases(cluster) as source,
        databases(second_cluster) as target,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("handover.stages.snapshot.POLL_SECONDS", 0.05)
        urls = {"src": source("source"), "dst": target("target")}
        run_sql(urls["src"], SOURCE + "ANALYZE")
        made = Runner(home, make_ledger(cluster, source), str(second_cluster.programs), urls)
        context = made.open(reconciliation=BLOCK)
        migrated(context)
        yield Finished(context, second_cluster)


@pytest.fixture
def copy(finished: Finished) -> Iterator[Context]:
    """A run whose target may be spoiled."""
    made = finished.copy()
    yield made
    finished.drop(made)


def test_an_untouched_target_reconciles(copy: Context) -> None:
    assert source_reconciliation_faults(copy) == []
    assert said(copy) == []
    assert {row[-1] for table in copy.entries("reconciled")[-1].body["tables"] for row in table["rows"]} == {
        "="
    }
    assert ["s.loan", "301", "301", "301", "="] in sheet(copy, "counts")
    assert ["s.nothing", "0", "0", "0", "="] in sheet(copy, "counts")
    assert [row[0] for row in sheet(copy, "trial")] == ["2024-01", "2024-02", "2024-03", "2024-04"]
    with psycopg.connect(copy.source) as source:
        query = "SELECT status::text, to_char(made, 'YYYY'), count(*)::text FROM s.loan"
        query += " WHERE id < 301 GROUP BY 1, 2"
        expected = {(state, year, rows, rows, "=") for state, year, rows in source.execute(query)}
    assert {tuple(row) for row in sheet(copy, "loans")} == expected | {("lost", "Infinity", "1", "1", "=")}
    assert sheet(copy, "parts") == [["2020", "30", "30", "="], ["2021", "30", "30", "="]]


def test_sums_are_those_that_anybody_else_computes(copy: Context) -> None:
    said(copy)
    sums = {(row[0], row[1]): row[6] for row in sheet(copy, "sums")}
    with psycopg.connect(copy.source) as source:
        for table, column in (("s.loan", "principal"), ("s.line", "debit"), ("s.part_2", "amount")):
            expected = source.execute(f"SELECT sum({column})::text FROM {table}").fetchone()
            assert expected == (sums[table, column],)
    assert sums["s.floating", "f"].startswith("3.0000")
    assert sums["s.floating", "m"] == "3.00"


@dataclass(frozen=True)
class Fault:
    """Damage done to the target, what must be said of it, and what must not."""

    sql: str
    said: tuple[str, ...]
    unsaid: tuple[str, ...] = ()


FAULTS = {
    "last digit of one amount": Fault(
        "UPDATE s.loan SET principal = principal + 0.01 WHERE id = 7",
        (
            "s.loan: column principal: its sum in the target is not that of the source",
            "owed: in the target, not so in the source: rows of s.loan that break it: 1 (settled)",
            "owed: the target's figures are not the source's (settled)",
        ),
        ("column owed",),
    ),
    "two faults that cancel": Fault(
        "UPDATE s.loan SET principal = principal + CASE id WHEN 6 THEN 5 ELSE -5 END WHERE id IN (6, 8)",
        ("owed: in the target, not so in the source: rows of s.loan that break it: 2 (open)",),
        ("its sum",),
    ),
    "a status": Fault(
        "UPDATE s.loan SET status = 'lost' WHERE id = 8",
        ("loans: the target's figures are not the source's (lost, 2023; open, 2023)",),
        ("its sum",),
    ),
    "a year": Fault(
        "UPDATE s.loan SET made = made - 365 WHERE id = 8",
        ("loans: the target's figures are not the source's (open, 2022; open, 2023)",),
        ("its sum", "branches"),
    ),
    "a text label with few rows": Fault(
        "UPDATE s.loan SET branch = 'privat' WHERE id = 8",
        ("branches: the target's figures are not the source's (b2; <10 · ",),
        ("privat",),
    ),
    "a line missing": Fault(
        "DELETE FROM s.line WHERE (voucher, no) = (50, 2)",
        (
            "s.line: 240 rows in the source, 240 in the backup, 239 rows in the target",
            "s.line: column credit: 240 values in the source, 239 in the target",
            f"trial: in the target, not so in the source: {UNEVEN}: 1 (2024-02)",
            "vouchers: in the target, not so in the source: rows of s.voucher that break it: 1",
        ),
        ("own fault",),
    ),
    "a line too many": Fault(
        "INSERT INTO s.line VALUES (50, 3, 1, 0)", ("s.line: 240 rows in the source", "(2024-02)")
    ),
    "a voucher in another month": Fault(
        "UPDATE s.voucher SET made = made - interval '2 months' WHERE id = 100",
        ("trial: the target's figures are not the source's (2024-02; 2024-04)",),
        ("not so in the source", "its sum"),
    ),
    "a child of another parent": Fault(
        "UPDATE s.repayment SET loan = 8 WHERE id = (SELECT min(id) FROM s.repayment WHERE loan = 6)",
        ("owed: in the target, not so in the source: rows of s.loan that break it: 2 (open)",),
    ),
    "a value to NULL": Fault(
        "UPDATE s.repayment SET paid = NULL WHERE id = 3",
        ("s.repayment: column paid: 451 values in the source, 450 in the target", "owed: in the target"),
    ),
    "NULL to zero": Fault(
        "UPDATE s.repayment SET paid = 0 WHERE id = 9001",
        ("s.repayment: column paid: 451 values in the source, 452 in the target",),
    ),
    "one bit of a float": Fault(
        "UPDATE s.floating SET f = 0.10000000000000002 WHERE id = 5", ("s.floating: column f: its sum",)
    ),
    "one bit of a real": Fault(
        "UPDATE s.floating SET r = '0.10000001'::real WHERE id = 5", ("s.floating: column r: its sum",)
    ),
    "the smallest float": Fault(
        "UPDATE s.floating SET f = 0 WHERE id = 34", ("s.floating: column f: its sum",)
    ),
    "NaN to infinity": Fault(
        "UPDATE s.floating SET n = 'Infinity' WHERE id = 31",
        ("s.floating: column n: other numbers of NaN or infinite values",),
        ("its sum",),
    ),
    "sign of infinity": Fault(
        "UPDATE s.floating SET r = 'Infinity' WHERE id = 33", ("s.floating: column r: other numbers of NaN",)
    ),
    "numeric scale": Fault(
        "UPDATE s.floating SET n = 0.10 WHERE id = 5",
        ("s.floating: column n: its sum in the target is the source's, but",),
    ),
    "money": Fault("UPDATE s.floating SET m = '0.11' WHERE id = 5", ("s.floating: column m: its sum",)),
    "a small group": Fault(
        "UPDATE s.small SET secret = secret + 1 WHERE id = 1", ("s.small: column secret: its sum",)
    ),
    "generated text": Fault(
        "CREATE OR REPLACE FUNCTION s.code(n int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''M'' || n';"
        "UPDATE s.loan SET id = id WHERE id = 9",
        ("s.loan: generated code, half: other values in the target than in the source",),
        ("its sum",),
    ),
    "a row in an empty table": Fault(
        "INSERT INTO s.nothing VALUES (1, 0)", ("s.nothing: 0 rows in the source, 0 in the backup, 1 rows",)
    ),
    "odd names": Fault(
        """UPDATE s."a.b ""c"" d" SET "d.e %s" = 0 WHERE "d.e %s" = 1""",
        ('s.a.b "c" d: column d.e %s: its sum', "odd: the target's figures"),
    ),
    "a partition's row": Fault(
        "UPDATE s.part SET day = day + 100 WHERE id = 1",
        ("s.part_1: 30 rows in the source, 30 in the backup, 29 rows", "parts: the target's figures"),
    ),
    "a table dropped": Fault(
        "DROP TABLE s.small", ("s.small: 2 rows in the source, 2 in the backup, is missing",)
    ),
    "a column dropped": Fault(
        "ALTER TABLE s.loan DROP owed",
        ("s.loan: column owed: is there in the source, but not in the target", "owed: cannot be computed"),
    ),
    "a column added": Fault(
        "ALTER TABLE s.small ADD more int",
        ("s.small: column more: is there in the target, but not in the source",),
    ),
    "a table closed to us": Fault("REVOKE SELECT ON s.line FROM company", ("SQLSTATE 42501",)),
}


@pytest.mark.parametrize("damage", FAULTS.values(), ids=FAULTS)
def test_what_the_move_changed_is_named(copy: Context, damage: Fault) -> None:
    run_sql(copy.target, damage.sql)
    lines = "\n".join(said(copy))
    for words in damage.said:
        assert words in lines
    for words in ("own fault", *damage.unsaid):
        assert words not in lines
    assert PRIVATE not in lines + told(copy)
    assert PRIVATE not in json.dumps(lines)


@pytest.mark.parametrize("nothing", ["SELECT 1", "UPDATE s.loan SET owed = owed", "ANALYZE"])
def test_what_changes_nothing_is_no_difference(copy: Context, nothing: str) -> None:
    run_sql(copy.target, nothing)
    assert said(copy) == []


def test_only_reconciliation_sees_generated_values(copy: Context) -> None:
    """The digests leave them out: what travelled is the same, and so is every definition in the end."""
    recode = "CREATE OR REPLACE FUNCTION s.code(n int) RETURNS text LANGUAGE sql IMMUTABLE"
    recode += " AS 'SELECT ''{}'' || n';"
    run_sql(
        copy.target,
        recode.format("M") + "UPDATE s.loan SET id = id WHERE id = 9;" + recode.format("L"),
    )
    with pytest.raises(VerificationFailed, match="do not reconcile"):  # all before it found nothing
        verified(copy)
    assert said(copy) == ["s.loan: generated code, half: other values in the target than in the source"]


def test_after_the_repair_it_reconciles(copy: Context) -> None:
    run_sql(copy.target, "UPDATE s.loan SET principal = principal + 1 WHERE id = 7")
    assert said(copy)
    run_sql(copy.target, "UPDATE s.loan SET principal = principal - 1 WHERE id = 7")
    assert said(copy) == []


def test_no_figure_of_few_rows_leaves_the_vault(copy: Context) -> None:
    """The amount stands in a small table, among zeros, in a small group and as the rest of a column."""
    assert said(copy) == []
    verified(copy)
    evidence = close_run(copy)
    assert PRIVATE in source_figures(copy, 1).model_dump_json()
    assert PRIVATE not in told(copy)
    files = [path for path in [*evidence.rglob("*"), *copy.settings.vault.rglob("*")] if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if PRIVATE.encode() in path.read_bytes()]
    for table, column in (("s.small", "secret"), ("s.mostly_nothing", "secret")):
        row = next(row for row in sheet(copy, "sums") if row[:2] == [table, column])
        assert row[6].startswith("<10 · ")
        assert row[6] == row[7]
    groups = {row[0]: row[3] for row in sheet(copy, "owed")}
    assert groups["lost"].startswith("<10 · ")
    assert sum(total.startswith("<10 · ") for total in groups.values()) == 2
    branches = [row[0] for row in sheet(copy, "branches")]
    assert "far" not in branches
    assert {"b0", "b1", "b2"} < set(branches)


def test_a_difference_does_not_tell_its_amount(copy: Context) -> None:
    run_sql(copy.target, f"UPDATE s.line SET debit = debit + {PRIVATE} WHERE (voucher, no) = (50, 1)")
    assert said(copy)
    row = next(row for row in sheet(copy, "trial") if row[0] == "2024-02")
    assert row[3] == row[5]
    assert row[4].startswith("≠ · ")
    assert row[6] == row[5]
    assert row[-1] == "≠"


LEDGER = """
CREATE SCHEMA s;
CREATE TABLE s.voucher (id int PRIMARY KEY, made date);
CREATE TABLE s.line (voucher int, no int, debit numeric, credit numeric, PRIMARY KEY (voucher, no));
INSERT INTO s.voucher SELECT n, date '2024-01-01' + n FROM generate_series(1, 40) n;
INSERT INTO s.line SELECT n, m, n * (m % 2), n * ((m + 1) % 2)
  FROM generate_series(1, 40) n, generate_series(1, 2) m;
"""
UNBALANCED = "UPDATE s.line SET debit = debit + 1 WHERE (voucher, no) = (5, 1);"
BOOKS = {"balances": BLOCK["balances"], "relations": [BLOCK["relations"][1]]}


@pytest.fixture
def quick(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A runner that polls often, whose source is a small ledger."""
    monkeypatch.setattr("handover.stages.snapshot.POLL_SECONDS", 0.05)
    run_sql(runner.urls["src"], LEDGER)
    return runner


def test_the_sources_own_fault_is_not_blamed_on_the_move(quick: Runner) -> None:
    run_sql(quick.urls["src"], UNBALANCED)
    context = quick.open(reconciliation=BOOKS)
    backed_up(context)
    own = [
        f"trial: the source's own fault, not the move's: {UNEVEN}: 1 (2024-01)",
        "vouchers: the source's own fault, not the move's: rows of s.voucher that break it: 1",
    ]
    assert source_reconciliation_faults(context) == own
    with pytest.raises(VerificationFailed, match="the source's own rows") as refused:
        filled(context)
    assert refused.value.data["differences"] == own
    assert "s.voucher" not in contents(context.target)


def test_an_acknowledged_fault_of_the_source_lets_the_run_go_on(quick: Runner) -> None:
    run_sql(quick.urls["src"], UNBALANCED)
    accepted = ["reconciliation:trial", "reconciliation:vouchers"]
    context = quick.open(reconciliation=BOOKS, acknowledge=accepted)
    migrated(context)
    assert source_reconciliation_faults(context) == []
    assert said(context) == []
    assert sheet(context, "trial")[0][-3:] == ["1", "1", "="]
    run_sql(context.target, "UPDATE s.line SET debit = debit + 1 WHERE (voucher, no) = (7, 1)")
    blamed = "\n".join(said(context))
    assert "in the target, not so in the source: rows of s.voucher that break it: 2" in blamed


def test_the_tally_is_of_the_snapshot_whatever_is_written_meanwhile(quick: Runner) -> None:
    context = quick.open(reconciliation=BOOKS)
    with held(context) as holder:
        run_sql(context.source, UNBALANCED + "INSERT INTO s.voucher VALUES (99, '2030-01-01')")
        tally_source(context)
        back_up(context)
        seal_backup(context)
        holder.result()
    filled(context)
    assert source_reconciliation_faults(context) == []
    assert said(context) == []
    assert ["s.voucher", "40", "40", "40", "="] in sheet(context, "counts")


def test_a_tally_of_a_void_generation_is_made_again_before_the_seal(quick: Runner) -> None:
    context = quick.open(reconciliation=BOOKS)
    with held(context) as lost:
        tally_source(context)
        with psycopg.connect(context.source, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [latest_state(context).backend])
        with pytest.raises(SnapshotLost):
            lost.result()
    run_sql(context.source, "INSERT INTO s.voucher VALUES (99, '2030-01-01')")
    with held(context) as holder:
        back_up(context)
        tally_missing(context, latest_state(context))
        tally_missing(context, latest_state(context))
        seal_backup(context)
        holder.result()
    assert [entry.key for entry in context.entries("tallied")] == ["g1/source", "g2/source"]
    tally_source(context)
    filled(context)
    assert said(context) == []
    assert ["s.voucher", "41", "41", "41", "="] in sheet(context, "counts")


def test_attempts_side_by_side_leave_one_tally(quick: Runner) -> None:
    context = quick.open(reconciliation=BOOKS)
    with held(context) as holder, ThreadPoolExecutor(4) as pool:
        for attempt in [pool.submit(tally_source, context) for _ in range(4)]:
            attempt.result()
        assert len(context.entries("tallied")) == 1
        stored = [name for name in context.store.list(context.folder(1)) if "tally-source" in name]
        assert stored == [context.entries("tallied")[0].body["object"]["name"]]
        abandon_backup(context)
        with pytest.raises(NotReady):
            holder.result()


def test_sealing_tallies_what_nobody_has_tallied(quick: Runner) -> None:
    context = quick.open(reconciliation=BOOKS)
    with held(context) as holder:
        back_up(context)
        seal_backup(context)
        holder.result()
    assert [entry.key for entry in context.entries("tallied")] == ["g1/source"]
    assert source_reconciliation_faults(context) == []
    assert reconciliation_faults(context) == ["not reconciled: source and target"]
    with pytest.raises(NotReady, match="step finish"):
        tally_target(context)


def test_a_stop_is_heard(quick: Runner) -> None:
    context = quick.open(reconciliation=BOOKS)
    inventory(context)
    plan(context)
    context.ledger.append(context.case.case, "", "stop-requested", {})
    with pytest.raises(Stopped):
        tally_source(context)
    assert context.entries("tallied") == []


def test_a_stop_is_heard_between_two_queries(quick: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handover.postgres.figures.BATCH_TABLES", 1)
    monkeypatch.setattr("handover.stages.stopping.LOOK_SECONDS", 0.0)
    context = quick.open()
    inventory(context)
    plan(context)
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(context.source) as holder,
        psycopg.connect(context.source) as locker,
    ):
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        exported = holder.execute("SELECT pg_export_snapshot()").fetchone()
        locker.execute("LOCK s.voucher IN ACCESS EXCLUSIVE MODE")
        state = SnapshotState.model_construct(generation=1, snapshot=str((exported or [""])[0]))
        tallying = pool.submit(tally_missing, context, state)
        context.ledger.append(context.case.case, "", "stop-requested", {})
        locker.rollback()
        with pytest.raises(Stopped):
            tallying.result()
    assert context.entries("tallied") == []
