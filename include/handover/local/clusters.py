"""PostgreSQL clusters of this machine, run from the wheel's programs with our own initdb and pg_ctl.

They listen on 127.0.0.1 only, without Unix sockets, by SCRAM passwords; files are open to the server's
account alone. What a cluster holds outlives its server.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from handover.local import ServiceFailed
from handover.local.account import Account, server_account
from handover.local.programs import binaries, server_programs
from handover.local.server import Administered

__all__ = ["Cluster", "binaries"]

SUPERUSER = "postgres"

# What `pg_ctl status` ends with: a server, or none, or no cluster in the folder; all else is a failure.
_RUNS, _RUNS_NOT = 0, frozenset({3, 4})

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    # Three clusters and Airflow share a small machine: the page cache does the rest.
    "shared_buffers": "256MB",
    # An index build of the sample's largest table fits; there are two at a time.
    "maintenance_work_mem": "256MB",
    "work_mem": "16MB",
    # A bulk load must not be interrupted by a checkpoint every few seconds.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    # Two cores are busier than the disk.
    "wal_compression": "off",
    "random_page_cost": "1.1",
    # The server log must never hold a value of a row. Errors of statements quote values in message, DETAIL,
    # CONTEXT and STATEMENT, so none is logged at all: clients receive them and strip them. FATAL and PANIC
    # (start, connection, crash) quote no rows and are what remains.
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_parameter_max_length_on_error": "0",
    "logging_collector": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class Cluster(Administered):
    """One cluster: its folder (``data/``, ``server.log``, the superuser's password), port and programs."""

    folder: Path
    port: int
    programs: Path
    account: Account = field(default_factory=server_account)

    @classmethod
    def at(cls, home: Path, name: str, port: int) -> Cluster:
        """The cluster ``name`` below a state folder, with programs that its account can read."""
        return cls(home / name, port, server_programs(home / "pgsql"))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def _password_file(self) -> Path:
        return self.folder / "superuser.password"

    def create(self) -> None:
        """Make the cluster unless it is there; a half-made one of a killed run is thrown away."""
        if self.data.exists():
            return
        self.account.require_way_to(self.folder.parent)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.account.own(self.folder)
        self._write_password()
        partial = self.folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        self._run(["initdb", "--pgdata", partial, *self._initdb_options()], "created")
        partial.rename(self.data)

    def _initdb_options(self) -> list[str | Path]:
        chosen = [f"--set={name}={value}" for name, value in SETTINGS.items()]
        return [
            f"--username={SUPERUSER}",
            "--pwfile",
            self._password_file,
            "--auth=scram-sha-256",
            "--data-checksums",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            *chosen,
        ]

    def _write_password(self) -> None:
        self._password_file.touch(mode=0o600)
        self._password_file.chmod(0o600)
        self._password_file.write_text(secrets.token_urlsafe(24) + "\n")
        self.account.own(self._password_file)

    def start(self) -> None:
        """Start the server unless it runs, and wait until it answers; pg_ctl waits for 60 s."""
        if self.is_running():
            return
        self._run(
            ["pg_ctl", "start", "--pgdata", self.data, "--log", self.log, "--options", f"-p {self.port}"],
            "started",
        )

    def stop(self) -> None:
        """Stop the server if it runs: sessions are ended, everything committed is kept."""
        if self.is_running():
            self._run(["pg_ctl", "stop", "--pgdata", self.data, "--mode=fast"], "stopped")

    def is_running(self) -> bool:
        """Whether a server has the folder, on whichever port."""
        status = self._run(["pg_ctl", "status", "--pgdata", self.data], "looked at", _RUNS_NOT | {_RUNS})
        return status == _RUNS

    def _run(self, command: Sequence[str | Path], done: str, expected: Set[int] = frozenset({0})) -> int:
        program, *arguments = command
        result = self.account.run([self.programs / program, *arguments])
        if result.returncode not in expected:
            raise ServiceFailed(
                f"PostgreSQL cluster {self.folder.name} on port {self.port} could not be {done}:"
                f" {(result.stderr or result.stdout).strip()}",
                hint=f"the server's log is {self.log}",
                cluster=self.folder.name,
                log=str(self.log),
            )
        return result.returncode

    def admin_url(self, database: str = "postgres") -> str:
        password = self._password_file.read_text().strip()
        return url(SUPERUSER, password, self.port, database)


def url(user: str, password: str, port: int, database: str) -> str:
    """The address of a database on this machine; names and password are ours and need no escaping."""
    return f"postgresql://{user}:{password}@127.0.0.1:{port}/{database}"
