"""The DAG subject_request: its form names no person, an erasure is decided before it goes; overdue ones."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from handover.errors import CaseInvalid
from handover.settings import REPOSITORY

PATH = REPOSITORY / "dags" / "subject_request.py"


@pytest.fixture(scope="module")
def dags(airflow: ModuleType) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(PATH))
    assert bag.import_errors == {}
    return bag.dags


def test_it_runs_only_when_asked_and_takes_no_person(dags: Any) -> None:
    dag = dags["subject_request"]
    assert (dag.schedule, dag.catchup, dag.max_active_runs) == (None, False, 1)
    assert set(dag.params) == {"request", "source", "dry_run"}
    assert "stored in clear" in dag.params.get_param("request").schema["description_md"]
    assert "handover.stages" not in PATH.read_text(), "wiring only"


def test_an_erasure_is_decided_before_it_goes_and_answered_after(dags: Any) -> None:
    dag = dags["subject_request"]

    def upstream(task_id: str) -> set[str]:
        return {task.task_id for task in dag.get_task(task_id).get_flat_relatives(True)}

    assert upstream("answer") == {"nothing_to_erase"}
    assert upstream("backup") >= {"erasure", "inventory", "plan", "gates", "decide", "due"}
    assert upstream("answer_refusal") >= {"decide", "all_refused"}
    assert not upstream("answer_refusal") & {"due", "backup", "erase"}
    assert upstream("erase") >= {"decide", "restore_test"}
    assert upstream("answer_erasure") >= {"close", "prove", "tombstones"}
    assert dag.get_task("close").trigger_rule.value == "all_done"


def test_overdue_requests_are_looked_for_every_morning(dags: Any) -> None:
    dag = dags["request_deadlines"]
    assert (dag.timetable.expression, str(dag.timetable.timezone)) == ("0 9 * * *", "Asia/Shanghai")
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    assert [task.task_id for task in dag.tasks] == ["deadlines"]


def test_the_form_takes_nothing_else(airflow: ModuleType) -> None:
    from handover_airflow.edge import requested

    run = SimpleNamespace(conf={"request": "pr-1", "name": "x"})
    with pytest.raises(CaseInvalid, match="unknown keys: name"):
        requested({"dag_run": run, "params": {}})


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # Airflow looks for plugins so
def test_a_run_misses_its_deadline_when_its_request_is_overdue(dags: Any) -> None:
    """Its alert survives what Airflow stores of it, and knows no day of a request that nobody knows."""
    from airflow.serialization.encoders import decode_deadline_alert, encode_deadline_alert

    dag = dags["subject_request"]
    (alert,) = dag.deadline
    stored = decode_deadline_alert(encode_deadline_alert(alert))
    assert stored.reference.reference_name == "RequestDue"
    assert stored.callback.path == "handover_airflow.deadlines.note_overdue"
    session = SimpleNamespace(scalar=lambda query: {"request": "pr-unknown"})
    asked = {"session": session, "interval": alert.interval, "dag_id": "d", "run_id": "r"}
    assert stored.reference.evaluate_with(**asked) is None
