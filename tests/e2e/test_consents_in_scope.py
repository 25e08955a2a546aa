"""Whom a scope may take along: consents by whatever part of a table roots name, and nobody without one."""

from dataclasses import replace
from typing import Any

import pytest

from fixtures.contents import run_sql
from fixtures.lawful import write_map
from fixtures.runs import Runner, transferred
from handover.errors import CaseInvalid
from handover.model.plan import PlannedScope
from handover.stages.context import Context
from handover.stages.explaining import explain
from handover.stages.inventory import inventory
from handover.stages.plan import plan

# Persons 1 to 9 lie in the partition of the north, 11 to 19 in that of the south. Odd ones consented.
SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.person (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
CREATE TABLE s.north PARTITION OF s.person FOR VALUES FROM (0) TO (10);
CREATE TABLE s.south (name text, id int NOT NULL);
ALTER TABLE s.person ATTACH PARTITION s.south FOR VALUES FROM (10) TO (20);
CREATE TABLE s.loan (id int PRIMARY KEY, person_id int REFERENCES s.person, vouched_by int);
CREATE TABLE s.consent (person_id int PRIMARY KEY REFERENCES s.person, given boolean);
INSERT INTO s.person SELECT n, 'privat ' || n FROM generate_series(1, 19) n WHERE n <> 10;
INSERT INTO s.loan SELECT id, id FROM s.person;
INSERT INTO s.consent SELECT id, id % 2 = 1 FROM s.person;
"""
CONSENTS = {
    "person": "s.person", "columns": ["id"], "matches": ["person_id"], "table": "s.consent",
    "separate": "given",
}  # fmt: skip
PART = {"source": {"connection": "src", "schemas": ["s"], "large_objects": False}, "consents": [CONSENTS]}


@pytest.fixture
def company(runner: Runner) -> Runner:
    run_sql(runner.urls["src"], SOURCE)
    return runner


def roots(*tables: str, **more: Any) -> dict[str, Any]:
    return {"scope": {"roots": [{"table": table, "where": "id IS NOT NULL"} for table in tables], **more}}


def planned(context: Context) -> PlannedScope:
    inventory(context)
    scope = plan(context).scope
    assert scope is not None
    return scope


@pytest.mark.parametrize(
    ("tables", "persons"), [(["s.person"], 10), (["s.north"], 5), (["s.south", "s.north"], 10)]
)
def test_who_does_not_consent_stays_whatever_part_the_root_names(
    company: Runner, tables: list[str], persons: int
) -> None:
    scope = planned(company.open(**PART, **roots(*tables)))
    assert {one.table: one.owned for one in scope.tables} == dict.fromkeys(
        ("s.person", "s.loan", "s.consent"), persons
    )


def test_consents_of_a_partition_alone_are_refused(company: Runner) -> None:
    context = company.open(**PART | {"consents": [CONSENTS | {"person": "s.north"}]}, **roots("s.person"))
    with pytest.raises(CaseInvalid, match=r"line \d+, consents\.0\.person: s\.north is a partition; name"):
        planned(context)


def test_roots_in_a_partition_count_as_considered_and_explain_a_person(company: Runner) -> None:
    personal = {"jrt0171": "C1", "pipl_sensitive": False, "gbt43697": 2, "gdpr": "personal"}
    columns = {"person": ["id", "name"], "loan": ["id", "person_id", "vouched_by"],
               "consent": ["person_id", "given"]}  # fmt: skip
    subjects = {"person": {"by": ["id"]}} | {
        table: {"by": ["person_id"], "to": "s.person"} for table in ("loan", "consent")
    }
    datasets = [
        {"table": f"s.{table}", "purpose": "loans", "origin": "applications", "subject": [subjects[table]],
         "columns": {name: {"kind": "internal_id", **personal} for name in names}}
        for table, names in columns.items()
    ]  # fmt: skip
    datasets[0]["partitions"] = ["s.north", "s.south"]
    confirmed = {"by": "示例负责人 (sample)", "date": "2026-01-15"}
    write_map(company.home, {"map": "test-transfer", "confirmed": confirmed, "datasets": datasets})
    context = company.open(**PART, **roots("s.north"))
    context = replace(context, settings=replace(context.settings, datamaps=company.home / "datamaps"))
    assert planned(context).persons == {"s.person": (9, 5)}
    assert explain(context, ["2"])["named_by_a_root"] is True
    assert explain(context, ["12"])["named_by_a_root"] is False


def test_where_no_gate_judges_nobody_comes_along_without_consent(company: Runner) -> None:
    with pytest.raises(CaseInvalid, match=r"consents\.0\.separate: 8 rows of s\.person come along without"):
        planned(company.open(**PART, **roots("s.loan", decided=[{"table": "s.consent", "rows": "none"}])))
    with pytest.raises(CaseInvalid, match=r"8 rows of s\.person come along"):
        planned(company.open(run="everybody", **PART))


NOBODY = {"name": "even", "tables": ["s.person"], "where": "id % 2 = 0", "target": "nothing"}
OTHERS = {"name": "odd", "tables": ["s.person"], "where": "id % 2 = 1"}


def _loans(target: str) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{name} {table}",
            "tables": [f"s.{table}"],
            "where": f"person_id % 2 = {rest}",
            "target": to,
        }
        for table in ("loan", "consent")
        for name, rest, to in (("even", 0, target), ("odd", 1, "copy"))
    ]


def test_no_row_arrives_without_the_one_that_it_refers_to(company: Runner) -> None:
    """By a foreign key the restore would fail in the end; by a key of the case alone, nothing would."""
    run_sql(company.urls["src"], "CREATE MATERIALIZED VIEW s.totals AS SELECT count(*) FROM s.person")
    part = {**PART, "consents": []}
    with pytest.raises(CaseInvalid, match=r"8 rows of s\.loan would arrive without the row of s\.person"):
        planned(company.open(run="children", **part, classes=[NOBODY, OTHERS]))
    classes = [NOBODY, OTHERS, *_loans("nothing")]
    run_sql(company.urls["src"], "UPDATE s.loan SET vouched_by = 4 WHERE id = 3")
    key = {"table": "s.loan", "columns": ["vouched_by"], "references": "s.person", "to_columns": ["id"]}
    with pytest.raises(CaseInvalid, match=r"1 rows of s\.loan would arrive without the row of s\.person"):
        planned(company.open(run="vouched", **part, classes=classes, **roots("s.person", virtual_keys=[key])))
    transferred(company.open(run="all", **part, classes=classes))
