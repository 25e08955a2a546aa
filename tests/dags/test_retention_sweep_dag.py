"""The DAGs of sweeps: one for each registered source, in its hours, asking before it reads rows out."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pendulum
import pytest

from handover.errors import CaseInvalid
from handover.model.registered import load_source
from handover.settings import REPOSITORY

SOURCE = "sample-lending"
MIDNIGHT_THERE = pendulum.datetime(2026, 3, 1, 16, 30)  # half past midnight of the next day in Shanghai


@pytest.fixture(scope="module")
def dags(airflow: ModuleType) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(REPOSITORY / "dags" / "retention_sweep.py"))
    assert bag.import_errors == {}
    return bag.dags


def test_each_source_has_its_sweep(dags: Any) -> None:
    sources = (REPOSITORY / "include" / "sources").glob("*.yaml")
    assert dags.keys() == {f"retention_sweep.{path.stem}" for path in sources}


def test_nothing_is_read_out_or_goes_before_it_is_due_and_approved(dags: Any) -> None:
    dag = dags[f"retention_sweep.{SOURCE}"]

    def upstream(task_id: str) -> set[str]:
        return {task.task_id for task in dag.get_task(task_id).get_flat_relatives(True)}

    assert upstream("backup") >= {"inventory", "plan", "gates", "due", "execute.yes_2"}
    assert upstream("erase") >= {"restore_test", "dispose.yes_2", "open_disposal"}
    assert upstream("prove") >= {"erase", "residue"}
    assert upstream("close") >= {"tombstones", "prove"}


def test_backups_whose_day_is_over_end_on_days_without_anything_due_too(dags: Any) -> None:
    ended = dags[f"retention_sweep.{SOURCE}"].get_task("end_due_backups")
    before = {task.task_id for task in ended.get_flat_relatives(True)}
    assert before == {"inventory", "plan"}, "what follows `due` is skipped on such days"


def test_it_never_overlaps_and_begins_only_when_somebody_wants_it(dags: Any) -> None:
    dag = dags[f"retention_sweep.{SOURCE}"]
    source = load_source(REPOSITORY / "include" / "sources", SOURCE)
    assert (dag.max_active_runs, dag.catchup, dag.is_paused_upon_creation) == (1, False, True)
    assert (dag.timetable.expression, str(dag.timetable.timezone)) == (source.sweep.schedule, source.timezone)


@pytest.mark.parametrize(
    ("said", "dry_run", "on"),
    [
        (None, False, "2026-03-02"),
        ("2020-02-29", False, "2020-02-29"),
        ("2099-01-01", True, "2099-01-01"),
    ],
)
def test_the_day_of_a_sweep(airflow: ModuleType, said: str | None, dry_run: bool, on: str) -> None:
    assert str(day(said, dry_run)) == on


@pytest.mark.parametrize(("said", "why"), [("2099-01-01", "is to come"), ("tomorrow", "is no day")])
def test_a_day_that_cannot_be(airflow: ModuleType, said: str, why: str) -> None:
    with pytest.raises(CaseInvalid, match=why):
        day(said, dry_run=False)


def test_an_interval_that_ends_in_the_future_proves_nothing(airflow: ModuleType) -> None:
    with pytest.raises(CaseInvalid, match="is to come"):
        day(None, dry_run=False, end=pendulum.datetime(2060, 1, 1))


def day(said: str | None, dry_run: bool, end: Any = MIDNIGHT_THERE) -> Any:
    """Ask the edge for the day of a run of the schedule, or with that in its form."""
    from airflow.sdk.execution_time.context import set_current_context

    from handover_airflow import edge

    run = SimpleNamespace(data_interval_end=end, run_after=None)
    context: Any = {"dag_run": run, "params": {"as_of": said, "dry_run": dry_run}}
    with set_current_context(context):
        return edge._as_of(context, SOURCE)
