"""Killed at each point that the engine names and repeated, a run ends as if nothing had been."""

from contextlib import suppress
from pathlib import Path

import pytest

from e2e.test_abort import BEFORE, state
from fixtures.audit import audit
from fixtures.child import start
from fixtures.contents import run_sql
from fixtures.drive import Drive, Fault
from fixtures.runs import Runner
from handover.crashpoints import CrashPoint
from handover.errors import VerificationFailed
from handover.stages.abort import abort_run
from handover.stages.migrate import finish_target
from handover.stages.verify import verify_lane

# For each point the tasks that die there, and at which passing.
CASES: dict[CrashPoint, dict[str, int]] = {
    CrashPoint.KEYRING_UNREPLACED: {"inventory": 1, "plan": 1},
    CrashPoint.LEDGER_ENTRY_UNCOMMITTED: {
        "inventory": 2,
        "plan": 2,
        "snapshot": 1,
        "backup 0": 3,
        "backup 1": 1,
        "seal": 1,
        "restore_test": 2,
        "migrate 0": 1,
        "finish": 1,
        "verify 1": 1,
        "verify_objects": 1,
        "close": 2,
    },
    CrashPoint.SNAPSHOT_UNRECORDED: {"snapshot": 1},
    CrashPoint.SNAPSHOT_HELD: {"snapshot": 1},
    CrashPoint.FILE_UNNAMED: {"plan": 1, "snapshot": 2, "backup 0": 3, "backup 1": 2, "seal": 1, "close": 2},
    CrashPoint.FILE_UNRECORDED: {"backup 0": 3, "backup 1": 1},
    CrashPoint.GROUP_UNRECORDED: {"backup 0": 1, "backup 1": 2},
    CrashPoint.TALLY_UNRECORDED: {"tally": 1, "reconcile": 1},
    CrashPoint.INDEX_UNRECORDED: {"seal": 1},
    CrashPoint.BACKUP_SEALED: {"seal": 1},
    CrashPoint.SCRATCH_CREATED: {"restore_test": 1},
    CrashPoint.RESTORE_TEST_UNRECORDED: {"restore_test": 1},
    CrashPoint.RECEIPTS_UNCOMMITTED: {"restore_test": 1, "prepare": 1},
    CrashPoint.ROWS_UNCOMMITTED: {"restore_test": 3, "migrate 0": 3, "migrate 1": 1},
    CrashPoint.ROWS_UNRECORDED: {"restore_test": 2, "migrate 0": 1, "migrate 1": 2},
    CrashPoint.OBJECT_UNCOMMITTED: {"restore_test": 3, "prepare": 3, "finish": 2},
    CrashPoint.OBJECTS_COMMITTED: {"restore_test": 1, "finish": 1},
    CrashPoint.TARGET_UNRECORDED: {"finish": 1},
    CrashPoint.COMPARISON_UNRECORDED: {
        "verify 0": 1,
        "verify 1": 2,
        "verify_objects": 1,
        "recheck 1": 2,
        "recheck_objects": 1,
    },
    CrashPoint.RECONCILED_UNRECORDED: {"reconcile": 1},
    CrashPoint.EXPECTATIONS_UNRECORDED: {"restore_test": 1, "expectations": 1},
    CrashPoint.CLOSING_RECORDED: {"close": 1},
    CrashPoint.RECEIPTS_DROPPED: {"close": 1},
    CrashPoint.EVIDENCE_UNNAMED: {"close": 1},
    CrashPoint.EVIDENCE_UNRECORDED: {"close": 1},
}
ABORTING = {
    CrashPoint.ABORT_TARGET_EMPTIED: 1,
    CrashPoint.ABORT_VAULT_EMPTIED: 1,
    CrashPoint.KEYRING_UNREPLACED: 1,
    CrashPoint.ABORT_KEY_DESTROYED: 1,
    CrashPoint.LEDGER_ENTRY_UNCOMMITTED: 1,
}


