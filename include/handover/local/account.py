"""The account that PostgreSQL servers run under: PostgreSQL refuses to run as root, so root lends them one.

An ordinary user runs them as himself. Permissions of folders that we did not make are never changed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handover.errors import ConfigurationMissing

NAME = "handover-pg"

# Prints the first of its arguments that the account running it cannot walk through.
_FIRST_CLOSED = 'for folder; do [ -x "$folder" ] || { printf "%s" "$folder"; exit 1; }; done'


@dataclass(frozen=True)
class Account:
    """Who runs a server: an unprivileged system user, or (``uid`` None) whoever we are."""

    uid: int | None = None
    gid: int | None = None

    def run(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as this account, from ``/`` so that our own folder does not matter."""
        return subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            umask=0o077,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        )

    def own(self, path: Path) -> None:
        """Give a file or folder that we have just made to this account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def require_way_to(self, folder: Path) -> None:
        """Refuse a folder that this account cannot reach, and name the one that is closed."""
        if self.uid is None:
            return
        way = [*reversed(folder.absolute().parents), folder.absolute()]
        found = self.run(["/bin/sh", "-c", _FIRST_CLOSED, "sh", *way])
        if found.returncode:
            raise ConfigurationMissing(
                f"system user {NAME} cannot enter {found.stdout}, so no server can run in {folder}",
                hint=f"set HANDOVER_HOME to a folder that {NAME} can reach, or run as an ordinary user",
                folder=found.stdout,
            )


def server_account() -> Account:
    """The account for servers: ours, or as root the system user of that name, created when missing."""
    if os.geteuid() != 0:
        return Account()
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        _create()
        entry = pwd.getpwnam(NAME)
    return Account(entry.pw_uid, entry.pw_gid)


def _create() -> None:
    program = shutil.which("useradd") or shutil.which("useradd", path="/usr/sbin:/sbin")
    hint = f"create a system user named {NAME}, or run as an ordinary user"
    if program is None:
        raise ConfigurationMissing(
            f"system user {NAME} is missing and useradd was not found on PATH", hint=hint, user=NAME
        )
    made = Account().run([program, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME])
    # 9: somebody else, such as another test worker, created it a moment ago
    if made.returncode not in (0, 9):
        raise ConfigurationMissing(
            f"system user {NAME} could not be created: {made.stderr.strip()}", hint=hint, user=NAME
        )
