"""The state folder: where everything of this machine lies, who may read it, its secrets and ports.

Nothing outside it is written. Folders that exist already keep their permissions.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from handover.errors import Busy, ConfigurationMissing
from handover.local.ports import free_block, is_free
from handover.settings import default_home

FOLDERS = ("airflow", "logs", "vault", "keyring", "evidence", "run")
# People, roles and keys of this machine that need a secret of their own.
PEOPLE = ("engineer", "approver", "supervisor", "receiver", "auditor")
SECRETS = (*PEOPLE, "airflow", "ledger", "company", "jwt", "api", "fernet")
# The first is the address people type, so a well-known number if it is free.
FAVOURITE_PORT = 8080


@dataclass(frozen=True)
class Ports:
    """Four ports in a row: the api-server's and the three clusters'."""

    api: int

    @property
    def clusters(self) -> dict[str, int]:
        return {"control": self.api + 1, "source": self.api + 2, "target": self.api + 3}

    def all(self) -> tuple[int, ...]:
        return (self.api, *self.clusters.values())


@dataclass(frozen=True)
class Home:
    """One state folder."""

    root: Path

    @staticmethod
    def locate() -> Home:
        """The folder that HANDOVER_HOME names, else the default of this account."""
        return Home(Path(os.environ.get("HANDOVER_HOME") or default_home()).absolute())

    def create(self) -> None:
        """Make what is missing; a root-owned home is passable because its servers have another account."""
        if not self.root.exists():
            self.root.mkdir(parents=True)
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for name in FOLDERS:
            (self.root / name).mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep a second demo out: it would empty the target under the first one's hands."""
        with (self.root / "run" / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(
                    f"another demo is running in {self.root}", hint="wait for it, or set HANDOVER_HOME"
                ) from None
            yield

    def secrets(self) -> dict[str, str]:
        """The secrets of this machine, made once."""
        path = self.root / "secrets.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        if missing := [name for name in SECRETS if name not in known]:
            known |= {name: _new_secret(name) for name in missing}
            self.write_private(path.name, json.dumps(known, indent=1) + "\n")
        return known

    def write_private(self, name: str, text: str) -> Path:
        """Replace a file below the home by one that only we may read, never seen half written."""
        path = self.root / name
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.touch(mode=0o600)
        partial.write_text(text)
        return partial.replace(path)

    def write_env(self, name: str, values: Mapping[str, str]) -> Path:
        """Write ``NAME=value`` lines that a shell can read as well."""
        return self.write_private(
            name, "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items())
        )

    def remembered_ports(self) -> Ports | None:
        """The ports of the last start."""
        path = self.root / "ports.json"
        return Ports(json.loads(path.read_text())["api"]) if path.exists() else None

    def choose_ports(self, ours: frozenset[int]) -> Ports:
        """Ports that are free or already ``ours``: HANDOVER_PORT, those of last time, or new ones.

        HANDOVER_PORT=0 asks, as usual for ports, for any: then not even the favourite is tried, which two
        installations that start in the same moment would both find free.
        """
        wanted = os.environ.get("HANDOVER_PORT")
        given = wanted if wanted != "0" else None
        ports = _given_ports(given) if given else self.remembered_ports()
        taken = [port for port in ports.all() if port not in ours and not is_free(port)] if ports else []
        if given and taken:
            raise ConfigurationMissing(
                f"port {taken[0]} is taken, and HANDOVER_PORT={given} needs four free ports from there",
                hint="set HANDOVER_PORT to another number, or unset it to have free ports found",
                port=taken[0],
            )
        if ports is None or taken:
            ports = Ports(free_block(4, None if wanted == "0" else FAVOURITE_PORT))
        self.write_private("ports.json", json.dumps({"api": ports.api}) + "\n")
        return ports


def _given_ports(given: str) -> Ports:
    if not given.isdecimal() or not 1024 <= int(given) <= 65532:
        raise ConfigurationMissing(
            f"HANDOVER_PORT={given} is not a port number from 1024 to 65532",
            hint="set it to the first of four free ports, to 0 for any, or unset it to have them found",
        )
    return Ports(int(given))


def _new_secret(name: str) -> str:
    if name == "fernet":
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(12 if name in PEOPLE else 48)
