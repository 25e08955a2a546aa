"""What arrives with pseudonyms is held to what it must be: figures, suites and views know masked columns."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from fixtures import masked
from fixtures.clusters import databases
from fixtures.contents import run_sql
from fixtures.copies import Finished
from fixtures.runs import Runner, make_ledger, migrated
from handover.errors import CaseInvalid, VerificationFailed
from handover.evidence.report import write_report
from handover.local.clusters import Cluster
from handover.model.catalog import Catalog
from handover.model.masking import Masks
from handover.postgres.session import connect
from handover.stages.context import Context
from handover.stages.expectations import source_faults, target_faults
from handover.stages.masked_items import require_reconcilable
from handover.stages.tally import reconciliation_faults, tally_target
from handover.stages.verify import verify_expectations, verify_objects

MADE_NUMBER = "110101199003070011"  # of nobody in the source, with the check digit of one
SUITE = [
    ("expect_column_values_to_match_regex", {"column": "mobile", "regex": "^138"}),
    ("expect_column_values_to_be_unique", {"column": "mobile"}),
    ("expect_column_values_to_not_be_null", {"column": "photo"}),
    ("expect_column_values_to_not_be_null", {"column": "email"}),
    ("expect_column_values_to_be_between", {"column": "income", "min_value": 1}),
    ("expect_column_values_to_be_between", {"column": "id", "max_value": 39}),
]
# One row of the source breaks it; it is asked of raw values alone.
OWN = "s.customer/id/between"
DECLARED: dict[str, Any] = {
    "counts": [{"name": "by-branch", "table": "s.customer", "by": ["branch"]}],
    "relations": [
        {
            "name": "owed",
            "table": "s.customer",
            "key": ["id"],
            "total": "income",
            "minus": {"table": "s.loan", "column": "amount", "by": ["customer_id"]},
            "show_by": ["branch"],
        }
    ],
}


def opened(runner: Runner, run: str = "run-1", **changes: Any) -> Context:
    """A run of the masked company whose suites lie in the runner's own folder."""
    folder = runner.home / "expectations"
    folder.mkdir(exist_ok=True)
    expectations = [
        {"type": kind, "kwargs": kwargs, "meta": {"table": "s.customer"}} for kind, kwargs in SUITE
    ]
    (folder / "written.json").write_text(json.dumps({"name": "written", "expectations": expectations}))
    changes = {"expectations": ["written"], "acknowledge": [f"expectation:{OWN}"], **changes}
    context = masked.open_masked(runner, run, **changes)
    return replace(context, settings=replace(context.settings, expectations=folder))


