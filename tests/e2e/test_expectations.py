"""Suites look at real rows through the real stages: each planted fault is named, where it came from and how
many rows it has, and no value of a row is told.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fixtures.contents import objects, run_sql
from fixtures.runs import Runner, backed_up, migrated
from handover.errors import CaseInvalid, ConnectionLost, DataMapInvalid, NotReady, Stopped, VerificationFailed
from handover.evidence import progress
from handover.evidence.report import write_report
from handover.local.clusters import Cluster
from handover.model.expectation import Rule, TableFacts
from handover.postgres.rules import read_facts
from handover.postgres.session import connect, with_database
from handover.quality import validation
from handover.quality.suites import make_rules
from handover.quality.validation import Database, validate
from handover.sample.company import generate
from handover.settings import REPOSITORY
from handover.stages.backup_index import read_index
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.expectations import check_expectations, profile, source_faults, target_faults
from handover.stages.loading import Destination
from handover.stages.migrate import finish_target, migrate_lane, prepare_target, target_of
from handover.stages.restore_test import (
    create_database,
    drop_database,
    restore_and_compare,
    restore_test,
    scratch_name,
)

# Stands in every failing row, so that whatever quotes one is caught.
PRIVATE = "privat-27182818"
ODD = "Odd: %s {batch} :x"


def quotes(answer: str) -> str:
    """A function that a check rests on; cast, a value that is no number gets into the error."""
    return f"""CREATE OR REPLACE FUNCTION s.quotes(v text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
        $$BEGIN RETURN {answer}; END$$;"""


# Numbers are of ranges that belong to nobody; each fault of a number is one digit.
SOURCE = f"""
CREATE SCHEMA s;
CREATE SCHEMA "{ODD}";
CREATE TYPE s.status AS ENUM ('open', 'closed', 'gone');
CREATE TYPE s.place AS (town text);
{quotes("v::int > 0")}
CREATE TABLE s.person (
  id int PRIMARY KEY, name text, resident text, mobile text, card character(19), code text, born date,
  seen timestamptz, status s.status, amount numeric, again text, at s.place, low int, high int
);
INSERT INTO s.person SELECT n, '{PRIVATE}', '119900199003070025', '15400000000', '6299990000000000004',
  '91110099MA00000000', '1990-03-07', '2020-01-01', 'open', 1.5, 'v' || n, '({PRIVATE})', 1, 2
  FROM generate_series(1, 40) n;
UPDATE s.person SET code = NULL;
UPDATE s.person SET resident = '119900199003070021' WHERE id IN (1, 2);
UPDATE s.person SET resident = '119900199002300028' WHERE id = 3;
UPDATE s.person SET mobile = '{PRIVATE}' WHERE id = 4;
UPDATE s.person SET card = '6299990000000000007' WHERE id IN (5, 6, 7);
UPDATE s.person SET born = '1066-10-14' WHERE id = 8;
UPDATE s.person SET seen = 'infinity' WHERE id = 9;
UPDATE s.person SET status = 'gone' WHERE id <= 12;
UPDATE s.person SET amount = 'NaN' WHERE id = 13;
UPDATE s.person SET again = '{PRIVATE}' WHERE id IN (14, 15);
UPDATE s.person SET name = NULL WHERE id = 16;
UPDATE s.person SET name = '' WHERE id = 17;
UPDATE s.person SET low = 3 WHERE id = 18;
UPDATE s.person SET code = '91110099MA0000000X' WHERE id = 19;
ALTER TABLE s.person ADD CONSTRAINT filled NOT NULL name NOT VALID;
ALTER TABLE s.person ADD CONSTRAINT small CHECK (id < 40) NOT VALID;
ALTER TABLE s.person ADD CONSTRAINT quoting CHECK (s.quotes(again)) NOT VALID;

CREATE TABLE s.child (person text, of_a int, of_b int, note text DEFAULT '{PRIVATE}');
CREATE TABLE s.pair (a int, b int, UNIQUE (a, b));
INSERT INTO s.pair VALUES (1, 1);
INSERT INTO s.child (of_a, of_b) VALUES (1, 1), (1, NULL), (NULL, NULL), (2, 1), (2, 2);
ALTER TABLE s.child ADD CONSTRAINT simple FOREIGN KEY (of_a, of_b) REFERENCES s.pair (a, b) NOT VALID;
ALTER TABLE s.child ADD CONSTRAINT whole
  FOREIGN KEY (of_a, of_b) REFERENCES s.pair (a, b) MATCH FULL NOT VALID;

CREATE TABLE s.base (id int);
CREATE TABLE s.derived () INHERITS (s.base);
INSERT INTO s.base VALUES (1);
INSERT INTO s.derived VALUES (1), (2);

CREATE TABLE s.paid (on_day date, amount int) PARTITION BY RANGE (on_day);
CREATE TABLE s.paid_old PARTITION OF s.paid FOR VALUES FROM ('2000-01-01') TO ('2020-01-01');
CREATE TABLE s.paid_new PARTITION OF s.paid FOR VALUES FROM ('2020-01-01') TO ('2040-01-01');
INSERT INTO s.paid VALUES ('2001-01-01', 1), ('2021-01-01', 2), ('2021-01-01', -3);

CREATE TABLE "{ODD}"."Tab ""le" (
  "Id :x" int PRIMARY KEY, "50% off" text NOT NULL, "{{batch}}" text, "select" text);
INSERT INTO "{ODD}"."Tab ""le" VALUES (1, 'a', 'x', '1'), (2, '{PRIVATE}', NULL, '{PRIVATE}');
CREATE TABLE "{ODD}"."empty" ();
"""
PERSON = "s.person"
ODD_TABLE = [ODD, 'Tab "le']
WRITTEN = [
    ("expect_identity_number", {"column": "resident"}, PERSON, "critical"),
    ("expect_mobile_number", {"column": "mobile"}, PERSON, "critical"),
    ("expect_card_number", {"column": "card"}, PERSON, "critical"),
    ("expect_credit_code", {"column": "code"}, PERSON, "critical"),
    ("expect_column_values_to_be_between", {"column": "born", "min_value": "1900-01-01"}, PERSON, "critical"),
    (
        "expect_column_values_to_be_between",
        {"column": "seen", "min_value": "2000-01-01", "max_value": "2030-01-01T00:00:00+08:00"},
        PERSON,
        "critical",
    ),
    (
        "expect_column_values_to_be_between",
        {"column": "amount", "min_value": 0.25, "max_value": 1e2, "strict_min": True},
        PERSON,
        "critical",
    ),
    (
        "expect_column_values_to_be_in_set",
        {"column": "status", "value_set": ["open", "closed"]},
        PERSON,
        "critical",
    ),
    ("expect_column_values_to_be_unique", {"column": "again"}, PERSON, "critical"),
    ("expect_column_values_to_not_be_null", {"column": "name"}, PERSON, "warning"),
    ("expect_column_value_lengths_to_be_between", {"column": "name", "min_value": 1}, PERSON, "warning"),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "high", "column_B": "low", "or_equal": True},
        PERSON,
        "critical",
    ),
    ("expect_compound_columns_to_be_unique", {"column_list": ["of_a", "note"]}, "s.child", "critical"),
    ("expect_column_values_to_be_between", {"column": "amount", "min_value": 0}, "s.paid", "critical"),
    ("expect_column_values_to_be_unique", {"column": "id"}, "s.base", "critical"),
    ("expect_column_values_to_not_be_null", {"column": "{batch}"}, ODD_TABLE, "critical"),
    (
        "expect_column_values_to_match_regex",
        {"column": "50% off", "regex": "^[a-z:%]$"},
        ODD_TABLE,
        "critical",
    ),
    (
        "expect_column_values_to_be_in_set",
        {"column": "select", "value_set": ["1", "a:b", "%s"]},
        ODD_TABLE,
        "critical",
    ),
]
# Questions that cannot be asked; what the database says of them may quote rows.
UNASKABLE = [
    ("expect_column_values_to_be_between", {"column": "name", "min_value": 1}, PERSON, "critical"),
    ("expect_column_values_to_match_regex", {"column": "resident", "regex": "(unclosed"}, PERSON, "critical"),
]
# What the preflight finds, so that no run comes to it.
UNKNOWN = [
    ("expect_column_values_to_not_be_null", {"column": "gone"}, PERSON, "critical"),
    ("expect_column_values_to_not_be_null", {"column": "x"}, "s.nothing", "critical"),
]
# Every fault planted above: failing rows by the expectation's id.
FAULTS = {
    "s.person/resident/identity_number": 3,
    "s.person/mobile/mobile_number": 1,
    "s.person/card/card_number": 3,
    "s.person/code/credit_code": 1,
    "s.person/born/between": 1,
    "s.person/seen/between": 1,
    "s.person/amount/between": 1,
    "s.person/status/in_set": 12,
    "s.person/again/unique": 2,
    "s.person/name/not_null": 1,
    "s.person/name/length": 1,
    "s.person/high,low/greater": 1,
    "s.person/small/check": 1,
    "s.child/simple/foreign_key": 2,
    "s.child/whole/foreign_key": 3,
    "s.child/of_a,note/unique": 4,
    "s.paid_new/amount/between": 1,
    f'{ODD}.Tab "le/{{batch}}/not_null': 1,
    f'{ODD}.Tab "le/50% off/match_regex': 1,
    f'{ODD}.Tab "le/select/in_set': 1,
}
ERRORS = {
    "s.person/quoting/check": "22P02",
    "s.person/name/between": "42883",
    "s.person/resident/match_regex": "2201B",
}


def write_suite(folder: Path, expectations: list[tuple], name: str = "planted") -> None:
    folder.mkdir(exist_ok=True)
    document = {
        "name": name,
        "expectations": [
            {"type": kind, "kwargs": kwargs, "meta": {"table": table}, "severity": severity}
            for kind, kwargs, table, severity in expectations
        ],
    }
    (folder / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False))


def opened(runner: Runner, run: str = "run-1", **changes: object) -> Context:
    """A run whose suites lie in the runner's own folder."""
    case = {"source": {"connection": "src", "schemas": ["s", ODD]}, "expectations": ["planted"], **changes}
    context = runner.open(run, **case)
    return replace(context, settings=replace(context.settings, expectations=runner.home / "expectations"))


@pytest.fixture
def planted(runner: Runner) -> Runner:
    """A source full of faults, and the suite that knows them."""
    run_sql(runner.urls["src"], SOURCE)
    write_suite(runner.home / "expectations", WRITTEN + UNASKABLE)
    return runner


@contextmanager
def scratch(context: Context) -> Iterator[Destination]:
    """What the restore test has when it has found the backup to be right."""
    name, step = scratch_name(context), "restore-test"
    create_database(context, name)
    try:
        destination = Destination(with_database(context.scratch, name), step)
        with context.step(step) as meter:
            assert restore_and_compare(context, read_index(context), destination, meter) == []
        yield destination
    finally:
        drop_database(context, name)


def profile_source(context: Context) -> None:
    with scratch(context) as destination:
        profile(context, read_index(context), destination, "source")


def profile_target(context: Context) -> None:
    profile(context, read_index(context), target_of(context), "target")


def accepting(context: Context, *findings: str) -> Context:
    """The run as if its case acknowledged just these findings."""
    return replace(context, case=context.case.model_copy(update={"acknowledge": findings}))


def results(context: Context) -> dict[str, dict]:
    return {result["id"]: result for result in context.entries("expectations-checked")[-1].body["results"]}


def fill_target(context: Context) -> None:
    prepare_target(context)
    for number in range(len(context.plan().lanes)):
        migrate_lane(context, number)
    finish_target(context)


def test_the_sample_company_is_in_order_on_both_sides(runner: Runner) -> None:
    """Its one fault is meant to be there; acknowledged, it is in the way of nothing."""
    generate(runner.urls["src"], rows=1_000)
    known = "Odd Values.kept_rates/rate_positive/check"
    source = {"connection": "src", "schemas": ["lending", "账务", "Odd Values"]}
    context = runner.open(
        source=source, expectations=["sample-lending", "sample-ledger"], acknowledge=[f"expectation:{known}"]
    )
    strict = accepting(context)
    migrated(context)
    profile_source(context)
    assert [line.split(":")[0] for line in source_faults(strict)] == ["Odd Values.kept_rates"]
    assert {r["id"] for r in results(context).values() if not r["success"]} == {known}
    suites = {r["suite"] for r in results(context).values()}
    assert suites == {"inventory", "sample-lending", "sample-ledger"}
    profile_target(context)
    assert target_faults(strict) == source_faults(strict)
    assert source_faults(context) == target_faults(context) == []
    made = context.entries("expectations-made")
    checked = context.entries("expectations-checked")
    assert len(made) == 1
    assert {entry.body["suite_digest"] for entry in checked} == {made[0].body["suite_digest"]}


def test_every_planted_fault_of_the_source_is_named(planted: Runner) -> None:
    context = opened(planted)
    backed_up(context)
    profile_source(context)
    found = results(context)
    failing = {name: result for name, result in found.items() if not result["success"]}
    assert {n: r["failing"] for n, r in failing.items() if not r["error"]} == FAULTS
    errors = {name: result["error"] for name, result in failing.items() if result["error"]}
    assert errors.keys() == ERRORS.keys()
    for name, state in ERRORS.items():
        assert state in errors[name], name
        assert failing[name]["failing"] is None
    assert failing["s.person/resident/identity_number"]["tokens"] == ["id = 1", "id = 2", "id = 3"]
    assert len(failing["s.person/status/in_set"]["tokens"]) == 10
    keyless = failing["s.child/simple/foreign_key"]["tokens"]
    assert len(set(keyless)) == 2
    assert all(len(name) == 32 for name in keyless)
    assert found["s.person/name/not_null"]["severity"] == "warning"
    assert found["s.person/name/not_null"]["suite"] == "planted"
    assert found["s.base/row_count"]["success"]
    assert found["s.derived/row_count"]["success"]

    critical = {n for n, r in failing.items() if r["severity"] == "critical"}
    faults = source_faults(context)
    assert len(faults) == len(critical)
    for name in critical:
        assert any(line.endswith(f"acknowledge expectation:{name}") for line in faults), name
    accepted = [f"expectation:{name}" for name in critical]
    assert len(source_faults(accepting(context, *accepted[1:]))) == 1
    assert source_faults(accepting(context, *accepted)) == []


MOVED = {
    "a check digit": (
        "UPDATE s.person SET resident = '119900199003070029' WHERE id = 30",
        [
            "s.person (resident): expect_identity_number fails for 4 rows, among them id = 1",
            "3 rows in the source",
        ],
    ),
    "the source's fault is gone": (
        "UPDATE s.person SET mobile = '15400000000' WHERE id = 4",
        ["expect_mobile_number fails for 0 rows; 1 row in the source"],
    ),
    "a null": (
        "ALTER TABLE s.person ALTER name DROP NOT NULL; UPDATE s.person SET name = NULL WHERE id = 30",
        ["s.person (name): expect_column_values_to_not_be_null fails for 2 rows"],
    ),
    "an orphan": (
        "ALTER TABLE s.child DROP CONSTRAINT simple; INSERT INTO s.child VALUES ('p', 9, 9)",
        ["s.child (of_a, of_b): expect_foreign_key fails for 3 rows", "2 rows in the source"],
    ),
    "a row too many": (
        "INSERT INTO s.derived VALUES (3)",
        ["s.derived: expect_table_row_count_to_equal fails for 1 row; 0 rows in the source"],
    ),
    "a table without rows": (
        "TRUNCATE s.derived",
        ["s.derived: expect_table_row_count_to_equal fails for 2 rows"],
    ),
    "a check that is gone": (
        "ALTER TABLE s.person DROP CONSTRAINT small",
        ["s.person: expect_check fails for an unknown number of rows: constraint small is not on s.person"],
    ),
    "a column that is gone": (
        "ALTER TABLE s.person DROP COLUMN born",
        ["s.person (born): expect_column_values_to_be_between fails for an unknown number of rows:"],
    ),
    "a table that is gone": (
        "DROP TABLE s.base CASCADE",
        ["s.base: expect_table_row_count_to_equal fails for an unknown number of rows: table s.base"],
    ),
}


def test_only_what_the_move_did_is_blamed_on_it(planted: Runner, second_cluster: Cluster) -> None:
    """The source's faults are not; each fault made in the target is, and when it is undone it is no more."""
    write_suite(planted.home / "expectations", WRITTEN)
    known = [f"expectation:{name}" for name in [*FAULTS, "s.person/quoting/check"]]
    context = opened(planted, acknowledge=known)
    backed_up(context)
    with pytest.raises(NotReady, match="not held against any"):
        profile_target(context)
    assert source_faults(context) == ["the source was not held against any expectations"]
    profile_source(context)
    assert target_faults(context) == ["the target was not held against any expectations"]
    restore_test(context)
    fill_target(context)
    profile_target(context)
    assert target_faults(context) == []
    strict = accepting(context)
    assert len(source_faults(strict)) == len(known) - 2  # two of them only warn
    assert target_faults(strict) == source_faults(strict)
    for name, (change, said) in MOVED.items():
        with damaged(context, second_cluster, change) as target:
            profile_target(target)
            lines = target_faults(target)
        assert lines, name
        assert all("the move made the difference" in line for line in lines), name
        for words in said:
            assert any(words in line for line in lines), (name, words, lines)
    profile_target(context)
    assert target_faults(context) == []


@contextmanager
def damaged(context: Context, cluster: Cluster, change: str) -> Iterator[Context]:
    """The run with a copy of its target, changed without a trigger or key in the way."""
    name = str(conninfo_to_dict(context.target)["dbname"])
    copy = f"{name}_copy"
    with psycopg.connect(cluster.admin_url(), autocommit=True) as admin:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        admin.execute(create.format(sql.Identifier(copy), sql.Identifier(name)))
    try:
        with psycopg.connect(cluster.admin_url(copy)) as admin:
            admin.execute("SET session_replication_role = replica")
            admin.execute(quotes("true") + change)
            admin.execute(quotes("v::int > 0"))
        yield replace(context, target=with_database(context.target, copy))
    finally:
        cluster.drop_database(copy)


def test_the_run_fails_on_bad_data_before_anything_is_copied(planted: Runner) -> None:
    context = opened(planted)
    backed_up(context)
    restore_test(context)
    with pytest.raises(VerificationFailed) as refused:
        prepare_target(context)
    said = str(refused.value)
    for fault in ("resident/identity_number", "card/card_number", "foreign_key", "not_null"):
        assert fault in said
    assert PRIVATE not in said
    assert not any(name.startswith("schema s") for name in objects(context.target))
    with pytest.raises(VerificationFailed, match="the run is not complete"):
        close_run(context)
    assert context.entries("run-closed")[-1].body["status"] == "not complete"


def test_no_value_of_a_failing_row_is_told(
    planted: Runner, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    """Not in log lines of any level, output, ledger or messages, nor in the log of a server that is loud."""
    context = opened(planted)
    backed_up(context)
    make_loud(cluster, context.source)
    with psycopg.connect(context.source) as loud, pytest.raises(psycopg.errors.InvalidTextRepresentation):
        loud.execute("SELECT s.quotes(again) FROM s.person")
    logged = cluster.log.read_text()
    assert 'integer: "v' in logged
    caplog.set_level(logging.DEBUG)
    profile(context, read_index(context), Destination(context.source, "restore-test"), "source")
    assert len([r for r in results(context).values() if not r["success"]]) == len(FAULTS) + len(ERRORS)
    # What they log is not ours to judge line by line: nothing at all comes through.
    assert {record.name.split(".")[0] for record in caplog.records} <= {"handover", "psycopg"}
    out = capfd.readouterr()
    bodies = "".join(entry.body_text for entry in context.entries())
    told = [caplog.text, out.out, out.err, bodies, *source_faults(context)]
    told.append(str(progress.failures(context.ledger_url, context.case.case, context.run)))
    told.append(cluster.log.read_text().removeprefix(logged))
    values = ["119900199003070021", "119900199002300028", "6299990000000000007", "91110099MA0000000X"]
    for text in told:
        for value in [PRIVATE, "1066-10-14", 'integer: "v', *values]:
            assert value not in text
    assert "Calculating Metrics" not in out.err


def make_loud(cluster: Cluster, url: str) -> None:
    """Let the server log what fails in a database, and our role turn that off for its own sessions."""
    name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
    wishes = {
        "log_min_messages": "error",
        "log_min_error_statement": "error",
        "log_error_verbosity": "verbose",
    }
    with psycopg.connect(cluster.admin_url(), autocommit=True) as admin:
        for parameter, value in wishes.items():
            change = sql.SQL("ALTER DATABASE {} SET {} = {}")
            admin.execute(change.format(name, sql.Identifier(parameter), sql.Literal(value)))
            admin.execute(sql.SQL("GRANT SET ON PARAMETER {} TO company").format(sql.Identifier(parameter)))


def test_a_reader_alone_may_ask(planted: Runner, cluster: Cluster) -> None:
    """A role that can read and nothing else; its own settings of the session change no answer."""
    write_suite(planted.home / "expectations", WRITTEN)
    context = opened(planted)
    backed_up(context)
    database = str(conninfo_to_dict(context.source)["dbname"])
    cluster.create_role("onlooker", "looks-on")
    schemas = f's, "{ODD}"'
    run_sql(
        context.source,
        f"GRANT USAGE ON SCHEMA {schemas} TO onlooker;"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schemas} TO onlooker",
    )
    with psycopg.connect(cluster.admin_url(), autocommit=True) as admin:
        for setting in ("DateStyle = 'German'", "TimeZone = 'Asia/Shanghai'", "search_path = s"):
            admin.execute(
                sql.SQL("ALTER ROLE onlooker IN DATABASE {} SET ").format(sql.Identifier(database))
                + sql.SQL(setting)
            )
    url = make_conninfo(context.source, user="onlooker", password="looks-on")
    profile(context, read_index(context), Destination(url, "restore-test"), "source")
    found = {n: r["failing"] for n, r in results(context).items() if not r["success"] and not r["error"]}
    assert found == FAULTS


def test_a_lost_server_teaches_nothing(planted: Runner, cluster: Cluster) -> None:
    """It is no fault of the rows: the step fails and may be tried again."""
    url = planted.urls["src"]
    with closing(connect(url, read_only=True)) as connection:
        facts = read_facts(connection, ["s"])
        database = Database(url, connection, facts, {}, lambda *parts: "token")
        rules = make_rules(facts, {("s", "base"): 1}, [])

        def lose() -> None:
            with psycopg.connect(cluster.admin_url()) as admin:
                query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
                admin.execute(query, [conninfo_to_dict(url)["dbname"]])

        assert all(outcome.success for outcome in validate(database, rules, lambda: None))
        with pytest.raises(ConnectionLost):
            validate(database, make_rules(facts, {("s", "base"): 2}, []), lose)


def test_stop_is_heard_between_tables(planted: Runner) -> None:
    heard = []

    def stop() -> None:
        heard.append(len(heard))
        if len(heard) > 1:
            raise Stopped("told to stop")

    with closing(connect(planted.urls["src"], read_only=True)) as connection:
        facts = read_facts(connection, ["s"])
        database = Database(planted.urls["src"], connection, facts, {}, lambda *parts: "token")
        rules = make_rules(facts, {("s", "base"): 1, ("s", "derived"): 2, ("s", "pair"): 1}, [])
        with pytest.raises(Stopped):
            validate(database, rules, stop)
    assert heard == [0, 1]


def test_suites_are_held_against_the_schema_before_anything_runs(planted: Runner) -> None:
    write_suite(planted.home / "expectations", WRITTEN + UNKNOWN)
    context = opened(planted)
    with closing(connect(context.source, read_only=True)) as source:
        found = {finding.id: finding for finding in check_expectations(context, source)}
        assert found.keys() == {
            "expectation-unknown:s.nothing/x/not_null",
            "expectation-unknown:s.person/gone/not_null",
        }
        assert "planted.json" in found["expectation-unknown:s.person/gone/not_null"].remedy
        absent = opened(planted, expectations=["planted", "absent"])
        with pytest.raises(CaseInvalid, match=r"absent\.json"):
            check_expectations(absent, source)


def test_great_expectations_reports_to_nobody_and_writes_nothing(planted: Runner, tmp_path: Path) -> None:
    """In a process of its own: only the PostgreSQL client connects, the home folder stays empty."""
    program = """
import sys
seen = []
names = ('socket.connect', 'socket.getaddrinfo')
sys.addaudithook(lambda name, of: seen.append(str(of)) if name in names else None)
from handover.postgres.rules import read_facts
from handover.postgres.session import connect
from handover.quality.suites import make_rules
from handover.quality.validation import Database, validate
url = sys.argv[1]
with connect(url, read_only=True) as connection:
    facts = read_facts(connection, ['s'])
    database = Database(url, connection, facts, {}, lambda *parts: '')
    found = validate(database, make_rules(facts, {('s', 'base'): 1}, []), lambda: None)
print(len(found), [o.id for o in found if not o.success], seen)
"""
    home = tmp_path / "alone"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY / "include")}
    done = subprocess.run(
        [sys.executable, "-c", program, planted.urls["src"]],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("1 [] []\n", "")
    assert list(home.iterdir()) == []


# What a map can know: a domain, a generated column, partitions, and columns whose text is not a value.
CLIENTS = f"""
CREATE SCHEMA s;
CREATE DOMAIN s.number AS text;
CREATE TABLE s.client (
  id int PRIMARY KEY, name text, resident character(18), mobile s.number, email text, code varchar(18),
  numbers text[], sealed bytea, note text, again text GENERATED ALWAYS AS (lower(email)) STORED
);
INSERT INTO s.client SELECT n, '{PRIVATE}', '119900199003070025', '15400000000', 'Some.one@example.com',
  '91110099MA0000000Y', ARRAY['{PRIVATE}'], '\\x00', '{PRIVATE}' FROM generate_series(1, 40) n;
UPDATE s.client SET code = NULL WHERE id <> 5;
UPDATE s.client SET name = NULL WHERE id <= 3;
UPDATE s.client SET resident = '119900199003070021' WHERE id IN (1, 2);
UPDATE s.client SET mobile = '{PRIVATE}' WHERE id = 4;
UPDATE s.client SET email = 's***@example.com' WHERE id = 6;
CREATE TABLE s.card (client int, number numeric(19), bank text) PARTITION BY RANGE (client);
CREATE TABLE s.card_old PARTITION OF s.card FOR VALUES FROM (0) TO (20);
CREATE TABLE s.card_new PARTITION OF s.card FOR VALUES FROM (20) TO (100);
INSERT INTO s.card SELECT n, 6299990000000000004, 'bank' FROM generate_series(1, 40) n;
UPDATE s.card SET number = NULL WHERE client = 10;
CREATE TABLE s.line (id int PRIMARY KEY, made_on date, account text, amount numeric NOT NULL);
INSERT INTO s.line SELECT n, '2020-01-01', '1001', n FROM generate_series(1, 40) n;
"""
KINDS = {
    "client": {
        "id": "internal_id",
        "name": "person_name",
        "resident": "resident_id",
        "mobile": "mobile",
        "email": "email",
        "code": "uscc",
        "again": "email",
        "numbers": "mobile",
        "sealed": "resident_id",
        "note": "free_text",
    },
    "card": {"client": "internal_id", "number": "bank_card", "bank": "related"},
    "line": {"id": "internal_id", "made_on": "related", "account": "related", "amount": "amount"},
}
# All that these rows break of it: failing rows by the expectation's id.
DIRTY = {
    "s.client/name/not_null": 3,
    "s.client/resident/identity_number": 2,
    "s.client/mobile/mobile_number": 1,
    "s.client/email/email_address": 1,
    "s.client/again/email_address": 1,
    "s.card_old/number/not_null": 1,
}
CLEAN = {
    "s.client/code/credit_code",
    "s.client/resident/not_null",
    "s.client/mobile/not_null",
    "s.client/numbers/not_null",
    "s.card_old/number/card_number",
    "s.card_new/number/card_number",
    "s.card_new/number/not_null",
    "s.line/account/not_null",
    "s.line/made_on/not_null",
}


def write_map(folder: Path, account: dict | None = None) -> None:
    def entry(kind: str, **more: object) -> dict:
        levels = {"jrt0171": "C1", "pipl_sensitive": False, "gbt43697": 2, "gdpr": "personal"}
        return {"kind": kind, **levels, **more}

    mandatory = {"made_on": True, "account": True, "amount": True, "sealed": False}
    datasets: list[dict] = [
        {
            "table": f"s.{table}",
            "purpose": PRIVATE,
            "origin": PRIVATE,
            "columns": {
                name: entry(kind, **({"mandatory": mandatory[name]} if name in mandatory else {}))
                for name, kind in columns.items()
            },
        }
        for table, columns in KINDS.items()
    ]
    datasets[1]["partitions"] = ["s.card_old", "s.card_new"]
    datasets[2]["columns"]["account"] |= account or {}
    confirmed = {"by": "a person", "date": "2026-01-02"}
    document = {"map": "test-transfer", "confirmed": confirmed, "datasets": datasets}
    folder.mkdir(exist_ok=True)
    (folder / "test-transfer.yaml").write_text(json.dumps(document))


def mapped(runner: Runner, **changes: object) -> Context:
    """A run of the source that the map is about."""
    run_sql(runner.urls["src"], CLIENTS)
    return mapped_run(runner, "run-1", **changes)


def mapped_run(runner: Runner, run: str, **changes: object) -> Context:
    """A run of a case whose data map lies in the runner's own folder."""
    source = {"connection": "src", "schemas": ["s"], "large_objects": False}
    context = opened(runner, run, source=source, **changes)
    return replace(context, settings=replace(context.settings, datamaps=runner.home / "datamaps"))


MASKED = {
    "an identity number": (
        "UPDATE s.client SET resident = overlay(resident PLACING '********' FROM 7) WHERE id = 30",
        "s.client (resident): expect_identity_number fails for 3 rows, among them id = 1, id = 2, id = 30; "
        "2 rows in the source",
    ),
    "a mobile number": (
        "UPDATE s.client SET mobile = overlay(mobile PLACING '****' FROM 4) WHERE id = 30",
        "s.client (mobile): expect_mobile_number fails for 2 rows",
    ),
    "an address": (
        "UPDATE s.client SET email = '***@example.com' WHERE id = 30",
        "s.client (email): expect_email_address fails for 2 rows",
    ),
    "what is generated of it": (
        "UPDATE s.client SET email = '***@example.com' WHERE id = 30",
        "s.client (again): expect_email_address fails for 2 rows",
    ),
    "a credit code": (
        "UPDATE s.client SET code = overlay(code PLACING '******' FROM 9) WHERE id = 5",
        "s.client (code): expect_credit_code fails for 1 row, among them id = 5; 0 rows in the source",
    ),
    "a card": (
        "UPDATE s.card SET number = 6299990000000000000 WHERE client = 30",
        "s.card_new (number): expect_card_number fails for 1 row",
    ),
    "a name that is lost": (
        "UPDATE s.client SET name = NULL WHERE id = 30",
        "s.client (name): expect_column_values_to_not_be_null fails for 4 rows",
    ),
    "a name that was not there": (
        "UPDATE s.client SET name = 'somebody' WHERE id = 1",
        "s.client (name): expect_column_values_to_not_be_null fails for 2 rows",
    ),
    "the account of a voucher": (
        "UPDATE s.line SET account = NULL WHERE id <= 2",
        "s.line (account): expect_column_values_to_not_be_null fails for 2 rows, among them id = 1, id = 2; "
        "0 rows in the source",
    ),
}


def test_a_data_map_lets_dirty_rows_pass_and_no_change_of_them(
    runner: Runner, second_cluster: Cluster
) -> None:
    """B05: what is missing or malformed at the source is counted and let go; on the way nothing changes."""
    write_map(runner.home / "datamaps")
    context = mapped(runner, expectations=[])
    backed_up(context)
    profile_source(context)
    found = results(context)
    ours = {name: result for name, result in found.items() if result["suite"] == "data map"}
    assert ours.keys() == DIRTY.keys() | CLEAN
    assert {result["severity"] for result in ours.values()} == {"warning"}
    assert {name: r["failing"] for name, r in found.items() if not r["success"]} == DIRTY
    # The schema says so already: no row of the source may break it.
    assert (found["s.line/amount/not_null"]["suite"], found["s.line/amount/not_null"]["severity"]) == (
        "inventory",
        "critical",
    )
    assert source_faults(context) == []
    restore_test(context)
    fill_target(context)
    profile_target(context)
    assert target_faults(context) == []
    for name, (change, said) in MASKED.items():
        with damaged(context, second_cluster, change) as target:
            profile_target(target)
            lines = target_faults(target)
        assert any(line.startswith(said) for line in lines), (name, lines)
        assert all("the move made the difference" in line for line in lines), name
    bodies = "".join(entry.body_text for entry in context.entries())
    for value in (PRIVATE, "***", "119900199003070021"):
        assert value not in bodies
    report = write_report(context.entries())["verification.html"].decode()
    assert "data map" in report


def test_a_case_may_ask_more_than_its_data_map(runner: Runner) -> None:
    """The same in a suite is critical; what nobody wrote there still only warns."""
    write_map(runner.home / "datamaps")
    kwargs = {"column": "resident"}
    write_suite(runner.home / "expectations", [("expect_identity_number", kwargs, "s.client", "critical")])
    context = mapped(runner)
    backed_up(context)
    profile_source(context)
    assert [line.split(" fails")[0] for line in source_faults(context)] == [
        "s.client (resident): expect_identity_number"
    ]


def test_the_data_map_is_that_of_the_plan(runner: Runner) -> None:
    """Approved was what it said then: one that came later makes no rules, and one that changed is refused."""
    context = mapped(runner, expectations=[])
    backed_up(context)
    write_map(runner.home / "datamaps")
    profile_source(context)
    assert {result["suite"] for result in results(context).values()} == {"inventory"}
    later = mapped_run(runner, "run-2", expectations=[])
    backed_up(later)
    write_map(runner.home / "datamaps", account={"kind": "account_no"})
    with pytest.raises(DataMapInvalid, match="not the one that the run was planned with"):
        profile_source(later)
    assert not later.entries("expectations-made")


def test_rows_that_stay_count_for_nothing(runner: Runner) -> None:
    """Of a part, only what arrives is held to the map: the source's faults are those of the rows in scope."""
    write_map(runner.home / "datamaps")
    roots = [
        {"table": "s.client", "where": "id <= 2"},
        {"table": "s.card", "where": "client <= 10"},
        {"table": "s.line", "where": "id <= 7"},
    ]
    context = mapped(runner, expectations=[], scope={"roots": roots})
    backed_up(context)
    profile_source(context)
    found = results(context)
    assert {name: r["failing"] for name, r in found.items() if not r["success"]} == {
        "s.client/name/not_null": 2,
        "s.client/resident/identity_number": 2,
        "s.card_old/number/not_null": 1,
    }
    restore_test(context)
    fill_target(context)
    profile_target(context)
    assert source_faults(context) == target_faults(context) == []
    counts = {rule["meta"]["id"]: rule["kwargs"] for rule in made_rules(context)}
    assert counts["s.client/row_count"] == {"value": 2}
    assert counts["s.card_old/row_count"] == {"value": 10}
    assert counts["s.card_new/row_count"] == {"value": 0}
    assert counts["s.line/row_count"] == {"value": 7}


def made_rules(context: Context) -> list[dict]:
    made = context.entries("expectations-made")[-1].body["suites"]
    return [expectation for suite in made for expectation in suite["expectations"]]


def test_a_table_in_order_is_one_question(planted: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question costs Great Expectations milliseconds; of thousands of tables most are in order."""
    asked: list[tuple[str, int]] = []
    gx = validation._great_expectations()

    @contextmanager
    def counting(url: str) -> Iterator[Callable[..., dict]]:
        with gx.asking(url) as ask:

            def count(table: TableFacts, rules: Sequence[Rule], counts: Mapping[str, str]) -> dict:
                asked.append((table.name, len(rules) + len(counts)))
                return ask(table, rules, counts)

            yield count

    monkeypatch.setattr(validation, "_great_expectations", lambda: SimpleNamespace(asking=counting))
    with closing(connect(planted.urls["src"], read_only=True)) as connection:
        facts = read_facts(connection, ["s"])
        database = Database(planted.urls["src"], connection, facts, {}, lambda *parts: "token")
        rules = make_rules(facts, {("s", "pair"): 1, ("s", "child"): 5}, [])
        found = validate(database, rules, lambda: None)
    assert {o.id: o.failing for o in found} == {
        "s.pair/row_count": 0,
        "s.pair/a,b/unique": 0,
        "s.child/row_count": 0,
        "s.child/simple/foreign_key": 2,
        "s.child/whole/foreign_key": 3,
    }
    assert asked == [("child", 1), ("child", 3), ("pair", 1)]
