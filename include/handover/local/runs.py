"""Runs of cases through Airflow, as a person would do it: trigger or resume, watch, report.

It acts by Airflow's REST API as the engineer and reads the ledger; what it reports is what was recorded.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console

from handover.errors import Busy, NotReady
from handover.evidence import progress
from handover.local import services
from handover.local.display import stage_bars, stage_table
from handover.local.services import Machine
from handover.model.case import load_case
from handover.model.registered import known_sources, load_source
from handover.settings import Settings
from handover.stages.archive_terms import ARCHIVES
from handover.stages.context import run_name

# Often enough that bars move, seldom enough that looking costs nothing.
LOOK_EVERY_SECONDS = 0.5
# Airflow tells a task to end within its heartbeat; a statement on the server may take longer to notice.
ENDED_WITHIN_SECONDS = 120.0
_CERTIFICATE = "certificate-written"
SWEEP = "retention_sweep"


def dag_of(case: str) -> str:
    """Return the id of the DAG that runs cases of this one's kind; of a registered source, its sweeps."""
    if is_source(case):
        return f"{SWEEP}.{case}"
    return load_case(Settings.load().cases, case).kind


def require_known(case: str) -> None:
    """Raise CaseInvalid or SourceInvalid unless there is a valid case or registered source of that name."""
    settings = Settings.load()
    if is_source(case):
        load_source(settings.sources, case)
    else:
        load_case(settings.cases, case)


def is_source(case: str) -> bool:
    """Say whether a name is that of a registered source."""
    return case in known_sources(Settings.load().sources)


def _path(case: str) -> str:
    return f"/api/v2/dags/{dag_of(case)}"


def trigger(machine: Machine, case: str, *, dry_run: bool, prefix: str = "cli") -> str:
    """Start a run of the DAG as the engineer; returns its id. A dry run ends with plan and gates."""
    run_id = f"{prefix}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    api = machine.as_engineer()
    api.send("PATCH", _path(case), {"is_paused": False})
    conf = {"dry_run": dry_run} if is_source(case) else {"case": case, "dry_run": dry_run}
    api.send("POST", f"{_path(case)}/dagRuns", {"logical_date": None, "dag_run_id": run_id, "conf": conf})
    return run_id


def newest(machine: Machine, case: str) -> dict[str, Any]:
    """Return the case's newest run as Airflow tells it; raises NotReady when there is none."""
    path = f"{_path(case)}/dagRuns?order_by=-run_after&limit=100"
    for found in machine.as_engineer().get(path)["dag_runs"]:
        if is_source(case) or (found["conf"] or {}).get("case") == case:
            return dict(found)
    raise NotReady(f"case {case} has no run", hint=f"`handover run {case}`")


def newest_failed(machine: Machine, case: str) -> dict[str, Any]:
    """Return the case's newest run; raises NotReady when it has not failed."""
    found = newest(machine, case)
    if found["state"] != "failed":
        raise NotReady(
            f"there is nothing to resume in case {case}: its newest run is {found['state']}",
            hint=f"`handover status {case}` shows how far it is (`handover up` lets it go on if Airflow was "
            f"stopped); `handover run {case}` starts a new one",
        )
    return found


def end(machine: Machine, case: str, run_id: str) -> None:
    """Mark a run as failed and wait until none of its tasks works any more."""
    api = machine.as_engineer()
    path = f"{_path(case)}/dagRuns/{quote(run_id)}"
    if api.get(path)["state"] not in ("success", "failed"):
        api.send("PATCH", path, {"state": "failed"})
    deadline = time.monotonic() + ENDED_WITHIN_SECONDS
    while api.get(f"{path}/taskInstances?state=running&limit=1")["total_entries"]:
        if time.monotonic() > deadline:
            raise Busy(
                f"tasks of run {run_id} still run after {ENDED_WITHIN_SECONDS:.0f} s",
                hint="look at them in the UI, end their processes, then abort again",
            )
        time.sleep(LOOK_EVERY_SECONDS)


