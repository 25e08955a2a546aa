"""The extract for the buyer of a company: what its gates ask, and that no person shows in what arrives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.contents import run_sql
from fixtures.runs import Runner, migrated, transferred
from handover.errors import GateBlocked, VerificationFailed
from handover.evidence import verifier
from handover.law.gates import evaluate, hindrances
from handover.postgres.session import connect
from handover.sample.company import generate
from handover.settings import REPOSITORY
from handover.stages.absence import absence_faults, search_target
from handover.stages.context import Context, open_context
from handover.stages.gates import hear, judge
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.reidentification import measure_target, thresholds_of
from handover.stages.reidentified import TESTED, reidentification_faults

INCLUDE = REPOSITORY / "include"
CASE = "due-diligence"
ROWS = 30_000
# Numbers of somebody else, in what staff wrote about borrowers.
PLANTED = """
UPDATE lending.customers AS c SET remark = '配偶 ' || o.name || '，证件 ' || o.resident_id || '，手机 +86 '
    || substr(o.mobile, 1, 3) || ' ' || substr(o.mobile, 4, 4) || ' ' || substr(o.mobile, 8)
    || '，卡 ' || k.card_no
FROM lending.customers AS o JOIN lending.bank_cards AS k USING (customer_id)
WHERE o.customer_id = c.customer_id + 1 AND c.customer_id % 10 = 0
"""
# What is one person's or one contract's alone, in the whole company and not only in the portfolio.
RAW = """
SELECT unnest(ARRAY[resident_id, mobile, email, business_code, public_id::text]) FROM lending.customers
UNION SELECT unnest(ARRAY[resident_id, mobile, email]) FROM lending.employees
UNION SELECT card_no FROM lending.bank_cards UNION SELECT contract_no FROM lending.loans
"""
# Borrowers who gave both parts of the consent and took nothing back.
CONSENTING = """
SELECT customer_id FROM lending.transfer_consents WHERE given_at IS NOT NULL AND sensitive_at IS NOT NULL
    AND withdrawn_at IS NULL AND objected_at IS NULL
    AND customer_id IN (SELECT customer_id FROM lending.loans)
"""
# The first of them changes their mind.
WITHDRAWN = f"""
UPDATE lending.transfer_consents SET withdrawn_at = given_at + interval '1 day'
WHERE customer_id = (SELECT min(customer_id) FROM ({CONSENTING}) AS one)
"""
# Counted alike before and after; ``{}`` narrows the customers before.
SHAPES = """
SELECT loans, sum(principal), count(*) FROM (
    SELECT c.customer_id, count(*) AS loans, sum(l.principal) AS principal
    FROM lending.loans AS l JOIN lending.customers AS c USING (customer_id) WHERE {} GROUP BY 1) AS one
GROUP BY 1 ORDER BY 1
"""
PAID = """
SELECT l.status, l.product_code, b.name, count(DISTINCT l.loan_id), count(*), sum(r.amount), min(r.paid_on)
FROM lending.repayments AS r JOIN lending.instalments AS i USING (loan_id, instalment_no)
    JOIN lending.loans AS l USING (loan_id) JOIN lending.customers AS c USING (customer_id)
    JOIN lending.branches AS b ON b.branch_id = c.branch_id
