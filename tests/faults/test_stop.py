"""The stop flag ends every task at its next chunk, in whatever process; lifted, the run goes on."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from fixtures.child import start
from fixtures.contents import contents
from fixtures.runs import Runner, backed_up, transferred
from handover.cli import main
from handover.errors import Stopped
from handover.stages.backup import backup_lane
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.late_changes import recheck_lane, recheck_objects
from handover.stages.migrate import finish_target, migrate_lane, prepare_target
from handover.stages.plan import plan
from handover.stages.restore_test import restore_test
from handover.stages.sealing import seal_backup
from handover.stages.snapshot import hold_snapshot, wait_for_state
from handover.stages.verify import verify_lane, verify_objects


@pytest.fixture
def stop(world: Runner, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The command line's ``handover stop``, against this world."""
    variables = dict(world.settings().variables)
    for name, url in world.urls.items():
        variables[f"AIRFLOW_CONN_{name.upper()}"] = url
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def call(*options: str) -> None:
        assert main(["stop", "test-transfer", *options]) == 0

    return call


STAGES: dict[str, Callable[[Context], object]] = {
    "plan": plan,
    "snapshot": hold_snapshot,
    "backup": lambda context: backup_lane(context, 0),
    "seal": seal_backup,
    "restore test": restore_test,
    "prepare": prepare_target,
    "migrate": lambda context: migrate_lane(context, 0),
    "finish": finish_target,
    "verify": lambda context: verify_lane(context, 0),
    "verify objects": verify_objects,
    "recheck": lambda context: recheck_lane(context, 0),
    "recheck objects": recheck_objects,
    "close": close_run,
}


def test_every_stage_honours_the_flag(world: Runner, stop: Callable[..., None]) -> None:
    context = world.open(lanes=1)
    inventory(context)
    plan(context)
    stop()
    for stage in STAGES.values():
        with pytest.raises(Stopped, match="case test-transfer was told to stop") as caught:
            stage(context)
        assert "--lift" in caught.value.hint
    assert not context.entries("snapshot-exported", "run-closed")
    stop("--lift")
    transferred(context)
    assert contents(context.target) == contents(context.source)


def test_stop_while_the_backup_runs(world: Runner, stop: Callable[..., None]) -> None:
    context = world.open(lanes=1)
    inventory(context)
    plan(context)
    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold_snapshot, context)
        wait_for_state(context)
        with start(world, "backup_lane", 0, pause_at="point:FILE_UNRECORDED:4") as lane:
            lane.reached()
            stop()
            lane.resume()
            assert "Stopped: case test-transfer was told to stop" in lane.refused()
        with pytest.raises(Stopped):
            holder.result()
    assert 0 < len(context.entries("chunk-backed-up")) < 10
    stop("--lift")
    transferred(context)
    assert contents(context.target) == contents(context.source)


def test_stop_while_the_load_runs(world: Runner, stop: Callable[..., None]) -> None:
    context = world.open(lanes=1)
    backed_up(context)
    restore_test(context)
    prepare_target(context)
    with start(world, "migrate_lane", 0, pause_at="copy:8") as lane:
        lane.reached()
        stop()
        lane.resume()
        assert "Stopped" in lane.refused()
    stop("--lift")
    migrate_lane(context, 0)
    finish_target(context)
    assert contents(context.target) == contents(context.source)


def test_a_new_run_does_not_let_a_stopped_one_go_on(world: Runner) -> None:
    older = world.open("run-older")
    inventory(older)
    older.ledger.append(older.case.case, "", "stop-requested", {})
    newer = world.open("run-newer")
    inventory(newer)
    newer.honour_stop()
    with pytest.raises(Stopped):
        older.honour_stop()
