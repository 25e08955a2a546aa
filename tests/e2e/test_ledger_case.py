"""The case that hands over accounting archives, on the sample company: the books alone, list and gates."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from fixtures.runs import Runner, backed_up, filled, verified
from handover.errors import GateBlocked, NotReady, PreflightFailed, VerificationFailed
from handover.evidence import verifier
from handover.model.approval import What
from handover.model.handover_list import ROLES, Test
from handover.sample.company import generate
from handover.settings import REPOSITORY
from handover.stages.approval_standing import standing
from handover.stages.approvals import Answer, Outcome, record_answer, record_requester
from handover.stages.close import close_run
from handover.stages.context import Context, open_context
from handover.stages.facts import legal_day
from handover.stages.gates import judge
from handover.stages.handover_list import make_list
from handover.stages.handover_signing import SIGNATURES_NAME, record_test, sign
from handover.stages.inventory import check, inventory
from handover.stages.plan import plan

CASE = "ledger-handover"
KEY = "key-leaves-scope:账务.vouchers.vouchers_loan_id_fkey"
# What a person of the receiving unit would count by hand, in the target.
BY_HAND = """
SELECT v.book_year, count(DISTINCT v.voucher_id), count(*), sum(l.debit)::text, sum(l.credit)::text
FROM 账务.vouchers v JOIN 账务.voucher_lines l USING (voucher_id) GROUP BY 1 ORDER BY 1
"""
LOANS = "SELECT voucher_id, loan_id FROM 账务.vouchers ORDER BY 1"
TABLES = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = to_regnamespace(%s)"
FOREIGN_KEYS = """
SELECT conname FROM pg_constraint WHERE contype = 'f' AND connamespace = '账务'::regnamespace ORDER BY 1
"""
UNTESTED = "hand-over list: the receiver's four tests are not recorded (接收方检验)"
ALL_YES: dict[Test, bool] = {"accurate": True, "complete": True, "usable": True, "safe": True}


def opened(runner: Runner, change: Callable[[dict[str, Any]], None] = lambda case: None) -> Context:
    """The case as it is shipped, with its file changed."""
    folder = runner.home / "cases"
    folder.mkdir(exist_ok=True)
    document = yaml.safe_load((REPOSITORY / "include" / "cases" / f"{CASE}.yaml").read_text("utf-8"))
    change(document)
    (folder / f"{CASE}.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    urls = {"sample_source": runner.urls["src"], "sample_target": runner.urls["dst"]}
    return open_context(runner.settings(), CASE, "run-1", urls.__getitem__)


def approve(context: Context, what: What, *names: str) -> None:
    """Answer yes as these people, as the tasks that ask them would write it down."""
    for name in names:
        code = standing(context, what).code
        said = Answer(name, name, "tests", True, code, "looked at it", datetime.now(UTC))
        assert record_answer(context, what, said).outcome is Outcome.APPROVED


def ask(url: str, query: str, *values: object) -> list[tuple]:
    with psycopg.connect(url) as connection:
        return connection.execute(query, values).fetchall()


def reasons(context: Context) -> list[str]:
    """Try to close; returns why it is not complete now, without what earlier attempts said."""
    with pytest.raises(VerificationFailed) as refused:
        close_run(context)
    closing = context.entries("run-closed")[-1].body
    assert closing["status"] == "not complete"
    for reason in closing["reasons"]:
        assert reason in str(refused.value)
    return [
        reason
        for reason in closing["reasons"]
        if not reason.startswith(("close: ", "migrate: ", "prepare: "))
    ]


def test_the_case_runs_to_the_end_once_people_have_signed(runner: Runner, tmp_path: Path) -> None:
    generate(runner.urls["src"], rows=3_000, seed=7)
    context = opened(runner)
    record_requester(context, "engineer")
    backed_up_and_approved(context)
    filled(context)
    verified(context)
    made = make_list(context)
    assert made is not None
    approve(context, "accept", "receiver")
    listed_as_counted(context)
    the_books_came_alone(context)

    *unsigned, untested, gate = reasons(context)
    assert unsigned == [f"hand-over list: not signed by {role} ({words.zh})" for role, words in ROLES.items()]
    assert untested == UNTESTED
    assert gate.startswith("ACC-24.signed ")

    scan = tmp_path / "signed.pdf"
    scan.write_bytes(b"signed")
    for role in ROLES:
        sign(context, role, f"示例 {role}", legal_day(), scan)
    signed_only, gate = reasons(context)
    assert signed_only == UNTESTED
    assert gate.startswith("ACC-24.signed ")
    assert "has no clause" not in gate
    record_test(context, ALL_YES, "示例接收人", "sampled 20 vouchers")

    evidence = close_run(context)
    assert context.entries("run-closed")[-1].body == {"status": "complete", "reasons": []}
    assert verifier.main([str(evidence)]) == 0
    said = json.loads((evidence / "verification.json").read_text("utf-8"))
    assert (said["status"], said["verdict"]) == ("complete", "equal")
    assert json.loads((evidence / "handover-list.json").read_text("utf-8")) == made.document()
    assert hashlib.sha256((evidence / "handover-list.json").read_bytes()).hexdigest() == made.sha256
    signed = json.loads((evidence / SIGNATURES_NAME).read_text("utf-8"))
    assert {one["role"] for one in signed["signatures"]} == set(ROLES)
    assert (signed["receiver_test"]["answers"], signed["open"]) == (ALL_YES, [])
    for name in ("handover-list.csv", "handover-list.html", "impact-assessment.md", "plan.json"):
        assert (evidence / name).stat().st_size > 0


def backed_up_and_approved(context: Context) -> None:
    """Back up, be refused before two others have said yes, and let them say it."""
    backed_up(context)
    judge(context, "execution")
    approve(context, "execute", "approver")
    with pytest.raises(NotReady, match="execute is not approved: 1 of 2"):
        filled(context)
    approve(context, "execute", "supervisor")


def listed_as_counted(context: Context) -> None:
    """Hold the volumes of vouchers against a count by hand in the target."""
    listed = [
        (
            volume["first_year"],
            volume["controls"][0]["rows"],
            volume["controls"][1]["rows"],
            *(amount["shown"] for amount in volume["controls"][1]["amounts"]),
        )
        for volume in context.entries("handover-list")[-1].body["list"]["volumes"]
        if volume["code"] == "KJ-PZ"
    ]
    assert listed == ask(context.target, BY_HAND)


def the_books_came_alone(context: Context) -> None:
    """Nothing of lending is there; vouchers kept the numbers of loans, and all keys but that to them."""
    assert ask(context.target, TABLES, "lending") == [(0,)]
    assert ask(context.target, TABLES, "账务") == ask(context.source, TABLES, "账务")
    assert ask(context.target, LOANS) == ask(context.source, LOANS)
    kept = {name for (name,) in ask(context.source, FOREIGN_KEYS)} - {"vouchers_loan_id_fkey"}
    assert {name for (name,) in ask(context.target, FOREIGN_KEYS)} == kept


@pytest.mark.parametrize(("rows", "seed"), [(1_000, 3), (6_000, 2)])
def test_the_gates_let_the_case_run_at_other_sizes_and_seeds(runner: Runner, rows: int, seed: int) -> None:
    generate(runner.urls["src"], rows=rows, seed=seed)
    context = opened(runner)
    inventory(context)
    made = plan(context)
    judge(context, "execution")
    assert made.scope is not None
    assert {table.table: table.rows == table.total > 0 for table in made.scope.tables} == dict.fromkeys(
        ("账务.vouchers", "账务.voucher_lines", "账务.会计科目", "账务.期间"), True
    )


@pytest.mark.parametrize(
    ("without", "closed"),
    [
        ("notices", ["P16", "P17"]),
        ("processors", ["P21", "P55/56"]),
        ("documents", ["ACC-24", "G-R01", "P17", "P51", "P55/56"]),
        ("bases", ["P13"]),
        ("controls", ["CR-162/253", "H02"]),
    ],
)
def test_gates_ask_for_what_the_case_states(runner: Runner, without: str, closed: list[str]) -> None:
    generate(runner.urls["src"], rows=1_000, seed=3)
    context = opened(runner, lambda case: case["matter"].pop(without))
    inventory(context)
    plan(context)
    with pytest.raises(GateBlocked) as refused:
        judge(context, "execution")
    assert set(closed) <= set(refused.value.data["gates"])


def test_the_way_to_borrowers_is_cut_by_somebody_who_knows(runner: Runner) -> None:
    generate(runner.urls["src"], rows=1_000, seed=3)
    context = opened(runner, lambda case: case["acknowledge"].remove(KEY))
    with pytest.raises(PreflightFailed, match=r"leads outside, to lending\.loans") as refused:
        inventory(context)
    assert refused.value.data["findings"] == [KEY]


@pytest.mark.parametrize("rule", ["R08", "R99", "ACC-24"])
def test_a_rule_that_keeps_no_archives_is_refused_before_anything_is_planned(
    runner: Runner, rule: str
) -> None:
    generate(runner.urls["src"], rows=1_000, seed=3)
    context = opened(runner, lambda case: case["ledger"]["archives"][1].update(rule=rule))
    (found,) = [one for one in check(context) if one.id != KEY]
    assert (found.id, found.acknowledgeable) == ("ledger-rule:KJ-ZB", False)
    lines = (context.settings.cases / f"{CASE}.yaml").read_text("utf-8").splitlines()
    line = lines.index(f"    rule: {rule}") + 1
    assert f"{CASE}.yaml line {line}, ledger.archives.1.rule: {rule} is no rule of" in found.message
    with pytest.raises(PreflightFailed, match="ledger-rule:KJ-ZB"):
        inventory(context)
    assert not context.entries("inventory")


def test_persons_of_a_table_that_stays_outside_count_as_concerned(runner: Runner) -> None:
    generate(runner.urls["src"], rows=1_000, seed=3)
    context = opened(runner)
    inventory(context)
    made = plan(context)
    everybody = ask(context.source, "SELECT count(*) FROM lending.customers")[0][0]
    assert made.scope is not None
    assert made.scope.persons == {"lending.customers": (everybody, everybody)}
    asked = {one.gate for one in judge(context, "execution") if one.state == "pass"}
    assert {"P15", "P18", "P28", "P30"} <= asked
