"""Commands for legal holds: add one, ask for its release, release it as a second person, list them."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from handover.commands.persons import add_identity, person
from handover.commands.shared import Arguments, Commands, add, resolver, show
from handover.settings import Settings

if TYPE_CHECKING:
    from handover.stages.context import Context

MOMENTS = {
    "before": "in time: nothing had gone",
    "during": "while rows were going: those of earlier batches are gone",
    "after": "after rows had gone: it keeps what is there",
}


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    text = "Legal holds: what is held never goes, until two persons release it or its day has come."
    group = commands.add_parser("hold", help=text, description=text, allow_abbrev=False)
    actions = group.add_subparsers(required=True, metavar="ACTION")
    adding = add(actions, "add", add_hold, "Hold rows of a registered source, or of a case.")
    token = add(actions, "token", name_person, "Name a person for a form; key or number on standard input.")
    asking = add(actions, "release", ask_release, "Ask that a hold be released.")
    approving = add(actions, "approve", approve_release, "Release a hold for which somebody else asked.")
    listing = add(actions, "list", list_holds, "List all holds and how they stand.")
    for action in (adding, token, asking, approving, listing):
        action.add_argument("name", metavar="NAME", help="of a registered source or a case")
    _adding(adding)
    token.add_argument("--table", metavar="TABLE", help="of the person, where several tables have one")
    asking.add_argument("hold", help="its id, as `handover hold list` shows it")
    asking.add_argument("--reason", required=True)
    approving.add_argument("request", help="id of the request for release")
    for action in (adding, asking, approving):
        add_identity(action)


def _adding(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--subject", action="store_true", help="one person: key or number on standard input, a line for each"
    )
    what.add_argument("--where", metavar="PREDICATE", help="of --table: the rows of which this holds")
    what.add_argument("--everything", action="store_true", help="whatever the source or case is about")
    parser.add_argument("--table", metavar="TABLE", help="all its rows, unless --where or --subject is given")
    parser.add_argument("--reason", required=True)
    parser.add_argument("--authority", required=True, help="who wants it, as a court or an authority")
    parser.add_argument("--kind", required=True, help="of the policy packs, as litigation")
    parser.add_argument(
        "--until", type=date.fromisoformat, metavar="DATE", help="the first day on which it is over"
    )


def _context(options: Arguments) -> Context:
    from handover.stages.holding import open_holder

    settings = Settings.load()
    return open_holder(settings, options.name, resolver(settings))


def add_hold(options: Arguments) -> int:
    """Lay a hold and say for each case whether it came in time."""
    from handover.stages import holding

    if bool(options.table) == options.everything and not options.subject:
        print("say what is held: --subject, --table, --table with --where, or --everything", file=sys.stderr)
        return 2
    who, context = person(options), _context(options)
    why = holding.Matter(options.kind, options.reason, options.authority, options.until)
    if options.subject:
        laid = holding.hold_subject(context, who, _said(), options.table, why)
    elif options.everything:
        laid = holding.hold_everything(context, who, why)
    else:
        laid = holding.hold_table(context, who, options.table, why, options.where or "")
    print(laid.id)
    for name, moment in sorted(laid.moments.items()):
        print(f"{name}: {MOMENTS[moment]}", file=sys.stderr)
    return 0


def name_person(options: Arguments) -> int:
    """Print the name under which the form of the DAG legal_hold takes a person."""
    from handover.stages.holding import name_subject

    print(name_subject(_context(options), _said(), options.table))
    return 0


def ask_release(options: Arguments) -> int:
    """Record a request and print its id."""
    from handover.stages.holding import request_release

    who = person(options)
    request = request_release(_context(options), who, options.hold, options.reason)
    print(request)
    print(f"another person: `handover hold approve {options.name} {request} --as …`", file=sys.stderr)
    return 0


def approve_release(options: Arguments) -> int:
    """Release the hold."""
    from handover.stages.holding import release

    who = person(options)
    released = release(_context(options), who, options.request)
    print(f"{released.id} is released: what it kept goes by its own rules from now on")
    return 0


def list_holds(options: Arguments) -> int:
    """Print all holds."""
    from handover.stages.facts import legal_day
    from handover.stages.holding import holds

    found, requests = holds(_context(options))
    waiting = {one.wanted["hold"]: one.id for one in requests if one.state.startswith("waits")}
    today = legal_day()
    heads = ("hold", "state", "over", "kind", "reason", "authority", "by", "at", "release asked")
    grid = Table(*heads, box=None)
    for one in found:
        cells = (one.id, one.state(today), one.over, one.kind, one.reason, one.authority, one.by, one.at[:19])
        grid.add_row(*map(escape, (*cells, waiting.get(one.id, "") if one.is_open(today) else "")))
    show(grid)
    return 0


def _said() -> str:
    if sys.stdin.isatty():
        print("key or number of the person, a line for each thing; end with Ctrl-D:", file=sys.stderr)
    return sys.stdin.read()
