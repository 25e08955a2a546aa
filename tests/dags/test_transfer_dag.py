"""The DAG as Airflow reads it: it loads, is wired as documented, and bounds what its tasks use at once."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from handover.local.airflow import POOLS
from handover.settings import REPOSITORY

# Task → those after it, as in the README's way of the data.
EDGES = {
    "inventory": {"plan"},
    "plan": {"gates", "backup", "migrate", "verify", "recheck", "mask_here", "look_here"},
    "gates": {"execute.rounds"},
    "execute.rounds": {"execute.yes_1", "execute.yes_2"},
    "execute.yes_1": {"execute.yes_2"},
    "execute.yes_2": {"freeze"},
    "freeze": {"snapshot", "backup", "tally"},
    "snapshot": set(),
    "backup": {"seal", "abandon"},
    "tally": {"seal", "abandon"},
    "seal": {"restore_test", "abandon"},
    "abandon": set(),
    "restore_test": {"prepare"},
    "prepare": {"migrate"},
    "migrate": {"finish"},
    "finish": {
        "verify",
        "verify_objects",
        "reconcile",
        "expectations",
        "joins",
        "absence",
        "reidentification",
    },
    "verify": {"recheck", "recheck_objects", "close"},
    "verify_objects": {"recheck", "recheck_objects", "close"},
    "reconcile": {"recheck", "recheck_objects", "close"},
    "expectations": {"recheck", "recheck_objects", "close"},
    "joins": {"recheck", "recheck_objects", "close"},
    "absence": {"recheck", "recheck_objects", "close"},
    "reidentification": {"recheck", "recheck_objects", "close"},
    "recheck": {"handover_list", "close"},
    "recheck_objects": {"handover_list", "close"},
    "handover_list": {"accept.rounds", "close"},
    "accept.rounds": {"accept.yes_1"},
    "accept.yes_1": {"close", "dispose.rounds"},
    "dispose.rounds": {"dispose.yes_1", "dispose.yes_2"},
    "dispose.yes_1": {"dispose.yes_2"},
    "dispose.yes_2": {"open_disposal"},
    "open_disposal": {"mask_here", "close"},
    "mask_here": {"look_here", "close"},
    "look_here": {"masked_here", "close"},
    "masked_here": {"erase", "close"},
    "erase": {"rewrite_hours", "close"},
    "rewrite_hours": {"residue", "close"},
    "residue": {"prove", "close"},
    "prove": {"tombstones", "close"},
    "tombstones": {"close"},
    "close": {"end_backup"},
    "end_backup": set(),
}
LANES = {"backup", "migrate", "verify", "recheck", "mask_here", "look_here"}
APPROVAL = {"execute.rounds", "execute.yes_1", "execute.yes_2"}
ACCEPTANCE = {"accept.rounds", "accept.yes_1"}
DISPOSAL = {"dispose.rounds", "dispose.yes_1", "dispose.yes_2"}
ASKING = APPROVAL | ACCEPTANCE | DISPOSAL
ROUNDS = {"execute.rounds", "accept.rounds", "dispose.rounds"}
SOURCE = {
    "inventory",
    "plan",
    "gates",
    "freeze",
    "backup",
    "tally",
    "seal",
    "recheck",
    "recheck_objects",
    "open_disposal",
    "mask_here",
    "look_here",
    "masked_here",
    "erase",
    "residue",
    "prove",
}
TARGET = {
    "restore_test",
    "prepare",
    "migrate",
    "finish",
    "verify",
    "verify_objects",
    "reconcile",
    "expectations",
    "joins",
    "absence",
    "reidentification",
    "handover_list",
}
# They write to the ledger and the vault; at most a DROP SCHEMA to the target. A full pool must not keep
# them from telling the holder that it may let go, or a person how the run ended.
WITHOUT_POOL = {"abandon", "close", "end_backup", "rewrite_hours", "tombstones", *ASKING}


@pytest.fixture(scope="module")
def bag(airflow: ModuleType) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(REPOSITORY / "dags"))


@pytest.fixture
def dag(bag: Any) -> Any:
    return bag.dags["transfer"]


def test_every_dag_file_loads(bag: Any) -> None:
    assert bag.import_errors == {}
    files = {path.stem for path in (REPOSITORY / "dags").glob("*.py")}
    assert {Path(dag.fileloc).stem for dag in bag.dags.values()} == files


def test_tasks_and_edges_are_those_documented(dag: Any) -> None:
    assert {task.task_id: set(task.downstream_task_ids) for task in dag.tasks} == EDGES


def test_nothing_reaches_the_target_before_the_restore_test(dag: Any) -> None:
    for task_id in TARGET - {"restore_test"}:
        assert "restore_test" in {task.task_id for task in dag.get_task(task_id).get_flat_relatives(True)}


def upstream(dag: Any, task_id: str) -> set[str]:
    return {task.task_id for task in dag.get_task(task_id).get_flat_relatives(True)}


def test_nothing_is_read_or_frozen_before_gates_and_approval(dag: Any) -> None:
    for task_id in {"freeze", "snapshot", "backup", "tally", "seal", *TARGET}:
        assert upstream(dag, task_id) >= {"gates", *APPROVAL}, task_id


def test_the_source_is_read_again_after_verification_and_before_acceptance(dag: Any) -> None:
    for task_id in ("recheck", "recheck_objects"):
        assert upstream(dag, task_id) >= {"verify", "verify_objects", "reconcile", "expectations"}
    assert upstream(dag, "accept.rounds") >= {"recheck", "recheck_objects"}


def test_nothing_goes_from_the_source_before_acceptance_and_an_approval_of_its_own(dag: Any) -> None:
    for task_id in ("open_disposal", "mask_here", "look_here", "masked_here", "erase", "residue", "prove"):
        assert upstream(dag, task_id) >= {"restore_test", "recheck", *ACCEPTANCE, *DISPOSAL}


def test_nobody_closes_while_a_task_beside_the_failed_one_works(dag: Any) -> None:
    """A task whose trigger rule is all_done waits for its direct upstream tasks alone."""
    side_by_side = {"verify", "verify_objects", "reconcile", "expectations", "recheck", "recheck_objects"}
    assert set(dag.get_task("close").upstream_task_ids) >= side_by_side


def test_every_task_has_a_pool_or_a_reason(dag: Any) -> None:
    pools = {task.task_id: task.pool for task in dag.tasks}
    expected = dict.fromkeys(SOURCE, "handover_source") | dict.fromkeys(TARGET, "handover_target")
    expected |= {"snapshot": "handover_holder"} | dict.fromkeys(WITHOUT_POOL, "default_pool")
    assert pools == expected
    assert set(pools.values()) - {"default_pool"} == set(POOLS)


def test_the_end_comes_whatever_happened(dag: Any) -> None:
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}
    assert rules == dict.fromkeys(EDGES, "all_success") | {"abandon": "one_failed", "close": "all_done"}


def test_lanes_are_mapped_with_readable_names(dag: Any) -> None:
    assert {task.task_id for task in dag.tasks if task.is_mapped} == LANES | (ASKING - ROUNDS)
    for task_id in LANES:
        assert dag.get_task(task_id).map_index_template == "{{ lane }}"


def test_retries_are_few_and_wait_longer_each_time(dag: Any) -> None:
    for task in dag.tasks:
        if task.task_id in ASKING - ROUNDS:  # who gave no reason is asked again at once
            continue
        assert (task.retries, task.retry_delay) == (3, timedelta(seconds=15))
        assert task.retry_exponential_backoff == 2.0


def test_it_runs_only_when_asked(dag: Any) -> None:
    assert dag.schedule is None
    assert not dag.catchup


def test_params_make_a_useful_form(dag: Any) -> None:
    assert set(dag.params) == {"case", "dry_run"}
    case, dry_run = (dag.params.get_param(name) for name in ("case", "dry_run"))
    assert case.schema["type"] == "string"
    cases = (REPOSITORY / "include" / "cases").glob("*.yaml")
    known = sorted(path.stem for path in cases if "\nkind: transfer" in path.read_text())
    assert case.schema["examples"] == known
    assert case.resolve() == known[0]
    assert dry_run.schema["type"] == "boolean"
    assert dry_run.resolve() is True, "to execute takes a decision"
    for param in (case, dry_run):
        assert param.schema["title"]
        assert param.schema["description_md"]


@pytest.mark.parametrize("name, value", [("case", 1), ("case", None), ("dry_run", "no"), ("dry_run", 1)])
def test_a_param_of_a_wrong_type_is_refused(dag: Any, name: str, value: object) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        dag.params.get_param(name).resolve(value)


def test_reading_the_dag_opens_no_stage() -> None:
    """The file is read every few seconds: nothing heavy, no connection, may hang on that."""
    code = (
        "import sys; import transfer;"
        "print([m for m in sys.modules if m.startswith(('handover.stages', 'handover.postgres', 'psycopg'))])"
    )
    folders = [str(REPOSITORY / name) for name in ("dags", "plugins", "include")]
    program = f"import sys; sys.path[:0] = {folders!r}; {code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
