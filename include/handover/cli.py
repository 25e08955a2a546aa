"""The command line: `handover …`. Exit status 0 when all is well, 1 when not, 2 for a wrong call.

Messages go to standard error, results to standard output. Errors are printed with their remedy and
without a traceback; a traceback here is a bug.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as Grid

from handover.connections import environment_resolver
from handover.errors import CaseInvalid, HandoverError
from handover.settings import Settings

if TYPE_CHECKING:
    from handover.stages.context import Context

# Rows of the sample company when nobody says how many: large enough to see bars move, small enough for
# a first look within two minutes.
DEFAULT_SCALE = 300_000
Arguments = argparse.Namespace


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    options = _parser().parse_args(arguments)
    command: Callable[[Arguments], int] = options.command
    try:
        status = command(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (else Python complains again at exit)
        return 0
    except HandoverError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing half done counts as done", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="handover", description="Move or destroy a company's customer data and prove it."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_case_commands(commands)
    _add_evidence_commands(commands)
    _add_machine_commands(commands)
    return parser


Commands = argparse._SubParsersAction  # argparse has no public name for it


def _add(
    commands: Commands[argparse.ArgumentParser], name: str, run: Callable[[Arguments], int], text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=run)
    return parser


def _add_case_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    case = commands.add_parser("case", help="work on case files").add_subparsers(
        required=True, metavar="ACTION"
    )
    check = _add(case, "check", case_check, "Check a case file against the real databases; changes nothing.")
    check.add_argument("case", help="case id, or path of a case file")
    inventory = _add(commands, "inventory", show_inventory, "List what the source of a case holds.")
    inventory.add_argument("case")
    status = _add(commands, "status", show_status, "Show how far the runs of a case are.")
    status.add_argument("case")
    status.add_argument("--json", action="store_true")
    stop = _add(commands, "stop", stop_case, "Make every task of a case end at its next chunk.")
    stop.add_argument("case")
    stop.add_argument("--lift", action="store_true", help="let the case go on again")


def _add_evidence_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    verify = _add(commands, "verify", verify_evidence, "Check an evidence folder offline.")
    verify.add_argument("folder", type=Path)
    verify.add_argument(
        "--vault",
        nargs="?",
        type=Path,
        const=Path(),
        help="the backup files too (default: this installation's vault)",
    )
    verify.add_argument("--public-key", type=Path, help="trust this key and not the one in the folder")
    verify.add_argument("--json", action="store_true")
    restore = _add(
        commands, "restore", restore_backup, "Restore a run's backup from the vault into an empty database."
    )
    restore.add_argument("case")
    restore.add_argument("run", help="a run whose backup was sealed; `handover status` lists them")
    restore.add_argument(
        "--into", required=True, metavar="CONNECTION", help="connection id of the empty database"
    )
    keys = commands.add_parser("keys", help="work on the keyring").add_subparsers(
        required=True, metavar="ACTION"
    )
    _add(keys, "list", list_keys, "List keys, never their material.")
    rotate = _add(keys, "rotate", rotate_key, "Give a purpose a new root key and wrap its keys anew.")
    rotate.add_argument("purpose")
    destroy = _add(keys, "destroy", destroy_key, "Destroy a key: what it encrypted can't be read again.")
    destroy.add_argument("key_id")
    destroy.add_argument("--yes", action="store_true", required=True, help="say that this is meant")


def _add_machine_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    demo = _add(commands, "demo", run_demo, "Move the generated sample company through Airflow.")
    demo.add_argument("--scale", type=int, default=DEFAULT_SCALE, help="rows of the sample company, about")
    demo.add_argument("--seed", type=int, default=1)
    _add(commands, "up", up, "Start the local clusters and Airflow.")
    _add(commands, "down", down, "Stop them; data stays.")
    _add(commands, "clean", clean, "Stop them and delete the state folder.")
    sample = commands.add_parser("sample", help="the sample company").add_subparsers(
        required=True, metavar="ACTION"
    )
    create = _add(sample, "create", create_sample, "Generate the sample company in an empty database.")
    create.add_argument("url", help="postgresql://… of an empty database")
    create.add_argument("--scale", type=int, default=DEFAULT_SCALE)
    create.add_argument("--seed", type=int, default=1)
    _add(commands, "version", show_version, "Print the versions of everything that does the work.")


def _open(case: str, run: str) -> Context:
    from handover.stages.context import open_context

    settings = Settings.load()
    return open_context(settings, case, run, environment_resolver(settings.variables))


def _show(grid: Grid) -> None:
    """Print a table; where no terminal sets a width nothing is cut."""
    console = Console()
    (console if console.is_terminal else Console(width=1000)).print(grid)


def case_check(options: Arguments) -> int:
    """Print every finding; 1 when one of them blocks."""
    from handover.stages.inventory import check, is_acknowledged

    context = _open(_case_id(options.case), "check")
    findings = check(context)
    blocking = [f for f in findings if not is_acknowledged(context, f)]
    for finding in findings:
        sign = "acknowledged" if finding not in blocking else "blocking"
        print(f"{sign}: {finding.id}: {finding.message}\n  remedy: {finding.remedy}")
    print(f"case {context.case.case}: {len(findings)} findings, {len(blocking)} blocking")
    return 1 if blocking else 0


def _case_id(text: str) -> str:
    """Return the id of a case given by id or by the path of its file in the cases' folder."""
    path = Path(text)
    if path.suffix not in (".yaml", ".yml"):
        return text
    cases = Settings.load().cases
    if path.resolve().parent != cases.resolve() or path.suffix == ".yml":
        raise CaseInvalid(f"{path} is not a .yaml file in {cases}", hint=f"put the case file into {cases}")
    return path.stem


