"""Two fresh clusters that all competitors run on, in their own folder, with our own default settings."""

from __future__ import annotations

import os
import resource
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.costs import Cost
from handover.local.clusters import Cluster, url
from handover.local.ports import free_block

ROLE = "company"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Arena:
    """The folder and the two servers; every database belongs to an ordinary role."""

    home: Path
    source: Cluster
    target: Cluster
    password: str

    def url(self, cluster: Cluster, database: str) -> str:
        """Return the address of a database as its owner."""
        return url(ROLE, self.password, cluster.port, database)

    def fresh(self, cluster: Cluster, database: str) -> str:
        """Return the address of a database that is empty now."""
        cluster.drop_database(database)
        cluster.create_database(database, ROLE)
        return self.url(cluster, database)

    def folder(self, name: str) -> Path:
        """Return a folder that is empty now."""
        made = self.home / name
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700)
        return made

    def settle(self) -> None:
        """Write everything out, so that nobody pays for what ran before."""
        for cluster in (self.source, self.target):
            with psycopg.connect(cluster.admin_url(), autocommit=True) as connection:
                connection.execute("CHECKPOINT")
        os.sync()

    def server_seconds(self) -> float:
        """Return the processor time that both servers have used since they were started."""
        return sum(_family_seconds(_postmaster(cluster)) for cluster in (self.source, self.target))


@contextmanager
def arena() -> Iterator[Arena]:
    """Start the two clusters; stop them and delete everything at the end."""
    home = Path(tempfile.mkdtemp(prefix="handover-bench-"))
    home.chmod(0o711)  # the servers' account has to get through
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home)
        password, port = secrets.token_urlsafe(12), free_block(2)
        source, target = (
            Cluster.at(home, "source", port),
            Cluster.at(home, "target", port + 1),
        )
        for cluster in (source, target):
            cluster.create()
            stack.callback(cluster.stop)
            cluster.start()
            cluster.create_role(ROLE, password, createdb=True)
        yield Arena(home, source, target, password)


@contextmanager
def timed(place: Arena) -> Iterator[list[Cost]]:
    """Measure a block that runs programs to their end; the cost is put into the list that is given."""
    found: list[Cost] = []
    server, client, began = place.server_seconds(), children_seconds(), time.monotonic()
    yield found
    wall = time.monotonic() - began
    found.append(Cost(wall, children_seconds() - client, place.server_seconds() - server))


def children_seconds() -> float:
    """Return the processor time of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _postmaster(cluster: Cluster) -> int:
    return int((cluster.data / "postmaster.pid").read_text().split("\n", 1)[0])


def _family_seconds(pid: int) -> float:
    """Return the time of a server: its first process, its ended children, and those that live."""
    fields = {found: _stat(found) for found in _processes()}
    living = [stat for stat in fields.values() if stat and int(stat[1]) == pid]
    ticks = sum(int(stat[11]) + int(stat[12]) for stat in living)
    return (ticks + sum(map(int, (fields[pid] or [])[11:15]))) / _TICKS


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """Return the fields of a process after its name, none when it ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
