"""Services outlive us, are found again, and are stopped with all that they started and nothing else."""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from handover.local.processes import Service

# A leader with a child in a process group of its own, as Airflow's tasks are. The leader speaks for both, in
# one writing: two that write to one file can end up within each other's words.
FAMILY = """
import os, time
child = os.fork()
if child:
    os.setpgid(child, child)
    os.write(1, f"{os.getpid()} {child}\\n".encode())
time.sleep(600)
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service("family", tmp_path / "family.json", tmp_path / "family.log")
    yield service
    service.stop()


def start(service: Service, script: str = FAMILY) -> None:
    service.start([sys.executable, "-c", script], os.environ)


def family(service: Service) -> tuple[int, int]:
    """The process ids of the leader and of its child, once the leader has printed them."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        said = service.log.read_text()
        if said.endswith("\n"):
            leader, child = said.split()
            return int(leader), int(child)
        time.sleep(0.02)
    raise TimeoutError(f"the service said {said!r}")


def alive(pid: int) -> bool:
    """Whether it runs; a dead child whose parent has not asked yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_is_stopped_with_its_children_in_other_process_groups(service: Service) -> None:
    start(service)
    members = family(service)
    assert all(alive(pid) for pid in members)
    service.stop()
    assert not any(alive(pid) for pid in members)
    assert not service.is_running()


def test_starting_and_stopping_twice_does_nothing(service: Service) -> None:
    start(service)
    start(service)
    assert len(family(service)) == 2
    service.stop()
    service.stop()


def test_children_are_stopped_when_their_leader_is_gone(service: Service) -> None:
    start(service)
    leader, child = family(service)
    os.kill(leader, 9)
    service.stop()
    assert not alive(child)


def test_children_of_a_dead_leader_are_stopped_with_its_successor(service: Service) -> None:
    """As a scheduler's tasks go on when it dies and another one is started."""
    start(service)
    leader, child = family(service)
    os.kill(leader, 9)
    while service.is_running():
        time.sleep(0.02)
    service.log.write_text("")
    start(service)
    successors = family(service)
    assert alive(child)
    service.stop()
    assert not any(alive(pid) for pid in (child, *successors))


def test_a_number_that_belongs_to_somebody_else_by_now_is_left_alone(service: Service) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    ) as other:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        service.record_file.write_text(json.dumps([{"pid": other.pid, "started": 1, "boot": boot}]))
        assert not service.is_running()
        service.stop()
        assert other.poll() is None
        other.communicate(b"\n")


def test_what_it_says_is_kept_closed_and_shown_when_it_fails(service: Service) -> None:
    start(service, "import sys; sys.exit('no such thing')")
    deadline = time.monotonic() + 30
    while service.is_running() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not service.is_running()
    assert service.last_lines() == "no such thing"
    assert stat.S_IMODE(service.log.stat().st_mode) == 0o600
