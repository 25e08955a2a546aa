"""After the move no raw value of what was masked is in the target: planted ones are found, in every guise."""

from __future__ import annotations

from contextlib import closing
from copy import deepcopy
from typing import Any

import pytest

from fixtures import masked
from fixtures.contents import run_sql
from fixtures.runs import Runner, backed_up, filled, migrated
from handover.errors import NotReady, VerificationFailed
from handover.postgres.session import connect
from handover.stages.absence import SEARCHED, absence_faults, exceptions, masked_datamap, search_target
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.raw_rows import masked_rows
from handover.stages.raw_search import search_for

CLEAR = {"strategy": "clear"}
# Raw values of persons 3 and 4 of the masked company, each in a place where no column of its kind is.
MOBILE, OTHER_MOBILE = "13800023757", "13800031676"
# Two things of one person together are looked for; her name alone is everybody's.
PERSON = "上海市黄浦区中山东路3号"


@pytest.fixture
def company(runner: Runner) -> Runner:
    """A runner whose source is filled."""
    masked.fill(runner)
    return runner


def searched(context: Context) -> dict[str, Any]:
    """The latest entry of a search that found nothing or raised."""
    return dict(context.entries(SEARCHED)[-1].body)


def found(context: Context) -> dict[str, Any]:
    """What a search finds, by column; it must raise."""
    with pytest.raises(VerificationFailed, match="raw values of what was masked are in the target"):
        search_target(context)
    return {f"{one['table']}.{one['column']}": one["kinds"] for one in searched(context)["findings"]}


def value(url: str, query: str) -> str:
    with closing(connect(url, read_only=True)) as connection:
        return str(connection.execute(query.encode()).fetchall()[0][0])


def test_nothing_is_found_when_masking_is_on_and_planted_values_are(company: Runner) -> None:
    context = masked.open_masked(company)
    with pytest.raises(NotReady):
        search_target(context)
    backed_up(context)
    with pytest.raises(NotReady):  # nothing arrived yet
        search_target(context)
    filled(context)
    assert absence_faults(context) == ["the target was not searched for raw values"]
    search_target(context)
    assert absence_faults(context) == []
    body = searched(context)
    assert body["absent"] and body["passes"] == 1 and body["persons"] == masked.PEOPLE
    # Person 7 has no number in her row; that in her papers is looked for, because they are redacted.
    assert body["values"] == {"email": 40, "mobile": 40, "resident_id": 40}
    assert body["not_searched"] == [] and body["bytes"] > 0

    target, source = company.urls["dst"], company.urls["src"]
    assert value(source, "SELECT mobile FROM s.customer WHERE id = 3") == MOBILE
    identity = value(source, "SELECT resident_id FROM s.customer WHERE id = 5")
    run_sql(
        target,
        f"""
        CREATE SCHEMA other; CREATE TABLE other.log (id int, tags text[], scan bytea, name text, born date);
        INSERT INTO other.log (id, tags)
          VALUES (1, ARRAY['a', '+86 {MOBILE[:3]} {MOBILE[3:7]} {MOBILE[7:]}']);
        INSERT INTO other.log (id, scan) VALUES (2, convert_to('x {identity} y', 'UTF8'));
        INSERT INTO other.log (id, name, born) SELECT id, 'Frau ' || name, '1970-01-01'::date + (id * 97)::int
          FROM (VALUES (9, '{value(source, "SELECT name FROM s.customer WHERE id = 9")}')) AS v(id, name);
        UPDATE s.visit SET note = '电话１３８０００２３７５７' WHERE ctid = (SELECT min(ctid) FROM s.visit);
        UPDATE s.loan SET no = '{OTHER_MOBILE}' WHERE no = (SELECT min(no) FROM s.loan);
        UPDATE s.customer SET profile = jsonb_build_object('x', jsonb_build_array('{OTHER_MOBILE}')),
          mobile = '{MOBILE}' WHERE id = (SELECT min(id) FROM s.customer)""",
    )
    assert found(context) == {
        "log.tags": {"mobile": 1},
        "log.scan": {"resident_id": 1},
        "log.name": {"birth_date + name": 1},
        "visit.note": {"mobile": 1},
        "loan.no": {"mobile": 1},
        "customer.profile": {"mobile": 1},
        "customer.mobile": {"mobile": 1},
    }
    faults = absence_faults(context)
    assert len(faults) == 7 and "accepted only as raw-value:other.log.name" in faults[0]
    told = "".join([*faults, str(searched(context))])
    assert all(one not in told for one in (MOBILE, OTHER_MOBILE, identity))
    in_passes(context)
    unsearchable_column(context)


