"""Services as child processes that outlive us: started in a session of their own, found again by a record.

A record holds process id, start time and boot; a process is ours only if all three match, so that nothing
is ever stopped by name or by a number that somebody else was given since.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# Airflow's scheduler waits for running tasks when it is asked to end; they can be resumed, so not for long.
GRACE_SECONDS = 15.0
_LAST_LINES = 15
_PAUSE_SECONDS = 0.05
# Children are meant to outlive us; kept, because Python warns about each one that is collected while it runs.
_CHILDREN: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Seen:
    """What the kernel says about a process."""

    pid: int
    session: int
    started: int


@dataclass(frozen=True)
class Record:
    """What we wrote down when we started one."""

    pid: int
    started: int
    boot: str


@dataclass(frozen=True)
class Service:
    """One service: its name, where its record lies and where its output goes."""

    name: str
    record_file: Path
    log: Path

    def start(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start it unless it runs."""
        if self.is_running():
            return
        self.log.touch(mode=0o600)
        with self.log.open("ab") as output:
            child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
        _CHILDREN.append(child)
        seen = _look(child.pid)
        record = Record(child.pid, seen.started if seen else 0, _boot())
        # Of one that died its children may go on, as a scheduler's tasks do; they are stopped with the rest.
        left = [earlier for earlier in self._records() if _members(earlier)]
        self.record_file.write_text(json.dumps([asdict(each) for each in (*left, record)]))

    def is_running(self) -> bool:
        records = self._records()
        return bool(records) and _is_same(_look(records[-1].pid), records[-1])

    def stop(self) -> None:
        """End it and every process of its sessions: the first is asked, what is left then is made to."""
        records = self._records()
        if not records:
            return
        if self.is_running():
            os.kill(records[-1].pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
        while left := [process for record in records for process in _members(record)]:
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(_PAUSE_SECONDS)
        self.record_file.unlink()

    def last_lines(self) -> str:
        """The end of its output, to be shown when it failed."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:])

    def _records(self) -> list[Record]:
        """Return the sessions that were started since the machine was, the latest last."""
        if not self.record_file.exists():
            return []
        written = json.loads(self.record_file.read_text())
        # Services started before an update left one record alone.
        found = [Record(**each) for each in (written if isinstance(written, list) else [written])]
        return [record for record in found if record.boot == _boot()]


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _look(pid: int) -> Seen | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is a name that may hold spaces and brackets: fields are counted after its end.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else Seen(pid, session=int(fields[3]), started=int(fields[19]))


def _is_same(seen: Seen | None, record: Record) -> bool:
    return seen is not None and seen.started == record.started


def _members(record: Record) -> list[Seen]:
    """All living processes of the session; none if its number belongs to somebody else by now."""
    leader = _look(record.pid)
    if leader is not None and not _is_same(leader, record):
        return []
    seen = (_look(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return [process for process in seen if process and process.session == record.pid]
