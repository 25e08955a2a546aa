"""Killed while it transfers a part: the rows in scope arrive once each, and no row of the others does."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from faults.test_killed_at_random import instant
from fixtures.audit import audit
from fixtures.drive import Drive, Fault
from fixtures.runs import Runner
from handover.stages.context import Context

LAST_IN_SCOPE = 600
PART = {
    "source": {"connection": "src", "schemas": ["s"], "large_objects": False},
    "scope": {
        "roots": [{"table": "s.a", "where": f"id <= {LAST_IN_SCOPE}"}],
        "decided": [{"table": "s.keyless", "rows": "none"}],
    },
}
# Of rows in scope only what their keys do not depend on: another scope would rightly stop the run.
CHANGE = "UPDATE s.a SET t = md5(t) WHERE id % 5 = 0; INSERT INTO s.keyless VALUES (1, 'late')"
FAULTS = {
    "holder before its entry": {"snapshot": [Fault("point:SNAPSHOT_UNRECORDED:1")]},
    "holder among the keys": {"snapshot": [Fault("point:FILE_UNNAMED:1"), Fault("point:FILE_UNNAMED:2")]},
    "holder after its entry": {"snapshot": [Fault("point:SNAPSHOT_HELD:1")]},
    "lanes": {
        "backup 0": [Fault("point:FILE_UNRECORDED:2")],
        "backup 1": [Fault("point:GROUP_UNRECORDED:1")],
    },
    "tally and seal": {
        "tally": [Fault("point:TALLY_UNRECORDED:1")],
        "seal": [Fault("point:INDEX_UNRECORDED:1")],
    },
}


class Part(Runner):
    """A runner whose case is about a part of the source."""

    def open(self, run: str = "run-1", **changes: object) -> Context:
        """Open a run of the case with some fields changed."""
        return super().open(run, **{**PART, **changes})


def inside(moment: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    """Return what of a source's contents is in scope."""
    tests: dict[str, Callable[[list[bytes]], bool]] = {
        "s.a": lambda row: int(row[0]) <= LAST_IN_SCOPE,
        "s.b": lambda row: int(row[1]) <= LAST_IN_SCOPE,
        "s.keyless": lambda row: False,
    }
    found = {
        table: [row for row in moment[table] if test(row.rstrip(b"\n").split(b"\t"))]
        for table, test in tests.items()
    }
    return {**found, "s.m": [b"%d\n" % LAST_IN_SCOPE]}


def killed(world: Runner, faults: dict[str, list[Fault]]) -> None:
    drive = Drive(Part(**vars(replace(world))), changes=CHANGE, inside=inside)
    drive.go(faults)
    assert drive.kills == sum(map(len, faults.values()))
    assert audit(drive.runner, [inside(moment) for moment in drive.moments]) == []


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_killed_there_and_repeated(world: Runner, faults: dict[str, list[Fault]]) -> None:
    killed(world, faults)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(1, 8))
def test_killed_at_random(world: Runner, seed: int) -> None:
    dice = random.Random(seed)
    tasks = ["snapshot", "backup 0", "backup 1", "tally", "seal", "snapshot", "backup 0", "backup 1"]
    faults: dict[str, list[Fault]] = {}
    for task in tasks:
        faults.setdefault(task, []).append(Fault(seconds=instant(dice)))
    killed(world, faults)
