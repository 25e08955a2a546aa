"""Retention: the worked example, the calendar's edges, levels, holds, maximums, doubts, replay."""

from datetime import date, timedelta

import pytest

from fixtures.matters import packs
from handover.errors import PolicyInvalid
from handover.law.dates import after, plausible_start
from handover.law.retention import Decision, Question, decide, replay
from handover.model.legal_terms import Trigger
from handover.model.matter import RowClassRules
from handover.model.policy import Period
from handover.model.stated import Hold

RULES = {name: rule for pack in packs() for name, rule in pack.retention.items()}
ON = date(2060, 1, 1)


def question(
    *rules: str,
    on: date = ON,
    triggers: dict[Trigger, date | int] | None = None,
    indivisible: bool | None = None,
    **more: object,
) -> Question:
    rows = RowClassRules(
        row_class="loans", rules=rules or None, triggers=triggers or {}, indivisible=indivisible
    )
    return Question.model_validate({"rows": rows, "on": on, "aml_obliged": "yes", "holds": ()} | more)


def decided(*rules: str, **more: object) -> Decision:
    return decide(packs(), question(*rules, **more))  # type: ignore[arg-type]


def test_the_worked_example() -> None:
    """A voucher of fiscal year 2025 is kept through 2055-12-31 and may go on 2056-01-01, not a day before."""
    last = decided("R01", on=date(2055, 12, 31), triggers={"fiscal_year": 2025})
    assert (last.rules[0].start, last.kept_through) == (date(2026, 1, 1), date(2055, 12, 31))
    assert (last.free_from, last.outcome) == (date(2056, 1, 1), "restrict")
    first = decided("R01", on=date(2056, 1, 1), triggers={"fiscal_year": 2025})
    assert (first.outcome, first.before_destruction) == ("may_erase", ("appraisal", "destruction_list"))


@pytest.mark.parametrize(
    "rule, years",
    [("R01", 30), ("R02", 30), ("R03", 10), ("R04", None), ("R05", 10), ("R06", 30), ("R07", None),
     ("R10", 10), ("R11", 10)],
)  # fmt: skip
def test_no_period_of_the_tables_before_2016_is_left(rule: str, years: int | None) -> None:
    """15 and 25 years for vouchers, books and lists, 3 and 5 for reports, 5 for identities: no longer law."""
    period = RULES[rule].period
    assert (period.years if period else None) == years
    assert RULES[rule].permanent == (years is None)


def test_every_rule_of_the_schedule_is_there() -> None:
    assert set(RULES) == {f"R{number:02}" for number in range(1, 28)}


@pytest.mark.parametrize(
    "event, period, free",
    [
        (date(2020, 5, 10), Period(years=10), date(2030, 5, 11)),
        (date(2020, 2, 28), Period(years=10), date(2030, 3, 1)),
        (date(2020, 2, 29), Period(years=10), date(2030, 3, 1)),
        (date(2023, 2, 28), Period(years=1), date(2024, 3, 1)),
        (date(2019, 12, 31), Period(years=3), date(2023, 1, 1)),
        (date(2026, 8, 30), Period(months=6), date(2027, 3, 1)),
        (date(2026, 8, 31), Period(months=6), date(2027, 3, 1)),
        (date(2026, 6, 30), Period(months=6), date(2027, 1, 1)),
        (date(2026, 12, 31), Period(months=1), date(2027, 2, 1)),
        (date(2026, 1, 1), Period(), date(2026, 1, 2)),
    ],
)
def test_the_calendars_edges(event: date, period: Period, free: date) -> None:
    start = plausible_start("created", event, ON)
    assert start is not None
    assert after(start, period) == free


@pytest.mark.parametrize(
    "trigger, value",
    [
        ("fiscal_year", None), ("fiscal_year", date(2025, 1, 1)), ("fiscal_year", 2061), ("fiscal_year", 25),
        ("created", 2025), ("created", date(2060, 1, 2)), ("created", date(1900, 1, 1)), ("created", None),
    ],
)  # fmt: skip
def test_a_start_that_cannot_be_right(trigger: str, value: date | int | None) -> None:
    assert plausible_start(trigger, value, ON) is None


def test_the_longest_minimum_wins() -> None:
    both = decided("R10", "R01", triggers={"fiscal_year": 2025, "relationship_end": date(2050, 3, 3)})
    assert both.free_from == date(2060, 3, 4)
    assert both.outcome == "restrict"


def test_permanent_never_ends() -> None:
    found = decided("R03", "R04", triggers={"fiscal_year": 1990})
    assert (found.permanent, found.free_from, found.outcome) == (True, None, "restrict")


DOUBTS = {
    "no rule": (question(), "no rule is named"),
    "a rule without period": (question("R21"), "not known"),
    "a reason to keep alone": (question("R19"), "no rule with a period"),
    "no date": (question("R01"), "missing or cannot be right"),
    "a date of another trigger": (question("R01", triggers={"created": date(2000, 1, 1)}), "missing"),
    "holds not looked up": (question("R01", triggers={"fiscal_year": 1990}, holds=None), "holds"),
    "a maximum without date": (question("R25", deletion_duty="request"), "missing"),
}


