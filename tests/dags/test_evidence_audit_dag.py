"""The DAG evidence_audit: each group of checks is a task, the report comes after them and fails visibly."""

import os
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fixtures.runs import Runner
from handover.evidence.ledger import Ledger
from handover.settings import REPOSITORY
from handover.stages.audit import GROUPS
from handover.stages.audit_scope import AUDITS

AT = datetime(2026, 11, 15, 20, tzinfo=UTC)  # Monday, four o'clock in Shanghai


@pytest.fixture(scope="module")
def dag(airflow: ModuleType) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(REPOSITORY / "dags")).dags["evidence_audit"]


def test_each_group_is_a_task_and_the_report_comes_after(dag: Any) -> None:
    assert dag.get_task("report").upstream_task_ids == {"check"}
    assert dag.get_task("check").op_kwargs_expand_input.value["group"] == list(GROUPS)
    assert dag.get_task("report").retries == 0


def test_it_runs_each_monday_in_shanghai_and_never_twice_at_once(dag: Any) -> None:
    assert dag.max_active_runs == 1
    assert not dag.catchup
    timetable = dag.timetable
    assert (timetable.summary if hasattr(timetable, "summary") else timetable.expression) == "0 4 * * 1"
    assert "Asia/Shanghai" in str(getattr(timetable, "timezone", getattr(timetable, "_timezone", "")))


@pytest.fixture
def installation(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """An installation without any case, and one source whose file does not hold."""
    for name, value in runner.settings().variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setenv("HANDOVER_SOURCES", str(runner.home / "sources"))
    return runner


def run(dag: Any, task_id: str, *arguments: str, on: str | None = None) -> Any:
    """Do a task's work as Airflow's task runner does."""
    from airflow.sdk.execution_time.context import set_current_context

    task = dag.get_task(task_id)
    function = task.python_callable
    context: Any = {
        "dag_run": SimpleNamespace(run_id="scheduled", logical_date=AT, run_after=AT),
        "params": {"on": on, "share": 1.0},
        "ti": SimpleNamespace(task_id=task_id),
    }
    with set_current_context(context):
        return function(*arguments)


def test_the_day_is_that_of_shanghai_and_an_error_fails_the_report(dag: Any, installation: Runner) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    ledger = Ledger(installation.ledger_url, None)
    assert [run(dag, "check", group) for group in GROUPS] == [0] * len(GROUPS)
    run(dag, "report")
    assert {one.run for one in ledger.entries(AUDITS)} == {"audit-2026-11-16"}
    (installation.home / "sources").mkdir()
    (installation.home / "sources" / "broken.yaml").write_text("source: broken\n")
    assert sum(run(dag, "check", group, on="2026-11-17") for group in GROUPS) == 1
    with pytest.raises(AirflowFailException, match="AuditFailed: the audit of 2026-11-17 found 1 errors"):
        run(dag, "report", on="2026-11-17")
