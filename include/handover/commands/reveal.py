"""Commands by which two persons together find who is behind pseudonyms: request, approve, show, list."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from handover.commands.persons import add_identity, person
from handover.commands.shared import Arguments, Commands, add, open_case, show

if TYPE_CHECKING:
    from handover.stages.unmasking import Behind


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    text = "Find who is behind pseudonyms: one person asks, another approves, the first looks, once."
    group = commands.add_parser("reveal", help=text, description=text, allow_abbrev=False)
    group.add_argument("case")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    asking = add(actions, "request", request_reveal, "Ask; pseudonyms on standard input, one on each line.")
    asking.add_argument("--domain", required=True, help="of the pseudonyms, as the report names it")
    asking.add_argument("--ticket", required=True, help="under which the matter is kept")
    asking.add_argument("--purpose", required=True, help="why somebody has to be known")
    asking.add_argument("--run", help="in whose backup to look; default: the newest one that has any")
    approving = add(actions, "approve", approve_reveal, "Let the one who asked look, once, within a day.")
    showing = add(actions, "show", show_reveal, "Print who it is; the same pseudonyms on standard input.")
    for action in (approving, showing):
        action.add_argument("id", help="of the request")
    for action in (asking, approving, showing):
        add_identity(action)
    add(actions, "list", list_reveals, "List all requests of the case and how far they are.")


def request_reveal(options: Arguments) -> int:
    """Record a request and print its id."""
    from handover.stages.revealing import newest_run, request

    who = person(options)
    run = options.run or newest_run(open_case(options.case, "reveal"))
    context = open_case(options.case, run)
    name = request(context, who, options.domain, _pseudonyms(), options.ticket, options.purpose)
    print(name)
    print(f"another person: `handover reveal {options.case} approve {name} --as …`", file=sys.stderr)
    return 0


def approve_reveal(options: Arguments) -> int:
    """Record an approval."""
    from handover.stages.revealing import approve

    who = person(options)
    one = approve(open_case(options.case, "reveal"), who, options.id)
    count, domain = one.wanted["count"], one.wanted["domain"]
    print(f"{one.id}: {one.by.name} may see who is behind {count} pseudonyms of {domain}, once")
    print(f"ticket {one.ticket}; purpose: {one.purpose}; until {one.expires_at:%Y-%m-%d %H:%M} UTC")
    return 0


def show_reveal(options: Arguments) -> int:
    """Print each pseudonym with what is behind it, after that was written down."""
    from handover.stages.revealing import distinct, reveal

    who = person(options)
    pseudonyms = distinct(_pseudonyms())
    found = reveal(open_case(options.case, "reveal"), who, options.id, pseudonyms)
    for pseudonym in pseudonyms:
        for line in _values(found[pseudonym]):
            print(f"{pseudonym}\t{line}")
    sys.stdout.flush()
    if any(one.how == "key" for one in found.values()):
        print(
            "worked out by the key alone: a pseudonym that nobody was given has a value as well",
            file=sys.stderr,
        )
    return 0 if all(one.values for one in found.values()) else 1


def list_reveals(options: Arguments) -> int:
    """Print all requests."""
    from handover.stages.revealing import reveals

    grid = Table("request", "state", "asked by", "at", "domain", "count", "ticket", "purpose", box=None)
    for one in reveals(open_case(options.case, "reveal")):
        state = f"{one.state} by {one.approved_by.name}" if one.approved_by else one.state
        about = (one.wanted["domain"], str(one.wanted["count"]))
        cells = (one.id, state, one.by.name, one.at[:19], *about)
        grid.add_row(*map(escape, (*cells, one.ticket, one.purpose)))
    show(grid)
    return 0


def _values(one: Behind) -> list[str]:
    """Return values as a terminal may see them: a line each, and no sign that would command it."""
    return [_printable(value) for value in sorted(one.values)] or [one.how.value]


def _printable(value: str) -> str:
    return "".join(
        sign if sign.isprintable() and sign != "\\" else sign.encode("unicode_escape").decode()
        for sign in value
    )


def _pseudonyms() -> list[str]:
    if sys.stdin.isatty():
        print("pseudonyms, one on each line; end with Ctrl-D:", file=sys.stderr)
    return sys.stdin.read().split("\n")
