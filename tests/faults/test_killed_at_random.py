"""Killed at random instants of each data phase, a run ends complete, and an abort takes all of it back."""

import random
import time

import pytest

from e2e.test_abort import BEFORE, state
from fixtures.audit import audit
from fixtures.child import start
from fixtures.contents import run_sql
from fixtures.drive import Drive, Fault
from fixtures.runs import Runner
from handover.stages.abort import abort_run

KILLS = 3
# Seven seeds of three kills each make more than twenty for each phase.
SEEDS = range(1, 8)
PHASES = {
    "backup": ["snapshot", "backup 0", "backup 1"],
    "seal": ["seal"],
    "restore test": ["restore_test"],
    "prepare": ["prepare"],
    "migrate": ["migrate 0", "migrate 1"],
    "finish": ["finish"],
    "verify": ["verify 0", "verify 1", "verify_objects"],
    "recheck": ["recheck 0", "recheck 1", "recheck_objects"],
    "close": ["close"],
}
# No stage of this source takes longer; what ends before it is killed is killed sooner the next time.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.004, 0.6


def instant(dice: random.Random) -> float:
    """Seconds after a start: short ones and long ones alike."""
    return float(SHORTEST_SECONDS * (LONGEST_SECONDS / SHORTEST_SECONDS) ** dice.random())


def killed_in_each_phase(world: Runner, seed: int) -> None:
    """Kill the tasks of each phase in turn, as often as it takes; the rest of the run is undisturbed."""
    dice = random.Random(seed)
    faults: dict[str, list[Fault]] = {}
    for tasks in PHASES.values():
        for number in range(KILLS):
            faults.setdefault(tasks[number % len(tasks)], []).append(Fault(seconds=instant(dice)))
    drive = Drive(world)
    drive.go(faults)
    assert drive.kills == KILLS * len(PHASES)
    assert audit(world, drive.moments) == []


def killed_while_aborting(world: Runner, seed: int) -> None:
    """Kill an abort a few times, then let it end."""
    dice = random.Random(seed)
    run_sql(world.urls["dst"], BEFORE)
    context = world.open(lanes=2)
    before = state(world, context)
    Drive(world).go({}, last="migrate 1")
    for _ in range(KILLS):
        with start(world, "abort_run") as aborting:
            time.sleep(instant(dice) / 2)
            aborting.kill()
    abort_run(world.open(lanes=2))
    assert state(world, context) == before


def test_killed_at_random(world: Runner) -> None:
    killed_in_each_phase(world, seed=0)


def test_abort_killed_at_random(world: Runner) -> None:
    killed_while_aborting(world, seed=0)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_many_times(world: Runner, seed: int) -> None:
    killed_in_each_phase(world, seed)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", SEEDS)
def test_abort_killed_at_random_many_times(world: Runner, seed: int) -> None:
    killed_while_aborting(world, seed)
