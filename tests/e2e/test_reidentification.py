"""How far pseudonymised rows tell whose they are: measured as the receiver sees them, blocked, accepted."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures import masked
from fixtures.contents import run_sql
from fixtures.runs import Runner, backed_up, filled, migrated
from handover.errors import NotReady, PolicyInvalid, VerificationFailed
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.joins import count_joins, join_faults, verify_joins
from handover.stages.plan import plan
from handover.stages.reidentification import measure_target
from handover.stages.reidentified import TESTED, reidentification_faults
from handover.stages.thresholds import require_thresholds, thresholds_of

LENIENT = {
    "smallest_class": 1, "diversity": 1, "record_risk": 1, "unique_share": 1, "at_risk_share": 1,
    "mean_risk": 1,
}  # fmt: skip
STRICT = {**LENIENT, "smallest_class": 5, "diversity": 2}
PERSON, JOINED = "s.customer", "s.loan + s.customer"


def write_pack(home: Path, name: str, thresholds: dict[str, Any] | None) -> str:
    """Write a pack that says nothing but what is allowed; returns its label."""
    basis = {"source": "sample", "status": "V3", "verified": "2026-11-01"}
    document: dict[str, Any] = {
        "pack": name, "version": "2026.11", "title": {"zh": "示例", "en": "sample"},
        "effective_from": "2026-01-01",
    }  # fmt: skip
    if thresholds:
        document["reidentification"] = {f"RI-{name.upper()}": {"basis": basis, "thresholds": thresholds}}
    (home / "policies").mkdir(exist_ok=True)
    (home / "policies" / f"{name}-2026.11.yaml").write_text(yaml.safe_dump(document, allow_unicode=True))
    return f"{name}@2026.11"


@pytest.fixture
def company(runner: Runner) -> Runner:
    """A runner whose source is filled."""
    masked.fill(runner)
    return runner


def open_tested(runner: Runner, run: str = "run-1", **changes: Any) -> Context:
    """Open a run whose policy is the pack ``limits``."""
    label = write_pack(runner.home, "limits", STRICT)
    context = masked.open_masked(runner, run, **{"policy": [label], **changes})
    return replace(context, settings=replace(context.settings, policies=runner.home / "policies"))


def figures(context: Context) -> dict[str, dict[str, Any]]:
    """The figures of the latest test by label."""
    return {one["label"]: one for one in context.entries(TESTED)[-1].body["figures"]}


def excess(context: Context) -> dict[str, str]:
    """What a test finds, by label; it must raise."""
    with pytest.raises(VerificationFailed, match="tell more than the policy allows") as raised:
        measure_target(context)
    assert raised.value.data["differences"] == reidentification_faults(context)
    return {line.split(" can be re-identified: ")[0]: line for line in reidentification_faults(context)}


def test_an_excess_blocks_with_the_generalisation_that_ends_it(company: Runner) -> None:
    context = open_tested(company)
    with pytest.raises(NotReady):
        measure_target(context)
    backed_up(context)
    with pytest.raises(NotReady):  # nothing arrived yet
        measure_target(context)
    filled(context)
    assert reidentification_faults(context) == ["the target was not tested for re-identification"]
    found = excess(context)
    assert set(found) == {PERSON, JOINED}
    assert "smallest class <5, at least 5 wanted" in found[PERSON]
    assert "(0.50) by s.customer.born to suppress" in found[PERSON]
    assert f"accepted only as reidentification:{JOINED}" in found[JOINED]
    body = context.entries(TESTED)[-1].body
    assert not body["passed"] and body["unseen"] == ["s.loan", "s.visit"] and body["unjoined"] == []
    assert figures(context)[PERSON]["quasi_identifiers"] == ["s.customer.born", "s.customer.address"]
    assert set(figures(context)[JOINED]["diversity"]) == {"s.customer.income", "s.loan.amount"}
    assert figures(context)[PERSON]["records"] == masked.PEOPLE == figures(context)[JOINED]["records"]

    # Less is proposed where less will do, and it reaches what it says.
    run_sql(context.target, "UPDATE s.customer SET born = '1971-05-01'::date + (income / 1000.5)::int % 20")
    assert "by s.customer.born to month" in excess(context)[PERSON]
    run_sql(context.target, "UPDATE s.customer SET born = date_trunc('month', born)")
    measure_target(context)
    assert reidentification_faults(context) == [] and context.entries(TESTED)[-1].body["passed"]
    run_sql(context.target, "UPDATE s.customer SET address = id::text")
    assert figures(context)[PERSON]["unique_records"] == 0
    assert "share" not in excess(context)[PERSON]
    assert figures(context)[PERSON]["unique_records"] == masked.PEOPLE
    # A policy that allows more is content.
    write_pack(company.home, "limits", LENIENT)
    measure_target(context)
    assert reidentification_faults(context) == []
    write_pack(company.home, "limits", None)
    with pytest.raises(PolicyInvalid, match="no pack of its policy says how far"):
        measure_target(context)


def test_a_number_in_clear_a_mask_and_a_risk_that_the_map_names_count(company: Runner) -> None:
    datamap = masked.data_map()
    masked.treat(datamap, "s.customer", "mobile", {"strategy": "clear"})
    masked.treat(datamap, "s.customer", "email", {"strategy": "mask", "last": 3})
    person, loan, visit = (datamap["datasets"][place]["columns"] for place in (1, 2, 3))
    person["born"]["risk"] = "none"
    person["income"]["risk"] = "none"
    person["resident_id"]["risk"] = "sensitive"
    loan["signed"]["risk"] = "quasi"
    visit["note"]["risk"] = "quasi"
    datamap["datasets"][3]["subject"][0]["by"] = ["note"]
    person["id"]["risk"] = "none"
    datamap["datasets"][1]["subject"] = [{"by": ["email"]}]
    datamap["datasets"][2]["subject"].append({"by": ["guarantor_id"], "to": "s.customer"})
    joined = [f"s.loan + s.customer by {name}" for name in ("customer_id", "guarantor_id")]
    accepted = [f"reidentification:{one}" for one in ("s.customer", "s.loan", *joined, "s.visit")]
    context = open_tested(company, datamap=datamap, acknowledge=accepted)
    migrated(context)
    found = excess(context)
    # All others are accepted by name, the way that nobody could follow is not.
    assert list(found) == [
        "s.visit + s.customer: no way leads from one to the other, so that they were not tested together; "
        "accepted only as reidentification-unjoined:s.visit + s.customer"
    ]
    shown = figures(context)
    assert shown["s.customer"]["quasi_identifiers"] == [
        "s.customer.mobile", "s.customer.email", "s.customer.address"
    ]  # fmt: skip
    assert shown["s.customer"]["unique_records"] == masked.PEOPLE
    assert set(shown["s.customer"]["diversity"]) == {"s.customer.resident_id"}
    assert shown["s.loan"]["quasi_identifiers"] == ["s.loan.signed"]
    assert shown["s.visit"]["quasi_identifiers"] == ["s.visit.note"]
    body = context.entries(TESTED)[-1].body
    assert sorted(body["acknowledged"]) == sorted(accepted)
    assert shown["s.visit + s.customer"]["records"] == 0 and set(joined) <= shown.keys()
    told = str(body)
    assert "13800" not in told and "mail.example" not in told


def test_of_several_packs_the_strictest_figures_count_and_none_is_refused(company: Runner) -> None:
    label = write_pack(company.home, "other", {**LENIENT, "diversity": 3, "mean_risk": 0.1})
    context = open_tested(company, policy=["limits@2026.11", label])
    found = thresholds_of(context)
    assert found is not None
    assert (found.smallest_class, found.diversity, found.mean_risk, found.record_risk) == (5, 3, 0.1, 1)
    require_thresholds(context)
    write_pack(company.home, "limits", None)
    with pytest.raises(PolicyInvalid, match="no pack of its policy says how far"):
        require_thresholds(open_tested_without(company))
    require_thresholds(open_tested(company, policy=[]))  # judged by nobody, as its gates
    require_thresholds(open_tested(company, policy=[], classes=[]))


def open_tested_without(runner: Runner) -> Context:
    """A run under a pack that says nothing of re-identification."""
    context = open_tested(runner, policy=["silent@2026.11"])
    write_pack(runner.home, "silent", None)
    return context


@pytest.mark.parametrize("pack", ["cn-pipl@2026.11", "gdpr@2026.11"])
def test_the_defaults_of_a_pack_are_enough_to_plan_a_company(company: Runner, pack: str) -> None:
    datamap = masked.data_map()
    for dataset in datamap["datasets"]:
        for column in dataset["columns"].values():
            column.pop("treatment", None)
    context = masked.open_masked(company, datamap=datamap, policy=[pack])
    inventory(context)
    chosen = {
        f"{table.name}.{one.column}": one.pseudonym.strategy
        for table in plan(context).tables
        for one in table.masked
    }
    assert chosen == {
        "customer.id": "permute", "customer.name": "choice", "customer.resident_id": "fpe",
        "customer.mobile": "token", "customer.email": "fpe", "customer.born": "generalise",
        "customer.address": "generalise", "customer.remark": "redact", "customer.profile": "redact",
        "customer.pages": "redact", "customer.photo": "null", "loan.no": "token",
        "loan.customer_id": "permute", "loan.guarantor_id": "permute", "visit.customer_no": "permute",
        "visit.note": "redact",
    }  # fmt: skip
    require_thresholds(context)


POLYMORPHIC = """
CREATE TABLE s.file (id int PRIMARY KEY, owner_type text, owner_id bigint, words text);
INSERT INTO s.file SELECT n, 'customer', n, NULL FROM generate_series(1, 10) n;
INSERT INTO s.file VALUES (11, NULL, NULL, NULL), (12, 'customer', NULL, NULL), (13, 'customer', 4, NULL);
CREATE VIEW s.nothing AS SELECT 1 AS x;
"""


def test_every_reference_joins_as_many_rows_as_before(company: Runner) -> None:
    run_sql(company.urls["src"], POLYMORPHIC)
    datamap = masked.data_map()
    file = {
        "table": "s.file", "purpose": "sample", "origin": "sample",
        "subject": [{"by": ["owner_id"], "to": "s.customer", "when": {"owner_type": "customer"}}],
        "columns": {
            "id": masked.column("none"), "owner_type": masked.column("none"),
            "owner_id": masked.column("internal_id"), "words": masked.column("attribute"),
        },
    }  # fmt: skip
    file["columns"]["words"]["treatment"] = {"strategy": "clear"}
    datamap["datasets"].append(file)
    scope = deepcopy(masked.CASE["scope"])
    scope["polymorphic"] = [
        {"table": "s.file", "type_column": "owner_type", "id_column": "owner_id",
         "targets": {"customer": {"table": "s.customer", "column": "id"}}}
    ]  # fmt: skip
    scope["roots"].append({"table": "s.file", "where": "true"})
    classes = deepcopy(masked.CASE["classes"])
    classes[0]["tables"].append("s.file")
    context = open_tested(company, datamap=datamap, scope=scope, classes=classes)
    migrated(context)
    index = read_index(context)
    for side in ("source", "target"):
        if not any(entry.body["side"] == side for entry in context.entries("joins-counted")):
            assert f"the joins of the {side} were not counted" in join_faults(context)
    count_joins(context, index, context.source, "source")
    verify_joins(context)
    assert join_faults(context) == []
    counted = context.entries("joins-counted")[-1].body["joins"]
    assert counted["virtual_keys.0 of s.visit"] == [67, 67]
    assert counted["polymorphic.0.targets.customer of s.file"] == [11, 11]
    write_pack(company.home, "limits", STRICT)
    assert "s.file + s.customer" in excess(context)
    assert figures(context)["s.file + s.customer"]["records"] == 10

    run_sql(
        context.target, "UPDATE s.visit SET customer_no = -1 WHERE ctid = (SELECT min(ctid) FROM s.visit)"
    )
    run_sql(context.target, "UPDATE s.file SET owner_id = -1 WHERE id = 13")
    with pytest.raises(VerificationFailed, match="references join other rows"):
        verify_joins(context)
    assert join_faults(context) == [
        "polymorphic.0.targets.customer of s.file: "
        "11 rows find 11 in the source, 10 rows find 10 in the target",
        "virtual_keys.0 of s.visit: 67 rows find 67 in the source, 66 rows find 66 in the target",
    ]
