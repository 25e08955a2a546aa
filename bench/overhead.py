"""What Airflow adds to a run: a tiny case through an installation of its own, which is deleted afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from rich.console import Console

from bench import BenchFailed
from bench.costs import Figure
from handover.evidence import progress
from handover.local import demo, runs, services
from handover.local.services import Machine
from handover.sample.sizes import SMALLEST
from handover.stages.context import run_name

SEED = 1
# Moves everything and waits for nobody's answer.
CASE = "whole-database"


def fixed_cost(rounds: int) -> Figure:
    """Move the smallest sample company through Airflow; the time of a run is nearly all Airflow's."""
    with _installation() as machine:
        return Figure("airflow_fixed_cost_s", round(median(_run(machine) for _ in range(rounds)), 1), "s")


def _run(machine: Machine) -> float:
    quiet = Console(quiet=True)
    demo.prepare_databases(machine, SMALLEST, SEED, quiet)
    began = time.monotonic()
    run = runs.trigger(machine, CASE, dry_run=False, prefix="bench")
    state = runs.follow(machine, CASE, run, quiet)
    took = time.monotonic() - began
    if state != "success":
        said = progress.failures(machine.ledger_url, CASE, run_name(run))
        raise BenchFailed(f"run {run} ended as {state}:\n" + "\n".join(said), hint="does `make demo` work?")
    return took


@contextmanager
def _installation() -> Iterator[Machine]:
    """Start three clusters and Airflow in a folder of their own; the user's state folder is left alone."""
    folder = Path(tempfile.mkdtemp(prefix="handover-bench-"))
    folder.chmod(0o711)  # the servers' account has to get through
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.enter_context(_home(folder / "home"))
        machine = services.open_machine()
        stack.callback(services.clean, _silent)
        services.start_clusters(machine)
        services.start_airflow(machine)
        services.wait_for_airflow(machine)
        demo.wait_for_dag(machine)
        yield machine


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    """Let this process take a folder for its state folder, without any setting of the user's own."""
    before = {name: value for name, value in os.environ.items() if name.startswith("HANDOVER_")}
    for name in before:
        del os.environ[name]
    os.environ["HANDOVER_HOME"] = str(folder)
    try:
        yield
    finally:
        del os.environ["HANDOVER_HOME"]
        os.environ.update(before)


def _silent(_: str) -> None:
    """Say nothing."""
