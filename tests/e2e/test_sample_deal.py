"""The demo's case on the sample company: whose rows go along, counted by other means, and what gates say."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import yaml

from fixtures.contents import run_sql
from fixtures.demo_scope import keys_in, keys_in_scope
from fixtures.runs import Runner, transferred
from handover.errors import CaseInvalid, GateBlocked
from handover.model.plan import Plan
from handover.sample.company import generate
from handover.settings import REPOSITORY
from handover.stages.context import Context, open_context
from handover.stages.gates import hear, judge
from handover.stages.inventory import inventory
from handover.stages.plan import plan

INCLUDE = REPOSITORY / "include"
CASE = "demo-transfer"

# Counted by reading the rows of the company of 1,000 rows: branches 1 and 2 have nine customers, of whom
# customer 11 gave no answer. The eight others have loans 1, 3, 4, 5 and 6; 1 and 5 are guaranteed. Officers
# and callers are employees 1, 2, 4, 5 and 6, with 1 and 4 at the head. Four products have rates, ZXD was
# applied for.
TINY = {
    "lending.customers": (8, 0, 12),
    "lending.identity_documents": (8, 0, 12),
    "lending.loans": (5, 0, 7),
    "lending.guarantors": (2, 0, 2),
    "lending.transfer_consents": (10, 0, 23),
    "lending.branches": (0, 2, 3),
    "lending.employees": (0, 5, 9),
    "lending.products": (0, 5, 6),
    "lending.device_logs": (0, 0, 144),
}
FAR = """
SELECT 'loan ' || loan_id FROM lending.loans AS l JOIN lending.customers AS c USING (customer_id)
    JOIN lending.employees AS e ON e.employee_id = l.officer_id
    WHERE (l.branch_id, e.branch_id) <> (c.branch_id, c.branch_id)
UNION ALL SELECT 'call ' || note_id FROM lending.call_notes JOIN lending.customers AS c USING (customer_id)
    JOIN lending.employees AS e USING (employee_id) WHERE e.branch_id <> c.branch_id
UNION ALL SELECT 'complaint ' || complaint_id FROM lending.complaints AS m
    JOIN lending.customers AS c USING (customer_id) WHERE m.branch_id <> c.branch_id
UNION ALL SELECT 'employee ' || e.employee_id FROM lending.employees AS e
    JOIN lending.employees AS m ON m.employee_id = e.manager_id WHERE m.branch_id <> e.branch_id
UNION ALL SELECT 'branch ' || b.branch_id FROM lending.branches AS b
    JOIN lending.employees AS m ON m.employee_id = b.manager_id
    WHERE m.branch_id <> b.branch_id OR m.manager_id IS NOT NULL
"""
SHARES = """
SELECT avg((given_at IS NULL OR sensitive_at IS NULL)::int),
    avg((withdrawn_at IS NOT NULL OR objected_at IS NOT NULL)::int)