def clear_failed(machine: Machine, case: str, run_id: str) -> list[str]:
    """Let Airflow do the failed tasks of a run again, and what waits for them; returns their ids."""
    body = {
        "dry_run": False,
        "dag_run_id": run_id,
        "only_failed": True,
        "reset_dag_runs": True,
        "include_downstream": True,
    }
    cleared = machine.as_engineer().send("POST", f"{_path(case)}/clearTaskInstances", body)["task_instances"]
    return sorted({str(task["task_id"]) for task in cleared})


def address(machine: Machine, case: str, run_id: str) -> str:
    """Return where a run is seen in the UI."""
    return f"{machine.api.base}/dags/{dag_of(case)}/runs/{quote(run_id)}"


def follow(
    machine: Machine, case: str, run_id: str, console: Console, between: Callable[[], object] = lambda: None
) -> str:
    """Show the stages until the run has ended; its final state. ``between`` is called at each look."""
    api, path = machine.as_engineer(), f"{_path(case)}/dagRuns/{quote(run_id)}"
    with stage_bars(console) as show:
        while True:
            state = str(api.get(path)["state"])
            show(progress.read(machine.ledger_url, case, run_name(run_id)))
            if state in ("success", "failed"):
                return state
            services.require_alive(machine)
            between()
            time.sleep(LOOK_EVERY_SECONDS)


def report(machine: Machine, case: str, run_id: str, state: str, console: Console) -> bool:
    """Print what happened and check the evidence; returns whether all of it held."""
    stages = progress.read(machine.ledger_url, case, run_name(run_id))
    console.print()
    console.print(stage_table(stages))
    console.print(f"\ncase: {case}")
    if state != "success":
        explain(machine, case, run_id, console)
        return False
    held = _verify(machine, case, run_id, console, "evidence-written")
    bag = Settings.load().vault / ARCHIVES / case / run_name(run_id)
    if bag.is_dir():
        console.print(f"archive: {bag}")
    if progress.evidence_folder(machine.ledger_url, case, run_name(run_id), _CERTIFICATE):
        held = _verify(machine, case, run_id, console, _CERTIFICATE) and held
    return held and all(stage.state == "done" for stage in stages)


def _verify(machine: Machine, case: str, run_id: str, console: Console, kind: str) -> bool:
    folder = progress.evidence_folder(machine.ledger_url, case, run_name(run_id), kind)
    console.print(f"{kind.removesuffix('-written')}: {folder}")
    command = [str(Path(sys.executable).parent / "handover"), "verify", folder]
    console.print(f"$ handover verify {folder}")
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    console.print(done.stdout.rstrip(), markup=False)
    return done.returncode == 0


def explain(machine: Machine, case: str, run_id: str, console: Console) -> None:
    """Print why a run failed, and where its failed tasks logged."""
    for message in progress.failures(machine.ledger_url, case, run_name(run_id)):
        console.print(f"failure: {message.replace(chr(10), chr(10) + '  ')}", markup=False)
    path = f"{_path(case)}/dagRuns/{quote(run_id)}/taskInstances?state=failed&limit=20"
    for task in machine.as_engineer().get(path)["task_instances"]:
        console.print(f"failed task: {_task_name(task)}", markup=False)
        console.print(f"  log: {_task_log(machine, case, run_id, task)}", markup=False)


def _task_name(task: dict[str, Any]) -> str:
    label = task.get("rendered_map_index")
    return f"{task['task_id']} [{label}]" if label else str(task["task_id"])


def _task_log(machine: Machine, case: str, run_id: str, task: dict[str, Any]) -> Path:
    """Where Airflow's own layout of log files puts the last attempt."""
    folder = machine.home.root / "logs" / "airflow" / f"dag_id={dag_of(case)}" / f"run_id={run_id}"
    mapped = f"map_index={task['map_index']}" if task["map_index"] >= 0 else ""
    return folder / f"task_id={task['task_id']}" / mapped / f"attempt={task['try_number']}.log"
