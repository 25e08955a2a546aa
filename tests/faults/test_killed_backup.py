"""A backup whose processes are killed, or whose snapshot is lost, is still one snapshot and complete."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from fixtures.child import start
from fixtures.contents import contents, contents_seen_by, run_sql
from fixtures.runs import Runner, backed_up, filled
from handover.errors import NotReady, SnapshotLost
from handover.model.backup import BackupIndex
from handover.stages.backup import abandon_backup, backup_lane
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.migrate import prepare_target
from handover.stages.plan import plan
from handover.stages.reading import snapshot_session
from handover.stages.restore_test import restore_test
from handover.stages.sealing import seal_backup
from handover.stages.snapshot import hold_snapshot, latest_state, wait_for_state


def planned(runner: Runner, lanes: int = 2) -> Context:
    """A run up to its plan."""
    context = runner.open(lanes=lanes)
    inventory(context)
    plan(context)
    return context


def moment_of(context: Context) -> dict[str, list[bytes]]:
    """What the source held at the snapshot now in force."""
    with snapshot_session(context.source, wait_for_state(context).snapshot) as connection:
        return contents_seen_by(connection)


def arrived(context: Context) -> dict[str, list[bytes]]:
    """What a target holds that is filled from the sealed backup."""
    filled(context)
    return contents(context.target)


def check_index(context: Context, index: BackupIndex, generation: int) -> None:
    """All objects are of one generation, no chunk is missing or there twice, and no debris is left."""
    assert index.state.generation == generation
    folder = context.folder(generation)
    names = [chunk.object.name for chunk in index.chunks]
    assert all(name.startswith(f"{folder}/") for name in names)
    for group in index.plan.groups():
        assert [chunk.chunk for chunk in index.of(group)] == list(range(len(index.of(group))))
    stored = set(context.store.list(f"{context.case.case}/{context.run}/"))
    others = [name for name in stored - set(names) if "/g0/" not in name and "/index-" not in name]
    assert sorted(name.rsplit("/", 1)[1].rsplit("-", 1)[0] for name in others) == [
        "large-objects",
        "schema",
        "tally-source",
    ]
    assert set(names) <= stored


def all_lanes(context: Context) -> None:
    """Back up whatever is still to be done."""
    for number in range(len(context.plan().lanes)):
        backup_lane(context, number)


POINTS = ["point:FILE_UNRECORDED:4", "point:GROUP_UNRECORDED:1"]


@pytest.mark.parametrize("point", POINTS)
def test_lane_killed_and_repeated(world: Runner, point: str) -> None:
    context = planned(world)
    with start(world, "hold_snapshot") as holder:
        moment = moment_of(context)
        with start(world, "backup_lane", 0, pause_at=point) as lane:
            lane.reached()
            lane.kill()
        run_sql(context.source, "UPDATE s.a SET t = 'later'; DELETE FROM s.keyless")
        before = len(context.entries("chunk-backed-up"))
        all_lanes(context)
        index = seal_backup(context)
        holder.done()
    check_index(context, index, generation=1)
    assert len(context.entries("chunk-backed-up")) == len(index.chunks) > before
    assert arrived(context) == moment


def test_two_attempts_of_one_lane_at_once(world: Runner) -> None:
    """A zombie that goes on beside its successor: the one adopts what the other has done."""
    context = planned(world, lanes=1)
    with start(world, "hold_snapshot") as holder:
        moment = moment_of(context)
        with ThreadPoolExecutor(3) as pool:
            rows = {f.result() for f in [pool.submit(backup_lane, context, 0) for _ in range(3)]}
        index = seal_backup(context)
        holder.done()
    assert rows == {2200}
    check_index(context, index, generation=1)
    assert arrived(context) == moment


def test_holder_killed_starts_a_new_generation(world: Runner) -> None:
    context = planned(world)
    with start(world, "hold_snapshot") as holder:
        wait_for_state(context)
        backup_lane(context, 0)
        holder.kill()
    with pytest.raises(SnapshotLost, match="snapshot of this backup generation is gone"):
        until_gone(context)
    run_sql(context.source, "UPDATE s.a SET t = 'later'; INSERT INTO s.keyless VALUES (1, 'later')")
    with start(world, "hold_snapshot") as holder:
        while latest_or_none(context) != 2:
            time.sleep(0.05)
        moment = moment_of(context)
        run_sql(context.source, "UPDATE s.a SET t = 'much later'")
        backup_lane(context, 1)  # lane 0 has ended and is not repeated: sealing reads its groups again
        index = seal_backup(context)
        holder.done()
    assert [e.body["generation"] for e in context.entries("generation-void")] == [1]
    check_index(context, index, generation=2)
    assert arrived(context) == moment


def until_gone(context: Context) -> None:
    """Join the snapshot until the server has noticed that its holder is dead."""
    for _ in range(100):
        with snapshot_session(context.source, latest_state(context).snapshot):
            time.sleep(0.05)


def latest_or_none(context: Context) -> int | None:
    """The generation in force, if there is one."""
    try:
        return latest_state(context).generation
    except NotReady:
        return None


def test_holders_session_ended_by_the_server(world: Runner) -> None:
    context = planned(world)
    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold_snapshot, context)
        state = wait_for_state(context)
        backup_lane(context, 0)
        with psycopg.connect(context.source) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (state.backend,))
        with pytest.raises(SnapshotLost, match="generation 1 was lost"):
            holder.result()
        assert latest_or_none(context) is None
        holder = pool.submit(hold_snapshot, context)
        moment = moment_of(context)
        all_lanes(context)
        index = seal_backup(context)
        assert holder.result() == 2
    check_index(context, index, generation=2)
    assert arrived(context) == moment


def test_new_holder_while_the_first_generation_is_sealed(world: Runner) -> None:
    """Lanes that had joined may end after the holder died; nobody then waits for a second generation."""
    context = planned(world)
    with start(world, "hold_snapshot") as first:
        wait_for_state(context)
        all_lanes(context)
        with start(world, "seal_backup", pause_at="point:INDEX_UNRECORDED:1") as sealing:
            sealing.reached()
            first.kill()
            with start(world, "hold_snapshot") as second:
                while latest_or_none(context) != 2:
                    time.sleep(0.05)
                sealing.resume()
                sealing.done()
                second.done()
    assert seal_backup(context).state.generation == 1


def test_backup_given_up_ends_the_holder_and_can_be_taken_up_again(world: Runner) -> None:
    context = planned(world)
    with start(world, "hold_snapshot") as holder:
        wait_for_state(context)
        abandon_backup(context)
        assert "NotReady: the backup was given up" in holder.refused()
    with start(world, "hold_snapshot") as holder:
        while latest_or_none(context) != 2:
            time.sleep(0.05)
        all_lanes(context)
        index = seal_backup(context)
        holder.done()
    check_index(context, index, generation=2)


def test_seal_killed_and_repeated(world: Runner) -> None:
    context = planned(world)
    with start(world, "hold_snapshot") as holder:
        moment = moment_of(context)
        all_lanes(context)
        with start(world, "seal_backup", pause_at="point:INDEX_UNRECORDED:1") as sealing:
            sealing.reached()
            sealing.kill()
        index = seal_backup(context)
        holder.done()
    check_index(context, index, generation=1)
    assert arrived(context) == moment


def test_sealing_waits_while_a_lost_holder_is_replaced(world: Runner) -> None:
    """Between the voided generation and the next one there is no snapshot; that is no reason to give up."""
    context = planned(world)
    with start(world, "hold_snapshot") as first:
        wait_for_state(context)
        backup_lane(context, 0)
        first.kill()
    with start(world, "hold_snapshot", pause_at="point:SNAPSHOT_UNRECORDED:1") as second:
        second.reached()
        assert latest_or_none(context) is None
        with start(world, "seal_backup") as sealing:
            time.sleep(0.3)
            assert sealing.running()
            second.resume()
            sealing.done()
        second.done()
    check_index(context, seal_backup(context), generation=2)


def test_another_plan_ends_what_is_being_read_by_the_one_before(world: Runner) -> None:
    """Else the groups of two plans, cut at other bounds, would make one backup that lacks rows."""
    context = planned(world)
    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold_snapshot, context)
        first = wait_for_state(context)
        plan(context)
        assert latest_state(context) == first, "the same plan again"
        run_sql(world.urls["src"], "CREATE TABLE s.more AS SELECT 1 AS n")
        inventory(context)
        plan(context)
        with pytest.raises(NotReady, match="no snapshot was exported"):
            latest_state(context)
        try:
            with pytest.raises(SnapshotLost, match="another plan was made"):
                holder.result(timeout=20)
        finally:
            abandon_backup(context)


def test_a_plan_that_came_after_the_seal_is_not_what_was_backed_up(world: Runner) -> None:
    context = world.open()
    backed_up(context)
    restore_test(context)
    body = context.last("plan", "plan").body
    late = {**body, "plan": {**body["plan"], "schema_digest": "00" * 32}}
    context.record("plan", late)
    with pytest.raises(NotReady, match="the backup was made by another plan"):
        prepare_target(context)
