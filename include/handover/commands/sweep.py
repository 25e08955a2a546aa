"""Commands about sweeps: what the months to come will bring, and whether the registered sources are sound."""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime

from rich.markup import escape
from rich.table import Table

from handover.commands.shared import Arguments, Commands, add, resolver, show
from handover.settings import Settings


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    text = "Retention sweeps of registered sources: look ahead, and check what they rest on."
    group = commands.add_parser("sweep", help=text, description=text, allow_abbrev=False)
    actions = group.add_subparsers(required=True, metavar="ACTION")
    looking = add(actions, "forecast", forecast, "Tell what will be over in the months to come.")
    looking.add_argument("source", metavar="SOURCE", help="a registered source")
    looking.add_argument("--as-of", type=date.fromisoformat, metavar="DATE", help="(today, where it is)")
    looking.add_argument("--months", type=int, default=12, metavar="N", help="(default %(default)s)")
    add(actions, "check", check, "Look at all registered sources: do their classes fit their databases?")


def forecast(options: Arguments) -> int:
    """Print the table, and write page, chart and CSV."""
    from handover.evidence.forecast import table_of
    from handover.stages.daily_cases import day_there
    from handover.stages.sweep_forecast import forecast as look_ahead
    from handover.stages.sweep_forecast import write_forecast

    settings = Settings.load()
    on = options.as_of or day_there(settings, options.source, datetime.now(UTC))
    found = look_ahead(settings, options.source, resolver(settings), on, options.months)
    heads, *rows = table_of(found)
    grid = Table(box=None)
    for place, head in enumerate(heads):
        grid.add_column(head, justify="right" if place else "left")
    for row in rows:
        grid.add_row(*map(escape, row))
    show(grid)
    print("\n".join(write_forecast(settings, found)))
    return 0


def check(_options: Arguments) -> int:
    """Print every finding; exit status 1 when a source would be refused."""
    from handover.errors import HandoverError
    from handover.model.registered import known_sources
    from handover.stages.sweep_findings import look

    settings = Settings.load()
    grid = Table("source", "finding", "about", "rows", "what", box=None)
    refused = False
    for name in known_sources(settings.sources):
        try:
            found = look(settings, name, resolver(settings), datetime.now(UTC))
        except HandoverError as error:
            refused = True
            grid.add_row(name, "refused", "", "", escape(str(error)))
        else:
            for one in found:
                grid.add_row(
                    name, one.kind, escape(one.about), f"{one.rows:,}" if one.rows else "", escape(one.said)
                )
    if grid.row_count:
        show(grid)
    return int(refused)
