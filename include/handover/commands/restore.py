"""Commands that bring a backup back: restore, and what two persons do so that it keeps erased rows."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from handover.commands.persons import add_identity, person
from handover.commands.shared import Arguments, Commands, add, resolver, show
from handover.errors import CaseInvalid
from handover.settings import Settings

if TYPE_CHECKING:
    from handover.evidence.progress import Meter
    from handover.stages.context import Context
    from handover.stages.restore import Restored
    from handover.stages.two_persons import Request

# Often enough that a bar moves.
LOOK_EVERY_SECONDS = 0.5


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    text = "Restore a run's backup from the vault into an empty database; what was erased since stays erased."
    restore = add(commands, "restore", restore_backup, text)
    _about(restore)
    restore.add_argument(
        "--keep-erased", metavar="REQUEST", help="bring back what two persons decided; see keep-erased"
    )
    restore.add_argument(
        "--as", metavar="ACCOUNT", dest="account", help="with --keep-erased: who asked for it"
    )
    restore.add_argument("--password-file", metavar="FILE", help="default: asked at the terminal")
    text = (
        "Restore a backup with what was erased or pseudonymised since: one asks, another approves, in a day."
    )
    keeping = commands.add_parser("keep-erased", help=text, description=text, allow_abbrev=False)
    actions = keeping.add_subparsers(required=True, metavar="ACTION")
    asking = add(actions, "ask", ask, "Ask for it and say why.")
    _about(asking)
    asking.add_argument("--ticket", required=True, help="under which the matter is kept")
    asking.add_argument("--purpose", required=True, help="why")
    asking.add_argument(
        "--identities-only", action="store_true", help="of what was pseudonymised; no row that was erased"
    )
    approving = add(actions, "approve", approve, "Let the one who asked restore, once, within a day.")
    _about(approving, into=False)
    approving.add_argument("id", help="of the request")
    for parser in (asking, approving):
        add_identity(parser)
    listing = add(actions, "list", list_requests, "List all requests of the case and how far they are.")
    listing.add_argument("case")


def _about(parser: argparse.ArgumentParser, *, into: bool = True) -> None:
    parser.add_argument("case", help="or the name of a registered source")
    parser.add_argument("run", help="a run whose backup was sealed; `handover status` lists them")
    if into:
        parser.add_argument(
            "--into", required=True, metavar="CONNECTION", help="connection id of the empty database"
        )


def restore_backup(options: Arguments) -> int:
    """Restore a backup and compare it."""
    from handover.stages import restore_override
    from handover.stages.restore import STEP, restore

    context, name = _opened(options), options.keep_erased or ""
    try:
        into = resolver(context.settings)(options.into)
    except KeyError:
        raise CaseInvalid(f"connection {options.into!r} is not known", hint="see --into") from None
    if name:
        if not options.account:
            raise CaseInvalid("--keep-erased needs --as", hint="name the account that asked for it")
        restore_override.use(context, person(options), name, options.into)
    done = _with_bar(context, STEP, lambda meter: restore(context, into, meter, keep_erased=name))
    said = f"restored run {context.run} into {options.into} and compared it"
    print(f"{said}: equal; definitions {done.definitions}")
    for line in _lines(done):
        print(line)
    return 0


def _lines(done: Restored) -> Iterator[str]:
    """Yield what a person has to know of rows that were erased since the backup."""
    again = done.again
    for name in again.masked_runs:
        yield f"run {name} has pseudonymised rows since: in this database they have their identities again"
    if again.kept:
        yield f"erased rows are back, as two persons decided: those of {', '.join(again.runs) or 'no run'}"
        return
    for one in again.tables:
        held = f", {one.held} kept by legal holds" if one.held else ""
        line = (
            f"{one.table}: {one.erased} rows erased again, {one.along} along with them, {one.needed} needed"
        )
        yield line + held
    yield from (f"{line}; the reference was emptied" for line in again.severed)
    for name in again.open_runs:
        yield f"run {name} has not finished erasing: what it lets go was erased here, unless held"


def ask(options: Arguments) -> int:
    """Record a request and print its id."""
    from handover.stages import restore_override

    who, context = person(options), _opened(options)
    name = restore_override.ask(
        context,
        who,
        options.into,
        options.ticket,
        options.purpose,
        identities_only=options.identities_only,
    )
    print(name)
    print(
        f"another person: `handover keep-erased approve {options.case} {options.run} {name} --as …`",
        file=sys.stderr,
    )
    return 0


def approve(options: Arguments) -> int:
    """Record an approval."""
    from handover.stages import restore_override

    one = restore_override.approve(_opened(options), person(options), options.id)
    print(f"{one.id}: {one.by.name} may restore run {one.wanted['backup']} with {_back(one)}, once")
    print(f"ticket {one.ticket}; purpose: {one.purpose}; until {one.expires_at:%Y-%m-%d %H:%M} UTC")
    return 0


def list_requests(options: Arguments) -> int:
    """Print the requests."""
    from handover.stages.past_runs import newest_past
    from handover.stages.restore_override import pair

    settings = Settings.load()
    grid = Table(
        "request", "state", "asked by", "at", "backup", "into", "with", "ticket", "purpose", box=None
    )
    for one in pair(newest_past(settings, options.case, resolver(settings))).all():
        state = f"{one.state} by {one.approved_by.name}" if one.approved_by else one.state
        wanted = (str(one.wanted["backup"]), str(one.wanted["into"]), _back(one))
        grid.add_row(
            *map(escape, (one.id, state, one.by.name, one.at[:19], *wanted, one.ticket, one.purpose))
        )
    show(grid)
    return 0


def _back(one: Request) -> str:
    only = one.wanted.get("identities_only")
    return "identities that were pseudonymised since" if only else "all that was erased since"


def _opened(options: Arguments) -> Context:
    """Open the run as the ledger has it; where it has none, by its case file."""
    from handover.commands.shared import open_case
    from handover.errors import NotReady
    from handover.stages.context import run_name
    from handover.stages.past_runs import open_past

    settings, run = Settings.load(), run_name(options.run)
    try:
        return open_past(settings, options.case, run, resolver(settings))
    except NotReady:
        return open_case(options.case, run)


def _with_bar(context: Context, step: str, work: Callable[[Meter], Restored]) -> Restored:
    """Do a step in a thread and show a bar meanwhile; returns what the step returns."""
    from handover.evidence import progress
    from handover.local.display import stage_bars

    def do() -> Restored:
        with context.step(step) as meter:
            return work(meter)

    with ThreadPoolExecutor(1) as pool, stage_bars(Console()) as show_stages:
        job = pool.submit(do)
        while not job.done():
            found = progress.read(context.ledger_url, context.case.case, context.run)
            show_stages([stage for stage in found if stage.stage == step and stage.state == "running"])
            wait([job], timeout=LOOK_EVERY_SECONDS)
        return job.result()
