"""The DAG legal_hold: its form names no person, and does what the command does for the one who sent it."""

import os
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fixtures.contents import run_sql
from fixtures.runs import Runner
from handover.errors import CaseInvalid, HandoverError, LedgerRefused, NotReady
from handover.model.approval import Account
from handover.settings import REPOSITORY
from handover.stages.context import Context
from handover.stages.holding import account_named, open_holder
from handover.stages.holds import all_holds

ANN, BOB = Account(name="ann", id="7"), Account(name="bob", id="8")
FORM = {
    "source": "test-transfer", "action": "hold", "what": "table", "subject": "", "table": "s.person",
    "where": "", "kind": "litigation", "reason": "a claim", "authority": "示例法院 (sample court)",
    "until": "", "hold": "", "request": "",
}  # fmt: skip


@pytest.fixture(scope="module")
def dag(airflow: ModuleType) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(REPOSITORY / "dags")).dags["legal_hold"]


@pytest.fixture
def context(runner: Runner) -> Context:
    """A case with a table of persons, opened for its holds."""
    run_sql(runner.urls["src"], "CREATE SCHEMA s; CREATE TABLE s.person (id int PRIMARY KEY)")
    approvals = {
        "execute": {"approvers": [{"name": "ann", "id": "7"}, {"name": "bob", "id": "8"}]},
        "accept": {"approvers": ["receiver"]},
    }
    runner.open(approvals=approvals)
    return open_holder(runner.settings(), "test-transfer", runner.urls.__getitem__)


@pytest.fixture
def acted(airflow: ModuleType) -> Callable[..., str]:
    from handover_airflow.hold_form import acted

    return acted


def test_it_runs_only_when_asked_and_takes_no_person(dag: Any) -> None:
    assert (dag.schedule, dag.catchup) == (None, False)
    assert set(dag.params) == set(FORM)
    assert "stored in clear" in dag.params.get_param("subject").schema["description_md"]
    assert [task.task_id for task in dag.tasks] == ["carry_out"]
    text = (REPOSITORY / "dags" / "legal_hold.py").read_text()
    assert "handover.stages" not in text, "wiring only"


def test_a_hold_is_laid_and_released_by_two(context: Context, acted: Callable[..., str]) -> None:
    laid = acted(context, ANN, FORM)
    (hold,) = all_holds(context, "test-transfer")
    assert (hold.id, hold.what, hold.by) == (laid, "table", "ann")
    request = acted(context, ANN, FORM | {"action": "ask for release", "hold": laid})
    with pytest.raises(LedgerRefused, match="asked for by this person"):
        acted(context, ANN, FORM | {"action": "release", "request": request})
    assert acted(context, BOB, FORM | {"action": "release", "request": request}) == laid
    (hold,) = all_holds(context, "test-transfer")
    assert hold.released_by == "bob"


WRONG: dict[str, tuple[type[HandoverError], dict[str, str]]] = {
    "no table": (CaseInvalid, {"table": ""}),
    "a predicate too much": (CaseInvalid, {"where": "id = 1"}),
    "a person without a name": (CaseInvalid, {"what": "subject", "table": ""}),
    "a number in place of a name": (
        LedgerRefused,
        {"what": "subject", "table": "", "subject": "13800138001"},
    ),
    "until": (CaseInvalid, {"until": "soon"}),
    "kind": (LedgerRefused, {"kind": ""}),
}


def test_a_form_that_is_filled_wrongly_is_refused(context: Context, acted: Callable[..., str]) -> None:
    for error, change in WRONG.values():
        with pytest.raises(error) as raised:
            acted(context, ANN, FORM | change)
        assert "138" not in str(raised.value)
    assert all_holds(context, "test-transfer") == []


def test_who_sent_it_is_known_by_the_id_of_the_case(context: Context, airflow: ModuleType) -> None:
    from handover_airflow.hold_form import _form

    assert account_named(context, "ann") == ANN
    assert account_named(context, "eve") == Account(name="eve", id="eve")
    with pytest.raises(NotReady, match="names nobody"):
        account_named(context, None)
    run = SimpleNamespace(conf={"source": "x", "number": "1"})
    with pytest.raises(CaseInvalid, match="unknown keys: number"):
        _form({"dag_run": run, "params": FORM})
    run.conf = None
    assert _form({"dag_run": run, "params": FORM | {"until": None}}) == FORM


def test_the_task_does_what_was_sent(
    context: Context, runner: Runner, airflow: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowFailException
    from airflow.sdk.execution_time.context import set_current_context

    from handover_airflow.hold_form import carry_out

    for name, value in runner.settings().variables.items():
        monkeypatch.setenv(name, value if name != "PATH" else os.environ["PATH"])
    for name, url in runner.urls.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", url)
    run = SimpleNamespace(conf=FORM, triggering_user_name="ann", run_id="r", dag_id="legal_hold")

    def sent(**change: str) -> str:
        made = {"dag_run": run, "params": FORM | change, "ti": SimpleNamespace(task_id="carry_out")}
        with set_current_context(made):
            return str(carry_out.function())

    laid = sent()
    assert [hold.id for hold in all_holds(context, "test-transfer")] == [laid]
    with pytest.raises(AirflowFailException, match="CaseInvalid"):
        sent(source="../nowhere")
    run.triggering_user_name = None
    with pytest.raises(AirflowFailException, match="names nobody"):
        sent()
