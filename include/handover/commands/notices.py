"""Commands for notices to persons: make the letters, read back what became of them, list the mailings."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from handover.commands.shared import Arguments, Commands, add, add_group, open_case, show
from handover.model.notice import KINDS

NO_RUN = "notices"


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    group = add_group(commands, "notice", "tell persons what happens to their data, and count who was told")
    making = add(group, "make", make, "Write letters to everybody concerned, encrypted for who sends them.")
    making.add_argument("case")
    making.add_argument("--kind", required=True, choices=tuple(KINDS), help="the gate that asks for it")
    making.add_argument(
        "--to", required=True, type=Path, metavar="PEM", help="the sender's certificate (RSA)"
    )
    making.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the files go")
    making.add_argument("--text", metavar="FILE", help="among the case's documents; default: KIND.yaml")
    results = add(group, "delivered", delivered, "Record the sheet of results that the sender gave back.")
    results.add_argument("case")
    results.add_argument("--run", required=True, help="the mailing, as `make` named it")
    results.add_argument("file", type=Path, help="results.csv, filled in")
    listing = add(group, "list", list_mailings, "List the mailings of a case and what is known of each.")
    listing.add_argument("case")


def make(options: Arguments) -> int:
    """Write the files and name them; persons whom no letter reaches are counted."""
    from handover.stages.notices import make_notices

    context = open_case(options.case, NO_RUN)
    done = make_notices(context, options.kind, _content(options.to), options.out, options.text)
    for name in done.files:
        print(options.out / name)
    print(f"mailing {done.run}: {done.persons} persons, {done.unreachable} of them no letter reaches")
    told = f"handover notice delivered {options.case} --run {done.run} results.csv"
    print(f"opened by `openssl cms -decrypt -inform DER -inkey KEY -in FILE`; then `{told}`", file=sys.stderr)
    return 0


def delivered(options: Arguments) -> int:
    """Record results; 1 while somebody is neither told nor lawfully told in another way."""
    from handover.stages.notice_results import record_results

    counts = record_results(open_case(options.case, NO_RUN), options.run, _content(options.file))
    print(", ".join(f"{number} {state}" for state, number in counts.items()))
    told = counts["delivered"] + counts["substituted"]
    return 0 if told == sum(counts.values()) else 1


def list_mailings(options: Arguments) -> int:
    """Print the mailings."""
    from handover.stages.notice_results import DELIVERED, mailings

    context = open_case(options.case, NO_RUN)
    grid = Table("mailing", "kind", "at", "persons", "no letter reaches", "results", box=None)
    for one in mailings(context):
        results = replace(context, run=one.run).entries(DELIVERED)
        counts = results[-1].body["counts"] if results else {}
        known = ", ".join(f"{number} {state}" for state, number in counts.items()) or "none yet"
        persons, lost = (sum(one.body[name].values()) for name in ("persons", "unreachable"))
        cells = (one.run, str(one.body["kind"]), one.at[:19], str(persons), str(lost), known)
        grid.add_row(*map(escape, cells))
    show(grid)
    return 0


def _content(path: Path) -> bytes:
    from handover.vault.files import refusal

    try:
        return path.read_bytes()
    except OSError as error:
        raise refusal(error, path, "read") from None
