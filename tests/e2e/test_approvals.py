"""Approvals from the ledger alone: who may say yes, to what, for how long; no other answer opens anything."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from fixtures.lawful import NONE, data_map, write_map
from fixtures.runs import Runner
from handover.errors import CaseInvalid, HandoverError, LedgerRefused, NotReady
from handover.model.case import Case, parse_case
from handover.settings import REPOSITORY
from handover.stages.approval_question import question
from handover.stages.approval_standing import given_before, standing
from handover.stages.approvals import (
    Answer,
    Outcome,
    Recorded,
    ask,
    open_round,
    record_answer,
    record_requester,
    require_approval,
)
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.plan import plan

APPROVALS = {
    "execute": {"approvers": ["asker", "first", {"name": "second", "id": "7"}], "count": 2},
    "accept": {"approvers": ["receiver"]},
}


@pytest.fixture
def run(runner: Runner) -> Context:
    """A planned run that the account ``asker`` asked for."""
    return planned(runner, APPROVALS)


def planned(runner: Runner, approvals: object) -> Context:
    """Plan a run of a case with these approvals."""
    with psycopg.connect(runner.urls["src"]) as source:
        source.execute("CREATE SCHEMA IF NOT EXISTS s")
        source.execute('CREATE TABLE IF NOT EXISTS s."a|b <i>" (id int PRIMARY KEY)')
    context = runner.open(approvals=approvals)
    record_requester(context, "asker")
    inventory(context)
    plan(context)
    return context


def say(context: Context, name: str, account_id: str = "", **other: Any) -> Recorded:
    """Answer to the plan; a yes with everything in order unless told otherwise."""
    code = standing(context, "execute").code
    answer = Answer(name, account_id or name, "a.Manager", True, code, "as agreed 已核对", datetime.now(UTC))
    return record_answer(context, "execute", replace(answer, **other))


def is_shut(context: Context) -> bool:
    """Say whether the copy is still locked."""
    try:
        require_approval(context, "execute")
    except NotReady:
        return True
    return False


def test_two_different_others_open_the_lock(run: Context) -> None:
    assert is_shut(run)
    assert say(run, "first").outcome is Outcome.APPROVED
    assert is_shut(run)
    assert say(run, "second", "7").outcome is Outcome.APPROVED
    assert not is_shut(run)


def test_what_may_be_sensitive_needs_two_whatever_the_case_says(runner: Runner) -> None:
    run = planned(runner, {**APPROVALS, "execute": {"approvers": ["first", "second"], "count": 1}})
    say(run, "first")
    assert is_shut(run)


def test_a_data_map_that_was_changed_after_planning_does_not_make_one_enough(runner: Runner) -> None:
    run = planned(runner, {**APPROVALS, "execute": {"approvers": ["first", "second"], "count": 1}})
    one = {"table": "s.a|b <i>", "purpose": "tests", "origin": "tests", "columns": {"id": NONE}}
    write_map(runner.home, {**data_map(), "datasets": [one]})  # nothing in it is sensitive
    run = replace(run, settings=replace(run.settings, datamaps=runner.home / "datamaps"))
    say(run, "first")
    assert is_shut(run)
    plan(run)
    say(run, "first")
    assert not is_shut(run)


LATE = timedelta(hours=72)
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "the requester": ("asker", {}, "requester cannot approve"),
    "the requester in other letters": ("ASKER", {}, "requester cannot approve"),
    "a stranger": ("mallory", {}, "not under approvals.execute.approvers"),
    "another number": ("second", {"account_id": "8"}, "with this id"),
    "the receiving side": ("receiver", {}, "not under"),
    "another plan": ("first", {"code": "0" * 16}, "something else"),
    "no code": ("first", {"code": ""}, "something else"),
    "no reason": ("first", {"reason": ""}, "no reason"),
    "blanks": ("first", {"reason": " \n\t"}, "no reason"),
    "too long": ("first", {"reason": "x" * 1001}, "longer than"),
    "no text": ("first", {"reason": "ok\x00"}, "no text"),
    "half a character": ("first", {"reason": "ok\ud800"}, "no text"),
    "personal data": ("first", {"reason": "call 13800138000"}, "personal data"),
    "too old": ("first", {"at": datetime.now(UTC) - LATE}, "older"),
    "of tomorrow": ("first", {"at": datetime.now(UTC) + timedelta(days=1)}, "future"),
}


@pytest.mark.parametrize("name, changed, problem", BAD.values(), ids=BAD)
def test_an_answer_that_does_not_count_is_written_down_without_its_text(
    run: Context, name: str, changed: dict[str, Any], problem: str
) -> None:
    done = say(run, name, **changed)
    assert done.outcome is Outcome.REJECTED and problem in done.problem
    say(run, "first") if name == "second" else say(run, "second", "7")
    assert is_shut(run)
    entry = run.entries("answer-rejected")[-1]
    assert "reason" not in entry.body and "13800138000" not in entry.body_text


def test_nobody_counts_twice(run: Context) -> None:
    say(run, "first")
    assert say(run, "first").problem == "this account said yes already"
    assert is_shut(run)


def test_a_refusal_takes_earlier_approvals_away(run: Context) -> None:
    open_round(run, "execute")
    say(run, "first")
    assert say(run, "second", "7", yes=False, code="").outcome is Outcome.REFUSED
    with pytest.raises(NotReady, match="refused by second in this round"):
        ask(run, "execute", 1, "yes_1")
    say(run, "second", "7")
    assert is_shut(run)
    say(run, "first")
    assert not is_shut(run)


def test_an_approval_expires(run: Context) -> None:
    say(run, "first")
    soon = datetime.now(UTC) - LATE + timedelta(seconds=2)
    say(run, "second", "7", at=soon)
    assert not is_shut(run)
    while datetime.now(UTC) < soon + LATE:
        pass
    assert is_shut(run)


def test_who_counted_at_a_moment_is_known_afterwards(run: Context) -> None:
    """For certificates: neither who said no since, nor what has run out by now, changes it."""
    digest = standing(run, "execute").digest
    soon = datetime.now(UTC) - LATE + timedelta(seconds=1)
    say(run, "first", at=soon)
    say(run, "second", "7")
    moment = run.record("disposal-opened", {"plan_digest": digest})
    while datetime.now(UTC) < soon + LATE:
        pass
    say(run, "first", yes=False, code="")
    say(run, "first")
    late = run.record("disposal-opened", {"plan_digest": digest})
    names = [[e.body["by"] for e in given_before(run, "execute", digest, one)] for one in (moment, late)]
    assert names == [["first", "second"], ["first"]]


def test_another_plan_is_another_question(run: Context, runner: Runner) -> None:
    say(run, "first")
    say(run, "second", "7")
    with psycopg.connect(runner.urls["src"]) as source:
        source.execute('ALTER TABLE s."a|b <i>" ADD late text')
    inventory(run)
    plan(run)
    assert is_shut(run)


CONNECTIONS: dict[str, Callable[[str], str]] = {
    "database": lambda url: make_conninfo(url, dbname="elsewhere"),
    "host": lambda url: make_conninfo(url, host="192.0.2.1"),
    "encryption": lambda url: make_conninfo(url, sslmode="disable"),
}


@pytest.mark.parametrize("changed", CONNECTIONS.values(), ids=CONNECTIONS)
@pytest.mark.parametrize("side", ["source", "target", "scratch"])
def test_a_connection_that_leads_elsewhere_is_another_question(
    run: Context, side: str, changed: Callable[[str], str]
) -> None:
    say(run, "first")
    say(run, "second", "7")
    assert is_shut(replace(run, **{side: changed(getattr(run, side))}))
    assert not is_shut(replace(run, **{side: make_conninfo(getattr(run, side), password="rotated")}))


def test_approvals_of_another_run_do_not_count(run: Context, runner: Runner) -> None:
    say(run, "first")
    say(run, "second", "7")
    other = runner.open("run-2", approvals=APPROVALS)
    record_requester(other, "asker")
    inventory(other)
    plan(other)
    assert is_shut(other)


def test_a_forged_entry_shuts_everything(run: Context, runner: Runner) -> None:
    say(run, "first")
    with psycopg.connect(runner.ledger_url) as writer:
        writer.execute(
            "INSERT INTO entry SELECT case_id, seq + 1, run, at, kind, key,"
            " replace(body, '\"first\"', '\"second\"'), hash, hash, signature, key_id"
            " FROM entry ORDER BY seq DESC LIMIT 1"
        )
    with pytest.raises(LedgerRefused, match="does not verify"):
        require_approval(run, "execute")


def test_the_requester_is_whoever_came_first(run: Context) -> None:
    record_requester(run, "asker")
    with pytest.raises(LedgerRefused, match="says something else"):
        record_requester(run, "first")
    with pytest.raises(NotReady, match="names nobody who started this run"):
        record_requester(run, None)


def test_without_a_requester_nothing_is_approved(runner: Runner) -> None:
    context = runner.open(approvals=APPROVALS)
    with pytest.raises(NotReady, match="no requested of this run"):
        standing(context, "execute")


def test_a_list_of_the_requester_alone_asks_nobody(runner: Runner) -> None:
    run = planned(runner, {**APPROVALS, "execute": {"approvers": ["asker"]}})
    open_round(run, "execute")
    with pytest.raises(NotReady, match="only 0 of those in the case may"):
        ask(run, "execute", 1, "yes_1")
    assert run.entries("approval-asked") == []


def test_a_task_never_shows_an_old_question_again(run: Context, runner: Runner) -> None:
    assert open_round(run, "execute") == [1]
    with pytest.raises(NotReady, match="no round 2"):
        ask(run, "execute", 2, "yes_1")
    assert ask(run, "execute", 1, "yes_1") is not None
    assert ask(run, "execute", 1, "yes_1") is not None, "the same question may stand"
    assert ask(run, "execute", 1, "yes_2") is not None
    say(run, "first")
    assert ask(run, "execute", 1, "yes_1") is None, "it was answered, and died before Airflow knew"
    with psycopg.connect(runner.urls["src"]) as source:
        source.execute("CREATE TABLE s.more (id int PRIMARY KEY)")
    inventory(run)
    plan(run)
    for task in ("yes_1", "yes_2"):
        with pytest.raises(NotReady, match="out of date"):
            ask(run, "execute", 1, task)
    say(run, "first")
    assert open_round(run, "execute") == [1, 2]
    assert ask(run, "execute", 1, "yes_1") is None, "an earlier round asks no more"
    asked = ask(run, "execute", 2, "yes_1")
    assert asked is not None and [a.name for a in asked.eligible] == ["second"]


def test_nothing_is_accepted_before_it_was_verified(run: Context) -> None:
    with pytest.raises(NotReady, match="nothing to accept yet"):
        standing(run, "accept")


def test_a_run_that_needs_no_approval_may_be_started_by_no_person(runner: Runner) -> None:
    run = runner.open()
    record_requester(run, None)
    assert run.entries("requested") == []
    with pytest.raises(NotReady, match="nobody who started this run"):
        record_requester(runner.open(approvals=APPROVALS), None)


def test_a_case_without_approvals_says_so_once(runner: Runner) -> None:
    run = planned(runner, None)
    require_approval(run, "execute")
    require_approval(run, "execute")
    said = [e.body for e in run.entries("approval-not-required")]
    assert said == [{"what": "execute", "said": "nobody approved: not required by the case file"}]
    open_round(run, "execute")
    assert ask(run, "execute", 1, "yes_1") is None


def test_approvals_taken_out_of_the_case_file_open_nothing(run: Context, runner: Runner) -> None:
    with pytest.raises(CaseInvalid, match="changed after it opened run"):
        require_approval(runner.open(approvals=None), "execute")


def test_the_question_shows_counts_and_plain_names(run: Context) -> None:
    text = question(run, standing(run, "execute"))
    assert "s.a&#124;b &#60;i&#62;" in text and "<i>" not in text
    assert standing(run, "execute").digest in text
    assert "password" not in text


WRONG = {
    "nobody": ({"approvers": []}, "approvals.execute.approvers"),
    "one twice": ({"approvers": ["a", "A"]}, "names account 'a' twice"),
    "a number twice": ({"approvers": [{"name": "a", "id": "1"}, {"name": "b", "id": "1"}]}, "id '1' twice"),
    "too few": ({"approvers": ["a"], "count": 2}, "count is 2, but approvers names only 1"),
    "the receiving side": ({"approvers": ["Receiver"]}, "stands under execute and under accept"),
    "no time": ({"approvers": ["a"], "expires_hours": 0}, "approvals.execute.expires_hours"),
}


@pytest.mark.parametrize("rule, said", WRONG.values(), ids=WRONG)
def test_approvals_that_shut_nothing_out_are_refused(rule: object, said: str) -> None:
    with pytest.raises(CaseInvalid) as caught:
        example({"execute": rule, "accept": {"approvers": ["receiver"]}})
    assert said in str(caught.value)


def example(approvals: object) -> Case:
    """Return the demo's case with these approvals."""
    import yaml

    path = REPOSITORY / "include" / "cases" / "demo-transfer.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return parse_case(yaml.safe_dump({**document, "approvals": approvals}, allow_unicode=True), path)


def test_both_approvals_are_named_or_none() -> None:
    with pytest.raises(HandoverError, match=r"approvals\.accept is for the receiving side"):
        example({"execute": {"approvers": ["a"]}})