WHERE {} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
# Small numbers that others are too by chance; they are looked for in their own columns.
IDS = {
    "customer_id": ("customers", "loans", "credit_applications", "bank_cards"),
    "loan_id": ("loans", "instalments", "repayments"),
    "application_id": ("credit_applications", "loans"),
    "card_id": ("bank_cards",),
    "repayment_id": ("repayments",),
    "employee_id": ("employees",),
    "officer_id": ("loans",),
}
TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind IN ('r', 'm') AND relnamespace = 'lending'::regnamespace
"""
ABOUT_OTHERS = """
SELECT count(*) FROM lending.customers JOIN lending.loans USING (customer_id) WHERE remark ~ '^配偶' AND {}
"""
LEFT_OF_APPLICATIONS = """
SELECT count(*) FROM lending.credit_applications
WHERE num_nonnulls(ip, score, features, request) > 0 OR amount > 0
"""
# Numbers that must not stand inside any text either.
NUMBERS = """
SELECT resident_id FROM lending.customers UNION SELECT mobile FROM lending.customers
UNION SELECT card_no FROM lending.bank_cards
"""
REDACTED = """
SELECT count(*) FROM lending.customers AS c JOIN lending.loans USING (customer_id)
WHERE remark ~ '^配偶 .+，证件 [0-9]{17}[0-9X]，手机 [0-9A-Z]{24}，卡 [0-9A-Z]{24}$'
"""
# What the buyer's side may be shown: larger classes than the pack's thresholds ask for.
WANTED = 10
Document = dict[str, Any]
Changed = Callable[[Document], None]


def as_it_is(document: Document) -> None:
    """Leave a document as it is shipped."""


def without_approvals(case: Document) -> None:
    """Without Airflow there is nobody to ask."""
    del case["approvals"]


def copied(folder: str, home: Path, name: str, change: Changed) -> Path:
    """Put a document of include/ into a folder of the test, with changes; returns the folder."""
    document = yaml.safe_load((INCLUDE / folder / f"{name}.yaml").read_text("utf-8"))
    change(document)
    (home / folder).mkdir(exist_ok=True)
    (home / folder / f"{name}.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    return home / folder


def opened(runner: Runner, case: Changed = as_it_is, treated: Changed = as_it_is) -> Context:
    """The case between two databases of the test, with its file and its data map changed."""
    copied("cases", runner.home, CASE, case)
    datamaps = copied("datamaps", runner.home, CASE, treated)
    urls = {"sample_source": runner.urls["src"], "sample_target": runner.urls["dst"]}
    context = open_context(runner.settings(), CASE, "run-1", urls.__getitem__)
    return replace(context, settings=replace(context.settings, datamaps=datamaps))


def treating(column: str, treatment: Document) -> Changed:
    """Give a column of the customers another treatment."""

    def change(datamap: Document) -> None:
        (customers,) = [one for one in datamap["datasets"] if one["table"] == "lending.customers"]
        customers["columns"][column]["treatment"] = treatment

    return change


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with closing(connect(url, read_only=True)) as connection:
        return connection.execute(query.encode()).fetchall()


def dumped(url: str) -> Iterator[str]:
    """Yield every cell of every table of the extract as text."""
    for (table,) in ask(url, TABLES):
        for (cells,) in ask(url, f"SELECT to_jsonb(t) FROM {table} AS t"):
            yield from (str(value) for value in cells.values() if value is not None)


@pytest.fixture
def small(runner: Runner) -> Runner:
    """A runner whose source is a company that is quickly planned, with too few people for a test of risk."""
    generate(runner.urls["src"], rows=3_000, seed=7)
    run_sql(runner.urls["src"], WITHDRAWN)
    return runner


@pytest.fixture
def company(runner: Runner) -> Runner:
    """A runner whose source is a sample company with numbers of others in its remarks."""
    generate(runner.urls["src"], rows=ROWS)
    run_sql(runner.urls["src"], PLANTED)
    return runner


def test_borrowers_who_consented_are_looked_at_and_every_gate_passes(small: Runner) -> None:
    context = opened(small)
    inventory(context)
    made = plan(context)
    assert judge(context, "execution")
    heard = hear(context, made)
    assert [one.gate for one in heard.verdicts if one.hinders("closing")] == []
    data = heard.facts.data
    assert made.scope is not None
    borrowers = made.scope.of("lending.customers").rows
    assert borrowers == len(ask(context.source, CONSENTING)) > 15
    assert borrowers < ask(context.source, "SELECT count(DISTINCT customer_id) FROM lending.loans")[0][0]
    assert data.persons == borrowers + made.scope.of("lending.employees").rows
    assert (data.copied_persons, data.withdrawn) == (0, 0)
    assert (data.without_separate_consent, data.without_sensitive_consent) == (0, 0)
    assert {one.label for one in data.transforms or ()} == {"de-identified"}
    kinds = {"aggregate", "format_preserving", "keyed_hash", "suppress", "token"}
    assert {one.kind for one in data.transforms or ()} == kinds
    backup = tuple(one for one in heard.facts.matter.bases or () if one.operation == "backup")
    matter = heard.facts.matter.model_copy(update={"bases": backup})
    verdicts = evaluate(heard.packs, heard.facts.model_copy(update={"matter": matter}))
    assert [one.gate for one in hindrances(verdicts, "execution")] == ["P13"]


def everybody(case: Document) -> None:
    """Take loans along whoever consented."""
    case["consents"] = [one for one in case["consents"] if one["person"] != "lending.loans"]


def in_clear(case: Document) -> None:
    """Copy what is to be pseudonymised as it is."""
    for one in case["classes"]:
        one["target"] = one.get("target", "copy").removesuffix("_pseudonymised")


@pytest.mark.parametrize(
    ("change", "gates"),
    [(everybody, {"P14", "P15"}), (in_clear, {"CASE-TYPE"})],
)
def test_gates_close_when_the_extract_is_more_than_was_consented_to(
    small: Runner, change: Changed, gates: set[str]
) -> None:
    context = opened(small, change)
    inventory(context)
    plan(context)
    with pytest.raises(GateBlocked) as refused:
        judge(context, "execution")
    assert set(refused.value.data["gates"]) == gates


def test_a_table_that_nobody_classed_does_not_unmask_the_ids_of_others(small: Runner) -> None:
    """A primary card refers back to its customer: in that circle a table that stays is no root."""

    def unclassed(case: Document) -> None:
        case["classes"] = [one for one in case["classes"] if one.get("target") != "nothing"]

    context = opened(small, unclassed)
    inventory(context)
    (customers,) = [one for one in plan(context).tables if one.label == "lending.customers"]
    assert {"customer_id", "primary_card_id", "resident_id"} <= {one.column for one in customers.masked}


def test_people_do_not_show_and_joins_survive(company: Runner) -> None:
    context = opened(company, without_approvals)
    evidence = transferred(context)
    source, target = context.source, context.target
    for query in (SHAPES, PAID):
        before = ask(source, query.format(f"customer_id IN ({CONSENTING})"))
        assert before == ask(target, query.format("true")) != []
    arrived = set(dumped(target))
    assert not {raw for (raw,) in ask(source, RAW) if raw} & arrived
    for column, tables in IDS.items():
        for query in (f"SELECT {column} FROM lending.{table}" for table in tables):
            assert not {*ask(source, query)} & {*ask(target, query)}, query
    numbers = [raw for (raw,) in ask(source, NUMBERS)]
    assert not [cell for cell in arrived if any(number in cell for number in numbers)]
    the_columns_are_as_coarse_as_the_map_says(target)
    planted = ask(source, ABOUT_OTHERS.format(f"customer_id IN ({CONSENTING})"))
    assert ask(target, REDACTED) == planted != [(0,)]
    limits = thresholds_of(context)
    assert limits is not None
    figures = {one["label"]: one for one in context.entries(TESTED)[-1].body["figures"]}
    assert len(figures) == 5
    assert all(one["smallest_class"] >= max(limits.smallest_class, WANTED) for one in figures.values())
    assert verifier.main([str(evidence)]) == 0
    said = json.loads((evidence / "verification.json").read_text("utf-8"))
    assert (said["status"], said["verdict"], said["reasons"]) == ("complete", "equal", [])
    page = (evidence / "verification.html").read_text("utf-8")
    assert "it may not be called anonymised" in page.lower()
    shown = said["pseudonyms"]["risk"]
    assert {one["label"]: one["least_diversity"] for one in shown["figures"]}.keys() == figures.keys()
    assert all(one["least_diversity"] >= 2 for one in shown["figures"])


def the_columns_are_as_coarse_as_the_map_says(target: str) -> None:
    """Look at what is left of columns that arrive coarser or empty."""
    assert ask(target, "SELECT DISTINCT born_on::text, profile, tags FROM lending.customers") == [
        ("1900-01-01", None, None)
    ]
    steps = "SELECT count(*) FROM lending.customers WHERE monthly_income % 2000 <> 0"
    assert ask(target, steps) == [(0,)]
    assert ask(target, LEFT_OF_APPLICATIONS) == [(0,)]
    stays = ("addresses", "contacts", "guarantors", "identity_documents", "transfer_consents", "device_logs")
    for table in stays:
        assert ask(target, f"SELECT count(*) FROM lending.{table}") == [(0,)]


def test_coarser_columns_are_needed_and_remarks_must_be_redacted(company: Runner) -> None:
    """With years of birth classes are too small, and remarks in clear name somebody else's numbers."""
    year = {"strategy": "generalise", "to": "year", "fallback": "1900-01-01"}

    def loosened(datamap: Document) -> None:
        treating("born_on", year)(datamap)
        treating("remark", {"strategy": "clear"})(datamap)

    context = opened(company, without_approvals, loosened)
    migrated(context)
    with pytest.raises(VerificationFailed, match=r"lending\.customers\.remark: .* raw values"):
        search_target(context)
    assert "raw-value:lending.customers.remark" in absence_faults(context)[0]
    with pytest.raises(
        VerificationFailed, match="can be re-identified: smallest class <5, at least 5 wanted"
    ) as told:
        measure_target(context)
    assert "classes of 5 are reached" in told.value.message
    assert "lending.customers.born_on to " in told.value.message
    assert told.value.data["differences"] == reidentification_faults(context)
