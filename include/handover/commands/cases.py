"""Commands that work on cases: check, inventory, status, stop."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from handover.commands.new_case import new_case
from handover.commands.outlook import outlook_lines
from handover.commands.shared import Arguments, Commands, add, add_group, open_case, show
from handover.errors import CaseInvalid, NotReady
from handover.model.case import load_case
from handover.settings import Settings

if TYPE_CHECKING:
    from handover.stages.context import Context


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    case = add_group(commands, "case", "work on case files")
    check = add(case, "check", case_check, "Check a case file against the real databases; changes nothing.")
    check.add_argument("case", help="case id, or path of a case file")
    new = add(case, "new", new_case, "Write a commented case file.")
    new.add_argument("case", help="its id: small letters, digits and hyphens")
    new.add_argument("--source", required=True, metavar="CONNECTION")
    new.add_argument("--target", required=True, metavar="CONNECTION")
    new.add_argument("--schema", action="append", help="repeat for each; default: all that hold anything")
    gates = add(case, "gates", case_gates, "Show what each gate says of the latest plan; changes nothing.")
    gates.add_argument("case")
    shown = gates.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true")
    shown.add_argument(
        "--impact",
        action="store_true",
        help="print the impact assessment, pre-filled for a person to conclude",
    )
    inventory = add(commands, "inventory", show_inventory, "List what the source of a case holds.")
    inventory.add_argument("case")
    status = add(commands, "status", show_status, "Show how far the runs of a case are.")
    status.add_argument("case", nargs="?", help="default: list the cases that have a ledger")
    status.add_argument("--json", action="store_true")
    stop = add(commands, "stop", stop_case, "Make every task of a case end at its next chunk.")
    stop.add_argument("case")
    stop.add_argument("--lift", action="store_true", help="let the case go on again")


def case_check(options: Arguments) -> int:
    """Print every finding and what the transfer will take; 1 when a finding blocks."""
    from handover.stages.estimating import outlook
    from handover.stages.inventory import check, is_acknowledged, is_unreachable

    context = open_case(_case_id(options.case), "check")
    findings = check(context)
    blocking = [f for f in findings if not is_acknowledged(context, f)]
    for finding in findings:
        sign = "acknowledged" if finding not in blocking else "blocking"
        print(f"{sign}: {finding.id}: {finding.message}\n  remedy: {finding.remedy}")
    if not any(is_unreachable(finding) for finding in findings):
        print("\n".join(outlook_lines(outlook(context))))
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


def case_gates(options: Arguments) -> int:
    """Print the gates about the plan of the latest run that has one; 1 when execution is hindered."""
    from handover.law.gates import hindrances
    from handover.stages.destruction_signing import destruction_standing
    from handover.stages.gates import assessment, hear

    context = _latest_planned(open_case(options.case, "gates"))
    if not context.case.policy:
        raise CaseInvalid(f"case {options.case} names no policy", hint="add policy: [PACK@VERSION]")
    hearing = hear(context, context.plan(), ahead=destruction_standing(context).made is None)
    if options.impact:
        print(assessment(context, hearing))
        return 0
    hindered = [one.gate for one in hindrances(hearing.verdicts, "execution")]
    if options.json:
        found = {"case": options.case, "run": context.run, "hindered": hindered, **hearing.document()}
        print(json.dumps(found, ensure_ascii=False))
        return 1 if hindered else 0
    grid = Table("gate", "severity", "verdict", "what lacks", "remedy", "accepted by", box=None)
    for one in hearing.verdicts:
        remedy = f"{one.remedy.zh} / {one.remedy.en}" if one.remedy else ""
        by = f"{one.accepted.name}, {one.accepted.on}" if one.accepted else ""
        state = f"{one.state}, later" if one.later else one.state
        grid.add_row(*map(escape, (one.gate, one.severity, state, "; ".join(one.lacking), remedy, by)))
    show(grid)
    for newer in hearing.newer:
        print(
            f"{newer.newer} is in force, the case is under {newer.frozen}; rules that differ: "
            f"{', '.join(newer.rules)}"
        )
    if context.plan().case_digest != context.case.sha256_of_json():
        print(f"the case file changed since run {context.run} was planned: counts are those of that plan")
    print(f"run {context.run}: {len(hearing.verdicts)} gates, {len(hindered)} in the way of execution")
    return 1 if hindered else 0


def _latest_planned(context: Context) -> Context:
    """Return the context of the case's latest run that has a plan."""
    planned = context.ledger.entries(context.case.case, kinds=("plan",))
    if not planned:
        raise NotReady(
            f"case {context.case.case} has no plan yet", hint=f"`handover run {context.case.case}` makes one"
        )
    return replace(context, run=planned[-1].run)


def show_inventory(options: Arguments) -> int:
    """Print tables with estimated rows and sizes."""
    from contextlib import closing

    from handover.postgres.catalog import read_catalog
    from handover.postgres.session import connect, database_errors

    context = open_case(options.case, "inventory")
    with (
        database_errors("reading the source's catalog"),
        closing(connect(context.source, read_only=True)) as source,
    ):
        catalog = read_catalog(source, context.case.source.schemas)
    grid = Table("table", "rows (estimate)", "MB", "ordered by", box=None)
    for table in catalog.tables:
        key = ", ".join(column.name for column in table.key) or "whole row (no key)"
        grid.add_row(table.label, f"{table.rows_estimate:,}", f"{table.bytes / 1e6:,.1f}", key)
    show(grid)
    print(f"{len(catalog.tables)} tables, {len(catalog.materialized_views)} materialised views, ", end="")
    print(f"{catalog.large_objects} large objects, PostgreSQL {catalog.server.version}")
    return 0


def show_status(options: Arguments) -> int:
    """Print each run's stages, and the stop flag."""
    from handover.evidence import progress
    from handover.evidence.ledger import Ledger

    settings = Settings.load()
    url = settings.require("HANDOVER_LEDGER_URL")
    if options.case is None:
        print("\n".join(Ledger(url, None).cases()) or "no case has a ledger yet")
        return 0
    entries = Ledger(url, None).entries(options.case)
    if not entries:  # a case without a run, or a case that does not exist
        load_case(settings.cases, options.case)
    runs = list(dict.fromkeys(entry.run for entry in entries if entry.run))
    flags = [entry.kind for entry in entries if entry.kind in ("stop-requested", "stop-lifted", "run-opened")]
    stopped = flags[-1:] == ["stop-requested"]
    stages = {run: [vars(stage) for stage in progress.read(url, options.case, run)] for run in runs}
    if options.json:
        print(json.dumps({"case": options.case, "stopped": stopped, "runs": stages}, ensure_ascii=False))
        return 0
    for run, found in stages.items():
        grid = Table("stage", "state", "rows", "MB", "s", title=f"run {run}", box=None)
        for stage in found:
            size = f"{stage['bytes'] / 1e6:,.1f}"
            grid.add_row(
                stage["stage"], stage["state"], f"{stage['rows']:,}", size, f"{stage['seconds']:.1f}"
            )
        show(grid)
    print(f"case {options.case}: {len(runs)} runs, {'told to stop' if stopped else 'not stopped'}")
    return 0


def stop_case(options: Arguments) -> int:
    """Set or lift the stop flag in the ledger."""
    context = open_case(options.case, "stop")
    kind = "stop-lifted" if options.lift else "stop-requested"
    context.ledger.append(context.case.case, "", kind, {})
    done = "may go on: clear its failed tasks" if options.lift else "will stop at the next chunk"
    print(f"case {context.case.case} {done}")
    return 0