@pytest.mark.parametrize("asked, said", DOUBTS.values(), ids=DOUBTS)
def test_what_is_not_known_keeps(asked: Question, said: str) -> None:
    found = decide(packs(), asked)
    assert found.outcome == "restrict"
    assert any(said in doubt for doubt in found.doubts)


def test_an_unknown_aml_duty_is_one() -> None:
    triggers: dict[Trigger, date | int] = {"relationship_end": date(2055, 1, 1), "fiscal_year": 1990}
    for duty, outcome in (("yes", "restrict"), ("unknown", "restrict"), ("no", "may_erase")):
        assert decided("R01", "R10", triggers=triggers, aml_obliged=duty).outcome == outcome


def test_an_unknown_aml_duty_alone_lets_nothing_go() -> None:
    """Were there no duty, no rule at all would speak of these rows."""
    long_past: dict[Trigger, date | int] = {"relationship_end": date(2000, 1, 1)}
    for duty, outcome in (("yes", "may_erase"), ("unknown", "restrict"), ("no", "restrict")):
        assert decided("R10", triggers=long_past, aml_obliged=duty).outcome == outcome


def test_only_law_and_what_it_delegates_blocks_a_deletion() -> None:
    """R20 is the product's own rule, R01 a ministry's that the Accounting Law delegates."""
    loan: dict[Trigger, date | int] = {"settlement": date(2055, 1, 1), "fiscal_year": 2055}
    assert decided("R20", triggers=loan).outcome == "restrict"
    assert decided("R20", triggers=loan, deletion_duty="request").outcome == "must_erase"
    assert decided("R20", "R01", triggers=loan, deletion_duty="request").outcome == "restrict"


def test_a_hold_keeps_until_a_named_person_releases_it() -> None:
    past: dict[Trigger, date | int] = {"fiscal_year": 1990}
    hold = Hold(kind="litigation", opened=date(2050, 1, 1))
    released = hold.model_copy(update={"released_by": "法务", "released_on": ON})
    for one, outcome in (
        (hold, "restrict"),
        (hold.model_copy(update={"released_on": ON}), "restrict"),
        (released.model_copy(update={"released_on": ON + timedelta(1)}), "restrict"),
        (released, "may_erase"),
    ):
        assert decided("R01", triggers=past, holds=(one,)).outcome == outcome
    kept = decided("R01", triggers=past, holds=(hold,), deletion_duty="request")
    assert (kept.outcome, kept.open_holds) == ("restrict", ("litigation",))


def test_a_hold_by_contract_yields_to_a_deletion_duty() -> None:
    hold = Hold(kind="contract", opened=date(2050, 1, 1))
    past: dict[Trigger, date | int] = {"fiscal_year": 1990}
    assert decided("R01", triggers=past, holds=(hold,)).outcome == "restrict"
    assert decided("R01", triggers=past, holds=(hold,), deletion_duty="request").outcome == "must_erase"


def test_a_maximum_against_a_minimum_is_split_by_field() -> None:
    dates: dict[Trigger, date | int] = {"fiscal_year": 2055, "event_end": date(2050, 1, 1)}
    outcomes = {
        whole: decided("R01", "R14", triggers=dates, indivisible=whole).outcome
        for whole in (False, True, None)
    }
    assert outcomes == {False: "split", True: "restrict", None: "restrict"}
    assert decided("R14", triggers=dates).outcome == "must_erase"
    assert decided("R14", triggers=dates).erase_by == date(2055, 1, 2)
    assert decided("R14", triggers={"event_end": date(2059, 1, 1)}).outcome == "restrict"


def test_what_is_never_kept_goes_at_once_but_for_a_hold() -> None:
    assert decided("R27").outcome == "must_erase"
    assert decided("R27", holds=(Hold(kind="inquiry", opened=ON),)).outcome == "restrict"


def test_a_reference_is_what_it_refers_to() -> None:
    found = decided("R23", "R01", triggers={"fiscal_year": 2025})
    assert [one.rule for one in found.rules] == ["R01", "R02", "R03", "R04", "R05", "R06", "R07"]


def test_a_decision_is_replayed_from_its_own_record() -> None:
    found = decided("R01", "R20", triggers={"fiscal_year": 2025, "settlement": date(2030, 1, 1)})
    again = Decision.model_validate_json(found.model_dump_json())
    assert again == found
    assert replay(again, packs())
    assert not replay(again.model_copy(update={"outcome": "must_erase"}), packs())
    changed = [pack.model_copy(update={"title": {"zh": "改", "en": "changed"}}) for pack in packs()]
    assert not replay(again, changed)


def test_unknown_ids_are_refused() -> None:
    with pytest.raises(PolicyInvalid, match="rule R99 is in none"):
        decided("R99")
    with pytest.raises(PolicyInvalid, match="hold 'mood' is in none"):
        decided("R01", holds=(Hold(kind="mood", opened=ON),))
