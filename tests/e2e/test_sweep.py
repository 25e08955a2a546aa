"""Sweeps of the sample company: what its rules let go on a day goes, proven and certified; the rest stays."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import pytest

from fixtures.daily import SOURCE, agreed, begun, proven, settings, sweep, swept, urls
from fixtures.runs import Runner
from handover.errors import CaseInvalid, GateBlocked
from handover.model.approval import Account
from handover.sample.company import generate
from handover.stages.certificate_facts import certificate_facts
from handover.stages.close import close_run
from handover.stages.completeness import missing_steps
from handover.stages.context import Context
from handover.stages.disposal import open_disposal
from handover.stages.erase_here import rows_going
from handover.stages.gates import judge
from handover.stages.holding import Matter, hold_subject, hold_table, open_holder
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.sweep_findings import KEPT
from handover.stages.sweeping import DUE, due

ON = date(2026, 11, 22)
# What an independent reader would write down from include/sources/sample-lending.yaml and the law.
GOES = {
    "lending.page_views": "viewed_on < date '2026-05-22'",
    "lending.device_logs": "seen_at < timestamptz '2026-05-22 00:00+08'",
    "lending.客户备注": "\"Recorded On\" < date '2023-11-22'",
    "lending.call_notes": "called_at < timestamptz '2021-11-22 00:00+08'",
    "lending.consents": "withdrawn_at < timestamptz '2023-11-22 00:00+08'",
}


@pytest.fixture
def living(runner: Runner) -> Runner:
    generate(runner.urls["src"], rows=3_000, seed=7)
    return runner


def planned(context: Context) -> Context:
    inventory(begun(context))
    plan(context)
    judge(context, "execution")
    return context


def counts(runner: Runner, kept: bool = False) -> dict[str, int]:
    """Count what goes, or what stays of the same tables, by conditions of the test's own."""
    no = "NOT COALESCE(%s, false)" if kept else "%s"
    with psycopg.connect(runner.urls["src"]) as session:
        return {
            table: int(session.execute(f"SELECT count(*) FROM {table} WHERE {no % said}").fetchone()[0])  # type: ignore[index,arg-type]
            for table, said in GOES.items()
        }


def everything(runner: Runner) -> dict[str, int]:
    """Count every table's rows."""
    query = (
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname IN ('lending', '账务') AND c.relkind = 'r'"
    )
    with psycopg.connect(runner.urls["src"]) as session:
        names = [str(name) for (name,) in session.execute(query).fetchall()]
        return {n: int(session.execute(f"SELECT count(*) FROM {n}").fetchone()[0]) for n in names}  # type: ignore[index,arg-type]


def test_what_is_due_goes_and_nothing_else(living: Runner) -> None:
    before, going, staying = everything(living), counts(living), counts(living, kept=True)
    context = planned(sweep(living, ON))
    assert rows_going(context.plan()) == {table: rows for table, rows in going.items() if rows}
    assert due(context)
    swept(living, context)
    assert missing_steps(context) == []
    close_run(context)
    assert counts(living) == dict.fromkeys(GOES, 0)
    assert counts(living, kept=True) == staying
    after = everything(living)
    assert sum(before.values()) - sum(after.values()) == sum(going.values())
    made = certificate_facts(context)
    assert made.case == SOURCE

    again = planned(sweep(living, ON, run="run-2"))
    assert not due(again), "a second sweep of the day finds nothing"
    assert again.entries(DUE)[-1].body["rows"] == {}


def test_a_hold_keeps_its_rows_and_the_others_go(living: Runner) -> None:
    holder = open_holder(settings(living), SOURCE, urls(living).__getitem__)
    why = Matter(reason="诉讼 (sample)", authority="示例法院 (sample)", kind="litigation", until=None)
    hold_table(holder, Account(name="engineer", id="engineer"), "lending.page_views", why)
    context = planned(sweep(living, ON))
    going = counts(living)
    held = going.pop("lending.page_views")
    assert rows_going(context.plan()) == {table: rows for table, rows in going.items() if rows}
    kept = {(one["table"], one["why"]): one["rows"] for one in context.entries(KEPT)[-1].body["kept"]}
    assert kept["lending.page_views", "it is held"] == held


