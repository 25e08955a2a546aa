"""A certificate is final only once no backup of the database holds what went, whichever run made it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fixtures.disposed import APPROVALS, PEOPLE, Disposing, delivered, fill, say
from fixtures.erased import let_go, open_erasing, proven
from fixtures.runs import Runner, backed_up
from handover.evidence import pdf
from handover.evidence.pdf import write_pdf
from handover.model.approval import Account
from handover.model.destruction_certificate import certify
from handover.stages import backup_end, certificate_facts, certifying, scheduled_backups
from handover.stages.approvals import Answer, Outcome, record_answer
from handover.stages.certificate_keys import certificate_keys
from handover.stages.close import close_run
from handover.stages.context import Context, open_case
from handover.stages.disposal import open_disposal
from handover.stages.facts import legal_day
from handover.stages.restore_test import restore_test
from handover.stages.scheduled_backups import end_due_backups, need_no_approval
from handover.stages.validating import validate_result
from handover.vault import keyring

DAYS = 30
NIGHTLY: dict[str, Any] = {
    "case": "nightly", "kind": "backup", "transaction": "retention", "target": None, "lanes": 1,
    "source": {"connection": "src", "schemas": ["s"], "large_objects": False},
    "disposal": {"backup_days": DAYS},
}  # fmt: skip


@pytest.fixture
def company(runner: Runner) -> Disposing:
    """A runner whose source is filled."""
    return fill(runner)


def nightly(company: Disposing, run: str, *, complete: bool = True) -> Context:
    """A scheduled backup of the whole database."""
    context = company.open(run, **NIGHTLY)
    backed_up(context)
    if complete:
        need_no_approval(context)
        restore_test(context)
        close_run(context)
    return context


def erased(company: Disposing) -> Context:
    """A complete run that erased, whose result is good enough."""
    dispose = {"approvers": ["first", "second", "third"], "count": 2}
    context = open_erasing(company, approvals={**APPROVALS, "dispose": dispose})
    delivered(context)
    say(context, "accept", "receiver")
    said_yes_in_vain(context)
    for name in PEOPLE:
        say(context, "dispose", name)
    open_disposal(context)
    let_go(context)
    proven(context)
    validate_result(context, Account(name="first", id="first"), good_enough=True, reason="reviewed 已审阅")
    close_run(context)
    return context


def said_yes_in_vain(context: Context) -> None:
    """Let a third person say yes, and another one no, which takes it away."""
    say(context, "dispose", "third")
    no = Answer("second", "second", "a.Manager", False, "", "not yet 尚早", datetime.now(UTC))
    assert record_answer(context, "dispose", no).outcome is Outcome.REFUSED


def open_points(context: Context) -> list[str]:
    return [point.en for point in certify(certificate_facts.certificate_facts(context)).open_points]


def certificates(context: Context) -> list[dict[str, Any]]:
    """The certificates that were issued since the run was closed."""
    folders = [Path(entry.body["folder"]) for entry in context.entries(certifying.WRITTEN)]
    return [json.loads((one / "destruction-certificate.json").read_text(encoding="utf-8")) for one in folders]


def declaring(company: Disposing, context: Context, copies: str) -> Context:
    """The same run where copies of the keyring are declared."""
    variables = {**context.settings.variables, "HANDOVER_KEY_COPIES": copies}
    return open_case(
        replace(context.settings, variables=variables), context.case, context.run, company.urls.__getitem__
    )


def at_a_later_day(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Let days go by for whatever ends backups, destroys keys and issues certificates."""
    gone_by, day = timedelta(days=days), legal_day() + timedelta(days=days)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + gone_by

    for module in (scheduled_backups, backup_end):
        monkeypatch.setattr(module, "legal_day", lambda: day)
    monkeypatch.setattr(certificate_facts, "datetime", Later)
    monkeypatch.setattr(keyring, "_now", lambda: (datetime.now(UTC) + gone_by).isoformat(timespec="seconds"))


