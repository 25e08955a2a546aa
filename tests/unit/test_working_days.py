"""Working days: the announced holidays, the weekends worked for them, and years that nobody announced yet."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from handover.errors import PolicyInvalid
from handover.law.working_days import FILE, WorkingDays, load_working_days
from handover.model.policy import Clock
from handover.settings import REPOSITORY

POLICIES = REPOSITORY / "include" / "policies"


@pytest.fixture(scope="module")
def calendar() -> WorkingDays:
    return load_working_days(POLICIES)


def days_of(year: int) -> list[date]:
    first = date(year, 1, 1)
    return [first + timedelta(days=n) for n in range((date(year + 1, 1, 1) - first).days)]


@pytest.mark.parametrize(
    ("day", "works"),
    [
        (date(2025, 1, 1), False),
        (date(2025, 1, 2), True),
        (date(2025, 1, 26), True),  # a Sunday worked for Spring Festival
        (date(2025, 10, 8), False),
        (date(2026, 2, 14), True),  # a Saturday
        (date(2026, 2, 23), False),
        (date(2026, 2, 24), True),
        (date(2026, 6, 19), False),
        (date(2026, 11, 21), False),  # an ordinary Saturday
        (date(2026, 11, 23), True),
    ],
)
def test_announced_days(calendar: WorkingDays, day: date, works: bool) -> None:
    assert calendar.is_working_day(day) is works


@pytest.mark.parametrize(("year", "number"), [(2025, 248), (2026, 248)])
def test_each_year_has_as_many_working_days_as_the_law_leaves(
    calendar: WorkingDays, year: int, number: int
) -> None:
    """13 days off by law: those that fall on a weekend are made up for, none is added."""
    days = days_of(year)
    weekdays = sum(day.weekday() < 5 for day in days)
    assert weekdays - 13 == number
    assert sum(map(calendar.is_working_day, days)) == number


def test_the_day_of_the_event_does_not_count(calendar: WorkingDays) -> None:
    assert calendar.add_working_days(date(2026, 11, 20), 1).day == date(2026, 11, 23)
    assert calendar.add_working_days(date(2026, 11, 20), 0).day == date(2026, 11, 20)


def test_a_long_holiday_is_left_out_and_a_worked_weekend_counts(calendar: WorkingDays) -> None:
    # 24, 28, 29, 30 September 2026, then 8, 9 and 10 October: the 20th lies before.
    assert calendar.add_working_days(date(2026, 9, 23), 7).day == date(2026, 10, 10)
    assert calendar.add_working_days(date(2026, 9, 23), 7).said is None


def test_every_day_of_an_unknown_year_counts_and_it_is_said(calendar: WorkingDays) -> None:
    assert not calendar.knows(date(2027, 1, 1))
    found = calendar.add_working_days(date(2026, 12, 31), 15)
    assert found.day == date(2027, 1, 15)
    assert found.said
    assert "2027" in found.said.en and "2027" in found.said.zh


@pytest.mark.parametrize(
    ("amount", "unit", "day"),
    [
        (3, "working_days", date(2026, 1, 6)),  # the 4th is a Sunday worked
        (15, "days", date(2026, 1, 16)),
        (1, "months", date(2026, 2, 1)),
        (4, "hours", date(2026, 1, 1)),
        (48, "hours", date(2026, 1, 3)),
    ],
)
def test_clocks_of_policies(calendar: WorkingDays, amount: int, unit: str, day: date) -> None:
    basis = {"source": "x", "status": "V3", "verified": "2026-01-01"}
    label = {"zh": "期限", "en": "deadline"}
    clock = Clock.model_validate(
        {"basis": basis, "label": label, "amount": amount, "unit": unit, "after": "event"}
    )
    assert calendar.due(clock, date(2026, 1, 1)).day == day


def test_a_month_is_never_cut_short(calendar: WorkingDays) -> None:
    basis = {"source": "x", "status": "V3", "verified": "2026-01-01"}
    month = {
        "basis": basis,
        "label": {"zh": "月", "en": "month"},
        "amount": 1,
        "unit": "months",
        "after": "e",
    }
    with pytest.raises(ValueError, match="after"):
        Clock.model_validate(month | {"after": ""})
    assert calendar.due(Clock.model_validate(month | {"after": "event"}), date(2026, 1, 31)).day >= date(
        2026, 2, 28
    )


def changed(tmp_path: Path, **changes: Any) -> Path:
    document = yaml.safe_load((POLICIES / FILE).read_text(encoding="utf-8"))
    document["years"][2026] |= changes
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return tmp_path


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "another year": ({"worked": [date(2025, 1, 4)]}, "day of another year"),
    "no weekend": ({"worked": [date(2026, 1, 5)]}, "no weekend"),
    "a holiday": ({"worked": [date(2026, 2, 15)]}, "or a holiday"),
    "backwards": (
        {
            "holidays": [
                {"name": {"zh": "节", "en": "x"}, "first": date(2026, 1, 3), "last": date(2026, 1, 1)}
            ]
        },
        "ends before it begins",
    ),
    "unknown key": ({"days_off": []}, "days_off"),
}


@pytest.mark.parametrize(("changes", "said"), BROKEN.values(), ids=BROKEN)
def test_a_wrong_calendar_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyInvalid, match=said):
        load_working_days(changed(tmp_path, **changes))


def test_without_the_file_nobody_guesses(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        load_working_days(tmp_path)


def test_the_packs_are_still_found_beside_it() -> None:
    from handover.law.packs import load_packs

    assert all(pack.pack != "cn-working-days" for pack in load_packs(POLICIES))
