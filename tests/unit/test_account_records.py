"""What an account without training or undertaking does counts for nothing where the case requires them."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fixtures.runs import Runner
from handover.errors import LedgerRefused
from handover.model.approval import Account
from handover.stages.account_records import unfit
from handover.stages.approval_standing import standing
from handover.stages.approvals import Answer, Recorded, record_answer, record_requester
from handover.stages.context import Context
from handover.stages.facts import legal_day
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.two_persons import TwoPersons

FIRST, SECOND = (Account(name=name, id=name) for name in ("first", "second"))
NO_TRAINING = "this account has no valid record of training"
CASE: dict[str, Any] = {
    "approvals": {"execute": {"approvers": ["first", "second"]}, "accept": {"approvers": ["receiver"]}}
}


def record(name: str, **fields: Any) -> dict[str, Any]:
    digest = hashlib.sha256(name.encode()).hexdigest()
    soon = (legal_day() + timedelta(days=1)).isoformat()
    return {"kind": "account_training", "file": f"{name}.pdf", "sha256": digest, "date": "2026-01-01",
            "expires": soon, "signatory": "示例培训部 (sample)", "party": name, **fields}  # fmt: skip


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "documents" / "test-transfer"
    folder.mkdir(parents=True)
    for name in ("first", "second"):
        (folder / f"{name}.pdf").write_text(name)
    yield folder


def opened(runner: Runner, documents: Path, *records: dict[str, Any], controls: Any = None) -> Context:
    matter = {"controls": controls or ["account_training"], "documents": list(records)}
    context = runner.open(**CASE, matter=matter)
    return replace(context, settings=replace(context.settings, documents=documents.parent))


def say(context: Context, name: str) -> Recorded:
    code = standing(context, "execute").code
    answer = Answer(name, name, "a.Manager", True, code, "as agreed 已核对", datetime.now(UTC))
    return record_answer(context, "execute", answer)


def test_an_answer_counts_only_from_the_trained(runner: Runner, documents: Path) -> None:
    with psycopg.connect(runner.urls["src"]) as source:
        source.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)")
    context = opened(runner, documents, record("first"))
    record_requester(context, "asker")
    inventory(context)
    plan(context)
    assert say(context, "second").problem == NO_TRAINING
    assert say(context, "first").problem == ""


def test_nobody_untrained_asks_approves_or_uses_a_request(runner: Runner, documents: Path) -> None:
    context = opened(runner, documents, record("first"))
    pair = TwoPersons(context, "custody", "cu", "handover custodian x list")
    asked = pair.ask(SECOND, "T-1", "an audit", {"what": "read"})
    own = pair.ask(FIRST, "T-2", "an audit", {"what": "read"})
    with pytest.raises(LedgerRefused, match=NO_TRAINING):
        pair.approve(SECOND, own)
    pair.approve(FIRST, asked)
    with pytest.raises(LedgerRefused, match=NO_TRAINING):
        pair.use(SECOND, asked, {})
    assert [one.body["by"] for one in context.entries("custody-refused")] == ["second", "second"]
    both = opened(runner, documents, record("first"), record("second"))
    pair = TwoPersons(both, "custody", "cu", "handover custodian x list")
    pair.use(SECOND, asked, {})


YESTERDAY, TOMORROW = ((legal_day() + timedelta(days=days)).isoformat() for days in (-1, 1))
WRONG: dict[str, dict[str, Any]] = {
    "expired": {"expires": YESTERDAY},
    "of later": {"date": TOMORROW},
    "unsigned": {"signatory": None},
    "another's": {"party": "second"},
    "another kind": {"kind": "account_nda"},
    "another file": {"sha256": "0" * 64},
    "no file": {"file": "gone.pdf"},
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
def test_a_record_that_does_not_count(runner: Runner, documents: Path, fields: dict[str, Any]) -> None:
    assert unfit(opened(runner, documents, record("first", **fields)), "first") == NO_TRAINING


def test_only_what_the_case_requires_is_asked_for(runner: Runner, documents: Path) -> None:
    assert unfit(opened(runner, documents, controls=["encryption"]), "anybody") == ""
    assert unfit(opened(runner, documents, record("first")), "FIRST") == ""
    needs_both = opened(runner, documents, controls=["account_training", "account_nda"])
    assert unfit(needs_both, "first") == f"{NO_TRAINING} and no valid non-disclosure undertaking"
