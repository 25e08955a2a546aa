"""Held rows of a term that ends go into an archive of their own, and everybody else's go with its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import bagit
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from fixtures.archived import OLD, apart, archived, ending_company, open_ending
from fixtures.clusters import databases
from fixtures.disposed import Disposing
from handover.archive.bag import PAYLOAD
from handover.archive.rows import rows_of
from handover.cli import main
from handover.errors import NotReady, VerificationFailed
from handover.evidence.ledger import Ledger
from handover.local.clusters import Cluster
from handover.model.approval import Account
from handover.postgres.session import with_database
from handover.stages import archiving_held, audit_vault, key_destruction
from handover.stages.archive_supplements import Apart, set_apart
from handover.stages.archive_terms import bag_of, held_apart, keys_of
from handover.stages.audit import open_audit
from handover.stages.context import Context
from handover.stages.custody import SealedArchive, approve, ask_reading, newest_archive, read
from handover.stages.expired_archives import DueTerm, expired_terms
from handover.stages.facts import legal_day
from handover.stages.holding import (
    Matter,
    hold_everything,
    hold_subject,
    hold_table,
    open_holder,
    release,
    request_release,
)
from handover.stages.key_destruction import Destroyed, ask_destroying, destroy
from handover.vault.keyring import Destruction, KeyState

ANN, BOB = (Account(name=name, id=name) for name in ("ann", "bob"))
WHY = Matter("litigation", "a claim is before the court", "示例法院 (sample court)")
OLD_FILE = "tables/004-loan/term-01.parquet"


@pytest.fixture(scope="module")
def company(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disposing]:
    """A runner whose source is filled."""
    with databases(cluster) as source, databases(second_cluster) as target:
        home = tmp_path_factory.mktemp("apart")
        yield ending_company(home, cluster, second_cluster.programs, source, target)


@pytest.fixture(scope="module")
def kept(company: Disposing) -> Context:
    """A run with an archive."""
    made = open_ending(company)
    archived(made)
    return made


@pytest.fixture
def context(kept: Context, tmp_path: Path, cluster: Cluster) -> Iterator[Context]:
    """The same run, with keys of its own to be destroyed, and a ledger of its own that says so."""
    made = apart(kept, tmp_path)
    old = conninfo_to_dict(made.ledger_url)["dbname"]
    name = f"{old}_{token_hex(4)}"
    ledger_url = with_database(made.ledger_url, name)
    variables = {**made.settings.variables, "HANDOVER_LEDGER_URL": ledger_url}
    idle = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    with psycopg.connect(cluster.admin_url(), autocommit=True) as admin:
        admin.execute(idle, [old])  # what is copied may be in nobody's use
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {old}".encode())
        yield replace(
            made,
            ledger_url=ledger_url,
            ledger=Ledger(ledger_url, made.keyring.signer()),
            settings=replace(made.settings, variables=variables),
        )
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def holder(company: Disposing, context: Context) -> Context:
    """The case, opened for its holds."""
    return open_holder(context.settings, "test-transfer", company.urls.__getitem__)


@pytest.fixture
def hold(holder: Context) -> Callable[[str], str]:
    """Lays a hold on a person."""
    return lambda person: hold_subject(holder, ANN, person, "s.person", WHY).id


def released(context: Context, hold: str) -> None:
    there = replace(context, run="holds")
    release(there, BOB, request_release(there, ANN, hold, "the court has decided"))


def asked(context: Context, number: int = OLD) -> str:
    name = ask_destroying(context, ANN, number, "T-2", "it is over", identifying_only=False)
    approve(context, BOB, name)
    return name


def dying_between_keys(context: Context, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Carry a request out, and die when the first of two keys is gone."""
    other, destroy_key = SealedArchive.of(context).term(OLD).other, context.keyring.destroy

    def dies(key: str) -> Destruction:
        if key == other:
            raise KeyboardInterrupt
        return destroy_key(key)

    monkeypatch.setattr(context.keyring, "destroy", dies)
    with pytest.raises(KeyboardInterrupt):
        destroy(context, ANN, name)
    monkeypatch.undo()


def ended(context: Context, number: int = OLD) -> Destroyed:
    return destroy(context, ANN, asked(context, number))


def told(context: Context, value: str) -> tuple[list[dict[str, str | None]], list[str]]:
    """The loans of an id that two persons read, and the files that are closed."""
    name = ask_reading(context, ANN, "s.loan", "id", value, "T-1", "a court asks")
    approve(context, BOB, name)
    found = read(context, ANN, name, value).values()
    return [dict(row.values) for one in found for row in one.rows], [f for one in found for f in one.closed]


def due_of(context: Context, into: Context) -> list[DueTerm]:
    """The terms of a run's archive whose day has come."""
    due = expired_terms(context.settings, legal_day(), context.databases.resolve)
    return [one for one in due.terms if one.run == into.run]


