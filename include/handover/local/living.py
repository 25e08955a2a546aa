"""The demo of a living company: what is done to its data day by day, by the DAGs that do it by schedule.

A sweep finds what is due and erases it, proven and certified; the source is backed up; a backup is restored
from the vault alone; everything that is kept is audited.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from rich.console import Console

from handover.local import demo, runs, services
from handover.local.services import Machine

SOURCE = "sample-lending"
# The DAGs beside the sweep, in the order in which each finds what the one before has left.
OTHERS = (f"scheduled_backup.{SOURCE}", "restore_drill", "evidence_audit")


def run(scale: int, seed: int, console: Console | None = None) -> int:
    """Let the sample company live a day; 0 only if all of it held."""

    def prepare(machine: Machine, console: Console) -> None:
        demo.prepare_databases(machine, scale, seed, console)
        machine.clusters["source"].set_remark("company", "swept by a demo")

    def act(machine: Machine, console: Console) -> bool:
        run_id = demo.begin(machine, SOURCE, console)
        state = demo.watch(machine, SOURCE, run_id, {SOURCE: run_id}, console)
        held = runs.report(machine, SOURCE, run_id, state, console)
        states = {dag: _done(machine, dag, console) for dag in OTHERS}
        return held and all(state == "success" for state in states.values())

    return demo.perform(prepare, act, SOURCE, console)


def _done(machine: Machine, dag: str, console: Console) -> str:
    """Run a DAG now instead of waiting for its hour; returns how it ended."""
    demo.wait_for_dag(machine, dag)
    api, path = machine.as_engineer(), f"/api/v2/dags/{quote(dag)}"
    api.send("PATCH", path, {"is_paused": False})
    run_id = f"demo-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    asked: dict[str, Any] = {"logical_date": None, "dag_run_id": run_id, "conf": {}}
    api.send("POST", f"{path}/dagRuns", asked)
    console.print(f"\n{dag}, run {run_id}: {machine.api.base}/dags/{dag}/runs/{run_id}")
    while (state := str(api.get(f"{path}/dagRuns/{run_id}")["state"])) not in ("success", "failed"):
        services.require_alive(machine)
        time.sleep(runs.LOOK_EVERY_SECONDS)
    console.print(f"{dag}: {state}")
    return state
