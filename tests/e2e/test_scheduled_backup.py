"""Backups of the sample company as its schedule makes them: proven, asked of nobody, ended on their day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from fixtures.runs import Runner, backed_up
from handover.errors import KeyUnavailable, LedgerRefused, NotReady
from handover.evidence.progress import Meter
from handover.model.approval import Account
from handover.model.registered import load_source
from handover.sample.company import generate
from handover.stages import restore_override, scheduled_backups
from handover.stages.backup_end import backup_due
from handover.stages.close import close_run
from handover.stages.completeness import missing_steps
from handover.stages.context import Context
from handover.stages.daily_cases import open_backup
from handover.stages.erasures import past_runs
from handover.stages.facts import legal_day
from handover.stages.gates import require_gates
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.restore import restore
from handover.stages.restore_test import restore_test
from handover.stages.scheduled_backups import end_due_backups, need_no_approval

SOURCE = "sample-lending"


@pytest.fixture
def company(runner: Runner) -> Runner:
    """A runner whose source is the sample company."""
    generate(runner.urls["src"], rows=1_000)
    return replace(runner, urls={"sample_source": runner.urls["src"], "sample_target": runner.urls["dst"]})


def opened(company: Runner, run: str) -> Context:
    return open_backup(company.settings(), SOURCE, run, company.urls.__getitem__)


def test_a_backup_from_schedule_to_end(
    company: Runner, target_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = opened(company, "scheduled-1")
    with pytest.raises(NotReady):
        need_no_approval(context)
    backed_up(context)
    need_no_approval(context)
    restore_test(context)
    require_gates(context)
    assert missing_steps(context) == []
    close_run(context)
    (said,) = context.entries("approval-not-required")
    assert "nothing changes" in said.body["said"]
    url = target_database("restored")
    meter = Meter(context.ledger_url, (SOURCE, context.run, "restore", ""))
    assert restore(context, url, meter).again.rows == 0
    only_the_source_s_own_bring_erased_rows_back(context)
    stuck = opened(company, "scheduled-2")
    backed_up(stuck)
    unsealed = opened(company, "scheduled-3")
    inventory(unsealed)
    plan(unsealed)
    assert end_due_backups(context) == 0, "not one before its day"
    assert backup_due(context) == legal_day() + timedelta(days=context.case.disposal.backup_days)
    later = legal_day() + timedelta(days=31)
    for module in (scheduled_backups, "handover.stages.backup_end"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.legal_day", lambda: later)
    with monkeypatch.context() as broken:
        broken.setattr(scheduled_backups, "backup_end", refuse)
        with pytest.raises(NotReady, match="nothing ends") as caught:
            end_due_backups(context)
        assert caught.value.__notes__ == [f"while ending the backup {SOURCE}/scheduled-1"]
    assert stuck.entries("run-aborted")
    assert unsealed.entries("run-aborted"), "one that cannot be ended does not keep the others"
    assert end_due_backups(context) == 1
    assert end_due_backups(context) == 0
    assert context.entries("backup-ended")
    assert list(context.store.list(f"{SOURCE}/")) == []
    with pytest.raises(KeyUnavailable):
        context.keyring.key(context.backup_key_id)


def refuse(context: Context) -> None:
    raise NotReady("nothing ends")


def only_the_source_s_own_bring_erased_rows_back(context: Context) -> None:
    """A backup asks nobody; whoever lets erased rows come back is named by its source."""
    ann, eve = Account(name="ann", id="ann"), Account(name="eve", id="eve")
    name = restore_override.ask(context, ann, "dst", "T-1", "a claim in court")
    with pytest.raises(LedgerRefused, match="not under approvals"):
        restore_override.approve(context, eve, name)
    known = load_source(context.settings.sources, SOURCE).approvals.execute.approvers[0]
    other = Account(name=known.name, id=known.id)
    assert restore_override.approve(context, other, name).approved_by == other


def test_a_sweep_that_let_nothing_go_keeps_no_backup(
    company: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its dispose was refused; what has disposed, and what may still be approved, is left."""
    waiting, refused, gone = (opened(company, f"sweep-{n}") for n in range(3))
    inventory(waiting)
    plan(waiting)
    for context in (refused, gone):
        backed_up(context)
    as_sweep = refused.case.model_copy(update={"kind": "retention"})
    gone.record("disposal-opened", {}, key="disposal-opened")
    later = legal_day() + timedelta(days=61)
    monkeypatch.setattr(scheduled_backups, "legal_day", lambda: later)
    aborted: list[str] = []
    monkeypatch.setattr(scheduled_backups, "abort_run", lambda one: aborted.append(one.run))
    swept = [replace(one, case=as_sweep) for one in past_runs(refused.ledger)]
    monkeypatch.setattr(scheduled_backups, "past_runs", lambda ledger: swept)
    assert [one.run for one in swept] == ["sweep-0", "sweep-1", "sweep-2"]
    assert end_due_backups(refused) == 1
    assert aborted == ["sweep-1"]


def test_more_than_a_backup_needs_approval(company: Runner) -> None:
    context = opened(company, "scheduled-1")
    backed_up(context)
    other = context.case.model_copy(update={"kind": "retention"})
    object.__setattr__(other, "sha256_of_json", context.case.sha256_of_json)
    with pytest.raises(NotReady, match="needs approval"):
        need_no_approval(replace(context, case=other))
