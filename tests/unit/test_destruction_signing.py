"""The acts on a destruction list in a real ledger: guarded when written, judged again when read."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fixtures.destruction import (
    appraisal,
    archived,
    destruction_list,
    execution,
    opinion,
    precheck,
    supervised,
    volume,
)
from fixtures.runs import Runner
from handover.errors import HandoverError, LedgerRefused, NotReady
from handover.law.facts import DataFacts, Facts
from handover.model.destruction import ToDestroy
from handover.model.destruction_acts import Listed, kind_of
from handover.model.destruction_list import OPINIONS, DestructionList, HoldCheck
from handover.model.matter import Matter
from handover.stages.context import Context
from handover.stages.destruction_signing import (
    SIGNATURES_NAME,
    destruction_documents,
    destruction_standing,
    register,
    require_destruction_cleared,
    with_destruction_list,
)
from handover.stages.facts import legal_day

TODAY = legal_day()
YESTERDAY = TODAY - timedelta(days=1)
MADE = destruction_list(
    compiled_on=YESTERDAY,
    volumes=tuple(volume(n, 2, destroy_on=YESTERDAY, holds=HoldCheck(on=YESTERDAY)) for n in (1, 2)),
)
WANTED = [ToDestroy("old vouchers", "账务.vouchers", 2400, needs_list=True)]


def checked(context: Context) -> None:
    """Everything before the destruction."""
    register(context, Listed(list=MADE))
    register(context, appraisal(MADE, on=TODAY))
    for role in OPINIONS:
        register(context, opinion(MADE, role, on=TODAY))
    for supervisor in MADE.supervisors:
        register(context, precheck(MADE, supervisor, on=TODAY))


def executed(context: Context) -> None:
    started = datetime.now(UTC)
    act = execution(MADE, started=started, finished=datetime.now(UTC), holds=HoldCheck(on=TODAY))
    register(context, act)


def test_a_whole_course_in_the_ledger(runner: Runner) -> None:
    context = runner.open()
    assert destruction_documents(context) == {}
    with pytest.raises(NotReady, match="missing: a destruction list"):
        register(context, opinion(MADE, "unit_head", on=TODAY))
    with pytest.raises(NotReady, match="cannot be destroyed; missing: a destruction list"):
        require_destruction_cleared(context, WANTED, {})
    checked(context)
    require_destruction_cleared(context, WANTED, {})
    with pytest.raises(NotReady, match=r"open matters \(lawsuit\)"):
        require_destruction_cleared(context, WANTED, {("PZ", 1): ("lawsuit",)})
    with pytest.raises(NotReady, match="missing: the destruction itself"):
        register(context, supervised(MADE, "archive_supervisor", on=TODAY))
    executed(context)
    for role in MADE.supervisors:
        register(context, supervised(MADE, role, on=TODAY))
    done = register(context, archived(MADE, on=TODAY))
    assert (done.state, done.faults, done.missing) == ("archived", (), ())
    assert runner.open("run-2").entries("destruction-list") == []
    _check_documents(context, MADE)


def _check_documents(context: Context, made: DestructionList) -> None:
    files = destruction_documents(context)
    assert set(files) == {
        "destruction-list.json", "destruction-list.html", "destruction-list.pdf", SIGNATURES_NAME
    }  # fmt: skip
    assert files["destruction-list.json"] == made.json_bytes
    said = json.loads(files[SIGNATURES_NAME])
    assert (said["state"], said["list"], len(said["acts"])) == ("archived", made.sha256, 14)
    facts = with_destruction_list(
        context, Facts(transaction="deregistration", on=TODAY, matter=Matter(), data=DataFacts())
    )
    (document,) = facts.matter.documents
    assert document.clauses == (*OPINIONS, *made.supervisors)
    assert facts.verified[-1].sha256 == made.sha256


def test_an_entry_past_the_guard_is_named_and_counts_for_nothing(runner: Runner) -> None:
    context = runner.open()
    register(context, Listed(list=MADE))
    forged = supervised(MADE, "archive_supervisor", on=TODAY)
    context.record(kind_of(forged), forged.document())
    now = destruction_standing(context)
    assert now.state == "draft"
    assert len(now.faults) == 1
    assert "the appraisal opinion (鉴定意见书) was missing" in now.faults[0]
    assert register(context, appraisal(MADE, on=TODAY)).state == "appraised"


def test_two_who_sign_for_one_office_at_once(runner: Runner) -> None:
    """The ledger takes one of them, whatever both saw before."""
    context = runner.open()
    register(context, Listed(list=MADE))
    register(context, appraisal(MADE, on=TODAY))

    def give(name: str) -> str:
        try:
            return register(context, opinion(MADE, "unit_head", name=name, on=TODAY)).state
        except HandoverError as error:
            return type(error).__name__

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(give, ("甲", "乙")))
    assert said == ["LedgerRefused", "appraised"]
    assert len(context.entries("destruction-opinion")) == 1


def test_numbers_of_persons_do_not_enter_the_ledger(runner: Runner) -> None:
    context = runner.open()
    register(context, Listed(list=MADE))
    for changes in ({"members": ("甲 11010519491231002X",)}, {"file": "13800138000.pdf"}):
        with pytest.raises(LedgerRefused, match="names personal data") as error:
            register(context, appraisal(MADE, on=TODAY, **changes))
        assert "110105" not in str(error.value)
        assert "13800" not in str(error.value)
    assert context.entries("destruction-appraisal") == []


def test_an_aborted_run_takes_no_more_acts(runner: Runner, tmp_path: Path) -> None:
    context = runner.open()
    context.record("run-aborted", {"reason": "test"})
    with pytest.raises(NotReady, match="was aborted"):
        register(context, Listed(list=MADE))
