"""Commands that work on a hand-over list of accounting archives: show, sign, test."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import get_args

from rich.table import Table

from handover.commands.shared import Arguments, Commands, add, add_group, open_case, show
from handover.model.handover_list import ROLES, TESTS, Role


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    group = add_group(
        commands, "list", "work on the hand-over list of accounting archives (会计档案移交清册)"
    )
    look = add(group, "show", show_list, "Show who signed and what was tested; 1 while something is open.")
    look.add_argument(
        "--into", type=Path, metavar="FOLDER", help="write the list there, to print and sign it"
    )
    sign = add(group, "sign", sign_list, "Register a signature on the printed list, by its scan's SHA-256.")
    sign.add_argument("--role", required=True, choices=get_args(Role))
    sign.add_argument("--name", required=True, help="who signed")
    sign.add_argument("--on", required=True, type=date.fromisoformat, metavar="DATE", help="as in 2026-01-31")
    sign.add_argument("--file", required=True, type=Path, help="the scan, or the file signed electronically")
    sign.add_argument("--sha256", help="refuse the file unless this is its SHA-256")
    test = add(group, "test", record_tests, "Record the receiver's four tests of the archives.")
    for name, words in TESTS.items():
        test.add_argument(f"--{name}", required=True, choices=("yes", "no"), help=f"{words.zh} {words.en}")
    test.add_argument("--by", required=True, metavar="NAME", help="who tested, of the receiving unit")
    test.add_argument("--reason", required=True, help="how it was tested, and what was found")
    for command in (look, sign, test):
        command.add_argument("case")
        command.add_argument("--run", required=True, help="`handover status CASE` lists the runs")


def show_list(options: Arguments) -> int:
    """Print slots and tests, and write the list's files where asked."""
    from handover.stages.context import run_name
    from handover.stages.handover_entries import receiver_test, signatures
    from handover.stages.handover_signing import documents, list_faults

    context = open_case(options.case, run_name(options.run))
    present, test = signatures(context), receiver_test(context)
    grid = Table("slot", "", "name", "on", "SHA-256 of the file", box=None)
    for role, words in ROLES.items():
        one = present.get(role)
        grid.add_row(role, words.zh, *((one.name, str(one.on), one.sha256) if one else ("–", "–", "–")))
    for name, words in TESTS.items():
        answer = "–" if test is None else "yes" if test.answers[name] else "no"
        grid.add_row(f"test: {name}", words.zh, answer)
    show(grid)
    if options.into is not None:
        write_files(options.into, documents(context))
    faults = list_faults(context)
    print("\n".join(faults) or "signed by all four and tested: the run may be closed")
    return 1 if faults else 0


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a folder that only its owner may read, and name them."""
    from handover.vault.files import make_private_folders
    from handover.vault.store import FolderStore

    make_private_folders(folder)
    store = FolderStore(folder)
    for name, data in files.items():
        store.put(name, data)
        print(folder / name)


def sign_list(options: Arguments) -> int:
    """Register one signature."""
    from handover.stages.context import run_name
    from handover.stages.handover_signing import list_faults, sign

    context = open_case(options.case, run_name(options.run))
    made = sign(context, options.role, options.name, options.on, options.file, options.sha256)
    print(f"{made.role} {made.name}, {made.on}: {made.file}, SHA-256 {made.sha256}")
    _say_next(list_faults(context))
    return 0


def record_tests(options: Arguments) -> int:
    """Record the receiver's answers."""
    from handover.stages.context import run_name
    from handover.stages.handover_signing import list_faults, record_test

    context = open_case(options.case, run_name(options.run))
    answers = {name: getattr(options, name) == "yes" for name in TESTS}
    record_test(context, answers, options.by, options.reason)
    print(", ".join(f"{name} {'yes' if yes else 'no'}" for name, yes in answers.items()))
    _say_next(list_faults(context))
    return 0


def _say_next(faults: list[str]) -> None:
    print("\n".join(faults) or "signed by all four and tested: clear the task close, which completes the run")
