"""Backups of the sample company as its schedule makes them: proven, asked of nobody, ended on their day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from fixtures.runs import Runner, backed_up
from handover.errors import KeyUnavailable, NotReady
from handover.evidence.progress import Meter
from handover.sample.company import generate
from handover.stages import scheduled_backups
from handover.stages.backup_end import backup_due
from handover.stages.close import close_run
from handover.stages.completeness import missing_steps
from handover.stages.context import Context
from handover.stages.daily_cases import open_backup
from handover.stages.facts import legal_day
from handover.stages.gates import require_gates
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
    stuck = opened(company, "scheduled-2")
    backed_up(stuck)
    assert end_due_backups(context) == 0, "not one before its day"
    assert backup_due(context) == legal_day() + timedelta(days=context.case.disposal.backup_days)
    later = legal_day() + timedelta(days=31)
    for module in (scheduled_backups, "handover.stages.backup_end"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.legal_day", lambda: later)
    assert end_due_backups(context) == 2
    assert end_due_backups(context) == 0
    assert context.entries("backup-ended")
    assert stuck.entries("run-aborted"), "it was never complete, and nothing rests on it"
    assert list(context.store.list(f"{SOURCE}/")) == []
    with pytest.raises(KeyUnavailable):
        context.keyring.key(context.backup_key_id)


def test_more_than_a_backup_needs_approval(company: Runner) -> None:
    context = opened(company, "scheduled-1")
    backed_up(context)
    other = context.case.model_copy(update={"kind": "retention"})
    object.__setattr__(other, "sha256_of_json", context.case.sha256_of_json)
    with pytest.raises(NotReady, match="needs approval"):
        need_no_approval(replace(context, case=other))
