"""Commands that work on runs through Airflow: run, resume, and Airflow's own program."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from handover.commands.shared import Arguments, Commands, add, open_case
from handover.settings import Settings

if TYPE_CHECKING:
    from handover.local.services import Machine


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    text = "Trigger a case in Airflow and watch it: a dry run that plans and judges, unless told to execute."
    run = add(commands, "run", run_case, text)
    run.add_argument("case")
    run.add_argument("--execute", action="store_true", help="go on after the plan; checks the evidence")
    resume = add(commands, "resume", resume_case, "Go on with the newest failed run of a case.")
    resume.add_argument("case")
    abort = add(commands, "abort", abort_case, "Take a case's newest run back: target, scratch, vault, key.")
    abort.add_argument("case")
    airflow = add(commands, "airflow", run_airflow, "Run Airflow's own command line in this installation.")
    airflow.add_argument("arguments", nargs=argparse.REMAINDER)


def run_case(options: Arguments) -> int:
    """Start a run and follow it to its end; without ``--execute`` that is the plan with its gates."""
    from handover.local import runs, services

    runs.require_known(options.case)
    machine = services.open_machine()
    services.require_alive(machine)
    run_id = runs.trigger(machine, options.case, dry_run=not options.execute)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"case {options.case}, run {run_id}: {runs.address(machine, options.case, run_id)}")
    state = runs.follow(machine, options.case, run_id, console)
    return _end(machine, options.case, run_id, state, dry_run=not options.execute, console=console)


def _end(machine: Machine, case: str, run_id: str, state: str, *, dry_run: bool, console: Console) -> int:
    """Tell how a run ended: where its evidence is, or after a dry run its plan."""
    from handover.local import runs

    if not dry_run:
        return 0 if runs.report(machine, case, run_id, state, console) else 1
    from handover.stages.plan_documents import write_documents

    context = open_case(case, run_id)
    planned = bool(context.entries("plan"))
    if planned:
        console.print(f"plan: {write_documents(context)}", markup=False)
    if state != "success":
        runs.explain(machine, case, run_id, console)
        return 1
    console.print("dry run: planned; no rows were copied, source and target are as they were")
    console.print(f"`handover run {case} --execute` carries it out", markup=False)
    return 0


def resume_case(options: Arguments) -> int:
    """Lift the stop flag, clear what failed, and follow the run to its end."""
    from handover.evidence.ledger import Ledger
    from handover.local import runs, services
    from handover.vault.keyring import Keyring

    machine = services.open_machine()
    services.require_alive(machine)
    failed = runs.newest_failed(machine, options.case)
    run_id, dry_run = str(failed["dag_run_id"]), bool(failed["conf"].get("dry_run", True))
    settings = Settings.load()
    ledger = Ledger(settings.require("HANDOVER_LEDGER_URL"), Keyring.open(settings.keyring).signer())
    ledger.append(options.case, "", "stop-lifted", {"by": "resume"})
    cleared = runs.clear_failed(machine, options.case, run_id)
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"run {run_id} goes on with {', '.join(cleared)}: {runs.address(machine, options.case, run_id)}"
    )
    state = runs.follow(machine, options.case, run_id, console)
    return _end(machine, options.case, run_id, state, dry_run=dry_run, console=console)


def abort_case(options: Arguments) -> int:
    """End the newest run of a case and remove everything that it made."""
    from handover.local import runs, services
    from handover.stages.abort import abort_run
    from handover.stages.certifying import outstanding

    machine = services.open_machine()
    services.require_alive(machine)
    run_id = runs.newest(machine, options.case)["dag_run_id"]
    runs.end(machine, options.case, run_id)
    context = open_case(options.case, run_id)
    removed = abort_run(context)
    print("\n".join(f"removed {what}" for what in removed) or "nothing was left to remove")
    print(f"case {options.case}, run {run_id} is aborted; the source is as it was")
    for one in outstanding(context):
        print(f"`handover certificate issue {one.case.case} --run {one.run}`", file=sys.stderr)
    return 0


def run_airflow(options: Arguments) -> int:
    """Become the ``airflow`` program with this installation's settings."""
    from handover.local.airflow import program
    from handover.local.airflow_connections import airflow_environment

    settings = Settings.load()
    settings.require("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    command = [str(program()), *options.arguments]
    os.execve(command[0], command, airflow_environment(settings.variables))  # noqa: S606 (no shell is meant)
