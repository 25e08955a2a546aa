"""Erasing at the source, and the waiting time before, killed at every point and repeated."""

import pytest

from e2e.test_erase_here import ALL_GONE, without
from e2e.test_quarantine import SOURCE, catalog, waiting
from fixtures.child import start
from fixtures.contents import contents, run_sql
from fixtures.disposed import Disposing, fill, opened
from fixtures.runs import Runner
from fixtures.settled import GONE, open_settled
from handover.stages.abort import abort_run
from handover.stages.erase_here import erase_faults, erase_here
from handover.stages.quarantine import not_quarantined, quarantine, quarantine_over

# Before the first batch the second entry is how rows go, after the last one what became of them.
POINTS = (
    "LEDGER_ENTRY_UNCOMMITTED:2",
    "ERASED_UNCOMMITTED:1",
    "ERASED_COMMITTED:1",
    "ERASED_UNCOMMITTED:2",
    "ERASED_UNRECORDED:1",
    "LEDGER_ENTRY_UNCOMMITTED:2",
)


@pytest.fixture
def company(runner: Runner) -> Disposing:
    """A runner whose source is filled."""
    return fill(runner)


def test_killed_anywhere_and_repeated_exactly_the_approved_rows_are_gone(company: Disposing) -> None:
    context = open_settled(company)
    opened(context)
    rest = without(contents(context.source), context.source)
    for point in POINTS:
        with start(company, "erase_here", pause_at=f"point:{point}") as child:
            child.reached()
            child.kill()
        assert erase_faults(context) == ["erased at the source: not done"]
    assert erase_here(context) == ALL_GONE
    assert contents(context.source) == rest
    assert erase_faults(context) == []
    (done,) = [entry.body for entry in context.entries("erased")]
    assert {one["table"]: (one["asked"], one["deleted"]) for one in done["tables"]} == {
        table: (rows, rows) for table, rows in GONE.items()
    }
    assert len(context.entries("erasing-planned")) == 1


def test_a_quarantine_that_nobody_wrote_down_begins_or_is_lifted(runner: Runner) -> None:
    run_sql(runner.urls["src"], SOURCE)
    context = waiting(runner, custodian=None)
    for end in (quarantine, abort_run):
        with start(runner, "quarantine", pause_at="point:QUARANTINE_UNRECORDED:1") as child:
            child.reached()
            child.kill()
        assert not_quarantined(context) == []
        end(context)
        assert len(context.entries("quarantined")) == 1
        assert not quarantine_over(context)
    assert catalog(context.source)[0] == [("s.owned", "own")]
