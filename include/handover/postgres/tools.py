"""PostgreSQL's client programs: found in HANDOVER_PG_BIN or PATH, checked for their version, run quietly.

What they print on failure may quote rows or definitions, so only the names of objects are taken from it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from handover.errors import Busy, ConfigurationMissing, ConnectionLost, DataRefused, HandoverError
from handover.postgres.session import PINNED

_LOST_SIGNS = ("connection to server", "server closed the connection", "terminating connection")

# Defaults, checks and views are dumped as the session writes constants: a server's own way must not show.
_PINNED = " ".join(f"-c {name}=" + value.replace(" ", r"\ ") for name, value in PINNED.items())


class ClientPrograms:
    """pg_dump and pg_restore of one installation, new enough for the servers at hand."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._folder = variables.get("HANDOVER_PG_BIN", "")
        self._path = variables.get("PATH", os.defpath)

    def find(self, name: str) -> str:
        """Return the path of a program."""
        if self._folder:
            candidate = Path(self._folder) / name
            found = str(candidate) if os.access(candidate, os.X_OK) else None
        else:
            found = shutil.which(name, path=self._path)
        if not found:
            raise ConfigurationMissing(
                f"client program {name} not found in {self._folder or 'PATH'}",
                hint="install PostgreSQL's client programs or set HANDOVER_PG_BIN to their folder",
            )
        return found

    def major(self) -> int:
        """Return the major version of pg_dump."""
        text = subprocess.run([self.find("pg_dump"), "--version"], capture_output=True, text=True, check=True)
        found = re.search(r"(\d+)(?:\.\d+|devel|beta|rc)", text.stdout)
        if not found:
            raise ConfigurationMissing("pg_dump does not tell its version", hint="set HANDOVER_PG_BIN")
        return int(found.group(1))

    def run(self, name: str, url: str | None, *arguments: str, data: bytes | None = None) -> bytes:
        """Run a program and return what it printed; ``url``'s password travels in the environment."""
        command = [self.find(name), *arguments]
        environment = {"PATH": self._path, "LC_ALL": "C", "PGAPPNAME": "handover"}
        if url is not None:
            parts = conninfo_to_dict(url)
            environment["PGPASSWORD"] = str(parts.pop("password", "") or "")
            parts["options"] = f"{parts.get('options') or ''} {_PINNED}".strip()
            command.append(f"--dbname={make_conninfo('', **parts)}")
        done = subprocess.run(command, input=data, capture_output=True, env=environment, check=False)
        if done.returncode != 0:
            raise _failure(name, done.stderr.decode("utf-8", "replace"))
        return done.stdout


def _failure(name: str, stderr: str) -> HandoverError:
    """Return our error for a failed program, with object names only."""
    if any(sign in stderr for sign in _LOST_SIGNS):
        return ConnectionLost(f"{name}: the connection was lost", hint="check the server, then try again")
    if "due to statement timeout" in stderr:  # how pg_dump --lock-wait-timeout ends
        return Busy(f"{name}: a table stayed locked", hint="wait for who holds the lock, then try again")
    objects: Sequence[str] = re.findall(r"permission denied for (\w+ [\w.]+)", stderr)
    words = f": permission denied for {', '.join(objects)}" if objects else ""
    return DataRefused(
        f"{name} failed{words}",
        hint="run `handover case check`; if it finds nothing, run the program by hand as the same role",
    )