@pytest.fixture(scope="module")
def finished(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    """One move for all tests that spoil only the target."""
    home = tmp_path_factory.mktemp("masked")
    with (
        databases(cluster) as source,
        databases(second_cluster) as target,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("handover.stages.snapshot.POLL_SECONDS", 0.05)
        urls = {"src": source("source"), "dst": target("target")}
        runner = Runner(home, make_ledger(cluster, source), str(second_cluster.programs), urls)
        masked.fill(runner)
        context = opened(runner, reconciliation=DECLARED)
        migrated(context)
        yield Finished(context, second_cluster)


@pytest.fixture
def copy(finished: Finished) -> Iterator[Context]:
    """A run whose target may be spoiled."""
    made = finished.copy()
    yield made
    finished.drop(made)


def said(step: Any, context: Context) -> list[str]:
    """What a step finds."""
    try:
        step(context)
    except VerificationFailed as error:
        return list(error.data["differences"])  # type: ignore[call-overload]
    return []


def results(context: Context) -> dict[str, Any]:
    return {result["id"]: result for result in context.entries("expectations-checked")[-1].body["results"]}


def sheet(context: Context, name: str) -> list[list[str]]:
    tables = context.entries("reconciled")[-1].body["tables"]
    return next(table["rows"] for table in tables if table["id"] == name)


def test_a_masked_copy_is_in_order(copy: Context) -> None:
    assert said(verify_expectations, copy) == []
    assert said(verify_objects, copy) == []
    assert said(tally_target, copy) == []
    assert source_faults(copy) == target_faults(copy) == reconciliation_faults(copy) == []
    target = results(copy)
    pseudonyms = {name for name in target if name.endswith(("/pseudonym", "/raw_mention"))}
    masked_columns = {f"{t.label}/{one.column}" for t in copy.plan().tables for one in t.masked}
    told_by_digest = {"s.loan/signed", "s.visit/at"}  # moved dates look like dates
    assert {name.rsplit("/", 1)[0] for name in pseudonyms} == masked_columns - told_by_digest
    source_only = {
        *("s.customer/mobile/match_regex", "s.customer/mobile/unique", "s.customer/photo/not_null", OWN),
        "s.customer/mobile/mobile_number",
        "s.customer/greeting/not_null",
    }
    assert not source_only & target.keys()
    assert {"s.customer/email/not_null", "s.customer/income/between"} <= target.keys()


def test_figures_of_masked_columns_are_on_neither_side(copy: Context) -> None:
    said(tally_target, copy)
    sums = {(row[0], row[1]): row[2:] for row in sheet(copy, "sums")}
    clear = {("s.customer", "income"), ("s.loan", "amount")}
    assert {place for place, row in sums.items() if row[-1] == "="} == clear
    assert {row[-1] for place, row in sums.items() if place not in clear} == {
        "遮蔽，不核对 · masked, not compared"
    }
    assert all(set(row[:-1]) == {"–"} for place, row in sums.items() if place not in clear)
    assert sheet(copy, "generated") == [
        ["s.customer", "greeting", str(masked.PEOPLE), "遮蔽，不核对 · masked, not compared"]
    ]
    assert ["s.customer", *[str(masked.PEOPLE)] * 3, "="] in sheet(copy, "counts")
    # Customers meet their loans by pseudonyms as they met by numbers.
    assert {row[-1] for name in ("owed", "by-branch") for row in sheet(copy, name)} == {"="}


def test_the_report_says_what_was_not_asked(copy: Context) -> None:
    said(verify_expectations, copy)
    said(tally_target, copy)
    files = write_report(copy.entries())
    page, document = files["verification.html"].decode(), json.loads(files["verification.json"])
    for text in ("遮蔽列，不检查", "not asked: masked", "masked, not compared", "masked columns"):
        assert text in page
    standings = {one["id"]: one["standing"] for one in document["expectations"]["results"]}
    assert standings["s.customer/mobile/match_regex"] == "met"
    assert standings[OWN] == "source"
    assert standings["s.customer/mobile/pseudonym"] == "met"
    assert not {"moved", "missing", "error"} & set(standings.values())


def test_a_key_that_arrives_masked_is_never_shown(copy: Context) -> None:
    """Beside its pseudonym in the target it would tell whose that is."""
    checked = [entry.body for entry in copy.entries("expectations-checked")]
    (source,) = [body for body in checked if body["side"] == "source"]
    own = next(result for result in source["results"] if result["id"] == OWN)
    assert own["failing"] == 1
    assert [len(name) for name in own["tokens"]] == [32]
    run_sql(copy.target, "UPDATE s.customer SET email = 'x@mail.example'")
    (line,) = said(verify_expectations, copy)
    assert "id = " not in line


CUSTOMER = "WHERE id = (SELECT min(id) FROM s.customer)"
NO_PSEUDONYM = "it is masked, and holds what is no pseudonym"


def put(change: str) -> str:
    return f"UPDATE s.customer SET {change} {CUSTOMER}"


# What is done to the target, and the begin of the line that is said of it.
FAULTS: dict[str, tuple[str, str]] = {
    "identity number": (put(f"resident_id = '{MADE_NUMBER}'"), "s.customer (resident_id): expect_pseudonyms"),
    "mobile number": (put("mobile = '13800000001'"), "s.customer (mobile): expect_pseudonyms"),
    "address of e-mail": (put("email = 'c1@mail.example'"), "s.customer (email): expect_pseudonyms"),
    "name": (put("name = '王小'"), "s.customer (name): expect_pseudonyms"),
    "birthday": (put("born = '1970-04-08'"), "s.customer (born): expect_pseudonyms"),
    "moment": (put("seen = '2020-02-01 00:00:01+00'"), "s.customer (seen): expect_pseudonyms"),
    "street": (put("address = '上海市黄浦区中山东路1号'"), "s.customer (address): expect_pseudonyms"),
    "picture": (put("photo = '\\x00'"), "s.customer (photo): expect_pseudonyms"),
    "number in a text": (
        put(f"remark = 'of {MADE_NUMBER}'"),
        "s.customer (remark): expect_no_raw_mention fails for 1 row",
    ),
    "number in a document": (
        put(f"""pages = '{{"a": ["{MADE_NUMBER}"]}}'"""),
        "s.customer (pages): expect_no_raw_mention fails for 1 row",
    ),
    "key": (
        "UPDATE s.loan SET no = 'L7' WHERE no = (SELECT min(no) FROM s.loan)",
        "s.loan (no): expect_pseudonyms fails for 1 row",
    ),
    "reference without its parent's number": (
        "ALTER TABLE s.loan DROP CONSTRAINT loan_customer_id_fkey; UPDATE s.loan SET customer_id = 0"
        " WHERE no = (SELECT min(no) FROM s.loan)",
        "s.loan (customer_id): expect_pseudonyms fails for 1 row",
    ),
}


def test_a_raw_value_in_a_masked_column_fails(copy: Context) -> None:
    """One value in each column, and a line for each."""
    for script, _ in FAULTS.values():
        run_sql(copy.target, script)
    found = [line for line in said(verify_expectations, copy) if line.endswith(NO_PSEUDONYM)]
    for what, (_, line) in FAULTS.items():
        assert sum(one.startswith(line) for one in found) == 1, (what, found)
    assert len(found) == len({line for _, line in FAULTS.values()})
    told = "".join(entry.body_text for entry in copy.entries("expectations-checked"))
    assert not [value for value in (MADE_NUMBER, "13800000001", "c1@mail") if value in told]


OTHERS: dict[str, tuple[str, str]] = {
    "a value twice where the key is gone": (
        "ALTER TABLE s.customer DROP CONSTRAINT customer_resident_id_key;"
        " UPDATE s.customer SET resident_id ="
        " (SELECT max(resident_id) FROM s.customer c WHERE c.id <> customer.id) " + CUSTOMER,
        "s.customer (resident_id): expect_column_values_to_be_unique fails for 2 rows",
    ),
    "a pseudonym of nobody": (
        "ALTER TABLE s.loan DROP CONSTRAINT loan_customer_id_fkey; UPDATE s.loan SET customer_id = 12345"
        " WHERE no = (SELECT min(no) FROM s.loan)",
        "s.loan (customer_id): expect_foreign_key fails for 1 row",
    ),
    "an empty cell": (put("email = NULL"), "s.customer (email): expect_column_values_to_not_be_null"),
    "a clear column beside masked ones": (
        put("income = 0"),
        "s.customer (income): expect_column_values_to_be_between fails for 1 row",
    ),
    "a row too few": (
        "DELETE FROM s.loan WHERE no = (SELECT max(no) FROM s.loan)",
        "s.loan: expect_table_row_count_to_equal fails for 1 row",
    ),
}


def test_what_must_hold_alike_on_both_sides_is_still_asked(copy: Context) -> None:
    for script, _ in OTHERS.values():
        run_sql(copy.target, script)
    found = [line for line in said(verify_expectations, copy) if not line.endswith(NO_PSEUDONYM)]
    for what, (_, line) in OTHERS.items():
        assert sum(one.startswith(line) for one in found) == 1, (what, found)
    assert all(one.endswith("the move made the difference") for one in found)


def test_figures_of_clear_columns_are_still_told(copy: Context) -> None:
    run_sql(copy.target, put("income = income + 0.01"))
    run_sql(copy.target, "DELETE FROM s.visit WHERE ctid = (SELECT min(ctid) FROM s.visit)")
    found = said(tally_target, copy)
    assert "s.customer: column income: its sum in the target is not that of the source" in found
    assert any(line.startswith("s.visit: 67 rows in the source, 67 in the backup, 66 rows") for line in found)
    assert any(line.startswith("owed: the target's figures are not the source's") for line in found)


def test_a_rule_of_the_target_that_was_not_asked_is_missed(copy: Context) -> None:
    said(verify_expectations, copy)
    body = dict(copy.entries("expectations-checked")[-1].body)
    left = [one for one in body["results"] if one["id"] != "s.customer/mobile/pseudonym"]
    copy.record("expectations-checked", {**body, "results": left})
    try:
        assert target_faults(copy) == ["s.customer/mobile/pseudonym: not checked in the target"]
    finally:
        copy.record("expectations-checked", body)


def test_a_view_over_masked_rows_is_held_to_its_definition(runner: Runner) -> None:
    """Also where all rows arrive, so that nothing but pseudonyms makes it another view."""
    masked.fill(runner)
    datamap = masked.data_map()
    masked.treat(datamap, "s.visit", "customer_no", {"strategy": "token", "output": "integer"})
    context = masked.open_masked(runner, datamap=datamap, scope=None)
    migrated(context)
    assert said(verify_objects, context) == []
    with closing(connect(context.target)) as connection:
        connection.execute("UPDATE s.customer SET name = 'another'")
    assert "materialised view s.by_branch holds other rows" in said(verify_objects, context)


# What a case declares, and what is said of it when customers arrive masked.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "counts by a masked column": (
        {"counts": [{"name": "x", "table": "s.customer", "by": ["branch", "name"]}]},
        "x reads column name of s.customer, which arrives masked",
    ),
    "counts by a masked year": (
        {"counts": [{"name": "x", "table": "s.loan", "year": "signed"}]},
        "x reads column signed of s.loan, which arrives masked",
    ),
    "counts by what is computed": (
        {"counts": [{"name": "x", "table": "s.customer", "by": ["greeting"]}]},
        "x reads column greeting of s.customer, computed there perhaps from masked ones",
    ),
    "sums of a masked column": (
        {
            "balances": [
                {"name": "x", "table": "s.loan", "debit": "amount", "credit": "guarantor_id"},
            ]
        },
        "x reads column guarantor_id of s.loan, which arrives masked",
    ),
    "periods of a masked date": (
        {
            "balances": [
                {"name": "x", "table": "s.loan", "debit": "amount", "credit": "amount", "period": "signed"},
            ]
        },
        "x reads column signed of s.loan",
    ),
    "a join of unlike columns": (
        {
            "relations": [
                {
                    "name": "x",
                    "table": "s.customer",
                    "key": ["id"],
                    "total": "income",
                    "minus": {"table": "s.loan", "column": "amount", "by": ["amount"]},
                }
            ]
        },
        "x joins s.customer.id and s.loan.amount, masked unlike",
    ),
    "parts of a masked label": (
        {"relations": [DECLARED["relations"][0] | {"name": "x", "show_by": ["address"]}]},
        "x reads column address of s.customer",
    ),
}


