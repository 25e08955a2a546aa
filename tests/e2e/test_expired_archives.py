"""Terms of archives whose day has come are found and written down; in doubt nothing is due."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from fixtures.archived import HOLD, LOANS, OLD, TRACES, apart, archived, ending_company, open_ending
from fixtures.clusters import databases
from fixtures.disposed import Disposing
from handover.archive.bag import PAYLOAD
from handover.cli import main
from handover.errors import KeyUnavailable, NotReady, VaultCorrupt
from handover.local.clusters import Cluster
from handover.model.approval import Account
from handover.stages.archive_terms import bag_of
from handover.stages.context import Context
from handover.stages.custody import SealedArchive, approve
from handover.stages.expired_archives import Due, archives_due, expired_terms
from handover.stages.facts import legal_day
from handover.stages.holding import Matter, hold_table, open_holder, release, request_release
from handover.stages.key_destruction import ask_destroying, destroy
from handover.vault.keyring import KeyState

ANN, BOB = (Account(name=name, id=name) for name in ("ann", "bob"))
WHY = Matter("litigation", "a claim is before the court", "示例法院 (sample court)")
AFTER_ALL = date(2099, 1, 1)


@pytest.fixture(scope="module")
def company(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disposing]:
    """A runner whose source is filled."""
    with databases(cluster) as source, databases(second_cluster) as target:
        home = tmp_path_factory.mktemp("expired")
        yield ending_company(home, cluster, second_cluster.programs, source, target)


@pytest.fixture(scope="module")
def kept(company: Disposing) -> Context:
    """A run with an archive."""
    made = open_ending(company)
    archived(made)
    return made


@pytest.fixture
def context(kept: Context, tmp_path: Path) -> Context:
    """The same run, with keys of its own to be destroyed."""
    return apart(kept, tmp_path)


def due(context: Context, on: date | None = None) -> Due:
    return expired_terms(context.settings, on or legal_day(), context.databases.resolve)


def told(found: Due) -> dict[int, tuple[str, int, str]]:
    """What is due, by the number of the term."""
    return {one.term: (one.row_class, one.rows, str(one.since)) for one in found.terms}


def ended(context: Context, number: int) -> tuple[str, ...]:
    """Ask, approve and destroy; returns the files that are closed."""
    name = ask_destroying(context, ANN, number, "T-2", "it is over", identifying_only=False)
    approve(context, BOB, name)
    return destroy(context, ANN, name).closed


def test_what_is_over_is_due_until_it_is_destroyed(context: Context) -> None:
    found = due(context)
    assert told(found) == {OLD: ("old loans", 4, "2015-01-02"), TRACES: ("traces", 57, "2026-01-01")}
    assert found.findings == ()
    old, traces = found.terms
    assert (old.case, old.run, old.needs_list, old.lacking) == ("test-transfer", "run-1", False, "")
    assert traces.needs_list and "accounting archives cannot be destroyed" in traces.lacking
    assert told(due(context, date(2015, 1, 1))) == {}, "the day before"
    later = told(due(context, AFTER_ALL))
    assert set(later) == {OLD, LOANS, TRACES}, "files are under a hold, whatever the day"
    with pytest.raises(NotReady, match="accounting archives cannot be destroyed"):
        ask_destroying(context, ANN, TRACES, "T", "over", identifying_only=False)
    assert ended(context, OLD) == ("tables/004-loan/term-01.parquet",)
    assert set(told(due(context))) == {TRACES}
    with pytest.raises(KeyUnavailable, match="keys of term 1 are destroyed"):
        ask_destroying(context, ANN, OLD, "T", "over", identifying_only=False)


def test_a_sweep_writes_down_what_is_due(context: Context) -> None:
    assert archives_due(context) == archives_due(context) == 2
    (entry,) = context.entries("archive-terms-due")
    assert entry.body["as_of"] == legal_day().isoformat()
    assert [(one["term"], one["class"]) for one in entry.body["terms"]] == [
        (OLD, "old loans"),
        (TRACES, "traces"),
    ]
    ended(context, OLD)
    assert archives_due(context) == 1
    assert len(context.entries("archive-terms-due")) == 2
    elsewhere = context.case.source.model_copy(update={"connection": "another"})
    other = replace(context, case=context.case.model_copy(update={"source": elsewhere}), run="sweep-1")
    assert archives_due(other) == 0, "archives of another database are another source's"


def test_a_missing_bag_is_a_finding_and_nothing_is_destroyed(context: Context) -> None:
    name = ask_destroying(context, ANN, OLD, "T", "over", identifying_only=False)
    approve(context, BOB, name)
    archive = SealedArchive.of(context)
    (bag_of(context) / PAYLOAD / archive.index.of_term(TRACES)[0].file).unlink()
    found = due(context)
    assert found.terms == () and "of term 4" in found.findings[0].problem
    shutil.rmtree(bag_of(context))
    found = due(context)
    assert found.terms == ()
    assert [(one.case, one.run) for one in found.findings] == [("test-transfer", "run-1")]
    assert archives_due(context) == 0
    assert context.entries("archive-terms-due")[-1].body["findings"]
    with pytest.raises(VaultCorrupt):
        destroy(context, ANN, name)
    term = archive.term(OLD)
    assert {archive.state(key) for key in (term.identifying, term.other)} == {KeyState.ACTIVE}


def test_a_hold_of_the_ledger_keeps_every_term(company: Disposing, context: Context) -> None:
    name = ask_destroying(context, ANN, OLD, "T", "over", identifying_only=False)
    approve(context, BOB, name)
    there = open_holder(context.settings, "test-transfer", company.urls.__getitem__)
    laid = hold_table(there, ANN, "s.person", WHY)
    assert due(context) == Due((), ())
    with pytest.raises(NotReady, match=f"kept by a legal hold: {laid.id} on test-transfer"):
        destroy(context, ANN, name)
    release(there, BOB, request_release(there, ANN, laid.id, "the court has decided"))
    assert set(told(due(context))) == {OLD, TRACES}
    assert destroy(context, ANN, name).closed


def test_in_doubt_nothing_is_due(company: Disposing, context: Context) -> None:
    path = company.home / "cases" / "test-transfer.yaml"
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(text.replace("  holds:", "  unknown:"))
        found = due(context)
        assert found.terms == () and "test-transfer.yaml is not valid" in found.findings[0].problem
        path.unlink()
        assert due(context).terms == () and len(due(context).findings) == 1
    finally:
        path.write_text(text)
    assert json.dumps(HOLD["kind"])[1:-1] in text


def test_the_command(
    context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in context.settings.variables.items():
        monkeypatch.setenv(name, value)
    for name in ("vault", "keyring", "documents"):
        monkeypatch.setenv(f"HANDOVER_{name.upper()}", str(getattr(context.settings, name)))
    for arguments in (["due"], ["test-transfer", "due"]):
        assert main(["custodian", *arguments]) == 0
        lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        assert any("1 old loans 4 2015-01-02 two persons: `handover custodian test-transfer destroy 1`" in one
                   for one in lines)  # fmt: skip
        assert any("traces 57 2026-01-01 accounting archives cannot be destroyed" in one
                   and "see `handover destruction list-terms test-transfer --run run-1`" in one
                   for one in lines)  # fmt: skip
    assert main(["custodian", "due", "--on", "2015-01-01"]) == 0
    assert "old loans" not in capsys.readouterr().out
    assert main(["custodian", "another", "due"]) == 0
    assert "old loans" not in capsys.readouterr().out
    shutil.rmtree(bag_of(context))
    assert main(["custodian", "due"]) == 1
    assert "test-transfer, run-1: " in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended_with:
        main(["custodian", "terms"])
    assert ended_with.value.code == 2
    assert "name the case" in capsys.readouterr().err
