"""What must not end well: the run stops or keeps the rows and says which, and nothing is certified."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fixtures.contents import contents, run_sql
from fixtures.disposed import Disposing, fill, opened
from fixtures.erased import gone, nowhere, open_erasing, proven
from fixtures.runs import Runner
from fixtures.shipped import Changed, open_shipped
from handover.errors import (
    Busy,
    GateBlocked,
    HandoverError,
    NotReady,
    PreflightFailed,
    ScopeChanged,
    VerificationFailed,
)
from handover.sample.company import generate
from handover.stages import erase_here as erasing
from handover.stages.certifying import ISSUED, certificate_faults, issue_certificate
from handover.stages.clean_residue import DATA_SETTING, REWRITTEN, clean_residue
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.erase_here import erase_here
from handover.stages.gates import judge
from handover.stages.inventory import inventory
from handover.stages.mask_here import finish_mask_here, look_here_lane, mask_here_lane
from handover.stages.plan import plan
from handover.stages.proving import prove

CALLS, VISITS = 20, 37


@pytest.fixture
def company(runner: Runner) -> Disposing:
    """A runner whose source is filled."""
    return fill(runner)


def uncertified(context: Context) -> str:
    """Close, which is refused, and say with which reasons; no certificate was written in any form."""
    with pytest.raises(VerificationFailed) as refused:
        close_run(context)
    assert context.entries("evidence-written")[-1].body["status"] == "not complete"
    with pytest.raises(NotReady, match="not complete"):
        issue_certificate(context)
    assert context.entries(ISSUED) == []
    assert list(context.settings.evidence.rglob("destruction-certificate*")) == []
    return refused.value.message


def stopped(context: Context, error: type[HandoverError]) -> HandoverError:
    """Erase, which stops before any row has gone; the run is then not certified."""
    before = contents(context.source)
    with pytest.raises(error) as raised:
        erase_here(context)
    assert contents(context.source) == before
    said = uncertified(context)
    assert "erased at the source: not done" in said
    assert " ".join(raised.value.message.split()) in said, "the reasons name what was in the way"
    return raised.value


def test_what_is_in_the_way_stops_it_before_a_row_goes(
    company: Disposing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "LOCK_SECONDS", 1)
    context = open_erasing(company, cutover={})
    opened(context)
    a_key_from_outside(context, "", "2 rows of other.note that nobody approved refer to rows of s.call")
    a_key_from_outside(
        context, "ON DELETE CASCADE", "approved would be deleted or changed with rows of s.call"
    )
    run_sql(context.source, "REVOKE DELETE ON s.call_2, s.visit FROM company")
    lacking = stopped(context, PreflightFailed).data["lacking"]
    assert lacking == ["DELETE on s.call_2", "DELETE on s.visit"]
    run_sql(context.source, "GRANT DELETE ON s.call_2, s.visit TO company")
    with closing(psycopg.connect(context.source)) as other:
        other.execute("SELECT FROM s.call WHERE id = 2 FOR UPDATE")
        assert "55P03" in stopped(context, Busy).message, "a lock that never comes"
    # With all of it out of the way the same run goes on.
    assert erase_here(context) == CALLS + VISITS


def went(context: Context) -> None:
    """Let rows of an open source go, and pseudonymise those that stay."""
    erase_here(context)
    for lane in context.plan().lanes:
        mask_here_lane(context, lane.number)
    for lane in context.plan().lanes:
        look_here_lane(context, lane.number)
    finish_mask_here(context)


def a_key_from_outside(context: Context, action: str, said: str) -> None:
    """A table of a schema that the case does not name refers to rows that go."""
    run_sql(
        context.source,
        "CREATE SCHEMA other; CREATE TABLE other.note (id int, day date, "
        f"FOREIGN KEY (id, day) REFERENCES s.call {action}); "
        "INSERT INTO other.note SELECT id, day FROM s.call WHERE id IN (2, 3)",
    )
    found = stopped(context, ScopeChanged)
    assert said in found.message
    assert (found.data["table"], found.data["rows"]) == ("other.note", 2)
    run_sql(context.source, "DROP SCHEMA other CASCADE")


def test_rows_that_changed_or_were_made_anew_stay_and_are_named(company: Disposing) -> None:
    context = open_erasing(company, cutover={})
    opened(context)
    run_sql(
        context.source,
        "UPDATE s.call SET mobile = '13800138099' WHERE id = 2; DELETE FROM s.call WHERE id = 4; "
        "INSERT INTO s.call SELECT 4, date '2026-01-25' + 4, 3, 'made anew'",
    )
    went(context)
    assert "s.call: not erased at the source: 2 rows that differ from the backup" in uncertified(context)
    proven(context)  # of what went, and of no more
    said = uncertified(context)
    assert "s.call: not erased at the source: 2 rows that differ from the backup" in said
    assert "13800138" not in said and "made anew" not in said


def test_rows_that_come_back_keep_it_from_a_certificate(company: Disposing) -> None:
    context = open_erasing(company, cutover={})
    gone(context)
    proven(context)
    assert certificate_faults(context) == []
    run_sql(context.source, "INSERT INTO s.call VALUES (2, '2026-01-27', 3, '13800138003')")
    with pytest.raises(VerificationFailed, match=r"s\.call"):
        prove(context, nowhere)
    assert "s.call" in uncertified(context)


def seeing(context: Context, data: Path) -> Context:
    """The same run, told where the server's data directory is."""
    variables = {**context.settings.variables, DATA_SETTING: str(data)}
    return replace(context, settings=replace(context.settings, variables=variables))


