"""Rows that arrive pseudonymised: joins survive, people do not show, and every difference is told."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from fixtures import masked
from fixtures.contents import run_sql
from fixtures.runs import Runner, backed_up, filled, migrated, read_back
from handover.errors import CaseInvalid, DataMapInvalid, KeyUnavailable, VerificationFailed
from handover.postgres.session import connect
from handover.stages.inventory import inventory
from handover.stages.migrate import finish_target
from handover.stages.plan import plan
from handover.stages.pseudonyms import domain_keys
from handover.stages.verify import verify_lane


@pytest.fixture
def company(runner: Runner) -> Runner:
    """A runner whose source is filled."""
    masked.fill(runner)
    return runner


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with closing(connect(url, read_only=True)) as connection:
        return connection.execute(query.encode()).fetchall()


def test_rows_arrive_with_pseudonyms_and_joins_survive(company: Runner) -> None:
    context = masked.open_masked(company)
    migrated(context)
    read_back(context)
    source, target = company.urls["src"], company.urls["dst"]
    join = """SELECT count(*), count(g.id), sum(amount) FROM s.loan l
              JOIN s.customer c ON c.id = l.customer_id
              LEFT JOIN s.customer g ON g.id = l.guarantor_id"""
    assert rows(source, join) == rows(target, join)
    visits = (
        "SELECT count(*), count(DISTINCT customer_no) FROM s.visit v JOIN s.customer c ON c.id = customer_no"
    )
    assert rows(source, visits) == rows(target, visits)
    for column in ("id", "resident_id", "mobile", "email"):
        raw = {row[0] for row in rows(source, f"SELECT {column}::text FROM s.customer")} - {None}
        arrived = [row[0] for row in rows(target, f"SELECT {column}::text FROM s.customer")]
        assert not raw & set(arrived)
        assert len(set(arrived)) == len(arrived)
    assert rows(target, "SELECT count(*) FROM s.customer WHERE resident_id IS NULL") == [(1,)]
    assert rows(target, "SELECT DISTINCT to_char(born, 'MM-DD') FROM s.customer") == [("01-01",)]
    assert rows(target, "SELECT count(*) FROM s.customer WHERE photo IS NOT NULL OR greeting !~ name") == [
        (0,)
    ]
    # A number in a text is the pseudonym that its column has, and the document is still one.
    same = "SELECT count(*) FROM s.customer WHERE strpos(remark, mobile) > 0 AND profile ->> 'phone' = mobile"
    assert rows(target, same) == [(masked.PEOPLE,)]
    assert rows(source, "SELECT sum(income) FROM s.customer") == rows(
        target, "SELECT sum(income) FROM s.customer"
    )
    # All dates of a person move alike.
    apart = "SELECT customer_id, max(signed) - min(signed) FROM s.loan GROUP BY 1 ORDER BY 2, 1"
    assert [row[1] for row in rows(source, apart)] == [row[1] for row in rows(target, apart)]
    entries = context.entries("chunk-masked")
    assert {entry.body["table"] for entry in entries} == {"s.customer", "s.loan", "s.visit"}
    assert "138" not in "".join(str(sorted(entry.body["counts"])) for entry in entries)


def test_a_second_run_makes_the_same_pseudonyms(company: Runner) -> None:
    """Domains belong to the case: runs and databases share them."""
    query = "SELECT * FROM s.customer ORDER BY id"
    migrated(masked.open_masked(company))
    first = rows(company.urls["dst"], query)
    run_sql(company.urls["dst"], "DROP SCHEMA s CASCADE; DROP SCHEMA handover CASCADE")
    migrated(masked.open_masked(company, "run-2"))
    assert rows(company.urls["dst"], query) == first


CHANGES = {
    "another valid pseudonym": (
        "UPDATE s.customer SET mobile = 'abcdefghijkl' WHERE id = (SELECT min(id) FROM s.customer)",
        "differs in mobile",
    ),
    "a row is missing": (
        "DELETE FROM s.loan WHERE no = (SELECT min(no) FROM s.loan)",
        "is missing",
    ),
    "a row is too many": (
        "INSERT INTO s.loan SELECT 'zz', customer_id, NULL, 1, signed FROM s.loan LIMIT 1",
        "is not in the backup",
    ),
    "two swapped": (
        """UPDATE s.loan l SET customer_id = o.customer_id FROM s.loan o
           WHERE (l.no, o.no) IN
             (SELECT min(no), max(no) FROM s.loan UNION SELECT max(no), min(no) FROM s.loan)
           AND l.customer_id <> o.customer_id""",
        "differs in customer_id",
    ),
    "a row of a table without a key": (
        "DELETE FROM s.visit WHERE ctid = (SELECT min(ctid) FROM s.visit)",
        "is missing",
    ),
    "a row twice in a table without a key": (
        "INSERT INTO s.visit SELECT * FROM s.visit LIMIT 1",
        "is not in the backup",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_difference_is_told_and_mended(company: Runner, change: str) -> None:
    context = masked.open_masked(company)
    migrated(context)
    before = rows(company.urls["dst"], "SELECT * FROM s.loan ORDER BY 1")
    script, said = CHANGES[change]
    run_sql(company.urls["dst"], script)
    lines = []
    for lane in context.plan().lanes:
        try:
            verify_lane(context, lane.number)
        except VerificationFailed as error:
            lines += error.data["differences"]
    assert len(lines) >= 1 and all(said in line for line in lines), lines
    finish_target(context)
    read_back(context)
    assert rows(company.urls["dst"], "SELECT * FROM s.loan ORDER BY 1") == before


def test_the_restore_test_and_the_backup_stay_raw(company: Runner) -> None:
    context = masked.open_masked(company)
    backed_up(context)
    filled(context)
    assert context.entries("restore-tested")
    assert all(entry.body["generation"] == 1 for entry in context.entries("chunk-masked"))


REFUSED: dict[str, tuple[str, str, dict[str, Any] | None, str]] = {
    "unknown strategy": (
        "s.customer",
        "mobile",
        {"strategy": "scramble"},
        "treatment: .* input tag 'scramble'",
    ),
    "no treatment": (
        "s.customer",
        "mobile",
        None,
        "holds mobile in rows that are pseudonymised, and neither",
    ),
    "too narrow": (
        "s.customer",
        "resident_id",
        {"strategy": "token"},
        "needs 24 characters, the column holds 18",
    ),
    "lossy on unique": ("s.customer", "resident_id", {"strategy": "mask"}, "values of a unique column"),
    "not nullable": ("s.customer", "name", {"strategy": "null"}, "makes NULL, which the column refuses"),
    "realistic": (
        "s.customer",
        "mobile",
        {"strategy": "fpe", "form": "mobile", "realistic": True},
        "accept mobile under pseudonyms.realistic",
    ),
    "drop": ("s.customer", "email", {"strategy": "drop"}, "take null"),
    "shift without a person": ("s.loan", "signed", {"strategy": "shift"}, "write person: the column"),
    "a child treated alone": (
        "s.loan",
        "customer_id",
        TOKEN := {"strategy": "token"},
        "another treatment than",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_done_is_refused_in_planning(company: Runner, what: str) -> None:
    table, column, treatment, said = REFUSED[what]
    datamap = masked.data_map()
    masked.treat(datamap, table, column, treatment)
    context = masked.open_masked(company, datamap=datamap)
    inventory(context)
    with pytest.raises(DataMapInvalid, match=said) as raised:
        plan(context)
    assert f"{table}.{column}" in raised.value.message
    assert "line " in raised.value.message


def test_a_table_whose_classes_arrive_in_two_forms_is_refused(company: Runner) -> None:
    classes = [
        {"name": "clear", "tables": ["s.loan"], "where": "amount < 500", "target": "copy"},
        {"name": "masked", "tables": ["s.loan"], "where": "amount >= 500", "target": "copy_pseudonymised"},
        {"name": "persons", "tables": ["s.customer", "s.visit"], "target": "copy_pseudonymised"},
    ]
    context = masked.open_masked(company, classes=classes)
    inventory(context)
    with pytest.raises(DataMapInvalid, match="one table holds one form of a column"):
        plan(context)


def test_a_masked_child_of_a_table_in_clear_keeps_its_reference(company: Runner) -> None:
    classes = [{"name": "loans", "tables": ["s.loan"], "target": "copy_pseudonymised"}]
    context = masked.open_masked(company, classes=classes)
    migrated(context)
    read_back(context)
    query = "SELECT customer_id, guarantor_id FROM s.loan ORDER BY 1, 2"
    assert rows(company.urls["src"], query) == rows(company.urls["dst"], query)
    assert not rows(company.urls["dst"], "SELECT FROM s.loan WHERE no LIKE 'L%' AND length(no) < 5")


def test_no_plan_is_made_where_a_key_was_destroyed(company: Runner) -> None:
    context = masked.open_masked(company)
    inventory(context)
    plan(context)
    (key,) = [one for one in domain_keys(context) if one.case.endswith("/mobile")]
    context.keyring.destroy(key.key_id)
    with pytest.raises(KeyUnavailable, match="the pseudonym key of test-transfer/mobile was destroyed"):
        plan(masked.open_masked(company))


def test_large_objects_do_not_go_along_with_pseudonyms(company: Runner) -> None:
    with pytest.raises(CaseInvalid, match="large objects arrive as they are"):
        masked.open_masked(company, source={"connection": "src", "schemas": ["s"]}, scope=None)


def test_a_text_of_the_case_s_own_kind_of_number_is_found_in_every_writing(company: Runner) -> None:
    """+86, spaces and full-width digits are one number: equal values have equal pseudonyms."""
    run_sql(
        company.urls["src"],
        "UPDATE s.customer SET mobile = '+86 138 ' || substr(mobile, 4, 4) || ' ' || substr(mobile, 8)"
        " WHERE id = 3",
    )
    context = masked.open_masked(company)
    migrated(context)
    same = "SELECT count(*) FROM s.customer WHERE profile ->> 'phone' = mobile"
    assert rows(company.urls["dst"], same) == [(masked.PEOPLE,)]
