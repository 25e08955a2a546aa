"""The demos: a sample company sells the loans of two branches, or ends; through Airflow, as users do it.

It acts by Airflow's REST API as the engineer, and answers approvals as the others, saying so. It reports what
the ledger recorded, and succeeds only if the run, every stage and the check of the evidence did.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TaskProgressColumn

from handover import sample
from handover.local import ServiceFailed, approve, runs, services
from handover.local.server import Administered
from handover.local.services import Machine
from handover.sample import company

# What each demo does to the sample company: it hands two branches over, or ends.
TRANSFER, ENDING = "demo-transfer", "deregistration"
# Airflow looks at the DAG folder every few seconds; a file that cannot be read shows as an import error.
DAG_SEEN_WITHIN_SECONDS = 90.0


def run(scale: int, seed: int, case: str = TRANSFER, console: Console | None = None) -> int:
    """Bring everything up, run the case, check the evidence; 0 only if all of it held."""

    def prepare(machine: Machine, console: Console) -> None:
        prepare_databases(machine, scale, seed, console)

    def act(machine: Machine, console: Console) -> bool:
        if case == ENDING:  # the next demo needs another company
            machine.clusters["source"].set_remark("company", "taken apart by a demo")
        run_id = begin(machine, case, console)
        state = watch(machine, case, run_id, {case: run_id}, console)
        return runs.report(machine, case, run_id, state, console)

    return perform(prepare, act, case, console)


def perform(
    prepare: Callable[[Machine, Console], None],
    act: Callable[[Machine, Console], bool],
    case: str,
    console: Console | None = None,
) -> int:
    """Bring everything up, prepare the databases meanwhile, then act; 0 only if that says that all held."""
    console = console or Console(highlight=False, soft_wrap=True)
    machine = services.open_machine()
    with machine.home.exclusive():
        console.print(f"state folder {machine.home.root}")
        services.start_clusters(machine)
        with ThreadPoolExecutor(1) as beside:
            # Airflow's start is two processors' work for some seconds whatever else happens: begin it first.
            started = beside.submit(services.start_airflow, machine)
            prepare(machine, console)
            started.result()
        services.wait_for_airflow(machine)
        wait_for_dag(machine, runs.dag_of(case))
        held = act(machine, console)
        console.print()
        for line in services.addresses(machine):
            console.print(line)
        console.print("It stays up until `make down`.")
    return 0 if held else 1


def begin(machine: Machine, case: str, console: Console, prefix: str = "demo") -> str:
    """Start a run of a case and say where it is seen; returns its id."""
    run_id = runs.trigger(machine, case, dry_run=False, prefix=prefix)
    console.print(f"case {case}, run {run_id}: {runs.address(machine, case, run_id)}")
    return run_id


def watch(machine: Machine, case: str, run_id: str, open_runs: Mapping[str, str], console: Console) -> str:
    """Follow a run to its end and answer what is asked in any of the open ones; returns its state."""

    def answer() -> None:
        for other, other_id in open_runs.items():
            approve.answer_open_questions(machine, runs.dag_of(other), other_id, console)

    return runs.follow(machine, case, run_id, console, between=answer)


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


def wait_for_dag(machine: Machine, dag: str = "transfer") -> None:
    """Wait until Airflow has read the DAG; raises ServiceFailed with what it says of the file."""
    api = machine.as_engineer()
    deadline = time.monotonic() + DAG_SEEN_WITHIN_SECONDS
    while not api.exists(f"/api/v2/dags/{dag}"):
        errors = api.get("/api/v2/importErrors")["import_errors"]
        if errors or time.monotonic() > deadline:
            said = errors[0]["stack_trace"] if errors else f"not seen after {DAG_SEEN_WITHIN_SECONDS:.0f} s"
            log = machine.services["dag-processor"].log
            raise ServiceFailed(f"Airflow does not offer the DAG {dag}: {said}", hint=f"look at {log}")
        time.sleep(runs.LOOK_EVERY_SECONDS)
