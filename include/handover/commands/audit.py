"""The command audit: does all checks on a day, prints every finding, and writes the report."""

from __future__ import annotations

import argparse
from datetime import date

from rich.table import Table

from handover.commands.shared import Arguments, Commands, add, resolver, show
from handover.settings import Settings


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add it to the parser."""
    text = (
        "Check everything that is kept: ledger, evidence, vault, keys, reviews, grants, what is outstanding."
    )
    parser = add(commands, "audit", audit, text)
    parser.add_argument("--on", type=date.fromisoformat, metavar="DATE", help="the day asked about (today)")
    parser.add_argument(
        "--share", type=float, default=1.0, help="how much of the vault's backup files is read (1 = all)"
    )


def audit(options: Arguments) -> int:
    """Do all checks; exit status 1 when there is an error."""
    from handover.errors import AuditFailed
    from handover.stages.audit import GROUPS, check_group, conclude, open_audit
    from handover.stages.facts import legal_day

    settings = Settings.load()
    opened = open_audit(settings, resolver(settings), options.on or legal_day(), options.share)
    grid = Table("severity", "check", "where", "finding", "owner", "due", box=None)
    for group in GROUPS:
        for one in check_group(opened, group):
            grid.add_row(one.severity, one.check, one.where, one.what.en, one.owner, str(one.due))
    if grid.row_count:
        show(grid)
    try:
        folder = conclude(opened)
    except AuditFailed as failed:
        print(f"{failed.message}: {failed.data['report']}")
        return 1
    print(f"no errors, {grid.row_count} findings: {folder}")
    return 0
