"""Commands that work on evidence and keys: verify, keys."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from handover.commands.shared import Arguments, Commands, add, add_group, show
from handover.errors import CaseInvalid
from handover.settings import Settings

if TYPE_CHECKING:
    from handover.vault.keyring import Destruction, KeyInfo


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    verify = add(commands, "verify", verify_evidence, "Check an evidence folder offline.")
    verify.add_argument("folder", type=Path)
    verify.add_argument(
        "--vault",
        nargs="?",
        type=Path,
        const=Path(),
        help="the backup files too (default: this installation's vault)",
    )
    verify.add_argument("--public-key", type=Path, help="trust this key and not the one in the folder")
    verify.add_argument("--json", action="store_true")
    keys = add_group(commands, "keys", "work on the keyring")
    add(keys, "list", list_keys, "List keys, never their material.")
    rotate = add(keys, "rotate", rotate_key, "Give a purpose a new root key and wrap its keys anew.")
    rotate.add_argument("purpose")
    destroy = add(keys, "destroy", destroy_key, "Destroy a key: what it encrypted can't be read again.")
    destroy.add_argument("key_id")
    destroy.add_argument("--yes", action="store_true", required=True, help="say that this is meant")


def verify_evidence(options: Arguments) -> int:
    """Run the stand-alone verifier on an evidence folder."""
    from handover.evidence.verifier import main as verifier

    arguments = [str(options.folder)]
    if options.vault is not None:
        vault = Settings.load().vault if options.vault == Path() else options.vault
        arguments += ["--vault", str(vault)]
    if options.public_key:
        arguments += ["--public-key", str(options.public_key)]
    return verifier([*arguments, *(["--json"] if options.json else [])])


def list_keys(_: Arguments) -> int:
    """Print all keys."""
    from handover.vault.keyring import Keyring

    grid = Table("key", "purpose", "case", "state", "created", "root", box=None)
    for key in Keyring.open(Settings.load().keyring).list():
        grid.add_row(key.key_id, key.purpose.value, key.case, key.state.value, key.created, str(key.root))
    show(grid)
    return 0


def rotate_key(options: Arguments) -> int:
    """Rotate the root of a purpose and write it into the ledger of every case concerned."""
    from handover.evidence.ledger import Ledger
    from handover.vault.keyring import Keyring
    from handover.vault.roots import Purpose

    try:
        purpose = Purpose(options.purpose)
    except ValueError:
        known = ", ".join(p.value for p in Purpose)
        raise CaseInvalid(f"unknown purpose {options.purpose!r}", hint=f"one of {known}") from None
    settings = Settings.load()
    keyring = Keyring.open(settings.keyring)
    root = keyring.rotate(purpose)
    ledger = Ledger(settings.require("HANDOVER_LEDGER_URL"), keyring.signer())
    for case in sorted({_case_of(key) for key in keyring.list() if key.purpose is purpose and key.case}):
        ledger.append(case, "", "root-rotated", {"purpose": purpose.value, "version": root.version})
    print(f"root of {root.purpose.value} is now version {root.version}")
    return 0


def _case_of(key: KeyInfo | Destruction) -> str:
    """Return the case of a key; a backup's key is named after case and run."""
    return key.case.split("/")[0]


def destroy_key(options: Arguments) -> int:
    """Destroy a key and write it into the ledger."""
    from dataclasses import asdict

    from handover.evidence.ledger import Ledger
    from handover.vault.keyring import Keyring

    settings = Settings.load()
    keyring = Keyring.open(settings.keyring)
    done = keyring.destroy(options.key_id)
    ledger = Ledger(settings.require("HANDOVER_LEDGER_URL"), keyring.signer())
    ledger.append(_case_of(done), "", "key-destroyed", {k: str(v) for k, v in asdict(done).items()})
    print(f"{done.key_id}: {done.result}")
    return 0
