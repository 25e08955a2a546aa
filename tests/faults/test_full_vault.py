"""A vault that takes no more bytes: nothing half-written counts, and with space there the run goes on."""

import resource

import pytest

from fixtures.audit import audit
from fixtures.child import Child
from fixtures.drive import Drive, Fault
from fixtures.runs import Runner

# Less than any chunk, more than what the child prints. The kernel refuses what is over as it does on a full
# disk, here and in containers, as root and as anybody; the next attempt is a process without the limit.
SPACE_LEFT = 1000


def fill(child: Child) -> None:
    """Take the space away from a paused process, and let it go on."""
    _, hard = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (SPACE_LEFT, hard))
    child.resume()


@pytest.mark.parametrize("task, folder", [("backup 0", "vault"), ("close", "evidence")])
def test_no_space(world: Runner, task: str, folder: str) -> None:
    drive = Drive(world)
    drive.go({task: [Fault("point:FILE_UNNAMED:2", strike=fill)]})
    [said] = drive.said
    assert said.startswith(f"Busy: {world.home / folder}")
    assert "file too large" in said and "free space on this file system" in said
    assert audit(world, drive.moments) == []