def show_inventory(options: Arguments) -> int:
    """Print tables with estimated rows and sizes."""
    from contextlib import closing

    from handover.postgres.catalog import read_catalog
    from handover.postgres.session import connect, database_errors

    context = _open(options.case, "inventory")
    with (
        database_errors("reading the source's catalog"),
        closing(connect(context.source, read_only=True)) as source,
    ):
        catalog = read_catalog(source, context.case.source.schemas, bytewise=False)
    grid = Grid("table", "rows (estimate)", "MB", "ordered by", box=None)
    for table in catalog.tables:
        key = ", ".join(column.name for column in table.key) or "whole row (no key)"
        grid.add_row(table.label, f"{table.rows_estimate:,}", f"{table.bytes / 1e6:,.1f}", key)
    _show(grid)
    print(f"{len(catalog.tables)} tables, {len(catalog.materialized_views)} materialised views, ", end="")
    print(f"{catalog.large_objects} large objects, PostgreSQL {catalog.server.version}")
    return 0


def show_status(options: Arguments) -> int:
    """Print each run's stages, and the stop flag."""
    from handover.evidence import progress
    from handover.evidence.ledger import Ledger

    url = Settings.load().require("HANDOVER_LEDGER_URL")
    entries = Ledger(url, None).entries(options.case)
    runs = list(dict.fromkeys(entry.run for entry in entries if entry.run))
    flags = [entry.kind for entry in entries if entry.kind in ("stop-requested", "stop-lifted", "run-opened")]
    stopped = flags[-1:] == ["stop-requested"]
    stages = {run: [vars(stage) for stage in progress.read(url, options.case, run)] for run in runs}
    if options.json:
        print(json.dumps({"case": options.case, "stopped": stopped, "runs": stages}, ensure_ascii=False))
        return 0
    for run, found in stages.items():
        grid = Grid("stage", "state", "rows", "MB", "s", title=f"run {run}", box=None)
        for stage in found:
            size = f"{stage['bytes'] / 1e6:,.1f}"
            grid.add_row(
                stage["stage"], stage["state"], f"{stage['rows']:,}", size, f"{stage['seconds']:.1f}"
            )
        _show(grid)
    print(f"case {options.case}: {len(runs)} runs, {'told to stop' if stopped else 'not stopped'}")
    return 0


def stop_case(options: Arguments) -> int:
    """Set or lift the stop flag in the ledger."""
    context = _open(options.case, "stop")
    kind = "stop-lifted" if options.lift else "stop-requested"
    context.ledger.append(context.case.case, "", kind, {})
    done = "may go on: clear its failed tasks" if options.lift else "will stop at the next chunk"
    print(f"case {context.case.case} {done}")
    return 0


