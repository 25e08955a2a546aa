"""Commands that work on runs through Airflow: run, resume, and Airflow's own program."""

from __future__ import annotations

import argparse
import os

from rich.console import Console

from handover.commands.shared import Arguments, Commands, add, open_case
from handover.settings import Settings


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    run = add(commands, "run", run_case, "Trigger a case in Airflow, watch it, check its evidence.")
    run.add_argument("case")
    run.add_argument("--dry-run", action="store_true", help="look and plan only")
    resume = add(commands, "resume", resume_case, "Go on with the newest failed run of a case.")
    resume.add_argument("case")
    abort = add(commands, "abort", abort_case, "Take a case's newest run back: target, scratch, vault, key.")
    abort.add_argument("case")
    airflow = add(commands, "airflow", run_airflow, "Run Airflow's own command line in this installation.")
    airflow.add_argument("arguments", nargs=argparse.REMAINDER)


def run_case(options: Arguments) -> int:
    """Start a run and follow it to its end."""
    from handover.local import runs, services
    from handover.model.case import load_case

    load_case(Settings.load().cases, options.case)
    machine = services.open_machine()
    services.require_alive(machine)
    run_id = runs.trigger(machine, options.case, dry_run=options.dry_run)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"case {options.case}, run {run_id}: {runs.address(machine, run_id)}")
    state = runs.follow(machine, options.case, run_id, console)
    if options.dry_run and state == "success":
        console.print("dry run: planned; no rows were copied, source and target are as they were")
        return 0
    return 0 if runs.report(machine, options.case, run_id, state, console) else 1


def resume_case(options: Arguments) -> int:
    """Lift the stop flag, clear what failed, and follow the run to its end."""
    from handover.evidence.ledger import Ledger
    from handover.local import runs, services
    from handover.vault.keyring import Keyring

    machine = services.open_machine()
    services.require_alive(machine)
    run_id = runs.newest_failed(machine, options.case)
    settings = Settings.load()
    ledger = Ledger(settings.require("HANDOVER_LEDGER_URL"), Keyring.open(settings.keyring).signer())
    ledger.append(options.case, "", "stop-lifted", {"by": "resume"})
    cleared = runs.clear_failed(machine, run_id)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"run {run_id} goes on with {', '.join(cleared)}: {runs.address(machine, run_id)}")
    state = runs.follow(machine, options.case, run_id, console)
    return 0 if runs.report(machine, options.case, run_id, state, console) else 1


def abort_case(options: Arguments) -> int:
    """End the newest run of a case and remove everything that it made."""
    from handover.local import runs, services
    from handover.stages.abort import abort_run

    machine = services.open_machine()
    services.require_alive(machine)
    run_id = runs.newest(machine, options.case)["dag_run_id"]
    runs.end(machine, run_id)
    removed = abort_run(open_case(options.case, run_id))
    print("\n".join(f"removed {what}" for what in removed) or "nothing was left to remove")
    print(f"case {options.case}, run {run_id} is aborted; the source is as it was")
    return 0


def run_airflow(options: Arguments) -> int:
    """Become the ``airflow`` program with this installation's settings."""
    from handover.local.airflow import program
    from handover.local.airflow_connections import airflow_environment

    settings = Settings.load()
    settings.require("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    command = [str(program()), *options.arguments]
    os.execve(command[0], command, airflow_environment(settings.variables))  # noqa: S606 (no shell is meant)