def in_passes(context: Context) -> None:
    """What is looked for part by part is found as well."""
    index = read_index(context)
    known = masked_datamap(context, index)
    whole, parts = (
        search_for(
            context, context.target, masked_rows(context, index, known), exceptions(index, known), most=most
        )
        for most in ((10**6, 10**6), (100, 8))
    )
    assert (whole.passes, parts.values, parts.persons) == (1, whole.values, whole.persons)
    assert parts.passes > 3 and parts.unsearchable == whole.unsearchable
    assert parts.findings == whole.findings and len(whole.findings) == 7


def unsearchable_column(context: Context) -> None:
    """What cannot be searched blocks until a person accepts it: it is never passed over."""
    run_sql(
        context.target,
        "DROP SCHEMA other CASCADE; UPDATE s.visit SET note = NULL;"
        "UPDATE s.loan SET no = 'x' WHERE no ~ '^138';"
        "UPDATE s.customer SET profile = '{}', mobile = 'x' WHERE mobile ~ '^138';"
        "CREATE TYPE s.sealed AS (label text, scan bytea); CREATE TABLE s.seals (id int, seal s.sealed)",
    )
    assert found(context) == {}
    (fault,) = absence_faults(context)
    assert fault.startswith("s.seals.seal: not searched") and "raw-value-not-searched:s.seals.seal" in fault


OFF = {
    "remark": {"mobile": 40},
    "profile": {"mobile": 40},
    "pages": {"resident_id": 40},
}


def test_without_redaction_texts_are_full_and_what_can_be_alike_is_no_finding(company: Runner) -> None:
    datamap = masked.data_map()
    for column in OFF:
        masked.treat(datamap, "s.customer", column, CLEAR)
    masked.treat(datamap, "s.customer", "mobile", {"strategy": "fpe", "form": "mobile", "realistic": True})
    context = masked.open_masked(company, datamap=datamap, pseudonyms={"realistic": ["mobile"]})
    migrated(context)
    run_sql(
        context.target,
        f"UPDATE s.customer SET mobile = '{MOBILE}' WHERE id = (SELECT min(id) FROM s.customer)",
    )
    cells = {f"customer.{name}": kinds for name, kinds in OFF.items()}
    # The number that person 7 has in her papers alone is in no column that is masked.
    assert found(context) == {**cells, "customer.pages": {"resident_id": 39}}
    body = searched(context)
    assert "s.customer.mobile" in body["may_be_alike"] and body["excepted"]["alike"] >= 1
    assert "s.customer.resident_id" not in body["may_be_alike"]


def test_a_column_in_clear_is_excepted_and_free_text_never(company: Runner) -> None:
    """The same persons stand in clear in a table of its own: the map says so, and no more than it says."""
    run_sql(
        company.urls["src"],
        "CREATE TABLE s.signer (id int PRIMARY KEY, mobile text, name text, born date, remark text);"
        "INSERT INTO s.signer SELECT id, mobile, name, born, mobile FROM s.customer WHERE id < 5",
    )
    datamap = masked.data_map()
    kinds = {"id": "internal_id", "mobile": "mobile", "name": "person_name", "born": "birth_date"}
    signer = {
        "table": "s.signer", "purpose": "sample", "origin": "sample", "subject": [{"by": ["id"]}],
        "columns": {name: masked.column(kind) for name, kind in {**kinds, "remark": "free_text"}.items()},
    }  # fmt: skip
    datamap["datasets"].append(signer)
    scope = deepcopy(masked.CASE["scope"])
    scope["decided"] = [{"table": "s.signer", "rows": "all"}]
    accepted = "raw-value:s.signer.remark"
    context = masked.open_masked(company, datamap=datamap, scope=scope)
    migrated(context)
    assert found(context) == {"signer.remark": {"mobile": 4}}
    assert searched(context)["excepted"] == {"clear": 8}
    # Whoever accepts the finding does so by its id, in a run of the case that says so.
    run_sql(company.urls["dst"], "DROP SCHEMA s CASCADE; DROP SCHEMA handover CASCADE")
    context = masked.open_masked(company, "run-2", datamap=datamap, scope=scope, acknowledge=[accepted])
    migrated(context)
    search_target(context)
    assert absence_faults(context) == []
    assert searched(context)["acknowledged"] == [accepted] and not searched(context)["absent"]
    # In a table of nobody the same columns are findings.
    index = read_index(context)
    known = masked_datamap(context, index)
    nobodys = known.model_copy(
        update={
            "datasets": tuple(
                one.model_copy(update={"subject": ()}) if one.table.name == "signer" else one
                for one in known.datasets
            )
        }
    )
    outcome = search_for(
        context, context.target, masked_rows(context, index, known), exceptions(index, nobodys)
    )
    assert {one.column: one.kinds for one in outcome.findings} == {
        "mobile": {"mobile": 4}, "name": {"birth_date + name": 4}, "remark": {"mobile": 4}
    }  # fmt: skip


def test_nobody_asks_for_a_search_where_nothing_is_masked(company: Runner) -> None:
    context = masked.open_masked(company, classes=[])
    inventory(context)
    plan(context)
    assert absence_faults(context) == []
