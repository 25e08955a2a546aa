"""Killed while masked chunks are loaded, and repeated: each row arrives once, and the same as ever."""

from __future__ import annotations

from contextlib import closing

import pytest

from fixtures import masked
from fixtures.child import start
from fixtures.runs import Runner, backed_up, read_back
from handover.crashpoints import CrashPoint
from handover.errors import LedgerRefused
from handover.postgres.session import connect
from handover.stages import masking
from handover.stages.context import Context
from handover.stages.migrate import finish_target, migrate_lane, prepare_target
from handover.stages.restore_test import restore_test

POINTS = [
    (CrashPoint.MASKED_UNLOADED, 0, 1),
    (CrashPoint.MASKED_UNLOADED, 1, 2),
    (CrashPoint.ROWS_UNCOMMITTED, 0, 2),
    (CrashPoint.ROWS_UNRECORDED, 0, 1),
]


@pytest.fixture
def ready(runner: Runner) -> Context:
    """A run whose target is prepared."""
    masked.fill(runner)
    context = masked.open_masked(runner)
    backed_up(context)
    restore_test(context)
    prepare_target(context)
    return context


@pytest.mark.parametrize(("point", "lane", "passing"), POINTS)
def test_killed_there_and_repeated(
    runner: Runner, ready: Context, point: CrashPoint, lane: int, passing: int
) -> None:
    with start(runner, "migrate_lane", lane, pause_at=f"point:{point.name}:{passing}") as loading:
        loading.reached()
        loading.kill()
    for number in range(len(ready.plan().lanes)):
        migrate_lane(ready, number)
    finish_target(ready)
    read_back(ready)
    units = [entry.body["unit"] for entry in ready.entries(masking.MASKED)]
    assert len(units) == len(set(units))


def test_another_result_of_a_chunk_is_refused(
    runner: Runner, ready: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a key another one in a second attempt, people would fall apart: nothing of it is loaded."""
    with start(runner, "migrate_lane", 0, pause_at=f"point:{CrashPoint.MASKED_UNLOADED.name}:1") as lane:
        lane.reached()
        lane.kill()
    monkeypatch.setattr("handover.stages.pseudonyms.domain_key", lambda context, domain: bytes(32))
    with pytest.raises(LedgerRefused, match="says something else"):
        for number in range(len(ready.plan().lanes)):
            migrate_lane(ready, number)
    with closing(connect(runner.urls["dst"], read_only=True)) as target:
        (left,) = target.execute("SELECT count(*) FROM handover.receipt WHERE step = 'migrate'").fetchall()
    assert left[0] < len(ready.entries("chunk-backed-up"))
