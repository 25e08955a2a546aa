"""The lock before any disposal: each thing that is missing keeps it shut."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from fixtures.contents import contents
from fixtures.disposed import (
    APPROVALS,
    Disposing,
    delivered,
    disposing_case,
    fill,
    matter,
    open_disposing,
    say,
)
from fixtures.lawful import planned
from fixtures.runs import Runner, rechecked
from handover.errors import GateBlocked, HandoverError, NotReady
from handover.model.approval import Approvals
from handover.model.plan import ClassRows
from handover.postgres.freezing import thaw
from handover.postgres.session import connect
from handover.stages.approval_question import question
from handover.stages.approval_standing import standing
from handover.stages.approvals import Answer, Outcome, record_answer
from handover.stages.context import Context
from handover.stages.disposal import (
    is_open,
    kept_by_law,
    open_disposal,
    require_disposal,
    require_law,
)
from handover.stages.freezing import freeze_source


@pytest.fixture
def company(runner: Runner) -> Disposing:
    """A runner whose source is filled."""
    return fill(runner)


def shut(context: Context) -> HandoverError:
    """Return why the lock is shut; nothing was opened by trying."""
    with pytest.raises((NotReady, GateBlocked)) as raised:
        open_disposal(context)
    assert not is_open(context)
    return raised.value


def test_the_lock_opens_for_all_of_it_and_nothing_less(company: Disposing) -> None:
    approvals = {**APPROVALS, "dispose": {**APPROVALS["dispose"], "count": 1}}
    context = open_disposing(company, approvals=approvals)
    assert "no requested" in shut(context).message
    delivered(context)
    assert context.plan().disposes
    assert "accept is not approved" in shut(context).message
    with pytest.raises(NotReady, match="has not accepted what was delivered"):
        standing(context, "dispose")
    say(context, "accept", "receiver")
    # The case says one, but the map of the plan holds something sensitive.
    assert "dispose is not approved: 0 of 2" in shut(context).message
    refused_answers(context)
    text = question(context, standing(context, "dispose"))
    assert "| s.person | settled | 5 | pseudonymised 去标识化 |" in text
    assert "active" not in text
    say(context, "dispose", "first")
    assert "dispose is not approved: 1 of 2" in shut(context).message
    say(context, "dispose", "second")
    a_result_of_later_is_approved_anew(context)
    an_open_freeze_shuts_it(context)
    before = contents(context.source)
    open_disposal(context)
    open_disposal(context)
    assert is_open(context)
    assert contents(context.source) == before
    (heard, *_) = [entry.body for entry in context.entries("disposal-heard") if not entry.body["kept"]]
    assert heard["outcomes"] == [["settled", "may_erase"], ["traces", "may_erase"]]
    assert require_disposal(context).plan == context.plan()


def refused_answers(context: Context) -> None:
    """Answers that do not count: of the requester, of the receiving side, to another digest."""
    code = standing(context, "dispose").code
    for name, given in (("asker", code), ("receiver", code), ("first", "0" * 16)):
        answer = Answer(name, name, "a.Manager", True, given, "as agreed", datetime.now(UTC))
        assert record_answer(context, "dispose", answer).outcome is Outcome.REJECTED


def a_result_of_later_is_approved_anew(context: Context) -> None:
    """Reading the source again makes another result, so that acceptance and disposal are asked again."""
    require_disposal(context)
    rechecked(context)
    assert "accept is not approved" in shut(context).message
    say(context, "accept", "receiver")
    assert "dispose is not approved: 0 of 2" in shut(context).message
    say(context, "dispose", "first")
    say(context, "dispose", "second")
    require_disposal(context)


def an_open_freeze_shuts_it(context: Context) -> None:
    with connect(context.source) as source:
        thaw(source, f"case {context.case.case}, run {context.run}")
    assert "s.person is not frozen" in shut(context).message
    freeze_source(context)
    require_disposal(context)


HOLD = {"kind": "litigation", "opened": "2026-01-01", "row_classes": ["settled"]}
LAW: dict[str, tuple[dict[str, Any], str]] = {
    "a hold": ({"matter": matter() | {"holds": [HOLD]}}, "row class settled is to be pseudonymised"),
    "nobody to judge": ({"policy": [], "matter": {}}, "nobody has judged"),
}


@pytest.mark.parametrize("changes, said", LAW.values(), ids=LAW)
def test_what_the_law_keeps_stays(company: Disposing, changes: dict[str, Any], said: str) -> None:
    context = company.open("draft", **(disposing_case() | changes))
    planned(context)
    with pytest.raises(GateBlocked, match=said):
        require_law(context)
    heard = context.entries("disposal-heard")
    assert [bool(entry.body["kept"]) for entry in heard] == ([True] if context.case.policy else [])


def going(name: str, source: Any = "erase") -> ClassRows:
    return ClassRows(name=name, target="copy", source=source, rows=1)


def test_only_what_somebody_judged_to_be_free_goes() -> None:
    classes = [going("a"), going("b", "pseudonymise"), going("c", "keep"), going("d", "restrict"), going("a")]
    assert kept_by_law(classes, {"a": "may_erase", "b": "must_erase"}) == []
    assert kept_by_law(classes, {"a": "restrict", "b": None}) == [
        "row class a is to be erased, its retention decision is restrict",
        "row class b is to be pseudonymised, its retention decision is not known",
    ]
    assert len(kept_by_law(classes, {"a": "split"})) == 2


def test_nothing_goes_where_the_case_asks_nobody(company: Disposing) -> None:
    for approvals, said in ((None, "asks nobody"), ({**APPROVALS, "dispose": None}, "say yes to dispose")):
        context = company.open(f"run-{said[0]}", **(disposing_case() | {"approvals": approvals}))
        with pytest.raises(NotReady, match=said):
            require_disposal(context) if approvals is None else standing(context, "dispose")


@pytest.mark.parametrize("account", ["receiver", "RECEIVER"])
def test_who_receives_cannot_let_rows_go(account: str) -> None:
    with pytest.raises(ValidationError, match="stands under dispose and under accept"):
        Approvals.model_validate({**APPROVALS, "dispose": {"approvers": [account]}})
