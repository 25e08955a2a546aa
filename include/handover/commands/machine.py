"""Commands that work on this machine: demo, up, down, clean, sample, version."""

from __future__ import annotations

import argparse

from rich.console import Console

from handover.commands.shared import Arguments, Commands, add, add_group

# Rows of the sample company when nobody says how many: large enough to see bars move, small enough for
# a first look within two minutes.
DEFAULT_SCALE = 1_000_000
# The sample VIE's three stores are made one after the other, and three runs follow each other.
VIE_SCALE = 100_000


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    demo = add(commands, "demo", run_demo, "Move the generated sample company through Airflow.")
    demo.add_argument("--scale", type=int, help="rows of the sample company, about")
    demo.add_argument("--seed", type=int, default=1)
    which = demo.add_mutually_exclusive_group()
    which.add_argument("--end", action="store_true", help="wind the company up instead (case deregistration)")
    which.add_argument("--vie", action="store_true", help="end the VIE around it instead: three cases")
    which.add_argument("--live", action="store_true", help="let it live a day instead: sweep, backup, drill")
    add(commands, "up", up, "Start the local clusters and Airflow.")
    add(commands, "down", down, "Stop them; data stays.")
    add(commands, "clean", clean, "Stop them and delete the state folder.")
    sample = add_group(commands, "sample", "the sample company")
    create = add(sample, "create", create_sample, "Generate the sample company in an empty database.")
    create.add_argument("url", help="postgresql://… of an empty database")
    create.add_argument("--scale", type=int, default=DEFAULT_SCALE)
    create.add_argument("--seed", type=int, default=1)
    add(commands, "version", show_version, "Print the versions of everything that does the work.")


def run_demo(options: Arguments) -> int:
    """Run the demo."""
    from handover.local import demo, living, vie

    usual = VIE_SCALE if options.vie or options.live else DEFAULT_SCALE
    scale = usual if options.scale is None else options.scale
    if options.vie:
        return vie.run(scale, options.seed)
    if options.live:
        return living.run(scale, options.seed)
    return demo.run(scale, options.seed, demo.ENDING if options.end else demo.TRANSFER)


def up(_: Arguments) -> int:
    """Start the local services."""
    from handover.local import services

    return services.up()


def down(_: Arguments) -> int:
    """Stop the local services."""
    from handover.local import services

    return services.down()


def clean(_: Arguments) -> int:
    """Delete the local state."""
    from handover.local import services

    return services.clean()


def create_sample(options: Arguments) -> int:
    """Generate the sample company."""
    from handover.sample.company import generate

    with Console().status("generating"):
        rows = generate(options.url, rows=options.scale, seed=options.seed)
    print(f"{sum(rows.values()):,} rows in {len(rows)} tables (generated sample data)")
    return 0


def show_version(_: Arguments) -> int:
    """Print versions."""
    from handover.stages.close import software

    for name, found in software().items():
        print(f"{name} {found}")
    return 0