FROM lending.transfer_consents WHERE customer_id IS NOT NULL
"""
Changed = Callable[[dict], None]


def ask(url: str, query: str) -> list[tuple]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def opened(runner: Runner, change: Changed = lambda case: None) -> Context:
    """The demo's case between two databases of the test, with its file changed."""
    folder = runner.home / "cases"
    folder.mkdir(exist_ok=True)
    document = yaml.safe_load((INCLUDE / "cases" / f"{CASE}.yaml").read_text(encoding="utf-8"))
    change(document)
    (folder / f"{CASE}.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    urls = {"sample_source": runner.urls["src"], "sample_target": runner.urls["dst"]}
    return open_context(runner.settings(), CASE, "run-1", urls.__getitem__)


def planned(context: Context) -> Plan:
    inventory(context)
    return plan(context)


def in_scope(made: Plan) -> dict[str, tuple[int, int, int]]:
    assert made.scope is not None
    return {one.table: (one.owned, one.needed, one.total) for one in made.scope.tables}


@pytest.fixture
def sold(runner: Runner) -> Runner:
    generate(runner.urls["src"], rows=1_000)
    return runner


def test_the_tiny_company_is_parted_as_counted_by_hand(sold: Runner) -> None:
    found = in_scope(planned(opened(sold)))
    assert {label: found[label] for label in TINY} == TINY


@pytest.mark.parametrize(("rows", "seed"), [(1_000, 2), (3_000, 7), (40_000, 5)])
def test_scope_and_gates_at_other_sizes_and_seeds(runner: Runner, rows: int, seed: int) -> None:
    generate(runner.urls["src"], rows=rows, seed=seed)
    context = opened(runner)
    made = planned(context)
    found = {label: owned + needed for label, (owned, needed, _) in in_scope(made).items()}
    expected = {label: len(keys) for label, keys in keys_in_scope(runner.urls["src"]).items()}
    assert {label: found[label] for label in expected} == expected
    assert not {label for label, rows in found.items() if rows} - expected.keys()
    assert judge(context, "execution")
    assert [one.gate for one in hear(context, made).verdicts if one.hinders("closing")] == []


def test_nothing_about_a_customer_happens_elsewhere(sold: Runner) -> None:
    url = sold.urls["src"]
    assert ask(url, FAR) == []
    run_sql(url, "UPDATE lending.employees SET branch_id = branch_id % 3 + 1 WHERE employee_id = 2")
    assert ask(url, FAR) != []


def test_some_do_not_consent_and_some_take_it_back(runner: Runner) -> None:
    generate(runner.urls["src"], rows=100_000)
    [(without, withdrawn)] = ask(runner.urls["src"], SHARES)
    assert 0.10 <= without <= 0.15
    assert 0.01 <= withdrawn <= 0.02


def test_who_does_not_consent_stays_with_all_that_is_theirs(sold: Runner) -> None:
    url = sold.urls["src"]
    [(somebody,)] = ask(
        url,
        "SELECT min(customer_id) FROM lending.loans JOIN lending.customers USING (customer_id)"
        " JOIN lending.transfer_consents AS a USING (customer_id)"
        " WHERE customers.branch_id < 3 AND sensitive_at IS NOT NULL",
    )
    before = keys_in_scope(url)
    run_sql(url, f"UPDATE lending.transfer_consents SET objected_at = now() WHERE customer_id = {somebody}")
    after = keys_in_scope(url)
    assert set(before["lending.customers"]) - set(after["lending.customers"]) == {str(somebody)}
    found = in_scope(planned(opened(sold)))
    assert {label: sum(found[label][:2]) for label in after} == {
        label: len(keys) for label, keys in after.items()
    }
    assert found["lending.loans"][0] < len(before["lending.loans"])


# -- the gates close ----------------------------------------------------------------------------------------


def blocked(runner: Runner, change: Changed = lambda case: None) -> list[str]:
    context = opened(runner, change)
    planned(context)
    with pytest.raises(GateBlocked) as refusal:
        judge(context, "execution")
    return sorted(refusal.value.data["gates"])


@pytest.mark.parametrize(
    ("who", "gates"),
    {
        "employee_id = 1 /* heads branch 1 */": ["CASE-TYPE", "P15", "P23", "P29"],
        "loan_id = (SELECT min(loan_id) FROM lending.guarantors)": ["CASE-TYPE", "P15", "P23", "P29"],
    }.items(),
)
def test_a_person_drawn_in_without_consent_closes_the_gates(sold: Runner, who: str, gates: list[str]) -> None:
    run_sql(sold.urls["src"], f"UPDATE lending.transfer_consents SET withdrawn_at = now() WHERE {who}")
    assert blocked(sold) == gates


def without(*path: str) -> Changed:
    def change(case: dict) -> None:
        *above, last = path
        here = case
        for part in above:
            here = here[part]
        del here[last]

    return change


@pytest.mark.parametrize(
    ("change", "gates"),
    [
        (without("matter", "impact_assessment"), ["H02", "P55/56"]),
        (without("matter", "stated"), ["AML34", "CR12/16", "DSL21"]),
        (without("matter", "notices"), ["CC-546", "P16", "P17", "P18", "P23"]),
    ],
    ids=["impact assessment", "stated facts", "notices"],
)
def test_what_the_case_leaves_out_closes_gates(sold: Runner, change: Changed, gates: list[str]) -> None:
    assert set(gates) <= set(blocked(sold, change))


def test_the_impact_assessment_is_for_this_scope_alone(sold: Runner) -> None:
    def more(case: dict) -> None:
        case["classes"][0]["source"] = "keep"

    assert blocked(sold, more) == ["P55/56"]


def test_a_document_that_was_changed_is_named(sold: Runner, tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    shutil.copytree(INCLUDE / "documents", documents)
    (documents / CASE / "notice.md").write_text("something else")
    context = opened(sold)
    planned(context)
    changed = replace(context, settings=replace(context.settings, documents=documents))
    with pytest.raises(CaseInvalid, match=r"file notice\.md has SHA-256"):
        judge(changed, "execution")


# -- and it moves -------------------------------------------------------------------------------------------


def test_just_these_rows_arrive_and_the_run_is_complete(sold: Runner) -> None:
    """Without Airflow there is nobody to ask; with it, test_demo has the approvals."""
    context = opened(sold, without("approvals"))
    evidence = transferred(context)
    expected = keys_in_scope(sold.urls["src"])
    assert keys_in(sold.urls["dst"], sorted(expected)) == expected
    report = json.loads((evidence / "verification.json").read_text())
    assert (report["status"], report["verdict"], report["reasons"]) == ("complete", "equal", [])
