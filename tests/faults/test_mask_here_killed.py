"""Masking at the source killed at every point and repeated: each row is masked exactly once."""

from contextlib import closing
from functools import partial

import pytest

from fixtures.child import start
from fixtures.contents import contents
from fixtures.disposed import Disposing, agreed, delivered, fill, open_disposing
from fixtures.runs import Runner
from handover.postgres.copying import cut_by_size
from handover.postgres.receipts import once
from handover.postgres.session import connect
from handover.stages.context import Context
from handover.stages.disposal import open_disposal
from handover.stages.mask_here import STEP, finish_mask_here, look_here_lane, mask_here_faults, mask_here_lane

POINTS = (
    "MASKED_HERE_UNCOMMITTED:2",
    "LEDGER_ENTRY_UNCOMMITTED:2",
    "MASKED_HERE_UNRECORDED:3",
)


@pytest.fixture
def company(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Disposing:
    """A runner whose source is filled, and whose backup is cut into many small chunks."""
    monkeypatch.setattr("handover.stages.backup.cut_by_size", partial(cut_by_size, limit=100))
    return fill(runner)


def killed(company: Disposing, stage: str, *arguments: int, point: str) -> None:
    """Let a stage begin, and die at a point."""
    with start(company, stage, *arguments, pause_at=f"point:{point}") as child:
        child.reached()
        child.kill()


def test_killed_anywhere_and_repeated_each_row_is_masked_once(company: Disposing) -> None:
    context = open_disposing(company, lanes=1)
    delivered(context)
    agreed(context)
    before = contents(context.source)
    killed(company, "open_disposal", point="DISPOSAL_OPENED:1")
    open_disposal(context)
    for point in POINTS:
        killed(company, "mask_here_lane", 0, point=point)
    zombie_blocks_its_successor(company, context)
    assert mask_here_lane(context, 0) == 62
    killed(company, "look_here_lane", 0, point="COMPARISON_UNRECORDED:2")
    assert look_here_lane(context, 0) == 62
    finish_mask_here(context)
    assert mask_here_faults(context) == []
    after = contents(context.source)
    # The trigger counts each update of a row, and the pseudonym of a pseudonym would not be found again.
    touched = sorted(row.split(b"\t")[6] for row in after["s.person"])
    assert touched == [b"0"] * 5 + [b"1"] * 5
    assert len(after["s.log"]) == 5
    assert {table: len(rows) for table, rows in before.items() if table != "s.log"} == {
        table: len(rows) for table, rows in after.items() if table != "s.log"
    }
    units = [entry.body["unit"] for entry in context.entries("chunk-masked-here")]
    assert len(units) == len(set(units)) > 10


def zombie_blocks_its_successor(company: Disposing, context: Context) -> None:
    """A session that holds the receipt of a chunk makes the retry wait until it is gone."""
    done = {entry.body["unit"] for entry in context.entries("chunk-masked-here")}
    units = [entry.body for entry in context.entries("chunk-backed-up")]
    here = {table.id for table in context.plan().tables if table.masked_here}
    names = [f"{body['table']}/{body['group']}/{body['chunk']}" for body in units if body["table"] in here]
    unit = next(name for name in reversed(names) if name not in done)
    with closing(connect(context.source)) as zombie, start(company, "mask_here_lane", 0) as successor:
        with once(zombie, context.holder, STEP, unit) as todo:
            assert todo
            while not blocked(context):
                assert successor.running()
            zombie.pgconn.finish()
        successor.done()


def blocked(context: Context) -> bool:
    """Say whether a session waits for another one's transaction."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid' AND datname = %s"
    with closing(connect(context.source)) as watcher:
        return watcher.execute(query, [watcher.info.dbname]).fetchone() != (0,)