def test_a_disk_too_small_for_rewriting(company: Disposing, tmp_path: Path) -> None:
    context = open_erasing(company)
    gone(context)
    full = seeing(context, Path("/proc"))  # a real file system that never has a free byte
    with pytest.raises(Busy, match=r"rewriting the erased tables needs about .* on the source.s disk, 0"):
        clean_residue(full)
    assert context.entries(REWRITTEN) == [], "nothing was begun"
    assert "residue at the source: not looked at since rows went" in uncertified(full)
    for data in (tmp_path, tmp_path / "of another machine"):
        clean_residue(seeing(context, data))
    assert context.entries(REWRITTEN)


def no_custodian(case: dict[str, Any]) -> None:
    del case["matter"]["custodian"]


def unsettled(case: dict[str, Any]) -> None:
    case["matter"]["claims"]["open_claims"] = 1


def undated(case: dict[str, Any]) -> None:
    del case["matter"]["retention"][-1]["triggers"]


STOPPED: dict[str, tuple[Changed, set[str], str]] = {
    "without custodian": (no_custodian, {"CASE-TYPE", "CO-2", "P48-50"}, "matter.custodian"),
    "unsettled claims": (unsettled, {"CO-1"}, "open_claims"),
    "missing dates": (undated, {"P47"}, "row class 客户备注 / remarks about customers"),
}


def test_a_company_that_may_not_end_yet(runner: Runner) -> None:
    generate(runner.urls["src"], rows=1_000)
    run_sql(
        runner.urls["src"], 'DROP MATERIALIZED VIEW "账务"."未刷新"'
    )  # of what was never filled, nothing is read
    before = contents(runner.urls["src"])
    for number, (change, gates, said) in enumerate(STOPPED.values()):
        context = open_shipped(runner, "deregistration", change, f"run-{number}")
        inventory(context)
        plan(context)
        with pytest.raises(GateBlocked) as blocked:
            judge(context, "execution")
        found: Any = blocked.value.data["gates"]
        assert set(found) <= gates
        reasons = uncertified(context)
        assert all(gate in reasons for gate in gates)
        assert said in reasons
    assert contents(runner.urls["src"]) == before