def test_a_hold_that_comes_after_the_backup_stops_the_run(living: Runner) -> None:
    context = planned(sweep(living, ON))
    proven(context)
    holder = open_holder(settings(living), SOURCE, urls(living).__getitem__)
    why = Matter(reason="审计 (sample)", authority="示例审计 (sample)", kind="audit", until=None)
    hold_table(holder, Account(name="engineer", id="engineer"), "lending.device_logs", why)
    before = everything(living)
    agreed(context, "dispose")
    with pytest.raises(GateBlocked, match=r"lending\.device_logs"):
        open_disposal(context)
    assert everything(living) == before


def test_a_hold_on_a_person_keeps_what_only_the_data_map_knows_to_be_theirs(living: Runner) -> None:
    def unknown(source: dict[str, Any]) -> None:
        source["virtual_keys"] = []  # no foreign key leads from a page view to its customer

    with psycopg.connect(living.urls["src"]) as session:
        query = (
            "SELECT resident_id::text, customer_id FROM lending.customers JOIN lending.page_views "
            "USING (customer_id) WHERE viewed_on < date '2026-05-22' LIMIT 1"
        )
        number, person = session.execute(query).fetchone()  # type: ignore[misc]
        mine = f"customer_id = {person} AND {GOES['lending.page_views']}"
        (held,) = session.execute(f"SELECT count(*) FROM lending.page_views WHERE {mine}").fetchone()  # type: ignore[arg-type,misc]
    holder = open_holder(settings(living, unknown), SOURCE, urls(living).__getitem__)
    why = Matter(reason="诉讼 (sample)", authority="示例法院 (sample)", kind="litigation", until=None)
    hold_subject(holder, Account(name="engineer", id="engineer"), number, None, why)
    context = planned(sweep(living, ON, change=unknown))
    assert rows_going(context.plan())["lending.page_views"] == counts(living)["lending.page_views"] - held


def test_nothing_is_due_before_its_day(living: Runner) -> None:
    context = planned(sweep(living, date(2018, 1, 1)))
    assert not due(context)


def test_a_row_that_is_still_needed_waits(living: Runner) -> None:
    """Loans whose ten years are over stay as long as the vouchers of thirty years refer to them."""
    context = planned(sweep(living, date(2045, 1, 1)))
    going = rows_going(context.plan())
    assert "lending.loans" not in going
    assert "lending.instalments" not in going
    whys = {(one["table"], one["why"]) for one in context.entries(KEPT)[-1].body["kept"]}
    assert ("lending.loans", "账务.vouchers refers to it") in whys
    assert ("lending.instalments", "what it belongs to stays") in whys


def test_a_rule_that_nobody_has_read_lets_nothing_go_without_counsel(living: Runner) -> None:
    def unread(source: dict[str, Any]) -> None:
        source["retention"][0]["rules"] = ["R20"]
        source["retention"][0]["days"] = {"settlement": {"column": "viewed_on"}}
        source["counsel_acceptances"] = []

    def accepted(source: dict[str, Any]) -> None:
        unread(source)
        source["counsel_acceptances"] = [
            {"rule": "R20", "name": "示例律师 (sample)", "on": date(2026, 1, 15)}
        ]

    on = date(2045, 1, 1)
    assert "lending.page_views" not in rows_going(planned(sweep(living, on, change=unread)).plan())
    assert "lending.page_views" in rows_going(planned(sweep(living, on, run="run-2", change=accepted)).plan())


def test_a_text_is_no_day(living: Runner) -> None:
    def change(source: dict[str, Any]) -> None:
        source["retention"][0]["days"]["purpose_end"]["column"] = "page"

    with pytest.raises(CaseInvalid, match="page is text, which is no day"):
        planned(sweep(living, ON, change=change))


def test_a_rule_that_names_a_column_which_is_gone_stops_the_sweep(living: Runner) -> None:
    def change(source: dict[str, Any]) -> None:
        source["retention"][0]["days"]["purpose_end"]["column"] = "seen_on"

    with pytest.raises(CaseInvalid, match="seen_on"):
        planned(sweep(living, ON, change=change))
