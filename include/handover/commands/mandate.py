"""Commands for standing mandates of registered sources: draft one, sign it, revoke it, list them."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from handover.commands.persons import add_identity, person
from handover.commands.shared import Arguments, Commands, add, resolver, show
from handover.settings import Settings

if TYPE_CHECKING:
    from handover.stages.context import Context


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    text = "Standing mandates: what a sweep may let go without asking; two persons sign, for a year at most."
    group = commands.add_parser("mandate", help=text, description=text, allow_abbrev=False)
    actions = group.add_subparsers(required=True, metavar="ACTION")
    drafting = add(actions, "draft", draft, "Write down what two persons are to sign.")
    signing = add(actions, "sign", sign, "Sign a mandate; two different persons have to.")
    revoking = add(actions, "revoke", revoke, "End a mandate now: from here on people are asked.")
    listing = add(actions, "list", list_mandates, "List all mandates and how they stand.")
    for action in (drafting, signing, revoking, listing):
        action.add_argument("source", metavar="SOURCE", help="name of a registered source")
    drafting.add_argument(
        "--class",
        required=True,
        action="extend",
        nargs="+",
        dest="classes",
        metavar="NAME",
        help="of the source's retention",
    )
    drafting.add_argument(
        "--rows", required=True, type=int, metavar="N", help="of a class on one day, at most"
    )
    drafting.add_argument(
        "--share", required=True, type=_share, help="of any table on one day, at most, as 0.05"
    )
    drafting.add_argument(
        "--until", required=True, type=date.fromisoformat, metavar="DATE", help="the first day without it"
    )
    for action in (signing, revoking):
        action.add_argument("id", help="of the mandate")
    revoking.add_argument("--reason", required=True)
    for action in (drafting, signing, revoking):
        add_identity(action)


def _share(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; write it as 0.05") from None


def draft(options: Arguments) -> int:
    """Record a draft and print its id."""
    from handover.stages import mandates

    who, context = person(options), _context(options)
    limits = {name: getattr(options, name) for name in ("rows", "share", "until")}
    made = mandates.draft(context, who, options.classes, **limits)
    print(made.id)
    print(f"two persons: `handover mandate sign {options.source} {made.id} --as …`", file=sys.stderr)
    return 0


def sign(options: Arguments) -> int:
    """Record a signature and print what is lacking."""
    from handover.stages import mandates

    who, context = person(options), _context(options)
    mandates.sign(context, who, options.id)
    lacking = next(why for one, why in mandates.mandates(context) if one.mandate.id == options.id)
    print(f"{options.id}: {lacking or 'in force'}")
    return 0


def revoke(options: Arguments) -> int:
    """Record the end of a mandate."""
    from handover.stages import mandates

    who = person(options)
    mandates.revoke(_context(options), who, options.id, options.reason)
    print(f"{options.id} is revoked; people are asked from now on")
    return 0


def list_mandates(options: Arguments) -> int:
    """Print all mandates."""
    from handover.stages.mandates import mandates

    grid = Table("mandate", "state", "until", "rows", "share", "asked by", "signed by", "classes", box=None)
    for one, lacking in mandates(_context(options)):
        made = one.mandate
        signed = ", ".join(f"{who.name} {at[:10]}" for who, at in one.signed)
        limits = (str(made.until), str(made.rows), str(made.share))
        cells = (made.id, lacking or "in force", *limits, one.by.name, signed, "; ".join(made.rules.classes))
        grid.add_row(*map(escape, cells))
    show(grid)
    return 0


def _context(options: Arguments) -> Context:
    from handover.stages.mandates import open_mandates

    settings = Settings.load()
    return open_mandates(settings, options.source, resolver(settings))
