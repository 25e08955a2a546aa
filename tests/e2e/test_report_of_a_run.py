"""The report of real runs: it says what the stages found, in step with them, and repeats no value."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from fixtures.runs import Runner, migrated, verified
from handover.errors import VerificationFailed
from handover.evidence.report import verification_document, write_report
from handover.postgres.session import connect
from handover.stages.close import close_run
from handover.stages.report import places, read_report

TABLES = """
CREATE SCHEMA s;
CREATE TABLE s.loan (id bigint PRIMARY KEY, borrower text NOT NULL, amount numeric(18, 2));
INSERT INTO s.loan SELECT n, 'Zhang-secret-' || n, n FROM generate_series(1, 500) AS n;
CREATE TABLE s."<b>账</b>" (note text);
INSERT INTO s."<b>账</b>" VALUES ('Zhang-secret-note');
"""


def execute(url: str, statement: str) -> None:
    with closing(connect(url)) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def company(runner: Runner) -> Iterator[Runner]:
    execute(runner.urls["src"], TABLES)
    yield runner


def test_a_fault_is_named_until_it_is_repaired(company: Runner) -> None:
    context = company.open()
    migrated(context)
    assert verification_document(context.entries())["verdict"] == "unfinished"
    execute(context.target, "UPDATE s.loan SET borrower = 'Zhang-secret-other' WHERE id = 17")
    with pytest.raises(VerificationFailed):
        verified(context)
    document = verification_document(context.entries())
    assert document["verdict"] == "different"
    assert document["findings"] == [
        {"area": "target", "text": "s.loan: row with id = 17 differs in borrower"}
    ]
    assert document["failures"][-1]["stage"] == "verify"
    execute(context.target, "UPDATE s.loan SET borrower = 'Zhang-secret-17' WHERE id = 17")
    verified(context)
    close_run(context)
    made = read_report(company.settings(), context.case.case, context.run)
    assert made is not None
    assert b"Zhang-secret" not in made.html + made.json
    assert b"&lt;b&gt;\xe8\xb4\xa6&lt;/b&gt;" in made.html
    document = verification_document(context.entries())
    assert (document["verdict"], document["status"]) == ("equal", "complete")
    assert document["totals"]["rows"] == 501
    (loan,) = (c for c in document["comparisons"] if c["what"] == "s.loan")
    assert (loan["attempts"], loan["attempts_that_differed"]) == (2, 1)


def test_a_report_is_found_by_the_run_id_of_airflow(company: Runner) -> None:
    settings = company.settings()
    assert places(settings, "manual__2026-01-01T00:00:00+00:00") == []
    context = company.open("manual__2026-01-01T00:00:00+00:00")
    migrated(context)
    assert places(settings, "manual__2026-01-01T00:00:00+00:00") == [(context.case.case, context.run)]
    assert read_report(settings, context.case.case, context.run) is not None
    assert read_report(settings, context.case.case, "another") is None
    assert read_report(settings, "another", context.run) is None
    assert read_report(settings, "a\0b", "c\0d") is None


def test_what_is_shown_is_what_would_be_written(company: Runner) -> None:
    context = company.open()
    migrated(context)
    made = read_report(company.settings(), context.case.case, context.run)
    written = write_report(context.entries())
    assert made is not None
    assert (made.html, made.json) == (written["verification.html"], written["verification.json"])