# Points of work that the runs here have none of, and where they are killed instead.
ELSEWHERE = {
    CrashPoint.REPAIR_UNCOMMITTED: "test_crash_points.py",
    CrashPoint.MASKED_UNLOADED: "test_masked_killed.py",
    CrashPoint.DISPOSAL_OPENED: "test_mask_here_killed.py",
    CrashPoint.MASKED_HERE_UNCOMMITTED: "test_mask_here_killed.py",
    CrashPoint.MASKED_HERE_UNRECORDED: "test_mask_here_killed.py",
    CrashPoint.ARCHIVED_TABLE_UNRECORDED: "test_archive_killed.py",
    CrashPoint.ARCHIVE_UNRECORDED: "test_archive_killed.py",
    CrashPoint.HELD_ROWS_UNRECORDED: "test_archive_killed.py",
    CrashPoint.HELD_ROWS_RECORDED: "test_archive_killed.py",
    CrashPoint.ARCHIVE_KEY_DESTROYED: "test_archive_killed.py",
    CrashPoint.QUARANTINE_UNRECORDED: "test_erase_here_killed.py",
    CrashPoint.ERASED_UNRECORDED: "test_erase_here_killed.py",
    CrashPoint.ERASED_UNCOMMITTED: "test_erase_killed.py",
    CrashPoint.ERASED_COMMITTED: "test_erase_killed.py",
    CrashPoint.REWRITTEN_RECORDED: "test_proving_killed.py",
    CrashPoint.RESIDUE_UNRECORDED: "test_proving_killed.py",
    CrashPoint.PROVED_UNRECORDED: "test_proving_killed.py",
    CrashPoint.TOMBSTONES_UNRECORDED: "test_proving_killed.py",
    CrashPoint.BACKUP_KEY_DESTROYED: "test_proving_killed.py",
    CrashPoint.BACKUP_EMPTIED: "test_proving_killed.py",
    CrashPoint.TOMBSTONE_KEY_DESTROYED: "test_proving_killed.py",
}


def test_every_point_has_a_case() -> None:
    assert CASES.keys() | ABORTING.keys() | ELSEWHERE.keys() == set(CrashPoint)
    for point, name in ELSEWHERE.items():
        assert point.name in (Path(__file__).parent / name).read_text()


@pytest.mark.parametrize("point", CASES, ids=lambda point: point.name)
def test_killed_there_and_repeated(world: Runner, point: CrashPoint) -> None:
    drive = Drive(world)
    drive.go({task: [Fault(f"point:{point.name}:{count}")] for task, count in CASES[point].items()})
    assert drive.kills == len(CASES[point])
    assert audit(world, drive.moments) == []


@pytest.mark.parametrize("point", ABORTING, ids=lambda point: point.name)
def test_abort_killed_there_and_repeated(world: Runner, point: CrashPoint) -> None:
    run_sql(world.urls["dst"], BEFORE)
    context = world.open(lanes=2)
    before = state(world, context)
    Drive(world).go({}, last="migrate 0")
    with start(world, "abort_run", pause_at=f"point:{point.name}:{ABORTING[point]}") as aborting:
        aborting.reached()
        aborting.kill()
    abort_run(world.open(lanes=2))
    assert state(world, context) == before
    assert abort_run(world.open(lanes=2)) == []


def test_repair_killed_there_and_repeated(world: Runner) -> None:
    drive = Drive(world)
    drive.go({}, last="finish")
    run_sql(world.urls["dst"], "DELETE FROM s.keyless WHERE a < 10; UPDATE s.a SET t = 'wrong' WHERE id = 7")
    context = world.open(lanes=2)
    for number in range(2):
        with suppress(VerificationFailed):
            verify_lane(context, number)
    with start(world, "finish_target", pause_at="point:REPAIR_UNCOMMITTED:2") as mending:
        mending.reached()
        mending.kill()
    finish_target(context)
    drive.go({})
    assert audit(world, drive.moments) == []