def test_the_held_rows_stay_and_the_others_go(context: Context, hold: Callable[[str], str]) -> None:
    before = told(context, "3")
    laid = hold("3")
    done = ended(context)
    assert done.closed == (OLD_FILE,)
    (entry,) = context.entries("archive-held-rows")
    assert (entry.body["term"], entry.body["holds"], entry.body["rows"]) == (OLD, [laid], 1)
    assert [(one["table"], one["rows"], one["of"]) for one in entry.body["tables"]] == [("s.loan", 1, 4)]
    assert told(context, "3") == (before[0], [OLD_FILE]), "read from the archive of its own"
    assert told(context, "2") == ([], [OLD_FILE])
    into = held_apart(context)[OLD]
    assert into.run == entry.body["run"] == "run-1-held-1-1"
    bag = bagit.Bag(str(bag_of(into)))
    bag.validate()
    assert laid in bag.info["Internal-Sender-Description"]
    assert "class old loans" in bag.info["Internal-Sender-Description"]
    assert not set(keys_of(into)) & set(keys_of(context)), "keys of its own"
    assert newest_archive(context) == "run-1"
    with pytest.raises(NotReady, match=f"kept by a legal hold: {laid}"):
        ask_destroying(into, ANN, OLD, "T", "over", identifying_only=False)
    assert not due_of(context, into)
    released(context, laid)
    (due,) = due_of(context, into)
    assert (due.term, due.row_class, due.rows) == (OLD, "old loans", 1)
    assert ended(into).closed == (OLD_FILE,)
    assert told(context, "3") == ([], [OLD_FILE, f"{into.run}: {OLD_FILE}"])
    assert {one.state for one in keys_of(into).values()} == {KeyState.DESTROYED}


def both_live(context: Context) -> bool:
    term = SealedArchive.of(context).term(OLD)
    return {keys_of(context)[key].state for key in (term.identifying, term.other)} == {KeyState.ACTIVE}


