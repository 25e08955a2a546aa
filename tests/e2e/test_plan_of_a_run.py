"""The plan page and the report's legal part, made of what the stages really write; also after a dry run."""

from collections.abc import Iterator

import pytest

from fixtures.contents import run_sql
from fixtures.lawful import lawful_matter, lay_out, open_lawful, planned
from fixtures.runs import Runner
from handover.errors import EvidenceInvalid, GateBlocked
from handover.evidence.report import verification_document
from handover.evidence.report_plan import plan_html
from handover.stages.gates import judge
from handover.stages.inventory import inventory
from handover.stages.plan_documents import documents
from handover.stages.plan_page import read_plan
from handover.stages.report import read_report


@pytest.fixture
def company(runner: Runner) -> Iterator[Runner]:
    lay_out(runner)
    yield runner


def test_a_run_that_was_only_planned_has_its_page(company: Runner) -> None:
    context = open_lawful(company)
    settings = company.settings()
    assert read_plan(settings, "test-transfer", "run-1") is None
    inventory(context)
    assert read_plan(settings, "test-transfer", "run-1") is None, "there is no plan yet"
    plan = planned(context)
    before = read_plan(settings, "test-transfer", "run-1")
    assert before is not None and "Not judged yet" in before.html.decode()
    verdicts = judge(context, "execution")
    found = read_plan(settings, "test-transfer", "run-1")
    assert found is not None
    html = found.html.decode()
    assert plan.sha256_of_json() in html and "Not judged yet" not in html
    assert all(f"<td>{one.gate}</td>" in html for one in verdicts)
    assert "privat" not in html


def test_the_page_is_the_document_of_the_evidence(company: Runner) -> None:
    context = open_lawful(company)
    planned(context)
    judge(context, "execution")
    found = read_plan(company.settings(), "test-transfer", "run-1")
    assert found is not None
    assert found.html.decode() == plan_html(documents(context)["plan.md"].decode(), "test-transfer", "run-1")


@pytest.mark.parametrize(
    "case, run", [("test-transfer", "another"), ("another", "run-1"), ("a\0b", "c\0d"), ("..", "x/y")]
)
def test_an_unknown_run_has_no_page(company: Runner, case: str, run: str) -> None:
    planned(open_lawful(company))
    assert read_plan(company.settings(), case, run) is None


def test_a_plan_of_another_version_is_refused_by_name(company: Runner) -> None:
    context = open_lawful(company)
    inventory(context)
    context.record("plan", {"plan": {"shape": "another"}, "digest": "x"})
    with pytest.raises(EvidenceInvalid, match="written by another version"):
        read_plan(company.settings(), "test-transfer", "run-1")


def test_the_report_tells_gates_and_scope_of_a_real_run(company: Runner) -> None:
    context = open_lawful(company)
    plan = planned(context)
    verdicts = judge(context, "execution")
    document = verification_document(context.entries())
    gates = document["gates"]
    assert (gates["step"], gates["outdated"], gates["counts"]["hindering"]) == ("execution", False, 0)
    assert {one["gate"] for one in gates["verdicts"]} == {one.gate for one in verdicts}
    assert gates["counts"]["accepted"] == sum(one.accepted is not None for one in verdicts) > 0
    assert plan.scope is not None
    assert document["scope"]["totals"]["rows"] == sum(table.rows for table in plan.scope.tables)
    assert document["scope"]["persons"] == [
        {"table": "s.person", "considered": 8, "in_scope": 7, "staying": 1}
    ]
    made = read_report(company.settings(), "test-transfer", "run-1")
    assert made is not None and b"privat" not in made.html + made.json


def test_a_gate_in_the_way_stands_first_in_the_report(company: Runner) -> None:
    matter = lawful_matter()
    del matter["recipients"]
    context = open_lawful(company, matter=matter)
    planned(context)
    with pytest.raises(GateBlocked) as blocked:
        judge(context, "execution")
    gates = verification_document(context.entries())["gates"]
    first = gates["verdicts"][: gates["counts"]["hindering"]]
    assert {one["gate"] for one in first} == set(blocked.value.data["gates"]) != set()
    assert all(one["hinders"] and one["lacking"] for one in first)


def test_the_next_plan_makes_the_hearing_outdated(company: Runner) -> None:
    context = open_lawful(company)
    planned(context)
    judge(context, "execution")
    run_sql(company.urls["src"], "INSERT INTO s.loan VALUES (11, 1, 5)")
    planned(context)
    assert verification_document(context.entries())["gates"]["outdated"]
