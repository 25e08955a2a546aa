"""A load that is killed anywhere and repeated: no row is lost and none is there twice."""

import time
from contextlib import closing

import psycopg
import pytest

from fixtures.child import start
from fixtures.contents import contents, objects
from fixtures.runs import Runner, backed_up, verified
from handover.postgres.receipts import once
from handover.postgres.session import connect
from handover.stages.backup_index import read_index
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.migrate import finish_target, migrate_lane, prepare_target
from handover.stages.restore_test import restore_test


@pytest.fixture
def proven(world: Runner) -> Context:
    """A run with a proven backup in one lane."""
    context = world.open(lanes=1)
    backed_up(context)
    restore_test(context)
    return context


def rows_loaded(context: Context) -> int:
    """Rows of the table a in the target."""
    with psycopg.connect(context.target) as target:
        found = target.execute("SELECT count(*) FROM s.a").fetchone()
    return int(found[0]) if found else 0


def chunks_done(context: Context) -> int:
    """Receipts of chunks in the target."""
    with psycopg.connect(context.target) as target:
        found = target.execute("SELECT count(*) FROM handover.receipt WHERE step = 'migrate'").fetchone()
    return int(found[0]) if found else 0


def groups_told(context: Context) -> int:
    """Groups that the ledger knows to be migrated."""
    return sum(entry.body["step"] == "migrate" for entry in context.entries("group-loaded"))


def check_complete(context: Context) -> None:
    """Whatever was killed before: the rest of the run ends well and the target equals the source."""
    finish_target(context)
    verified(context)
    close_run(context)
    assert contents(context.target) == contents(context.source)


# Each chunk is sent as header, rows and trailer: 8 is in the middle of the third chunk, 9 before its end.
POINTS = ["copy:8", "copy:9"]


@pytest.mark.parametrize("point", POINTS)
def test_migration_killed_and_repeated(world: Runner, proven: Context, point: str) -> None:
    prepare_target(proven)
    with start(world, "migrate_lane", 0, pause_at=point) as lane:
        lane.reached()
        lane.kill()
    done = chunks_done(proven)
    assert done == 2
    assert groups_told(proven) == 0
    migrate_lane(proven, 0)
    migrate_lane(proven, 0)
    assert chunks_done(proven) > done
    check_complete(proven)


def test_killed_between_commit_and_ledger(world: Runner, proven: Context) -> None:
    """The effect's database knows that the rows are there although the ledger does not yet."""
    prepare_target(proven)
    with start(world, "migrate_lane", 0, pause_at="point:ROWS_UNRECORDED:1") as lane:
        lane.reached()
        lane.kill()
    assert rows_loaded(proven) == 1200
    assert groups_told(proven) == 0
    migrate_lane(proven, 0)
    assert rows_loaded(proven) == 1200
    assert groups_told(proven) == len(proven.plan().groups())
    check_complete(proven)


def test_preparing_killed_and_repeated(world: Runner, proven: Context) -> None:
    with start(world, "prepare_target") as preparing:
        while preparing.running() and "schema s" not in objects(proven.target):
            time.sleep(0.002)
        preparing.kill()
    prepare_target(proven)
    migrate_lane(proven, 0)
    check_complete(proven)


def test_finishing_killed_and_repeated(world: Runner, proven: Context) -> None:
    prepare_target(proven)
    migrate_lane(proven, 0)
    with start(world, "finish_target") as finishing:
        while finishing.running() and "relation s.a_t_idx" not in objects(proven.target):
            time.sleep(0.002)
        finishing.kill()
    check_complete(proven)


def test_restore_test_killed_and_repeated(world: Runner) -> None:
    context = world.open(lanes=1)
    backed_up(context)
    with start(world, "restore_test", pause_at="copy:8") as testing:
        testing.reached()
        testing.kill()
    assert not context.entries("restore-tested")
    assert any("scratch" in name for name in objects(context.target))
    restore_test(context)
    assert context.entries("restore-tested")
    assert not any("scratch" in name for name in objects(context.target))


def test_zombie_with_an_uncommitted_receipt_blocks_its_successor(world: Runner, proven: Context) -> None:
    """A session that still holds a step's receipt makes the retry wait, and its end decides who did it."""
    prepare_target(proven)
    with (
        closing(connect(proven.target)) as zombie,
        start(world, "migrate_lane", 0) as successor,
        once(zombie, proven.holder, "migrate", first_unit(proven)) as todo,
    ):
        assert todo
        wait_until_blocked(proven)
        assert successor.running()
        assert rows_loaded(proven) == 0
        zombie.pgconn.finish()  # the zombie dies: its transaction never commits
        successor.done()
    check_complete(proven)


def first_unit(context: Context) -> str:
    """The first chunk that a lane loads."""
    index = read_index(context)
    return index.of(index.plan.lanes[0].groups[0])[0].unit


def wait_until_blocked(context: Context) -> None:
    """Wait until a session of ours waits for another one's transaction."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid' AND datname = %s"
    with psycopg.connect(context.target, autocommit=True) as watcher:
        while watcher.execute(query, [watcher.info.dbname]).fetchone() == (0,):
            time.sleep(0.02)


def test_two_attempts_of_one_lane_at_once(world: Runner, proven: Context) -> None:
    prepare_target(proven)
    with start(world, "migrate_lane", 0) as one, start(world, "migrate_lane", 0) as other:
        one.done()
        other.done()
    check_complete(proven)
