"""What Airflow adds to a run: a tiny case through the installation in the state folder, if there is one."""

from __future__ import annotations

import time

from rich.console import Console

from bench import BenchFailed
from bench.costs import Figure
from handover.local import demo, runs, services
from handover.local.home import Home
from handover.sample.sizes import SMALLEST

SEED = 1


def installed() -> bool:
    """Say whether the state folder has an installation."""
    return Home.locate().remembered_ports() is not None


def fixed_cost() -> Figure:
    """Move the smallest sample company through Airflow; its time is nearly all Airflow's.

    The demo's databases are refilled for it. Services that do not run are started before the clock.
    """
    machine = services.open_machine()
    console = Console(quiet=True)
    with machine.home.exclusive():
        services.start_clusters(machine)
        services.start_airflow(machine)
        services.wait_for_airflow(machine)
        demo.prepare_databases(machine, SMALLEST, SEED, console)
        began = time.monotonic()
        run = runs.trigger(machine, demo.CASE, prefix="bench")
        state = runs.follow(machine, demo.CASE, run, console)
        wall = time.monotonic() - began
    if state != "success":
        raise BenchFailed(f"run {run} ended as {state}", hint="see it in Airflow")
    return Figure("airflow_fixed_cost_s", round(wall, 1), "s")
