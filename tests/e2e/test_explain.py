"""What a case means for one person, and the documents of a plan, on a real source and by the command line."""

import json
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest

from fixtures.contents import run_sql
from fixtures.lawful import lawful_matter, lay_out, open_lawful
from fixtures.lawful import planned as plan_lawfully
from fixtures.runs import Runner
from handover.cli import main
from handover.errors import CaseInvalid, GateBlocked, NotReady
from handover.stages.approval_standing import standing
from handover.stages.approvals import Answer, open_round, record_answer, record_requester
from handover.stages.context import Context
from handover.stages.explaining import explain
from handover.stages.gates import judge
from handover.stages.plan_documents import brief, documents, write_documents
from handover.stages.sampling import SHEET

APPROVALS = {"execute": {"approvers": ["first", "second"], "count": 2}, "accept": {"approvers": ["receiver"]}}
CLASSES = [
    {"name": "large", "tables": ["s.loan"], "where": "amount >= 300", "source": "restrict"},
    {"name": "small", "tables": ["s.loan"], "where": "amount < 300"},
]


@pytest.fixture
def company(runner: Runner) -> Runner:
    lay_out(runner)
    return runner


@pytest.fixture
def context(company: Runner) -> Context:
    return open_lawful(company)


def tables(found: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Rows of the person by table, and those in scope."""
    return {one["table"]: (one["rows"], one["in_scope"]) for one in found["tables"]}


def test_a_person_in_scope_is_told_why_with_rows_and_rules(context: Context) -> None:
    found = explain(context, ["3"])
    assert found["in_scope"] and found["named_by_a_root"] and found["separate_consent"]
    assert found["consent_withdrawn"] is False
    assert tables(found) == {"s.person": (1, 1), "s.loan": (1, 1), "s.consent": (1, 1)}
    decision = found["classes"]["s.loan"]
    (rule,) = decision["rules"]
    year = datetime.now(UTC).year
    assert rule["rule"] == "R01" and rule["start"] == f"{year}-01-01" and rule["ends"] > f"{year + 1}"
    assert decision["outcome"] == "restrict" and decision["open_holds"] == []


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        ("8", "", "no separate consent is on record"),
        ("9", "", "no condition of a root names the person"),
        ("3", "UPDATE s.consent SET withdrawn_at = '2026-02-01' WHERE person_id = 3", "was withdrawn"),
    ],
    ids=["silent", "elsewhere", "withdrawn"],
)
def test_a_person_out_of_scope_is_told_why(context: Context, key: str, change: str, reason: str) -> None:
    run_sql(context.source, change or "SELECT")
    found = explain(context, [key])
    assert not found["in_scope"] and any(reason in one for one in found["reasons"])
    assert {inside for _, inside in tables(found).values()} == {0}
    assert tables(found)["s.loan"] == (1, 0)


def test_a_person_whom_rows_in_scope_need_is_reached(company: Runner) -> None:
    run_sql(company.urls["src"], "ALTER TABLE s.loan ADD guarantor int REFERENCES s.person")
    run_sql(company.urls["src"], "UPDATE s.loan SET guarantor = 9 WHERE id = 1")
    found = explain(open_lawful(company), ["9"])
    assert found["in_scope"] and not found["named_by_a_root"]
    assert any(one.startswith("reached") for one in found["reasons"])
    assert tables(found) == {"s.person": (1, 1), "s.loan": (2, 1)}
    assert found["rests_on"] == {"s.person": 1}, "of the borrower, whose loan it is"


def test_classes_holds_and_what_nobody_named(company: Runner) -> None:
    matter = lawful_matter() | {
        "holds": [{"kind": "litigation", "opened": "2026-01-01", "row_classes": ["large"]}]
    }
    matter["retention"] = [{"row_class": "large", "rules": ["R01"], "triggers": {"fiscal_year": 1990}}]
    found = explain(open_lawful(company, classes=CLASSES, matter=matter), ["3"])
    (loan,) = (one for one in found["tables"] if one["table"] == "s.loan")
    assert (loan["class"], loan["source"]) == ("large", "restrict")
    assert found["classes"]["large"]["open_holds"] == ["litigation"]
    assert found["classes"]["s.person"]["doubts"] == ["no rule is named for the class"]
    run_sql(company.urls["src"], "UPDATE s.loan SET amount = NULL WHERE id = 3")
    (loan,) = (
        one
        for one in explain(open_lawful(company, classes=CLASSES), ["3"])["tables"]
        if one["table"] == "s.loan"
    )
    assert loan == {"table": "s.loan", "class": None, "rows": 1, "in_scope": 1}


def test_holds_that_nobody_looked_up_are_a_doubt(company: Runner) -> None:
    found = explain(open_lawful(company, matter=lawful_matter() | {"holds": None}), ["3"])
    assert "holds were not looked up" in found["classes"]["s.loan"]["doubts"]


def test_without_a_scope_every_row_is_in_it(company: Runner) -> None:
    found = explain(open_lawful(company, scope=None, consents=[], policy=[]), ["9"])
    assert found["in_scope"] and found["reasons"] == ["the case has no scope: every row is in it"]
    assert found["classes"]["s.loan"]["doubts"] == ["the case names no policy"]


SECRET = "privat' OR '1'='1"


@pytest.mark.parametrize(
    ("key", "table", "said", "error"),
    [
        (["77"], None, "has nobody by this key", NotReady),
        ([SECRET], None, "a literal is no value of the type", CaseInvalid),
        (["1", "2"], None, "needs a value for each of id", CaseInvalid),
        (["x" * 201], None, "needs a value", CaseInvalid),
        (["1"], "s.loan", "no table of persons", CaseInvalid),
    ],
)
def test_a_wrong_question_is_refused_without_its_key(
    context: Context, key: list[str], table: str | None, said: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=said) as caught:
        explain(context, key, table)
    assert not any(part in str(caught.value) for part in key if len(part) > 1)


def test_nothing_is_written_down_about_a_question(context: Context) -> None:
    explain(context, ["3"])
    assert {entry.kind for entry in context.entries()} <= {"key-created"}


# -- the documents ----------------------------------------------------------------------------------------


def test_documents_of_a_run_follow_its_ledger(company: Runner) -> None:
    context = open_lawful(company, approvals=APPROVALS)
    assert documents(context) == {} and "There is no plan yet" in brief(context)
    record_requester(context, "asker")
    plan_lawfully(context)
    assert "Not judged yet" in documents(context)["plan.md"].decode()
    assert "handover run test-transfer --execute" in brief(context) and "first, second: approve" in brief(
        context
    )
    judge(context, "execution")
    made = documents(context)
    assert set(made) == {"plan.md", "plan.json", "case-brief.md", "sampling-sheet.json"}
    text = made["plan.md"].decode()
    assert "| s.person | 8 | 7 | 1 |" in text and "0 hinder execution" in text
    assert text.count("cn-pipl@") == 1
    assert json.loads(made["plan.json"])["gates"][0]["hinders"] == []
    assert made == documents(context), "the same ledger, the same bytes"
    assert "privat" not in "".join(data.decode() for data in made.values())
    open_round(context, "execute")
    assert "--execute" not in brief(context) and "(2 still missing)" in brief(context)
    for name in ("first", "second"):
        code = standing(context, "execute").code
        record_answer(context, "execute", Answer(name, name, "m", True, code, "as agreed", datetime.now(UTC)))
    assert "Airflow: backup" in brief(context)


def test_a_gate_that_hinders_is_what_blocks(company: Runner) -> None:
    matter = lawful_matter()
    matter["notices"]["delivered"] = 0
    context = open_lawful(company, matter=matter)
    plan_lawfully(context)
    with pytest.raises(GateBlocked):
        judge(context, "execution")
    text = brief(context)
    assert "who answers for the case: complete what" in text
    blocked = [gate for gate in json.loads(documents(context)["plan.json"])["gates"] if gate["hinders"]]
    assert blocked and all(gate["gate"] in text for gate in blocked[:6])


def test_documents_without_evidence_lie_in_the_state_folder(context: Context) -> None:
    plan_lawfully(context)
    path = write_documents(context)
    assert path == write_documents(context)
    assert path.read_bytes() == documents(context)["plan.md"]
    assert {file.name for file in path.parent.iterdir()} == set(documents(context))
    assert path.stat().st_mode & 0o077 == 0


# -- the command line -------------------------------------------------------------------------------------


@pytest.fixture
def installation(company: Runner, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A planned run that the command line finds."""
    context = open_lawful(company)
    plan_lawfully(context)
    monkeypatch.setenv("HANDOVER_LEDGER_URL", company.ledger_url)
    monkeypatch.setenv("HANDOVER_HOME", str(company.home))
    for name in ("cases", "datamaps", "documents"):
        monkeypatch.setenv(f"HANDOVER_{name.upper()}", str(company.home / name))
    for name, url in company.urls.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", url)
    return context


def test_commands_print_plan_brief_and_explanation(
    installation: Context, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*arguments: str) -> str:
        assert main(list(arguments)) == 0
        return capsys.readouterr().out

    assert said("plan", "test-transfer").encode() == documents(installation)["plan.md"]
    assert said("plan", "test-transfer", "--run", "run-1") == said("plan", "test-transfer")
    assert said("case", "brief", "test-transfer") == brief(installation)
    text = said("explain", "test-transfer", "--subject", "8")
    assert "this person of s.person is not in scope" in text and "no separate consent" in text
    assert "s.loan: 0 of 1 rows in scope, class s.loan: target copy, source keep" in text
    assert "rule R01 (cn-accounting@" in text and "holds: none open" in text
    found = json.loads(said("explain", "test-transfer", "--subject", "8", "--table", "s.person", "--json"))
    assert found["separate_consent"] is False
    sheet = {one["table"]: one["tokens"] for one in installation.entries(SHEET)[-1].body["tables"]}
    assert "table: s.loan\nid: " in said("explain", "test-transfer", "--token", sheet["s.loan"][0])
    rows = json.loads(said("explain", "test-transfer", "--token", sheet["s.person"][0], "--json"))
    (person,) = (row for row in rows if row["table"] == "s.person")
    assert 1 <= int(person["id"]) <= 7
    monkeypatch.setattr("sys.stdin", StringIO("8\n"))
    assert said("explain", "test-transfer", "--subject", "-") == text


def test_commands_refuse_what_is_not_there(
    installation: Context, capsys: pytest.CaptureFixture[str], company: Runner
) -> None:
    assert main(["plan", "test-transfer", "--run", "run-2"]) == 1
    assert "step plan has not been done" in capsys.readouterr().err
    assert main(["explain", "test-transfer", "--token", "ab" * 16]) == 1
    assert "no row with this token" in capsys.readouterr().err
    (company.home / "cases" / "other.yaml").write_text(
        (company.home / "cases" / "test-transfer.yaml").read_text().replace("test-transfer", "other")
    )
    assert main(["plan", "other"]) == 1
    assert "has no plan\nHINT: `handover run other`" in capsys.readouterr().err
