"""Commands of who keeps an archive: what it holds until when, a row out of it, the end of a term's keys."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from handover.commands.persons import add_identity, person
from handover.commands.shared import Arguments, Commands, add, open_case, resolver, show

if TYPE_CHECKING:
    from handover.archive.finding import Found
    from handover.stages.context import Context


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    text = "Keep archives: terms and fixity; with another person read a row, or destroy a term's keys."
    group = commands.add_parser("custodian", help=text, description=text, allow_abbrev=False)
    group.add_argument("case", nargs="?", help="whose archive; only `due` looks at those of all")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    terms = add(actions, "terms", list_terms, "List what may be destroyed when, and the state of its keys.")
    check = add(actions, "check", check_fixity, "Check that no file of the archive is missing or changed.")
    reading = add(actions, "read", ask_reading, "Ask to read rows; the value on standard input.")
    reading.add_argument("--table", required=True, help="schema.table, as the archive's index names it")
    reading.add_argument("--column", required=True, help="which has the value")
    ending = add(actions, "destroy", ask_destroying, "Ask to destroy the keys of a term whose day has come.")
    ending.add_argument("term", type=int, help="its number, as `terms` lists it")
    ending.add_argument("--identifying", action="store_true", help="only the key of what identifies people")
    approving = add(actions, "approve", approve, "Let the one who asked go on, once, within a day.")
    showing = add(actions, "show", show_rows, "Print the rows; the same value on standard input.")
    carrying = add(actions, "carry-out", carry_out, "Destroy the keys; what they closed stays closed.")
    for parser in (terms, check, reading, ending):
        parser.add_argument("--run", help="whose archive; default: the newest")
    for parser in (reading, ending):
        parser.add_argument("--ticket", required=True, help="under which the matter is kept")
        parser.add_argument("--purpose", required=True, help="why")
    for parser in (approving, showing, carrying):
        parser.add_argument("id", help="of the request")
    for parser in (reading, ending, approving, showing, carrying):
        add_identity(parser)
    listing = add(actions, "list", list_requests, "List all requests of the case and how far they are.")
    for parser in (terms, check, reading, ending, approving, showing, carrying, listing):
        parser.set_defaults(command=partial(_with_case, parser, parser.get_default("command")))
    due = add(actions, "due", list_due, "List the terms whose day has come; 1 when an archive is in doubt.")
    due.add_argument("--on", type=date.fromisoformat, metavar="DATE", help="default: today")


def _with_case(
    parser: argparse.ArgumentParser, command: Callable[[Arguments], int], options: Arguments
) -> int:
    if options.case is None:
        parser.error("name the case: `handover custodian CASE …`")
    return command(options)


def list_due(options: Arguments) -> int:
    """Print what is due, and the archives of which nobody can say it."""
    from handover.settings import Settings
    from handover.stages.expired_archives import expired_terms
    from handover.stages.facts import legal_day

    on, case = options.on or legal_day(), options.case
    settings = Settings.load()
    due = expired_terms(settings, on, resolver(settings), lambda one: case in (None, one.case.case))
    grid = Table("case", "run", "term", "class", "rows", "since", "before it goes", box=None)
    for one in due.terms:
        since = one.since.isoformat() if one.since else "no date"
        before = f"two persons: `handover custodian {one.case} destroy {one.term}`"
        if one.lacking:
            before = f"{one.lacking}; see `handover destruction list-terms {one.case} --run {one.run}`"
        cells = (one.case, one.run, str(one.term), one.row_class, str(one.rows), since, before)
        grid.add_row(*map(escape, cells))
    show(grid)
    for found in due.findings:
        print(f"{found.case}, {found.run}: {found.problem}", file=sys.stderr)
    return 1 if due.findings else 0


def list_terms(options: Arguments) -> int:
    """Print the terms of an archive."""
    from handover.stages.custody import SealedArchive, terms

    context = _opened(options)
    grid = Table("term", "class", "rows", "from", "today", "identifying key", "other key", box=None)
    for one in terms(context):
        day = one.destroy_from.isoformat() if one.destroy_from else "no date"
        today = ", ".join((one.outcome, *(f"hold: {kind}" for kind in one.holds)))
        cells = (str(one.number), one.row_class, str(one.rows), day, today, one.identifying, one.other)
        grid.add_row(*map(escape, cells))
    show(grid)
    for supplement in SealedArchive.of(context).supplements():
        for keys in supplement.index.terms.terms:
            print(f"held rows of term {keys.number} are in the archive of run {supplement.context.run}")
    return 0


def check_fixity(options: Arguments) -> int:
    """Print what is wrong with the bag, and with those of held rows."""
    from handover.stages.custody import SealedArchive

    archive = SealedArchive.of(_opened(options))
    status = 0
    for one in (archive, *archive.supplements()):
        found = one.damage()
        for damage in found:
            print(
                f"{damage.file}: {damage.what}"
                if one is archive
                else f"{one.bag}: {damage.file}: {damage.what}"
            )
        if not found:
            print(f"{one.bag}: whole")
        status |= bool(found)
    return status


def ask_reading(options: Arguments) -> int:
    """Record a request to read and print its id."""
    from handover.stages import custody

    who, context = person(options), _opened(options)
    said = (options.table, options.column, _value(), options.ticket, options.purpose)
    return _asked(options, custody.ask_reading(context, who, *said))


def ask_destroying(options: Arguments) -> int:
    """Record a request to destroy and print its id."""
    from handover.stages import key_destruction

    who, context = person(options), _opened(options)
    said = (options.term, options.ticket, options.purpose)
    only = options.identifying
    return _asked(options, key_destruction.ask_destroying(context, who, *said, identifying_only=only))


def _asked(options: Arguments, name: str) -> int:
    print(name)
    print(f"another person: `handover custodian {options.case} approve {name} --as …`", file=sys.stderr)
    return 0


def approve(options: Arguments) -> int:
    """Record an approval."""
    from handover.stages import custody

    one = custody.approve(open_case(options.case, "custodian"), person(options), options.id)
    print(f"{one.id}: {one.by.name} may {_told(one.wanted)}, once")
    print(f"ticket {one.ticket}; purpose: {one.purpose}; until {one.expires_at:%Y-%m-%d %H:%M} UTC")
    return 0


def show_rows(options: Arguments) -> int:
    """Print the rows found, each as JSON, after that was written down."""
    from handover.stages.custody import read

    found = read(open_case(options.case, "custodian"), person(options), options.id, _value())
    for table, one in found.items():
        for line in _lines(table, one):
            print(line)
    sys.stdout.flush()
    closed = [file for one in found.values() for file in one.closed]
    if closed:
        print(f"closed for good or without their key: {', '.join(closed)}", file=sys.stderr)
    return 0 if any(one.rows for one in found.values()) else 1


def carry_out(options: Arguments) -> int:
    """Destroy keys and print what can be read no more."""
    from handover.stages.key_destruction import destroy

    done = destroy(open_case(options.case, "custodian"), person(options), options.id)
    for key in done.keys:
        print(f"key {key.key_id}: {key.result}, {key.at}")
    for file in done.closed:
        print(f"{file}: cannot be opened any more")
    if done.held_in:
        print(f"held rows of it: in the archive of run {done.held_in}")
    return 0


def list_requests(options: Arguments) -> int:
    """Print the requests."""
    from handover.stages.custody import custody

    grid = Table("request", "state", "asked by", "at", "what", "ticket", "purpose", box=None)
    for one in custody(open_case(options.case, "custodian")).all():
        state = f"{one.state} by {one.approved_by.name}" if one.approved_by else one.state
        cells = (one.id, state, one.by.name, one.at[:19], _told(one.wanted), one.ticket, one.purpose)
        grid.add_row(*map(escape, cells))
    show(grid)
    return 0


def _told(wanted: Mapping[str, Any]) -> str:
    if wanted["what"] == "read":
        return f"read {wanted['table']} by {wanted['column']}"
    which = "the identifying key" if wanted["identifying"] else "both keys"
    return f"destroy {which} of term {wanted['term']}, class {wanted['class']}"


def _opened(options: Arguments) -> Context:
    from handover.stages.custody import newest_archive

    run = options.run or newest_archive(open_case(options.case, "custodian"))
    return open_case(options.case, run)


def _value() -> str:
    """Return the value from standard input, where it gets into no history of commands."""
    if sys.stdin.isatty():
        print("the value; end with Ctrl-D:", file=sys.stderr)
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


def _lines(table: str, found: Found) -> list[str]:
    """Return a line of JSON for each row; a terminal gets no sign that would command it."""
    rows = [
        {
            "table": table,
            "class": row.term.row_class,
            "values": dict(row.values),
            "withheld": list(row.withheld),
        }
        for row in found.rows
    ]
    return ["".join(map(_shown, json.dumps(row, ensure_ascii=False))) for row in rows]


def _shown(sign: str) -> str:
    return sign if sign.isprintable() else json.dumps(sign)[1:-1]
