"""The command line: `handover …`. Exit status 0 when all is well, 1 when not, 2 for a wrong call.

Messages go to standard error, results to standard output. Errors are printed with their remedy and
without a traceback; a traceback here is a bug.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from handover.commands import (
    audit,
    cases,
    certificate,
    classify,
    coverage,
    custodian,
    destruction,
    evidence,
    explain,
    handover_list,
    hold,
    machine,
    mandate,
    notices,
    request,
    restore,
    reveal,
    runs,
    sweep,
)
from handover.errors import HandoverError


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        status = command(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (else Python complains again at exit)
        return 0
    except HandoverError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing half done counts as done", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="handover", description="Move or destroy a company's customer data and prove it."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (
        cases,
        explain,
        classify,
        runs,
        handover_list,
        destruction,
        reveal,
        hold,
        mandate,
        custodian,
        notices,
        request,
        certificate,
        evidence,
        restore,
        sweep,
        audit,
        coverage,
        machine,
    ):
        module.add_commands(commands)
    return parser
