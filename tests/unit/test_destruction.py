"""A destruction list of accounting archives as a state machine: who moves it when, what never counts."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from fixtures.destruction import (
    DIGEST,
    TODAY,
    appraisal,
    archived,
    at,
    course,
    destruction_list,
    execution,
    opinion,
    precheck,
    supervised,
    volume,
)
from handover.errors import LedgerRefused, NotReady
from handover.model.destruction import ToDestroy, require_allowed, require_cleared, standing
from handover.model.destruction_acts import ACTS, Act, Destroyed, Execution, Listed, PreCheck, kind_of
from handover.model.destruction_list import OPINIONS, SUPERVISORS, DestructionList, HoldCheck
from handover.model.destruction_standing import STATES, Recorded, Standing

MADE = destruction_list()
COURSE = course(MADE)
TOMORROW = TODAY + timedelta(days=1)
PAPER = destruction_list(volumes=(volume(1, 2, kind="paper", medium="纸质", format="纸质"),))


def until(kind: type[Act], made: DestructionList = MADE) -> Standing:
    """The standing just before the first act of a kind."""
    acts = course(made)
    end = next(number for number, one in enumerate(acts) if isinstance(one.act, kind))
    return standing(acts[:end])


def refusal(now: Standing, act: Act, hour: int = 14) -> str:
    with pytest.raises((LedgerRefused, NotReady)) as error:
        require_allowed(now, Recorded(at(hour), act))
    return error.value.message


# -- the course ---------------------------------------------------------------------------------------------


def test_a_list_goes_through_all_states_in_order() -> None:
    states = [standing(COURSE[:count]).state for count in range(len(COURSE) + 1)]
    assert list(dict.fromkeys(states)) == list(STATES)
    done = standing(COURSE)
    assert (done.missing, done.faults) == ((), ())
    for count, one in enumerate(COURSE):
        require_allowed(standing(COURSE[:count]), one)


def test_the_same_acts_read_back_from_text_give_the_same_standing() -> None:
    again = [
        replace(one, act=ACTS[kind_of(one.act)].model_validate_json(one.act.model_dump_json()))
        for one in COURSE
    ]
    assert standing(again) == standing(COURSE)


@pytest.mark.parametrize("left_out", range(1, len(COURSE)))
def test_without_any_one_act_the_list_is_never_archived(left_out: int) -> None:
    got = standing([*COURSE[:left_out], *COURSE[left_out + 1 :]])
    assert got.state == standing(COURSE[:left_out]).state
    assert bool(got.faults) == (left_out < len(COURSE) - 1)


@pytest.mark.parametrize("count", range(len(COURSE) - 1))
def test_no_state_is_jumped_over_and_what_is_missing_is_named(count: int) -> None:
    """Every act that belongs to a later state is refused, with who or what is missing."""
    now = standing(COURSE[:count])
    for later in COURSE[count + 1 :]:
        if kind_of(later.act) == kind_of(COURSE[count].act):
            continue
        with pytest.raises(NotReady) as error:
            require_allowed(now, later)
        assert error.value.data["missing"] == list(now.missing) != []


def test_nothing_can_be_said_of_a_list_that_was_not_made() -> None:
    assert "a destruction list (销毁清册)" in refusal(Standing(), appraisal(MADE))
    assert Standing().state == "none"


def test_a_paper_list_needs_no_supervisor_of_information_systems() -> None:
    assert MADE.supervisors == tuple(SUPERVISORS)
    assert PAPER.supervisors == ("archive_supervisor", "accounting_supervisor")
    assert standing(course(PAPER)).state == "archived"
    assert "this list has none" in refusal(until(PreCheck, PAPER), precheck(PAPER, "system_supervisor"))


def test_each_missing_person_is_named_in_both_languages() -> None:
    now = standing(COURSE[:4])
    assert now.missing == (
        "the opinion of accounting_head (会计管理机构负责人)",
        "the opinion of archive_handler (档案管理机构经办人)",
        "the opinion of accounting_handler (会计管理机构经办人)",
    )


# -- bound to the digest ------------------------------------------------------------------------------------


def test_a_list_made_anew_has_no_opinion_and_old_ones_count_no_more() -> None:
    anew = destruction_list(edition=2, annex=())
    assert anew.sha256 != MADE.sha256
    acts = [*COURSE[:10], Recorded(at(13), Listed(list=anew))]
    assert (standing(acts).state, standing(acts).made) == ("draft", anew)
    old = Recorded(at(13, 1), opinion(MADE, "unit_head"))
    assert standing([*acts, old]).faults == (
        f"destruction-opinion of {TODAY}: bound to list {MADE.sha256[:12]}…, not to the one in force",
    )
    assert "not to the one in force" in refusal(standing(acts), old.act)


def test_one_changed_word_changes_what_opinions_are_bound_to() -> None:
    for changed in ({"title": "x"}, {"annex": ()}, {"volumes": (volume(1, 2),)}, {"edition": 2}):
        assert destruction_list(**changed).sha256 != MADE.sha256
    assert DestructionList.model_validate_json(MADE.json_bytes).sha256 == MADE.sha256


def test_an_executed_list_is_never_made_anew() -> None:
    anew = Listed(list=destruction_list(edition=2))
    assert "was executed" in refusal(standing(COURSE[:11]), anew)
    got = standing([*COURSE[:11], Recorded(at(15), anew), *COURSE[11:]])
    assert (got.state, got.made, len(got.faults)) == ("archived", MADE, 1)
    assert "does not follow edition 1" in refusal(standing(COURSE[:3]), Listed(list=MADE))
    late = destruction_list(edition=2, compiled_on=TOMORROW, volumes=(volume(destroy_on=TOMORROW),))
    assert "a day to come" in refusal(standing(COURSE[:3]), Listed(list=late))


# -- who ----------------------------------------------------------------------------------------------------

OPINED, CHECKED = until(PreCheck), until(Execution)


@pytest.mark.parametrize(
    ("now", "act", "said"),
    [
        (standing(COURSE[:3]), opinion(MADE, "archive_head", name="意见 UNIT_head"), "is the same person"),
        (standing(COURSE[:2]), opinion(MADE, "unit_head", name="申请 甲"), "who asked for the destruction"),
        (standing(COURSE[:3]), opinion(MADE, "unit_head", agrees=False), "unit_head has given an opinion"),
        (standing(COURSE[:2]), appraisal(MADE), "was appraised already"),
        (standing(COURSE[:1]), appraisal(MADE, number="JD-2"), "rests on appraisal JD-2026-1, this is JD-2"),
        (OPINED, precheck(MADE, "archive_supervisor", name="申请甲"), "does not supervise it"),
        (standing(COURSE[:8]), precheck(MADE, "archive_supervisor", name="其他"), "has checked this list"),
        (
            standing(COURSE[:8]),
            precheck(MADE, "system_supervisor", name="监销 archive_supervisor"),
            "archive_supervisor is the same person",
        ),
        (CHECKED, execution(MADE, executors=("甲", "监销system_supervisor")), "nobody supervises himself"),
        (standing(COURSE[:11]), execution(MADE), "was executed already"),
        (
            standing(COURSE[:11]),
            supervised(MADE, "archive_supervisor", name="别人"),
            "who checked before signs after",
        ),
        (standing(COURSE[:12]), supervised(MADE, "archive_supervisor"), "has signed already"),
        (standing(COURSE), archived(MADE), "was archived already"),
    ],
)  # fmt: skip
def test_who_may_not_is_refused(now: Standing, act: Act, said: str) -> None:
    assert said in refusal(now, act)
    # Written past the guard, it still counts for nothing.
    forged = standing([COURSE[0], *now.recorded, Recorded(at(14), act)])
    assert any(said in fault for fault in forged.faults)
    assert forged.state == now.state


def test_who_asked_may_be_the_handler_who_compiled_it_and_execute_it() -> None:
    require_allowed(standing(COURSE[:2]), Recorded(at(9, 2), opinion(MADE, "archive_handler", name="申请甲")))
    require_allowed(CHECKED, Recorded(at(12), execution(MADE, executors=("申请甲",))))


def test_who_does_not_agree_stops_the_list() -> None:
    no = Recorded(at(9, 3), opinion(MADE, "archive_head", agrees=False))
    acts = [*COURSE[:3], no, *COURSE[4:7]]
    assert standing(acts).state == "appraised"
    assert standing(acts).missing == ("archive_head (档案管理机构负责人) does not agree: a list made anew",)
    unequal = Recorded(at(9, 9), precheck(MADE, "system_supervisor", agrees=False))
    assert "system_supervisor" in standing([*COURSE[:9], unequal]).missing[0]
    assert "does not agree" in refusal(standing([*COURSE[:9], unequal]), execution(MADE))


# -- when ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "act", "said"),
    [
        (standing(COURSE[:1]), appraisal(MADE, on=TODAY - timedelta(days=1)), "is before the list"),
        (standing(COURSE[:2]), opinion(MADE, "unit_head", on=TOMORROW), "a day to come"),
        (CHECKED, execution(MADE, started=at(9), finished=at(11)), "before the supervisors' check"),
        (CHECKED, execution(MADE, finished=at(15)), "ends after it was registered"),
        (
            CHECKED,
            execution(MADE, holds=HoldCheck(on=TODAY - timedelta(days=1))),
            "last looked up on 2026-11-22, before it began",
        ),
        (
            CHECKED,
            execution(MADE, holds=HoldCheck(on=TODAY, open=("lawsuit",))),
            "open matters were found (lawsuit) and nothing stayed",
        ),
        (
            standing(COURSE[:11]),
            supervised(MADE, "archive_supervisor", on=TODAY - timedelta(days=1)),
            "signed before the destruction was finished",
        ),
    ],
)
def test_what_comes_at_a_wrong_time_is_refused(now: Standing, act: Act, said: str) -> None:
    assert said in refusal(now, act)


def test_a_signature_registered_while_the_destruction_runs_is_refused() -> None:
    early = Recorded(at(10, 30), supervised(MADE, "archive_supervisor"))
    with pytest.raises(LedgerRefused, match="before the destruction was finished"):
        require_allowed(standing(COURSE[:11]), early)


def test_opinions_follow_each_other_by_their_days() -> None:
    # The appraisal of the 24th, an opinion that says it was given on the 23rd.
    acts = [COURSE[0], Recorded(at(9) + timedelta(days=1), appraisal(MADE, on=TOMORROW))]
    one = Recorded(at(10) + timedelta(days=1), opinion(MADE, "unit_head"))
    with pytest.raises(LedgerRefused, match="2026-11-23 is before the appraisal of 2026-11-24"):
        require_allowed(standing(acts), one)


def test_what_may_go_tomorrow_does_not_go_today() -> None:
    made = destruction_list(volumes=(volume(1, 2), volume(2, 2, destroy_on=TOMORROW)))
    assert "may go from 2026-11-24" in refusal(until(Execution, made), execution(made))


# -- how much -----------------------------------------------------------------------------------------------


def rows(table: str, count: int, **changes: Any) -> Destroyed:
    return Destroyed(row_class="old vouchers", table=table, rows=count, **changes)


@pytest.mark.parametrize(
    ("destroyed", "said"),
    [
        ((rows("账务.vouchers", 2400),), "账务.lines of class old vouchers: 0 rows destroyed and 0 stayed"),
        ((rows("账务.vouchers", 2401), rows("账务.lines", 6800)), "2401 rows destroyed and 0 stayed, 2400"),
        (
            (rows("账务.vouchers", 2400), rows("账务.lines", 6800), rows("账务.loans", 1)),
            "账务.loans of class old vouchers was destroyed and is not listed",
        ),
        ((rows("账务.vouchers", 1200), rows("账务.vouchers", 1200)), "counted twice"),
    ],
)
def test_more_less_or_other_rows_than_listed_are_refused(destroyed: Any, said: str) -> None:
    assert said in refusal(CHECKED, execution(MADE, destroyed=destroyed))


def test_rows_that_stayed_are_counted_and_say_why() -> None:
    kept = rows("账务.vouchers", 2399, stayed=1, because="a hold came while it ran")
    act = execution(
        MADE, destroyed=(kept, rows("账务.lines", 6800)), holds=HoldCheck(on=TODAY, open=("lawsuit",))
    )
    require_allowed(CHECKED, Recorded(at(14), act))
    with pytest.raises(ValidationError, match="say under because"):
        rows("账务.vouchers", 2399, stayed=1)
    with pytest.raises(ValidationError, match="finished is before started"):
        execution(MADE, finished=at(9))


# -- what may stand on a list -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"required_years": None, "keep_until": None}, "is kept permanently"),
        ({"required_years": None}, "is kept permanently"),
        ({"keep_until": None}, "is kept permanently"),
        ({"keep_until": TODAY}, "must be kept until 2026-11-23"),
        ({"keep_until": date(2055, 12, 31)}, "must be kept until 2055-12-31"),
        ({"holds": HoldCheck(on=TODAY, open=("unsettled",))}, r"open matters \(unsettled\); .*annex"),
        ({"number": 3}, "is no volume"),
        ({"first_year": 1999}, "is no volume"),
    ],
)
def test_what_must_be_kept_cannot_be_listed(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        volume(**changes)


def test_the_day_after_the_period_is_the_first_day_of_destruction() -> None:
    assert volume(keep_until=TODAY - timedelta(days=1)).destroy_on == TODAY


def test_a_volume_stands_once_and_its_holds_are_looked_up_before() -> None:
    with pytest.raises(ValidationError, match="listed twice"):
        destruction_list(volumes=(volume(1), volume(1)))
    with pytest.raises(ValidationError, match="looked up first"):
        destruction_list(volumes=(volume(holds=HoldCheck(on=TOMORROW)),))
    with pytest.raises(ValidationError, match="looked up first"):
        destruction_list(compiled_on=TOMORROW)


# -- the gate before the erasing ----------------------------------------------------------------------------

WANTED = [
    ToDestroy("old vouchers", "账务.vouchers", 2400, needs_list=True),
    ToDestroy("old vouchers", "账务.lines", 6800, needs_list=True),
    ToDestroy("former customers", "客户.customers", 5, needs_list=False),
]


def missing(now: Standing, wanted: list[ToDestroy], on: date = TODAY, **open_now: Any) -> list[str]:
    with pytest.raises(NotReady) as error:
        require_cleared(now, wanted, on, open_now.get("open_now", {}))
    found: list[str] = error.value.data["missing"]  # type: ignore[assignment]
    return found


def test_accounting_classes_go_only_by_a_checked_list() -> None:
    require_cleared(CHECKED, WANTED, TODAY, {})
    for count in range(10):
        assert missing(standing(COURSE[:count]), WANTED)[0] == standing(COURSE[:count]).missing[0]
    for count in range(11, len(COURSE) + 1):
        assert missing(standing(COURSE[:count]), WANTED) == ["a new list: the one in force was executed"]
    others = [replace(one, needs_list=False) for one in WANTED]
    require_cleared(Standing(), others, TODAY, {})
    require_cleared(Standing(), [replace(WANTED[0], rows=0)], TODAY, {})


def test_more_than_listed_is_not_cleared() -> None:
    more = [WANTED[0], replace(WANTED[0], rows=1)]
    assert missing(CHECKED, more) == ["2401 rows of 账务.vouchers in class old vouchers: the list has 2400"]
    other = [replace(WANTED[0], row_class="young vouchers")]
    assert missing(CHECKED, other) == ["2400 rows of 账务.vouchers in class young vouchers: the list has 0"]


def test_an_open_matter_found_at_the_last_moment_stops_it() -> None:
    found = missing(CHECKED, WANTED, open_now={("PZ", 2): ["lawsuit"]})
    assert found == [
        "PZ 会计凭证 / vouchers, volume 2 of 2: open matters (lawsuit); "
        "pull it out and make the list anew (ACC-19)"
    ]
    require_cleared(CHECKED, WANTED, TODAY, {("PZ", 9): ["lawsuit"], ("PZ", 1): []})


def test_it_is_cleared_from_its_day_on() -> None:
    made = destruction_list(volumes=(volume(1, 2), volume(2, 2, destroy_on=TOMORROW)))
    now = until(Execution, made)
    assert missing(now, WANTED) == ["the day: what is listed may go from 2026-11-24, not on 2026-11-23"]
    require_cleared(now, WANTED, TOMORROW, {})


def test_the_roles_are_the_clauses_that_the_gates_ask_for() -> None:
    from fixtures.matters import packs

    gates = {name: gate for pack in packs() for name, gate in pack.gates.items()}
    asked = str(gates["ACC-18"].check)
    assert all(f"'{role}'" in asked for role in OPINIONS)
    assert all(f"'{role}'" in str(gates["ACC-18.supervised"].check) for role in SUPERVISORS)
    assert DIGEST  # the sample's digests are not empty
