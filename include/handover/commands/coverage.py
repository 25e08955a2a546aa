"""Command that shows for every requirement which tests and which evidence stand for it."""

from __future__ import annotations

import argparse
import sys

from rich.markup import escape
from rich.table import Table

from handover.commands.shared import Arguments, Commands, add, show
from handover.settings import REPOSITORY


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add it to the parser."""
    text = "Show all requirements with the tests and the evidence that stand for each; 1 when one has none."
    command = add(commands, "coverage", coverage, text)
    command.add_argument("--markdown", action="store_true", help="write the table of docs/requirements.md")


def coverage(options: Arguments) -> int:
    """Print the table, and on standard error whatever is wrong with it."""
    from handover.errors import ConfigurationMissing
    from handover.evidence.coverage import (
        described_evidence,
        existing_tests,
        markdown,
        standing,
        summary,
    )
    from handover.model.requirements import parse_catalogue

    path, tests = REPOSITORY / "include" / "requirements.yaml", REPOSITORY / "tests"
    if not tests.is_dir():
        raise ConfigurationMissing(
            f"{tests} is not there: an installation without tests cannot say which of them hold",
            hint="run it in a clone of the repository, or read docs/requirements.md",
        )
    catalogue = parse_catalogue(path.read_text(encoding="utf-8"), path.name)
    described = described_evidence((REPOSITORY / "docs" / "evidence-format.md").read_text(encoding="utf-8"))
    faults = catalogue.faults(existing_tests(tests), described)
    if options.markdown:
        sys.stdout.write(markdown(catalogue))
    else:
        grid = Table("id", "requirement", "kind", "stands", "evidence, or what people supply", box=None)
        for one in catalogue.requirements:
            stands = ", ".join(one.evidence) or f"people: {one.people}"
            cells = (one.id, f"{one.zh} {one.en}", one.kind, standing(one), one.waits_for or stands)
            grid.add_row(*map(escape, cells))
        show(grid)
        print(summary(catalogue))
    for line in faults:
        print(line, file=sys.stderr)
    return 1 if faults else 0
