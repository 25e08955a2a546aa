"""Approvals in a running Airflow: each known way round them is tried through its REST API, and is shut."""

from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO

import psycopg
import pytest
from rich.console import Console

from fixtures.approving import FAB, SIMPLE, Approving, approving_installation, await_true
from fixtures.runs import backed_up, filled, verified
from handover.errors import NotReady
from handover.evidence.ledger import verify_chain
from handover.local.approve import answer_open_questions
from handover.stages.approval_standing import standing
from handover.stages.approvals import Answer, record_answer, record_requester, require_approval
from handover.stages.late_changes import recheck_lane
from handover.stages.verify import verify_objects

BOTH = {
    "execute": {"approvers": ["engineer", "approver", "supervisor"], "count": 2},
    "accept": {"approvers": ["receiver"]},
}
ALONE = {**BOTH, "execute": {"approvers": ["engineer"]}}
NO = "Refuse 拒绝"
RUNS = {
    "asked": "both",
    "forged": "both",
    "alone": "alone",
    "refused": "both",
    "expired": "both",
    "changed": "changing",
    "demo": "both",
}


@pytest.fixture(scope="module")
def approving() -> Iterator[Approving]:
    """An installation under SimpleAuthManager in which a run for each test has just been started."""
    with approving_installation(SIMPLE) as found:
        found.write_case("both", BOTH)
        found.write_case("alone", ALONE)
        found.write_case("changing", BOTH, schema="changing")
        with psycopg.connect(found.machine.company_url("source")) as source:
            source.execute("CREATE SCHEMA changing")
            source.execute("CREATE TABLE changing.a (id int PRIMARY KEY)")
        for run, case in RUNS.items():
            found.trigger(run, case)
        yield found


def path(run: str, dag: str = "approving") -> str:
    """Return where a run is in the API."""
    return f"/api/v2/dags/{dag}/dagRuns/{run}"


def copied(approving: Approving) -> set[str]:
    """Return the runs that changed the target."""
    return {row[0] for row in approving.rows("target", "SELECT run FROM copied")}


def problems(approving: Approving, case: str, run: str) -> list[str]:
    """Return why answers to a run did not count."""
    return [e.body["problem"] for e in approving.entries(case, path(run), "answer-rejected")]


def test_two_others_are_asked_and_only_then_the_copy_is_made(approving: Approving) -> None:
    run = path("asked")
    asked = approving.question(run, "execute.yes_1")
    assert [user["name"] for user in asked["assigned_users"]] == ["approver", "supervisor"]
    yes = asked["options"][0]
    assert approving.answer(run, "execute.yes_1", "engineer", yes) == 403, "the requester, though an approver"
    assert approving.answer(run, "execute.yes_1", "mallory", yes) == 403, "no approver"
    assert approving.answer(run, "execute.yes_1", "approver", yes[:-1] + "?") == 400, "another digest"
    assert approving.answer(run, "execute.yes_1", "approver", yes, reason=None) == 200, (
        "Airflow asks for no reason"
    )
    again = approving.question(run, "execute.yes_1", after=asked)
    assert again["options"] == asked["options"]
    assert problems(approving, "both", "asked") == ["no reason was given"]
    assert "asked" not in copied(approving)
    assert approving.answer(run, "execute.yes_1", "approver", yes) == 200
    second = approving.question(run, "execute.yes_2")
    assert [user["name"] for user in second["assigned_users"]] == ["supervisor"]
    assert approving.answer(run, "execute.yes_2", "approver", yes) == 403, "nobody twice"
    assert "asked" not in copied(approving)
    assert approving.answer(run, "execute.yes_2", "supervisor", yes) == 200
    assert approving.wait(run, "copy", "success", "failed") == "success"
    assert "asked" in copied(approving)
    context = approving.open("both", "asked")
    signed = [e.body for e in context.entries("approved")]
    assert [(b["by"], b["account_id"], b["reason"]) for b in signed] == [
        ("approver", "approver", "seen and checked"),
        ("supervisor", "supervisor", "seen and checked"),
    ]
    assert {b["requester"] for b in signed} == {"engineer"}
    assert verify_chain(context.ledger.lines("both"), [context.keyring.signer().public_pem]) == []


def test_marked_success_and_forged_xcoms_open_nothing(approving: Approving) -> None:
    run = path("forged")
    mallory = approving.person("mallory")
    for task in ("execute.yes_1", "execute.yes_2"):
        approving.question(run, task)
        place = f"{run}/taskInstances/{task}"
        mallory.send("POST", f"{place}/xcomEntries", {"key": "return_value", "value": 99, "map_index": 0})
        mallory.send("PATCH", f"{place}/0", {"new_state": "success"})
    assert approving.wait(run, "copy", "success", "failed") == "failed"
    assert {approving.state(run, task) for task in ("execute.yes_1", "execute.yes_2")} == {"success"}
    assert "0 of 2 said yes" in approving.log(run, "copy")
    assert "forged" not in copied(approving)


