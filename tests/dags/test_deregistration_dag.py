"""The DAG deregistration: nothing goes before it was backed up, proven, archived, waited for and approved."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from handover.local.airflow import POOLS
from handover.settings import REPOSITORY

GOING = {"mask_here", "look_here", "masked_here", "erase", "residue", "prove"}
EXECUTE = {"execute.rounds", "execute.yes_1", "execute.yes_2"}
DISPOSE = {"dispose.rounds", "dispose.yes_1", "dispose.yes_2"}


@pytest.fixture(scope="module")
def dag(airflow: ModuleType) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(REPOSITORY / "dags")).dags["deregistration"]


def upstream(dag: Any, task_id: str) -> set[str]:
    return {task.task_id for task in dag.get_task(task_id).get_flat_relatives(True)}


@pytest.mark.parametrize("task_id", sorted(GOING | {"open_disposal"}))
def test_nothing_goes_before_all_of_it(dag: Any, task_id: str) -> None:
    before = {"gates", "freeze", "seal", "restore_test", "seal_archive", "verify_archive", "recheck"}
    before |= {"recheck_objects", "destruction_list", "quarantine", "wait", *EXECUTE, *DISPOSE}
    assert upstream(dag, task_id) >= before


def test_nothing_is_read_before_gates_and_approval(dag: Any) -> None:
    for task_id in ("freeze", "snapshot", "backup", "tally", "archive"):
        assert upstream(dag, task_id) >= {"gates", *EXECUTE}


def test_it_ends_with_proof_after_everything_that_goes(dag: Any) -> None:
    assert upstream(dag, "prove") >= (GOING | {"open_disposal"}) - {"prove"}
    assert dag.get_task("close").trigger_rule.value == "all_done"
    assert set(dag.get_task("close").upstream_task_ids) >= {*GOING, "verify_archive", "wait", "open_disposal"}


def test_waiting_holds_no_slot(dag: Any) -> None:
    assert dag.get_task("wait").mode == "reschedule"


def test_pools_exist_and_the_source_has_its_own(dag: Any) -> None:
    pools = {task.task_id: task.pool for task in dag.tasks}
    assert set(pools.values()) - {"default_pool"} == set(POOLS)
    assert {pools[task_id] for task_id in GOING} == {"handover_source"}


def test_it_offers_cases_of_its_kind_alone_and_a_dry_run(dag: Any) -> None:
    case, dry_run = (dag.params.get_param(name) for name in ("case", "dry_run"))
    known = [path for path in (REPOSITORY / "include" / "cases").glob("*.yaml") if _is_ours(path)]
    assert case.schema["examples"] == sorted(path.stem for path in known)
    assert dry_run.resolve() is True


def _is_ours(path: Path) -> bool:
    return "\nkind: deregistration" in path.read_text()


def test_it_runs_only_when_asked(dag: Any) -> None:
    assert dag.schedule is None
    assert not dag.catchup
