"""Commands that work on a destruction list of accounting archives: show it, and register each act on it."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rich.markup import escape
from rich.table import Table

from handover.commands.handover_list import write_files
from handover.commands.persons import add_identity, person
from handover.commands.shared import Arguments, Commands, add, add_group, open_case, show
from handover.model.destruction_list import OpinionRole, SupervisorRole

if TYPE_CHECKING:
    from handover.model.destruction_acts import Act
    from handover.model.destruction_standing import Standing
    from handover.stages.context import Context
    from handover.stages.destruction_registering import Scan


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser, in the order in which the acts follow."""
    group = add_group(
        commands, "destruction", "work on the destruction list of accounting archives (会计档案销毁清册)"
    )
    look = add(group, "show", show_list, "Show how far the list is; 1 while it is not in the archives.")
    look.add_argument("--into", type=Path, metavar="FOLDER", help="write the list there, to print and sign")
    terms = add(group, "list-terms", list_terms, "Make the list of an archive's terms whose day has come.")
    opinions, supervisors = get_args(OpinionRole), get_args(SupervisorRole)
    appraisal = add(group, "appraise", appraise_list, "Register the appraisal opinion (鉴定意见书).")
    appraisal.add_argument("--number", required=True, help="of the opinion, as the list names it")
    appraisal.add_argument("--member", required=True, action="append", help="of the appraising body; repeat")
    opinion = add(group, "opinion", add_opinion, "Register one of the five opinions before the destruction.")
    opinion.add_argument("--role", required=True, choices=opinions)
    precheck = add(group, "precheck", check_list, "Register that a supervisor checked the list before.")
    precheck.add_argument("--role", required=True, choices=supervisors)
    executed = add(group, "executed", register_execution, "Register the destruction by its own receipts.")
    executed.add_argument("--by", required=True, action="append", metavar="NAME", help="who did it; repeat")
    supervised = add(
        group, "supervise", sign_list, "Register a supervisor's signature after the destruction."
    )
    supervised.add_argument("--role", required=True, choices=supervisors)
    archived = add(group, "archive", archive_list, "Register that the signed list went into the archives.")
    archived.add_argument("--place", required=True, help="where it is kept, permanently")
    for parser in (opinion, precheck):
        parser.add_argument("--agrees", required=True, choices=("yes", "no"), help="no ends this list")
        parser.add_argument("--reason", required=True, help="in the person's own words")
    for parser in (opinion, precheck, supervised, archived):
        parser.add_argument("--name", required=True, help="who gave it")
    for parser in (appraisal, opinion, precheck, supervised, archived):
        parser.add_argument(
            "--on", required=True, type=date.fromisoformat, metavar="DATE", help="as in 2026-01-31"
        )
    for parser in (appraisal, opinion, supervised, archived):
        parser.add_argument(
            "--file", required=True, type=Path, help="the scan, or the file signed electronically"
        )
        parser.add_argument("--sha256", help="refuse the file unless this is its SHA-256")
    for parser in (look, terms, appraisal, opinion, precheck, executed, supervised, archived):
        parser.add_argument("case")
        parser.add_argument("--run", required=True, help="`handover status CASE` lists the runs")
        if parser is not look:
            add_identity(parser)


def show_list(options: Arguments) -> int:
    """Print the list's state and acts, and write its files where asked."""
    from handover.model.destruction_acts import kind_of
    from handover.model.destruction_standing import STATES
    from handover.stages.destruction_listing import destruction_list_faults
    from handover.stages.destruction_signing import destruction_documents, destruction_standing

    context = _open(options)
    now = destruction_standing(context)
    grid = Table("act", "role", "who", "registered", "SHA-256 of the file", box=None)
    for one in now.recorded:
        act = one.act
        role, digest = getattr(act, "role", "–"), getattr(act, "sha256", "–")
        cells = (kind_of(act), role, _who(act), f"{one.at:%Y-%m-%d %H:%M}", digest)
        grid.add_row(*map(escape, cells))
    if now.made is not None:
        listed = sum(volume.rows for volume in now.made.volumes)
        print(f"list {now.made.number}, edition {now.made.edition}, SHA-256 {now.made.sha256}")
        print(f"{len(now.made.volumes)} volumes, {listed} rows; {len(now.made.annex)} lines on the annex")
        show(grid)
    print(f"state: {now.state} ({STATES[now.state].zh})")
    if options.into is not None:
        write_files(options.into, destruction_documents(context))
    faults = destruction_list_faults(context)
    print("\n".join(faults) or "nothing is open")
    return 1 if faults else 0


def list_terms(options: Arguments) -> int:
    """Make the list of terms, or find the one that says the same; print the run under which it is signed."""
    from handover.stages.term_listing import make_list_of_terms

    who, context = person(options), _open(options)
    run, made = make_list_of_terms(context, who)
    print(f"list {made.number}, edition {made.edition}, SHA-256 {made.sha256}")
    print(f"{len(made.volumes)} volumes, {len(made.annex)} lines on the annex")
    print(f"next: `handover destruction show {made.case} --run {run}`, and its other actions with that run")
    return 0


def _who(act: Act) -> str:
    """Return the names that an act bears."""
    several: tuple[str, ...] = getattr(act, "members", ()) or getattr(act, "executors", ())
    return ", ".join(several) or str(getattr(act, "name", "–"))


def appraise_list(options: Arguments) -> int:
    """Register the appraisal."""
    from handover.stages.destruction_registering import appraise

    who, context = person(options), _open(options)
    return _say(appraise(context, who, options.number, options.member, options.on, _scan(options)))


def add_opinion(options: Arguments) -> int:
    """Register an opinion."""
    from handover.stages.destruction_registering import give_opinion

    who, context = person(options), _open(options)
    return _say(give_opinion(context, who, _scan(options), **_said(options, "role", "agrees", "reason")))


def check_list(options: Arguments) -> int:
    """Register a supervisor's check before the destruction."""
    from handover.stages.destruction_registering import check_before

    who, context = person(options), _open(options)
    return _say(check_before(context, who, **_said(options, "role", "agrees", "reason")))


def register_execution(options: Arguments) -> int:
    """Register the destruction."""
    from handover.stages.destruction_registering import record_execution

    who, context = person(options), _open(options)
    return _say(record_execution(context, who, options.by))


def sign_list(options: Arguments) -> int:
    """Register a supervisor's signature after the destruction."""
    from handover.stages.destruction_registering import sign_after

    who, context = person(options), _open(options)
    return _say(sign_after(context, who, _scan(options), **_said(options, "role")))


def archive_list(options: Arguments) -> int:
    """Register where the signed list is kept."""
    from handover.stages.destruction_registering import put_away

    who, context = person(options), _open(options)
    return _say(put_away(context, who, _scan(options), **_said(options, "place")))


def _open(options: Arguments) -> Context:
    from handover.stages.context import run_name

    return open_case(options.case, run_name(options.run))


def _scan(options: Arguments) -> Scan:
    from handover.stages.destruction_registering import Scan

    return Scan(options.file, options.sha256)


def _said(options: Arguments, *names: str) -> dict[str, object]:
    said: dict[str, object] = {name: getattr(options, name) for name in ("name", "on", *names)}
    return said | ({"agrees": said["agrees"] == "yes"} if "agrees" in said else {})


def _say(now: Standing) -> int:
    from handover.model.destruction_standing import STATES

    print(f"state: {now.state} ({STATES[now.state].zh})")
    print("\n".join(f"missing: {line}" for line in now.missing) or "the list is in the archives")
    return 0