def test_a_list_that_holds_only_the_requester_asks_nobody(approving: Approving) -> None:
    run = path("alone")
    assert approving.wait(run, "execute.yes_1", "failed", "awaiting_input") == "failed"
    assert "only 0 of those in the case may" in approving.log(run, "execute.yes_1")
    assert approving.entries("alone", run, "approval-asked") == []
    approving.person("mallory").send(
        "PATCH", f"{run}/taskInstances/execute.yes_1/0", {"new_state": "success"}
    )
    assert approving.state(run, "copy") not in ("success", "running")


def test_a_refusal_holds_and_no_other_account_takes_the_run_over(approving: Approving) -> None:
    run = path("refused")
    asked = approving.question(run, "execute.yes_1")
    assert approving.answer(run, "execute.yes_1", "approver", NO, "too early") == 200
    assert approving.wait(run, "execute.yes_1", "failed", "success", "awaiting_input") == "failed"
    assert [e.body["by"] for e in approving.entries("both", run, "refused")] == ["approver"]
    assert approving.answer(run, "execute.yes_1", "supervisor", asked["options"][0]) == 409
    assert approving.wait_for_end(run) == "failed"
    # Deleted and started again by an approver, so that the requester of before could approve it himself.
    approving.person("approver").send("DELETE", run)
    approving.trigger("refused", "both", by="supervisor")
    assert approving.wait(run, "prepare", "failed", "success") == "failed"
    assert "stands already and says something else" in approving.log(run, "prepare")
    assert [e.body["by"] for e in approving.entries("both", run, "requested")] == ["engineer"]
    assert "refused" not in copied(approving)


def test_a_question_that_expired_takes_no_answer(approving: Approving) -> None:
    run = path("expired")
    asked = approving.question(run, "execute.yes_1")
    with psycopg.connect(approving.machine.clusters["control"].admin_url("airflow")) as metadata:
        metadata.execute(  # three days pass
            "UPDATE task_instance SET trigger_timeout = now() - interval '1 second'"
            " WHERE run_id = 'expired' AND task_id = 'execute.yes_1'"
        )
    await_true(lambda: approving.state(run, "execute.yes_1") != "awaiting_input", "the end of the question")
    assert approving.wait(run, "execute.yes_1", "failed", "success", "awaiting_input") == "failed"
    approving.answer(run, "execute.yes_1", "approver", asked["options"][0])
    assert approving.wait(run, "copy", "upstream_failed", "success") == "upstream_failed"
    assert approving.entries("both", run, "approved") == []
    assert "expired" not in copied(approving)


def test_another_plan_needs_other_answers(approving: Approving) -> None:
    run = path("changed")
    asked = approving.question(run, "execute.yes_1")
    assert approving.answer(run, "execute.yes_1", "approver", asked["options"][0]) == 200
    approving.question(run, "execute.yes_2")
    with psycopg.connect(approving.machine.company_url("source")) as source:
        source.execute("ALTER TABLE changing.a ADD late text")
    approving.clear(run, "prepare")
    again = approving.question(run, "execute.yes_1", after=asked)
    assert again["options"][0] != asked["options"][0]
    assert approving.answer(run, "execute.yes_1", "approver", asked["options"][0]) == 400, "the old button"
    assert "0 of 2" in again["body"], "what was said to the old plan does not count"
    for number, by in enumerate(("supervisor", "approver")):
        task = ("execute.yes_1", "execute.yes_2")[number]
        approving.question(run, task)
        assert approving.answer(run, task, by, again["options"][0]) == 200
    assert approving.wait(run, "copy", "success", "failed") == "success"