def verify_evidence(options: Arguments) -> int:
    """Run the stand-alone verifier on an evidence folder."""
    from handover.evidence.verifier import main as verifier

    arguments = [str(options.folder)]
    if options.vault is not None:
        vault = Settings.load().vault if options.vault == Path() else options.vault
        arguments += ["--vault", str(vault)]
    if options.public_key:
        arguments += ["--public-key", str(options.public_key)]
    return verifier([*arguments, *(["--json"] if options.json else [])])


def restore_backup(options: Arguments) -> int:
    """Restore a backup and compare it."""
    from handover.stages.context import run_name
    from handover.stages.restore import STEP, restore

    context = _open(options.case, run_name(options.run))
    url = environment_resolver(context.settings.variables)
    try:
        into = url(options.into)
    except KeyError:
        raise CaseInvalid(f"connection {options.into!r} is not known", hint="see --into") from None
    with Console().status("restoring"), context.step(STEP) as progress:
        restore(context, into, progress)
    print(f"restored run {context.run} into {options.into} and compared it: equal")
    return 0


def list_keys(_: Arguments) -> int:
    """Print all keys."""
    from handover.vault.keyring import Keyring

    grid = Grid("key", "purpose", "case", "state", "created", "root", box=None)
    for key in Keyring.open(Settings.load().keyring).list():
        grid.add_row(key.key_id, key.purpose.value, key.case, key.state.value, key.created, str(key.root))
    _show(grid)
    return 0


def rotate_key(options: Arguments) -> int:
    """Rotate the root of a purpose and write it into the ledger of every case concerned."""
    from handover.evidence.ledger import Ledger
    from handover.vault.keyring import Keyring
    from handover.vault.roots import Purpose

    try:
        purpose = Purpose(options.purpose)
    except ValueError:
        known = ", ".join(p.value for p in Purpose)
        raise CaseInvalid(f"unknown purpose {options.purpose!r}", hint=f"one of {known}") from None
    settings = Settings.load()
    keyring = Keyring.open(settings.keyring)
    root = keyring.rotate(purpose)
    ledger = Ledger(settings.require("HANDOVER_LEDGER_URL"), keyring.signer())
    for case in sorted({key.case for key in keyring.list() if key.purpose is purpose and key.case}):
        ledger.append(case, "", "root-rotated", {"purpose": purpose.value, "version": root.version})
    print(f"root of {root.purpose.value} is now version {root.version}")
    return 0


def destroy_key(options: Arguments) -> int:
    """Destroy a key and write it into the ledger."""
    from dataclasses import asdict

    from handover.evidence.ledger import Ledger
    from handover.vault.keyring import Keyring

    settings = Settings.load()
    keyring = Keyring.open(settings.keyring)
    done = keyring.destroy(options.key_id)
    ledger = Ledger(settings.require("HANDOVER_LEDGER_URL"), keyring.signer())
    ledger.append(done.case, "", "key-destroyed", {k: str(v) for k, v in asdict(done).items()})
    print(f"{done.key_id}: {done.result}")
    return 0


def run_demo(options: Arguments) -> int:
    """Run the demo."""
    from handover.local import demo

    return demo.run(options.scale, options.seed)


def up(_: Arguments) -> int:
    """Start the local services."""
    from handover.local import services

    return services.up()


def down(_: Arguments) -> int:
    """Stop the local services."""
    from handover.local import services

    return services.down()


def clean(_: Arguments) -> int:
    """Delete the local state."""
    from handover.local import services

    return services.clean()


def create_sample(options: Arguments) -> int:
    """Generate the sample company."""
    from handover.sample.company import generate

    with Console().status("generating"):
        rows = generate(options.url, rows=options.scale, seed=options.seed)
    print(f"{sum(rows.values()):,} rows in {len(rows)} tables (generated sample data)")
    return 0


def show_version(_: Arguments) -> int:
    """Print versions."""
    from handover.stages.close import software

    for name, found in software().items():
        print(f"{name} {found}")
    return 0