def masks_of(context: Context) -> Masks:
    return Masks({(t.schema_name, t.name): t.masked for t in context.plan().tables if t.masked}, {})


def declaring(context: Context, declared: dict[str, Any]) -> Context:
    """The run as if its case declared this."""
    changed = type(context.case).model_validate({**context.case.document(), "reconciliation": declared})
    return replace(context, case=changed)


@pytest.mark.parametrize("what", REFUSED)
def test_a_declared_item_that_reads_pseudonyms_is_refused(finished: Finished, what: str) -> None:
    declared, line = REFUSED[what]
    context = finished.context
    catalog = Catalog.model_validate(context.last("inventory", "inventory").body["catalog"])
    require_reconcilable(context, catalog, masks_of(context))
    with pytest.raises(CaseInvalid, match="reconciles what arrives masked") as raised:
        require_reconcilable(declaring(context, declared), catalog, masks_of(context))
    assert line in raised.value.message
    assert "line " in raised.value.message


def test_the_columns_of_a_partitioned_table_are_those_of_its_parts(finished: Finished) -> None:
    """An item names the whole, the catalog has only the parts."""
    context = finished.context
    catalog = Catalog.model_validate(context.last("inventory", "inventory").body["catalog"])
    masks = masks_of(context)
    away = {**masks.away, ("s", "whole"): masks.away["s", "customer"]}
    for name, said_of in (("greeting", "computed there"), ("name", "arrives masked"), ("branch", "")):
        item = {"name": "x", "table": "s.whole", "by": [name]}
        changed = declaring(context, {"counts": [item]})
        if said_of:
            with pytest.raises(CaseInvalid, match=said_of):
                require_reconcilable(changed, catalog, Masks(away, {}))
        else:
            require_reconcilable(changed, catalog, Masks(away, {}))
