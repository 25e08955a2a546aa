"""The sample company lives through sweeps in whole stages, years apart; an oracle says what must be left."""

from __future__ import annotations

from datetime import date

from fixtures.daily import SOURCE, begun, settings, sweep, swept, urls
from fixtures.runs import Runner
from fixtures.years import read
from handover.model.approval import Account
from handover.sample.company import generate
from handover.stages.completeness import missing_steps
from handover.stages.gates import judge
from handover.stages.holding import Matter, hold_table, open_holder
from handover.stages.inventory import inventory
from handover.stages.plan import plan

FIRST, SECOND, OVER = date(2026, 11, 22), date(2032, 2, 29), date(2030, 1, 1)


def test_sweeps_years_apart_leave_what_an_oracle_says(runner: Runner) -> None:
    url = runner.urls["src"]
    generate(url, rows=1_000, seed=7)
    company = read(url)
    # Somebody of whom something would go, held until a day between the two sweeps.
    going = company.goes(FIRST, set())
    held = next(n for n, row in company.customers.items() if company.children[row] & going)
    holder = open_holder(settings(runner), SOURCE, urls(runner).__getitem__)
    why = Matter("litigation", "诉讼 (sample)", "示例法院 (sample)", OVER)
    who = Account(name="engineer", id="engineer")
    hold_table(holder, who, "lending.customers", why, f"customer_id = {held}")
    for on, kept in ((FIRST, {held}), (SECOND, set())):
        context = begun(sweep(runner, on, run=f"run-{on}"))
        inventory(context)
        plan(context)
        judge(context, "execution")
        gone = company.goes(on, kept)
        assert gone
        swept(runner, context)
        company.rows -= gone
        assert read(url).rows == company.rows, on
        assert missing_steps(context) == []
    assert not company.goes(SECOND, set())
