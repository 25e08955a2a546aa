"""Commands that say what a run is about: its plan, the case brief, what the case means for one person."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from handover.commands.shared import Arguments, Commands, add, add_group, open_case
from handover.errors import NotReady
from handover.model.case import load_case
from handover.settings import Settings

if TYPE_CHECKING:
    from handover.stages.context import Context


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    plan = add(commands, "plan", show_plan, "Print the plan of a run as a readable document.")
    brief = add(
        add_group(commands, "case", "work on case files"),
        "brief",
        show_brief,
        "Print a case on one page: who moves, who stays, why, what blocks, who acts next.",
    )
    for parser in (plan, brief):
        parser.add_argument("case")
        parser.add_argument("--run", help="default: the newest one that was planned")
    text = "Say what a case means for one person, or which row a token of the sampling sheet names."
    explain = add(commands, "explain", explain_case, text)
    explain.add_argument("case")
    asked = explain.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "--subject",
        nargs="+",
        metavar="KEY",
        help="what identifies the person; - reads it from standard input",
    )
    asked.add_argument("--token", help="of the sampling sheet: shows the row's key and place at the source")
    explain.add_argument("--table", help="the table of persons, where the data map has several")
    explain.add_argument("--run", help="whose sampling sheet; default: the newest run that was planned")
    explain.add_argument("--json", action="store_true")


def show_plan(options: Arguments) -> int:
    """Print plan.md."""
    from handover.evidence.plan_text import plan_markdown
    from handover.stages.plan_documents import planned

    print(plan_markdown(planned(_planned_run(options))), end="")
    return 0


def show_brief(options: Arguments) -> int:
    """Print case-brief.md."""
    from handover.stages.plan_documents import brief

    print(brief(_planned_run(options)), end="")
    return 0


def explain_case(options: Arguments) -> int:
    """Print what the case means for a person, or where the row of a token is."""
    if options.token:
        return _explain_token(options)
    from handover.stages.explaining import explain

    key = sys.stdin.read().splitlines() if options.subject == ["-"] else options.subject
    found = explain(open_case(options.case, "explain"), key, options.table)
    print(json.dumps(found, ensure_ascii=False, indent=2) if options.json else "\n".join(_lines(found)))
    return 0


def _explain_token(options: Arguments) -> int:
    from handover.postgres.session import connect
    from handover.stages.sampling import find_rows

    context = _planned_run(options)
    with closing(connect(context.source, read_only=True)) as source:
        found = find_rows(context, source, options.token)
    lines = ["\n".join(map(": ".join, row.items())) for row in found]
    print(json.dumps(found, ensure_ascii=False) if options.json else "\n\n".join(lines))
    return 0


def _planned_run(options: Arguments) -> Context:
    """Open the run that is asked for, or the newest one with a plan."""
    if options.run:
        return open_case(options.case, options.run)
    from handover.evidence.ledger import Ledger

    settings = Settings.load()
    case = load_case(settings.cases, options.case).case
    plans = Ledger(settings.require("HANDOVER_LEDGER_URL"), None).entries(case, kinds=["plan"])
    if not plans:
        raise NotReady(
            f"case {case} has no plan", hint=f"`handover run {case}` makes one and changes nothing"
        )
    return open_case(case, plans[-1].run)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield the explanation for people."""
    where = "in scope" if found["in_scope"] else "not in scope"
    yield f"case {found['case']}: this person of {found['person_table']} is {where}"
    yield from (f"  because: {reason}" for reason in found["reasons"])
    yield "rows of the person:"
    for one in found["tables"]:
        yield f"  {one['table']}: {one['in_scope']} of {one['rows']} rows in scope, {_class(one)}"
    for table, rows in found["rests_on"].items():
        yield f"  rests on {rows} rows of {table}"
    for name, decision in found["classes"].items():
        yield f"class {name}:"
        yield from (f"  {line}" for line in _decision(decision))


def _class(one: dict[str, Any]) -> str:
    if one["class"] is None:
        return "in no class or in several"
    return f"class {one['class']}: target {one['target']}, source {one['source']}"


def _decision(decision: dict[str, Any]) -> Iterator[str]:
    for rule in decision.get("rules", ()):
        period = "permanent" if rule["permanent"] else f"from {rule['start']} until {rule['ends']}"
        yield f"rule {rule['rule']} ({rule['pack']}): {rule['direction']}, {period}"
    if "outcome" in decision:
        dates = f"free from {decision['free_from']}, erase by {decision['erase_by']}"
        yield f"today: {decision['outcome']}; {dates}"
        yield f"holds: {', '.join(decision['open_holds']) or _no_holds(decision['doubts'])}"
    yield from (f"doubt: {doubt}" for doubt in decision["doubts"])


def _no_holds(doubts: list[str]) -> str:
    return "not looked up" if any("hold" in doubt for doubt in doubts) else "none open"
