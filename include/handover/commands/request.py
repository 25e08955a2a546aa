"""Commands for requests of persons: record one and what came of it, answer it, list all and what waits."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from handover.commands.persons import add_identity, person
from handover.commands.shared import Arguments, Commands, add, resolver, show
from handover.errors import ConfigurationMissing
from handover.model.request import KIND_WORDS
from handover.settings import Settings

if TYPE_CHECKING:
    from handover.stages.requests import Desk


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    text = "Requests of persons about their data: each has a clock, and an answer sealed for who asked."
    group = commands.add_parser("request", help=text, description=text, allow_abbrev=False)
    actions = group.add_subparsers(required=True, metavar="ACTION")
    _opening(add(actions, "open", open_request, "Record a request; key or number on standard input."))
    answering = add(actions, "answer", answer_request, "Write the answer, sealed for who asked.")
    delivering = add(actions, "delivered", deliver_request, "Record that the answer was delivered.")
    settling = add(actions, "settled", settle_request, "Record that an office did what was passed to it.")
    for parser in (answering, delivering, settling):
        parser.add_argument("request", help="its id, as `handover request list` shows it")
    delivering.add_argument("--channel", required=True, help="how, as by post or at the counter")
    add_identity(delivering)
    settling.add_argument("--source", metavar="SOURCE", help="only there; default: wherever it waits")
    settling.add_argument(
        "--refused-because", default="", metavar="WHY", help="it was not done; no data here"
    )
    add_identity(settling)
    add(actions, "list", list_requests, "List all requests and how they stand.")
    add(actions, "passed", list_passed, "List what waits for the offices that own the sources.")
    overdue = add(actions, "overdue", list_overdue, "List overdue requests; status 1 if there is one.")
    overdue.add_argument("--on", type=date.fromisoformat, metavar="DATE", help="default: today")


def _opening(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", required=True, choices=list(KIND_WORDS))
    parser.add_argument("--channel", required=True, help="by which it came, as the hotline")
    parser.add_argument("--received", required=True, type=date.fromisoformat, metavar="DATE")
    parser.add_argument("--verified", required=True, metavar="HOW", help="how the identity was checked")
    parser.add_argument("--to", required=True, type=Path, metavar="PEM", help="certificate of who asks")
    parser.add_argument("--matter", default="", help="what it is about, without personal data")
    parser.add_argument("--basis", choices=("consent", "contract"), help="of portability (NDSR 25)")
    parser.add_argument("--source", metavar="SOURCE", help="only there; default: all registered sources")
    parser.add_argument("--table", metavar="TABLE", help="of the person, where several tables have one")
    add_identity(parser)


def _desk() -> Desk:
    from handover.stages.requests import Desk

    settings = Settings.load()
    return Desk(settings, resolver(settings))


def open_request(options: Arguments) -> int:
    """Record a request; print its id, and what follows from it."""
    from handover.model.request import Asked
    from handover.stages import requests

    who = person(options)
    asked = Asked(
        kind=options.kind,
        channel=options.channel,
        received=options.received,
        verified=options.verified,
        matter=options.matter,
        basis=options.basis,
    )
    certificate = _read(options.to)
    made = requests.open_request(_desk(), who, _said(), asked, certificate, options.source, options.table)
    print(made.id)
    found = ", ".join(made.subjects) or "no source: the answer says so"
    print(f"found in {found}; due {made.due}: {made.clock.en}", file=sys.stderr)
    if made.doubt:
        print(made.doubt.en, file=sys.stderr)
    for source, hold in made.holds.items():
        print(f"hold {hold} of {source} keeps the person's rows until it is released", file=sys.stderr)
    if made.kind == "correction" and made.subjects:
        told = "`handover request passed` names the office; its result is recorded with `settled`"
        print(f"answered once the data was corrected, or that was refused: {told}", file=sys.stderr)
    return 0


def answer_request(options: Arguments) -> int:
    """Print where the sealed answer lies, and its SHA-256."""
    from handover.stages.request_answer import answer, answers_folder

    desk = _desk()
    made = answer(desk, options.request)
    print(answers_folder(desk) / made.file)
    print(f"sha256 {made.sha256}", file=sys.stderr)
    return 0


def deliver_request(options: Arguments) -> int:
    """Record a delivery."""
    from handover.stages.facts import legal_day
    from handover.stages.request_answer import deliver

    one = deliver(_desk(), person(options), options.request, options.channel)
    print(f"{one.id}: {one.state(legal_day())}")
    return 0


def settle_request(options: Arguments) -> int:
    """Record what an office made of what was passed to it."""
    from handover.stages.request_owners import settle

    sources = settle(_desk(), person(options), options.request, options.source, options.refused_because)
    print(f"{options.request}: {'refused' if options.refused_because else 'settled'} in {', '.join(sources)}")
    return 0


def list_passed(options: Arguments) -> int:
    """Print what waits for an office: a correction, or rows that name a person."""
    from handover.stages.request_owners import passed_on

    grid = Table("request", "kind", "due", "source", "office", "where", "rows", box=None)
    for one in passed_on(_desk()):
        if one.settled_at:
            continue
        about = (one.request.id, one.request.kind, str(one.request.due), one.source, one.office)
        places = [(f"{each.table}.{each.column}", str(each.rows)) for each in one.rows]
        for place in places or [(one.request.matter, "")]:
            grid.add_row(*map(escape, (*about, *place)))
    show(grid)
    return 0


def list_requests(options: Arguments) -> int:
    """Print all requests."""
    from handover.stages.facts import legal_day
    from handover.stages.requests import all_requests

    grid = Table("request", "state", "kind", "received", "due", "sources", "channel", box=None)
    for one in all_requests(_desk()):
        cells = (one.id, one.state(legal_day()), one.kind, str(one.received), str(one.due))
        grid.add_row(*map(escape, (*cells, ", ".join(one.subjects) or "nobody", one.channel)))
    show(grid)
    return 0


def list_overdue(options: Arguments) -> int:
    """Print overdue requests."""
    from handover.stages.facts import legal_day
    from handover.stages.requests import overdue_requests

    found = overdue_requests(_desk(), options.on or legal_day())
    for one in found:
        print(f"{one.id}: {one.kind}, due {one.due}")
    return 1 if found else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise ConfigurationMissing(
            f"{path} cannot be read", hint="name the certificate, in PEM, of the person who asks"
        ) from None


def _said() -> str:
    if sys.stdin.isatty():
        print("key or number of the person, a line for each thing; end with Ctrl-D:", file=sys.stderr)
    return sys.stdin.read()
