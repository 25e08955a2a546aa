"""Who sits at the command line, and what may be printed there: for commands that take two persons."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from handover.commands.shared import Arguments
from handover.errors import ConfigurationMissing

if TYPE_CHECKING:
    from handover.model.approval import Account

# Where a password is asked; without one the question would be answered from standard input.
TERMINAL = Path("/dev/tty")


def add_identity(parser: argparse.ArgumentParser) -> None:
    """Add the options by which somebody says and shows who he is."""
    parser.add_argument("--as", required=True, metavar="ACCOUNT", dest="account", help="yours in Airflow")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="default: asked at the terminal")


def person(options: Arguments) -> Account:
    """Return the account that the options name, confirmed by its password."""
    from handover.local.identity import account_of
    from handover.settings import Settings

    return account_of(Settings.load(), options.account, _password(options))


def _password(options: Arguments) -> str:
    """Return the password; never from standard input, where values are."""
    try:
        if options.password_file is not None:
            return str(options.password_file.read_text(encoding="utf-8")).split("\n")[0]
        with TERMINAL.open():
            return getpass.getpass(f"password of {options.account}: ")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationMissing(
            "your password can neither be read from a file nor asked at a terminal",
            hint="work at a terminal, or name a file that only you may read: --password-file FILE",
        ) from None
