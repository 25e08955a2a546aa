"""The DAG subject_request: its form names no person, an erasure is decided before it goes; overdue ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fixtures.runs import Runner, make_ledger
from handover.errors import CaseInvalid, HandoverError
from handover.local.clusters import Cluster
from handover.model.request import PersonRequest
from handover.settings import REPOSITORY, Settings
from handover.stages.facts import LEGAL_TIME
from handover.stages.request_subjects import OPENED
from handover.stages.requests import Desk, find_request

SOURCE = "sample-lending"

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


@pytest.fixture
def known(
    cluster: Cluster, database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> PersonRequest:
    """A request in the ledger of a source that cannot be reached, for want of a connection."""
    runner = Runner(tmp_path, make_ledger(cluster, database), str(cluster.programs), {})
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / f"{SOURCE}.yaml").write_text(
        (REPOSITORY / "include" / "sources" / f"{SOURCE}.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    for name, value in {**runner.settings().variables, "HANDOVER_SOURCES": str(tmp_path / "sources")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    body = {
        "request": "pr-1", "kind": "access", "channel": "hotline", "received": "2026-01-01",
        "verified": "seen", "due": "2026-01-31", "clock": {"zh": "30 日", "en": "30 days"},
        "sources": [SOURCE], "subject": "", "hold": "", "by": "clerk", "account_id": "clerk",
    }  # fmt: skip
    desk = Desk(Settings.load(), lambda name: "")
    desk.at(SOURCE, "pr-1").record(OPENED, body, key="pr-1")
    return find_request(desk, "pr-1")


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # Airflow looks for plugins so
def test_a_run_misses_its_deadline_when_its_request_is_overdue(
    dags: Any, known: PersonRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its alert survives what Airflow stores of it, and knows no day of a request that nobody knows."""
    from airflow.serialization.encoders import decode_deadline_alert, encode_deadline_alert

    dag = dags["subject_request"]
    (alert,) = dag.deadline
    stored = decode_deadline_alert(encode_deadline_alert(alert))
    assert stored.reference.reference_name == "RequestDue"
    assert stored.callback.path == "handover_airflow.deadlines.note_overdue"

    def moment(conf: dict[str, Any] | None) -> datetime | None:
        session = SimpleNamespace(scalar=lambda query: conf)
        asked = {"session": session, "interval": alert.interval, "dag_id": "d", "run_id": "r"}
        found: datetime | None = stored.reference.evaluate_with(**asked)
        return found

    over = datetime(2026, 2, 1, tzinfo=LEGAL_TIME)
    assert moment({"request": known.id}) == moment({"request": f" {known.id} "}) == over
    assert moment({"request": "pr-unknown"}) is moment({}) is moment(None) is None
    monkeypatch.setenv("HANDOVER_LEDGER_URL", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(HandoverError):
        moment({"request": known.id})
