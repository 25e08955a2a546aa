"""The DAGs of scheduled backups and of the restore drill: their order, their hours, nothing twice at once."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

import pendulum
import pytest

from handover.model.registered import load_source
from handover.settings import REPOSITORY

SOURCE = "sample-lending"


@pytest.fixture(scope="module")
def dags(airflow: ModuleType) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    found = {}
    for name in ("scheduled_backup", "restore_drill"):
        bag = DagBag(str(REPOSITORY / "dags" / f"{name}.py"))
        assert bag.import_errors == {}
        found |= bag.dags
    return found


def test_each_source_has_its_backup(dags: Any) -> None:
    sources = (REPOSITORY / "include" / "sources").glob("*.yaml")
    assert dags.keys() == {"restore_drill", *(f"scheduled_backup.{path.stem}" for path in sources)}


def test_a_backup_in_its_order(dags: Any) -> None:
    dag = dags[f"scheduled_backup.{SOURCE}"]

    def upstream(task_id: str) -> set[str]:
        return {task.task_id for task in dag.get_task(task_id).get_flat_relatives(True)}

    assert upstream("backup") >= {"inventory", "plan", "gates", "approval"}
    assert upstream("close") >= {"seal", "restore_test", "gates_again"}
    for task_id in ("close", "end_backups"):
        assert dag.get_task(task_id).trigger_rule.value == "all_done"
    source = load_source(REPOSITORY / "include" / "sources", SOURCE)
    assert (dag.timetable.expression, str(dag.timetable.timezone)) == (
        source.backups.schedule,
        source.timezone,
    )


def test_neither_runs_twice_at_once_or_for_days_gone_by(dags: Any) -> None:
    for dag in dags.values():
        assert (dag.max_active_runs, dag.catchup) == (1, False)


def test_the_drill_is_monthly_and_tries_each_pick(dags: Any) -> None:
    dag = dags["restore_drill"]
    assert dag.timetable.expression == "0 5 1 * *"
    drill = dag.get_task("drill")
    assert drill.is_mapped
    assert drill.pool == "handover_target"
    assert set(drill.upstream_task_ids) == {"pick"}


def test_other_hours_are_a_setting(airflow: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    path = str(REPOSITORY / "dags" / "restore_drill.py")
    monkeypatch.setenv("HANDOVER_SCHEDULE_RESTORE_DRILL", "30 6 2 * *")
    assert DagBag(path).dags["restore_drill"].timetable.expression == "30 6 2 * *"
    monkeypatch.setenv("HANDOVER_SCHEDULE_RESTORE_DRILL", "now and then")
    (said,) = DagBag(path).import_errors.values()
    assert "HANDOVER_SCHEDULE_RESTORE_DRILL=now and then" in said


@pytest.mark.parametrize("minutes", [1, 100, 1_000])
def test_to_switch_one_on_begins_nothing(
    airflow: ModuleType, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    """However little after its hour: its first run is that of the next one."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable
    from airflow.timetables.base import TimeRestriction

    bag = DagBag(str(REPOSITORY / "dags"))
    scheduled = [dag for dag in bag.dags.values() if dag.timetable.can_be_scheduled]
    assert len(scheduled) == 5
    for dag in scheduled:
        timetable = decode_timetable(encode_timetable(dag.timetable))
        hour = timetable._align_to_prev(pendulum.now("UTC"))
        monkeypatch.setattr("airflow.timetables.trigger.utcnow", partial(hour.add, minutes=minutes))
        never = TimeRestriction(earliest=None, latest=None, catchup=False)
        first = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=never)
        assert first is not None
        assert first.run_after > hour, dag.dag_id