def test_final_when_the_last_backup_with_the_rows_has_ended(
    company: Disposing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Without the font there is no PDF of each certificate, which others test.
    monkeypatch.setattr(pdf, "write_pdf", partial(write_pdf, fonts=tmp_path / "none"))
    before = nightly(company, "before")
    stuck = nightly(company, "stuck", complete=False)
    run = erased(company)
    after = nightly(company, "after")
    assert [key.backup for key in certificate_keys(run)] == [None, "nightly/before", "nightly/stuck"]
    involved = certificate_facts.certificate_facts(run).involved
    assert [one.name for one in involved if one.part == "supervisor"] == [*PEOPLE], "not who said yes in vain"
    day = legal_day() + timedelta(days=DAYS)
    lives = (
        "another backup of the database, nightly/{}, still lives, and may hold the rows; "
        f"it does not end before {day}"
    )
    assert {lives.format("before"), lives.format("stuck")} < set(open_points(run))
    run = declaring(company, run, "safe")
    own_backup_ends(run, declaring(company, before, "safe"), {lives.format("before"), lives.format("stuck")})
    at_a_later_day(monkeypatch, DAYS + 1)
    killed_between_key_and_ledger(run, before)
    copy = f"a copy of key {run.entries(backup_end.ENDED)[-1].body['key']}: safe"
    assert copy in open_points(declaring(company, run, "")), "taken out of the setting, it still counts"
    after = declaring(company, after, f"safe = destroyed {day}")
    assert end_due_backups(after) == 3
    assert before.entries("backup-ended")
    assert stuck.entries("run-aborted")
    assert [list(one.store.list(f"nightly/{one.run}/")) for one in (before, stuck)] == [[], []]
    _, made = certificates(run)
    last = (day + timedelta(days=1)).isoformat()
    assert (made["finality"], made["effective_erasure_date"]) == ("final", last)
    assert {one["method"] for one in made["treated"]} == {
        "logical_deletion_crypto_shredding", "pseudonymised"}  # fmt: skip
    assert [(key["backup"], key["state"], key["decryption_fails"]) for key in made["keys"]] == [
        (None, "unlinked", True), ("nightly/before", "unlinked", True), ("nightly/stuck", "unlinked", True)
    ]  # fmt: skip
    copies = [[(copy["place"], copy["destroyed"]) for copy in key["copies"]] for key in made["keys"]]
    assert copies == [[("safe", True)], [], [("safe", True)]]
    assert end_due_backups(after) == 0
    assert len(certificates(run)) == 2


def own_backup_ends(run: Context, other: Context, lives: set[str]) -> None:
    """Whoever ended it was killed before a certificate was issued: the next who ends backups issues it."""
    done = backup_end.backup_end(run)
    assert done["effective_erasure_date"] == "", "other backups hold the rows"
    assert done["copies"] == ["safe"]
    for _ in range(2):
        assert end_due_backups(other) == 0
    (made,) = certificates(run)
    assert (made["finality"], made["effective_erasure_date"]) == ("provisional", None)
    assert {one["method"] for one in made["treated"]} == {"logical_deletion", "pseudonymised"}
    places = "residue not cleared: this system's vault: other backups of the database"
    points, copies = made["words"]["open_points"], {f"a copy of key {k['name']}: safe" for k in made["keys"]}
    assert {point["en"] for point in points} == lives | {places} | copies
    assert sum("同一数据库的另一备份 nightly/" in point["zh"] for point in points) == 2
    assert run.entries(certifying.ISSUED)[-1].body["other_backups"] == ["nightly/before", "nightly/stuck"]


def killed_between_key_and_ledger(run: Context, backup: Context) -> None:
    """The key of a backup is destroyed, its files lie there, the ledger does not know: it has not ended."""
    backup.keyring.destroy(backup.backup_key_id)
    assert any("nightly/before, still lives" in point for point in open_points(run))