def test_a_hold_that_comes_between_stops_it_and_a_retry_takes_it_in(
    context: Context, hold: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = hold("3"), list[str]()
    name = asked(context)

    def and_then(*arguments: Any) -> Apart:
        done = set_apart(*arguments)
        later.append(hold("2"))
        return done

    monkeypatch.setattr(key_destruction, "set_apart", and_then)
    with pytest.raises(NotReady) as refused:
        destroy(context, ANN, name)
    assert f"kept by a legal hold: {later[0]}" in str(refused.value) and first not in str(refused.value)
    assert both_live(context) and told(context, "3")[1] == [], "nothing went, and no row is found twice"
    assert len(told(context, "3")[0]) == 1
    monkeypatch.undo()
    destroy(context, ANN, name)
    assert [told(context, value)[0][0]["id"] for value in "23"] == ["2", "3"]
    assert told(context, "1")[0] == []
    before, after = (entry.body for entry in context.entries("archive-held-rows"))
    assert (before["holds"], after["holds"]) == ([first], sorted([first, later[0]]))
    assert held_apart(context)[OLD].run == "run-1-held-1-2"
    old = replace(context, run="run-1-held-1-1")
    assert {one.state for one in keys_of(old).values()} == {KeyState.DESTROYED} and not bag_of(old).exists()


def other_rows(path: Path, secrets: Any) -> Iterator[bytes]:
    """Rows as they would be read back had they been written wrongly."""
    yield from (data.replace(b"3", b"4") for data in rows_of(path, secrets))


def test_no_key_goes_while_the_held_rows_are_not_read_back(
    context: Context, hold: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold("3")
    name = asked(context)
    monkeypatch.setattr(archiving_held, "rows_of", other_rows)
    with pytest.raises(VerificationFailed, match="other rows than those that are held"):
        destroy(context, ANN, name)
    assert (
        both_live(context)
        and not context.entries("archive-held-rows")
        and not context.entries("custody-used")
    )
    monkeypatch.undo()
    assert destroy(context, ANN, name).held_in == "run-1-held-1-2"
    assert len(told(context, "3")[0]) == 1


def test_no_key_goes_while_the_archive_of_held_rows_is_damaged(
    context: Context, hold: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold("3")
    name = asked(context)

    def and_then(*arguments: Any) -> Apart:
        done = set_apart(*arguments)
        assert done.supplement is not None
        (done.supplement.bag / PAYLOAD / done.supplement.index.parts[0].file).write_bytes(b"damaged")
        return done

    monkeypatch.setattr(key_destruction, "set_apart", and_then)
    with pytest.raises(VerificationFailed, match="run-1-held-1-1 is not safe"):
        destroy(context, ANN, name)
    assert both_live(context)
    monkeypatch.undo()
    assert destroy(context, ANN, name).held_in == "run-1-held-1-2", "made anew"
    assert len(told(context, "3")[0]) == 1


def test_a_term_of_which_one_key_is_gone_is_ended_with_what_was_set_apart(
    context: Context, hold: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold("3")
    name = asked(context)
    dying_between_keys(context, name, monkeypatch)
    late = hold("2")
    with pytest.raises(NotReady, match=f"kept by a legal hold: {late}"):
        destroy(context, ANN, name)
    released(context, late)
    assert destroy(context, ANN, name).held_in == "run-1-held-1-1"
    assert len(told(context, "3")[0]) == 1


def test_held_rows_that_went_first_are_in_nobodys_way(
    context: Context, hold: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    laid = hold("3")
    name = asked(context)
    dying_between_keys(context, name, monkeypatch)
    released(context, laid)
    assert ended(held_apart(context)[OLD]).closed
    assert destroy(context, ANN, name).closed == (OLD_FILE,)


def test_what_was_set_apart_for_holds_that_are_over_goes(
    context: Context, hold: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    laid = [hold("3")]
    name = asked(context)

    def and_then(*arguments: Any) -> Apart:
        done = set_apart(*arguments)
        laid.append(hold("2"))
        return done

    monkeypatch.setattr(key_destruction, "set_apart", and_then)
    with pytest.raises(NotReady):
        destroy(context, ANN, name)
    monkeypatch.undo()
    into = held_apart(context)[OLD]
    for one in laid:
        released(context, one)
    only = ask_destroying(context, ANN, OLD, "T-3", "names are over", identifying_only=True)
    approve(context, BOB, only)
    destroy(context, ANN, only)
    assert {one.state for one in keys_of(into).values()} == {KeyState.DESTROYED}
    assert destroy(context, ANN, name).held_in == "" and held_apart(context) == {}


def test_a_hold_that_keeps_no_row_of_a_term_is_in_nobodys_way(context: Context, holder: Context) -> None:
    laid = hold_table(holder, ANN, "s.visit", WHY).id
    done = ended(context)
    assert (done.closed, done.held_in) == ((OLD_FILE,), "")
    (entry,) = context.entries("archive-held-rows")
    assert (entry.body["holds"], entry.body["rows"], entry.body["run"]) == ([laid], 0, "")


def test_a_hold_whose_rows_cannot_be_told_keeps_the_whole_term(context: Context, holder: Context) -> None:
    name = asked(context)
    for lay, why in (
        (lambda: hold_everything(holder, ANN, WHY), "it is on everything of test-transfer"),
        (lambda: hold_table(holder, ANN, "s.loan", WHY, "amount > 1000"), "it is on some rows of s.loan"),
        (lambda: hold_table(holder, ANN, "s.person", WHY), "every row of it is held"),
    ):
        laid = lay().id
        with pytest.raises(NotReady) as refused:
            destroy(context, ANN, name)
        assert f"kept by a legal hold: {laid} on test-transfer ({why})" in str(refused.value)
        released(context, laid)
    laid = hold_subject(holder, ANN, "3", "s.person", WHY).id
    gone = replace(context, source="")
    with pytest.raises(NotReady, match="the source cannot be asked for its references"):
        destroy(gone, ANN, name)
    with pytest.raises(NotReady, match=rf"kept by a legal hold: {laid} on test-transfer\n"):
        ask_destroying(context, ANN, OLD, "T", "over", identifying_only=True)
    assert both_live(context) and not context.entries("archive-held-rows")
    released(context, laid)
    assert destroy(context, ANN, name).held_in == ""


def test_check_terms_and_audit_look_at_held_rows_too(
    company: Disposing,
    context: Context,
    hold: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hold("3")
    ended(context)
    for name, value in context.settings.variables.items():
        monkeypatch.setenv(name, value)
    for name in ("vault", "keyring", "documents", "datamaps", "cases"):
        monkeypatch.setenv(f"HANDOVER_{name.upper()}", str(getattr(context.settings, name)))
    for name, url in company.urls.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", url)
    audit = open_audit(context.settings, lambda _: "", legal_day())
    assert main(["custodian", "test-transfer", "check"]) == 0
    assert capsys.readouterr().out.count(": whole") == 2
    assert main(["custodian", "test-transfer", "terms"]) == 0
    assert "held rows of term 1 are in the archive of run run-1-held-1-1" in capsys.readouterr().out
    assert list(audit_vault.archive_bags(audit)) == []
    bag = bag_of(held_apart(context)[OLD])
    (bag / PAYLOAD / OLD_FILE).write_bytes(b"damaged")
    assert main(["custodian", "test-transfer", "check"]) == 1
    assert f"{bag}: data/{OLD_FILE}: changed" in capsys.readouterr().out
    assert {"run-1-held-1-1" in one.where for one in audit_vault.archive_bags(audit)} == {True}