def test_only_the_receiving_side_accepts_and_only_what_was_verified(approving: Approving) -> None:
    approving.write_case("delivery", BOTH, schema="delivered")
    context = approving.open("delivery", "delivery")
    record_requester(context, "engineer")
    backed_up(context)
    for name in ("approver", "supervisor"):
        code = standing(context, "execute").code
        said = Answer(name, name, "tests", True, code, "as agreed", datetime.now(UTC))
        record_answer(context, "execute", said)
    filled(context)
    verified(context)
    run = approving.trigger("delivery", "delivery", dag="accepting")
    asked = approving.question(run, "accept.yes_1")
    assert [user["name"] for user in asked["assigned_users"]] == ["receiver"]
    yes = asked["options"][0]
    assert approving.answer(run, "accept.yes_1", "approver", yes) == 403
    assert approving.answer(run, "accept.yes_1", "receiver", NO, "a table is missing") == 200
    assert approving.wait(run, "erase", "failed", "success") == "failed"
    assert approving.rows("source", "SELECT count(*) FROM delivered.a") == [(100,)]
    approving.wait_for_end(run)
    approving.clear(run, "accept.rounds")
    again = approving.question(run, "accept.yes_1", after=asked)
    assert again["options"][0] == yes
    verify_objects(context)  # the same result, but a new one: what was asked about is not in force any more
    assert approving.answer(run, "accept.yes_1", "receiver", yes) == 200
    assert approving.wait(run, "accept.yes_1", "failed", "success") == "failed"
    approving.wait_for_end(run)
    approving.clear(run, "accept.rounds")
    third = approving.question(run, "accept.yes_1", after=again)
    assert "something else than what is in force now" in problems_of_delivery(approving)[0]
    assert third["options"][0] != yes
    with pytest.raises(NotReady, match="accept is not approved: 0 of 1"):
        require_approval(context, "accept")
    recheck_lane(context, 0)  # nor is it once the source was read again
    assert approving.answer(run, "accept.yes_1", "receiver", third["options"][0]) == 200
    assert approving.wait(run, "accept.yes_1", "failed", "success") == "failed"
    assert approving.rows("source", "SELECT count(*) FROM delivered.a") == [(100,)]
    approving.wait_for_end(run)
    approving.clear(run, "accept.rounds")
    said, answered = demo_answers(approving, run, "erase")
    assert set(answered) == {"receiver"}
    assert "accept.yes_1: the demo answers in place of a person, as receiver: Accept" in said
    assert approving.state(run, "erase") == "success", approving.states(run)
    assert approving.rows("source", "SELECT count(*) FROM delivered.a") == [(0,)]


def problems_of_delivery(approving: Approving) -> list[str]:
    """Return why answers to the delivery did not count."""
    return problems(approving, "delivery", "delivery")


def demo_answers(approving: Approving, run: str, last: str) -> tuple[str, list[str]]:
    """Let the demo answer until a task has ended; returns what it printed and as whom it answered."""
    said = StringIO()
    console = Console(file=said, width=200)
    dag, _, name = run.removeprefix("/api/v2/dags/").partition("/dagRuns/")
    answered: list[str] = []

    def look() -> bool:
        answered.extend(answer_open_questions(approving.machine, dag, name, console))
        return approving.state(run, last) in ("success", "failed")

    await_true(look, "the end of the run", lambda: approving.states(run))
    return said.getvalue(), answered


def test_the_demo_answers_as_others_and_says_so(approving: Approving) -> None:
    said, answered = demo_answers(approving, path("demo"), "copy")
    # A busy Airflow may put a question again to who has answered it; what counts is signed once for each.
    assert list(dict.fromkeys(answered)) == ["approver", "supervisor"]
    signed = [e.body["account_id"] for e in approving.entries("both", path("demo"), "approved")]
    assert signed == ["approver", "supervisor"]
    assert "demo" in copied(approving)
    assert "execute.yes_1: the demo answers in place of a person, as approver: Approve" in said
    reasons = {e.body["reason"] for e in approving.entries("both", path("demo"), "approved")}
    assert reasons == {"demo: no person looked at this; the program answers in place of people"}


@pytest.mark.campaign
def test_fab_accounts_are_known_by_name_and_number() -> None:
    with approving_installation(FAB) as approving:
        numbers = fab_numbers(approving)
        accounts = [{"name": name, "id": numbers[name]} for name in ("engineer", "approver", "supervisor")]
        receiver = {"name": "receiver", "id": numbers["receiver"]}
        rules = {"execute": {"approvers": accounts, "count": 2}, "accept": {"approvers": [receiver]}}
        approving.write_case("numbered", rules)
        approving.write_case("named", BOTH)
        run, named = approving.trigger("fab", "numbered"), approving.trigger("named", "named")
        yes = approving.question(run, "execute.yes_1")["options"][0]
        assert approving.answer(run, "execute.yes_1", "engineer", yes) == 403
        assert approving.answer(run, "execute.yes_1", "mallory", yes) == 403
        assert approving.answer(run, "execute.yes_1", "approver", yes) == 200
        approving.question(run, "execute.yes_2")
        assert approving.answer(run, "execute.yes_2", "approver", yes) == 403
        assert approving.answer(run, "execute.yes_2", "supervisor", yes) == 200
        assert approving.wait(run, "copy", "success", "failed") == "success"
        signed = [e.body for e in approving.entries("numbered", run, "approved")]
        assert [b["account_id"] for b in signed] == [numbers["approver"], numbers["supervisor"]]
        assert all(b["auth_manager"].endswith("FabAuthManager") for b in signed)
        question = approving.question(named, "execute.yes_1")
        by_name = approving.answer(named, "execute.yes_1", "approver", question["options"][0])
        assert by_name == 403, "without its number nobody is let in"


def fab_numbers(approving: Approving) -> dict[str, str]:
    """Return the number of each account."""
    with psycopg.connect(approving.machine.clusters["control"].admin_url("airflow")) as metadata:
        return {name: str(number) for number, name in metadata.execute("SELECT id, username FROM ab_user")}
