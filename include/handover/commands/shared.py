"""What all commands share: how they are added, how they open a case, how they print a table."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from handover.settings import Settings

if TYPE_CHECKING:
    from handover.stages.context import Context

Arguments = argparse.Namespace
Commands = argparse._SubParsersAction  # argparse has no public name for it


def add(
    commands: Commands[argparse.ArgumentParser], name: str, run: Callable[[Arguments], int], text: str
) -> argparse.ArgumentParser:
    """Add a command; ``run`` returns its exit status. Options are taken only as they are written out."""
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=run)
    return parser


def add_group(
    commands: Commands[argparse.ArgumentParser], name: str, text: str
) -> Commands[argparse.ArgumentParser]:
    """Add a command that has commands of its own, or return it when another module has added it."""
    there = commands.choices.get(name)
    if there is not None:  # argparse has no public way to what a parser already has
        return next(action for action in there._actions if isinstance(action, Commands))
    return commands.add_parser(name, help=text, description=text).add_subparsers(
        required=True, metavar="ACTION"
    )


def open_case(case: str, run: str) -> Context:
    """Open a case, or a run of a registered source, with the connections that this installation knows."""
    from handover.model.registered import known_sources
    from handover.stages.context import open_context
    from handover.stages.past_runs import open_past

    settings = Settings.load()
    if case in known_sources(settings.sources):
        return open_past(settings, case, run, resolver(settings))
    return open_context(settings, case, run, resolver(settings))


def show(grid: Table) -> None:
    """Print a table; where no terminal sets a width nothing is cut."""
    console = Console()
    (console if console.is_terminal else Console(width=1000)).print(grid)


def resolver(settings: Settings) -> Callable[[str], str]:
    """Return what finds connections: first in the environment, then among Airflow's own."""
    from handover.connections import environment_resolver
    from handover.local.airflow_connections import airflow_connection

    from_environment = environment_resolver(settings.variables)

    def resolve(connection_id: str) -> str:
        try:
            return from_environment(connection_id)
        except KeyError:
            return airflow_connection(settings.variables, connection_id)

    return resolve
