"""The demo: a sample company moves from one PostgreSQL to another, through Airflow as a user would do it.

It acts by Airflow's REST API as the engineer and reads the ledger; what it reports is what was recorded, and
it succeeds only if the run, every stage and the check of the evidence did.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.progress import Progress, TaskProgressColumn

from handover import sample
from handover.evidence import progress as ledger_progress
from handover.local import ServiceFailed, services
from handover.local.display import stage_bars, stage_table
from handover.local.server import Administered
from handover.local.services import Machine
from handover.sample import company

CASE = "demo-transfer"
DAG = "/api/v2/dags/transfer"
# Airflow looks at the DAG folder every few seconds; a file that cannot be read shows as an import error.
DAG_SEEN_WITHIN_SECONDS = 90.0
# Often enough that bars move, seldom enough that looking costs nothing.
LOOK_EVERY_SECONDS = 0.5
NOT_YET = (
    "Approvals, acceptance by the recipient and dispositions at the source are not part of this version."
)


def run(scale: int, seed: int, console: Console | None = None) -> int:
    """Bring everything up, move the company, check the evidence; 0 only if all of it held."""
    console = console or Console(highlight=False, soft_wrap=True)
    machine = services.open_machine()
    with machine.home.exclusive():
        return _run(machine, scale, seed, console)


def _run(machine: Machine, scale: int, seed: int, console: Console) -> int:
    console.print(f"state folder {machine.home.root}")
    services.start_clusters(machine)
    with ThreadPoolExecutor(1) as beside:
        # Airflow's start is two processors' work for some seconds whatever else happens: begin it first.
        started = beside.submit(services.start_airflow, machine)
        prepare_databases(machine, scale, seed, console)
        _finish(machine, started)
    run_id = trigger(machine)
    console.print(f"case {CASE}, run {run_id}: {machine.api.base}/dags/transfer/runs/{quote(run_id)}")
    state = follow(machine, run_id, console)
    return report(machine, run_id, state, console)


def _finish(machine: Machine, started: Future[None]) -> None:
    started.result()
    services.wait_for_airflow(machine)
    _wait_for_dag(machine)


def prepare_databases(machine: Machine, scale: int, seed: int, console: Console) -> None:
    """Fill the source unless it holds just this sample; empty the target."""
    target = machine.clusters["target"]
    target.drop_database("company")
    target.create_database("company", "company")
    fill(machine.clusters["source"], machine.company_url("source"), scale, seed, console)


def fill(source: Administered, url: str, scale: int, seed: int, console: Console) -> None:
    """Make the sample company in its database, anew unless it holds just this sample."""
    wanted = f"sample of {scale} rows, seed {seed}, generator {_generator_digest()}"
    if source.remark("company") == wanted:
        console.print(f"the source holds the {wanted}")
        return
    source.drop_database("company")
    source.create_database("company", "company")
    _generate(url, scale, seed, console)
    source.set_remark("company", wanted)


def _generate(url: str, scale: int, seed: int, console: Console) -> None:
    began = time.monotonic()
    with Progress(
        *Progress.get_default_columns()[:2],
        TaskProgressColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("sample company", total=scale)
        company.generate(url, rows=scale, seed=seed, progress=lambda _table, rows: bar.advance(task, rows))
    console.print(f"sample company of about {scale:,} rows generated in {time.monotonic() - began:.1f} s")


def _generator_digest() -> str:
    """Which generator it was, so that a changed one makes its data again."""
    files = sorted(path for path in Path(sample.__path__[0]).iterdir() if path.suffix in {".py", ".sql"})
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]


def _wait_for_dag(machine: Machine) -> None:
    api = machine.as_engineer()
    deadline = time.monotonic() + DAG_SEEN_WITHIN_SECONDS
    while not api.exists(DAG):
        errors = api.get("/api/v2/importErrors")["import_errors"]
        if errors or time.monotonic() > deadline:
            said = errors[0]["stack_trace"] if errors else f"not seen after {DAG_SEEN_WITHIN_SECONDS:.0f} s"
            log = machine.services["dag-processor"].log
            raise ServiceFailed(f"Airflow does not offer the DAG transfer: {said}", hint=f"look at {log}")
        time.sleep(LOOK_EVERY_SECONDS)


def trigger(machine: Machine) -> str:
    """Start a run of the DAG as the engineer."""
    run_id = f"demo-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    api = machine.as_engineer()
    api.send("PATCH", DAG, {"is_paused": False})
    conf = {"case": CASE, "dry_run": False}
    api.send("POST", f"{DAG}/dagRuns", {"logical_date": None, "dag_run_id": run_id, "conf": conf})
    return run_id


def follow(machine: Machine, run_id: str, console: Console) -> str:
    """Show the stages until the run has ended; its final state."""
    api = machine.as_engineer()
    with stage_bars(console) as show:
        while True:
            state = str(api.get(f"{DAG}/dagRuns/{quote(run_id)}")["state"])
            show(ledger_progress.read(machine.ledger_url, CASE, run_id))
            if state in ("success", "failed"):
                return state
            services.require_alive(machine)
            time.sleep(LOOK_EVERY_SECONDS)


def report(machine: Machine, run_id: str, state: str, console: Console) -> int:
    """Print what happened and check the evidence; the exit status."""
    stages = ledger_progress.read(machine.ledger_url, CASE, run_id)
    console.print()
    console.print(stage_table(stages))
    console.print(f"\ncase: {CASE}")
    held = state == "success" and all(stage.state == "done" for stage in stages)
    if state == "success":
        held = _verify(machine, run_id, console) and held
    else:
        _explain(machine, run_id, console)
    console.print()
    for line in services.addresses(machine):
        console.print(line)
    console.print(f"It stays up until `make down`. {NOT_YET}")
    return 0 if held else 1


def _verify(machine: Machine, run_id: str, console: Console) -> bool:
    folder = ledger_progress.evidence_folder(machine.ledger_url, CASE, run_id)
    console.print(f"evidence: {folder}")
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


def _explain(machine: Machine, run_id: str, console: Console) -> None:
    for message in ledger_progress.failures(machine.ledger_url, CASE, run_id):
        console.print(f"failure: {message.replace(chr(10), chr(10) + '  ')}", markup=False)
    path = f"{DAG}/dagRuns/{quote(run_id)}/taskInstances?state=failed&limit=20"
    for task in machine.as_engineer().get(path)["task_instances"]:
        console.print(f"failed task: {_task_name(task)}", markup=False)
        console.print(f"  log: {_task_log(machine, run_id, task)}", markup=False)


def _task_name(task: dict[str, Any]) -> str:
    label = task.get("rendered_map_index")
    return f"{task['task_id']} [{label}]" if label else str(task["task_id"])


def _task_log(machine: Machine, run_id: str, task: dict[str, Any]) -> Path:
    """Where Airflow's own layout of log files puts the last attempt."""
    folder = machine.home.root / "logs" / "airflow" / "dag_id=transfer" / f"run_id={run_id}"
    mapped = f"map_index={task['map_index']}" if task["map_index"] >= 0 else ""
    return folder / f"task_id={task['task_id']}" / mapped / f"attempt={task['try_number']}.log"
