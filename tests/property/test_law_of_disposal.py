"""Rows under a running period or in dispute do not go: the law of the stages, and a few lines of Python."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.disposed import Disposing, fill
from fixtures.lawful import planned
from fixtures.runs import Runner
from fixtures.settled import CLASSES, open_settled
from handover.errors import GateBlocked
from handover.model.matter import RowClassRules
from handover.model.stated import Hold
from handover.stages import facts, gates, under_law
from handover.stages.context import Context
from handover.stages.disposal import OPENED
from handover.stages.facts import legal_day
from handover.stages.under_law import UnderLaw

MODEST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
GOING = [one["name"] for one in CLASSES if one.get("source") == "erase"]
NAMES = [one["name"] for one in CLASSES]
# Years from the start of a period to its end, by rule; R04 never ends.
OF_BOOKS = {"R01": 30, "R02": 30, "R03": 10, "R05": 10}
INVOICES, FOR_EVER = ("R09", 5), "R04"
EARLIEST = date(1949, 10, 1)


@dataclass
class Law:
    """A day, the rules and dates of each class, and open matters."""

    day: date
    rules: dict[str, tuple[str, ...]]
    dates: dict[str, dict[str, Any]]
    holds: tuple[Hold, ...] | None

    def lets_go(self, name: str) -> bool:
        if self.holds is None or not self.rules[name]:
            return False
        in_dispute = any(
            (hold.row_classes is None or name in hold.row_classes)
            and (hold.released_on is None or self.day < hold.released_on)
            for hold in self.holds
        )
        return not in_dispute and all(self.is_over(rule, self.dates[name]) for rule in self.rules[name])

    def is_over(self, rule: str, dates: dict[str, Any]) -> bool:
        if rule in OF_BOOKS:
            year = dates.get("fiscal_year")
            right = year is not None and EARLIEST.year <= year <= self.day.year
            return right and self.day >= date(year + 1 + OF_BOOKS[rule], 1, 1)
        issued = dates.get("issued")
        if rule == FOR_EVER or issued is None or not EARLIEST <= issued <= self.day:
            return False
        first = issued + timedelta(days=1)  # the day of the event does not count
        years = INVOICES[1]
        return (self.day.year - years, self.day.month, self.day.day) >= (first.year, first.month, first.day)


def random_law(random: Random) -> Law:
    """Mostly free, so that one thing alone often decides; many dates are within a day of the end."""
    day = legal_day() + timedelta(days=random.choice([0, 0, 1, 40, random.randint(0, 3000)]))
    rules: dict[str, tuple[str, ...]] = {}
    dates: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        rules[name] = tuple(random.sample([*OF_BOOKS, INVOICES[0]], random.randint(1, 3)))
        longest = max(OF_BOOKS.get(rule, 0) for rule in rules[name])
        last = date(day.year - INVOICES[1], day.month, min(day.day, 28))
        dates[name] = {
            "fiscal_year": day.year - 1 - longest - random.choice([0, 0, 0, 1, 1, 20]),
            "issued": last - timedelta(days=random.choice([1, 1, 2, 30, 365])),
        }
        if random.random() < 0.1:
            _spoil(random, day, name, rules, dates[name])
    kinds = ("litigation", "inquiry", "objection", "claims")
    holds = tuple(
        Hold(
            kind=random.choice(kinds), opened=day - timedelta(days=9), released_by="示例 (sample)",
            row_classes=random.choice([None, *([tuple(random.sample(NAMES, 2))] * 3)]),
            released_on=random.choice([None, day - timedelta(days=1), day, day + timedelta(days=1)]),
        )
        for _ in range(random.choice([0, 0, 1, 2]))
    )  # fmt: skip
    return Law(day, rules, dates, None if random.random() < 0.05 else holds)


def _spoil(
    random: Random, day: date, name: str, rules: dict[str, tuple[str, ...]], dates: dict[str, Any]
) -> None:
    """A period that runs, a date that is missing or cannot be right, a rule without an end, or none."""
    what = random.choice(["year", "missing", "future", "ancient", "for ever", "no rule"])
    if what == "year":
        dates["fiscal_year"] += random.randint(1, 10)
    elif what == "missing":
        dates.pop(random.choice([*dates]))
    elif what == "future":
        dates |= {"fiscal_year": day.year + 1, "issued": day + timedelta(days=1)}
    elif what == "ancient":
        dates |= {"fiscal_year": EARLIEST.year - 1, "issued": EARLIEST - timedelta(days=1)}
    else:
        rules[name] = () if what == "no rule" else (*rules[name], FOR_EVER)


@pytest.fixture
def opened(runner: Runner) -> Context:
    """A run whose lock of disposal the ledger calls open, so that only the law is left."""
    company: Disposing = fill(runner)
    context = open_settled(company)
    planned(context)
    context.record(OPENED, {"plan_digest": context.plan().sha256_of_json()}, key=OPENED)
    return context


def under(context: Context, law: Law) -> Context:
    """The same run of a case with this matter."""
    rules = tuple(
        RowClassRules(row_class=name, rules=law.rules[name] or None, triggers=law.dates[name])
        for name in NAMES
    )
    matter = context.case.matter.model_copy(update={"retention": rules, "holds": law.holds})
    return replace(context, case=context.case.model_copy(update={"matter": matter}))


def check(context: Context, law: Law) -> None:
    run = under(context, law)
    went = blocked = False
    with pytest.MonkeyPatch.context() as patch:
        for module in (facts, gates, under_law):
            patch.setattr(module, "legal_day", lambda: law.day)
        try:
            with UnderLaw(run).enter():
                went = True
        except GateBlocked:
            blocked = True
    heard = run.entries("disposal-heard")[-1].body
    outcomes = dict(heard["outcomes"])
    assert heard["date"] == law.day.isoformat()
    free = {name for name in GOING if outcomes[name] in ("may_erase", "must_erase")}
    assert free == {name for name in GOING if law.lets_go(name)}
    assert len(heard["kept"]) == len(GOING) - len(free)
    assert went != blocked
    assert blocked == bool(heard["kept"] or heard["hindered"])
    if went:
        assert free == {*GOING}


@settings(MODEST, max_examples=12)
@given(st.integers(0, 2**64))
def test_rows_under_a_running_period_or_in_dispute_do_not_go(opened: Context, seed: int) -> None:
    check(opened, random_law(Random(seed)))


@pytest.mark.campaign
@settings(MODEST, max_examples=400)
@given(st.integers(0, 2**64))
def test_the_law_keeps_rows_on_many_days(opened: Context, seed: int) -> None:
    check(opened, random_law(Random(seed)))


def test_where_all_is_over_rows_go_and_one_day_before_they_do_not(opened: Context) -> None:
    """That the law lets anything go at all, so that the other tests mean something."""
    year = legal_day().year
    free = Law(
        legal_day(),
        dict.fromkeys(NAMES, ("R03",)),
        {name: {"fiscal_year": year - 11} for name in NAMES},
        (),
    )
    with UnderLaw(under(opened, free)).enter():
        pass
    for kept in (
        replace(free, dates=free.dates | {GOING[0]: {"fiscal_year": year - 10}}),
        replace(free, holds=(Hold(kind="litigation", opened=date(2026, 1, 1), row_classes=(GOING[1],)),)),
    ):
        with pytest.raises(GateBlocked, match="row class settled"), UnderLaw(under(opened, kept)).enter():
            raise AssertionError("rows would have gone")
