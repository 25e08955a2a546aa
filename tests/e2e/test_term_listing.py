"""Archived books whose day has come: listed, signed, their keys destroyed, registered, put away."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fixtures.archived import FILES, TRACES, archived, ending_case, ending_company, open_ending
from fixtures.clusters import databases
from fixtures.destruction import destruction_list, volume
from fixtures.disposed import Disposing
from fixtures.lawful import POLICY
from fixtures.login import login_service
from handover.cli import main
from handover.errors import CaseInvalid, LedgerRefused, NotReady, VerificationFailed
from handover.local.clusters import Cluster
from handover.model.approval import Account
from handover.model.destruction_acts import Execution, Listed, PreCheck
from handover.model.destruction_list import OPINIONS, SUPERVISORS, DestructionList, HoldCheck
from handover.stages import key_destruction, term_listing
from handover.stages.context import Context
from handover.stages.custody import approve
from handover.stages.destruction_listing import destruction_list_faults
from handover.stages.destruction_registering import (
    BY_ACCOUNT,
    Scan,
    appraise,
    check_before,
    give_opinion,
    put_away,
    record_execution,
    sign_after,
)
from handover.stages.destruction_signing import destruction_standing, of_terms, register
from handover.stages.expired_archives import expired_terms
from handover.stages.facts import legal_day
from handover.stages.holding import Matter, hold_table, open_holder
from handover.stages.key_destruction import ask_destroying, destroy
from handover.stages.term_listing import make_list_of_terms

TODAY = legal_day()
ANN, BOB, CLERK = (Account(name=name, id=name) for name in ("ann", "bob", "clerk"))
TRACES_ROWS = {"s.call": 20, "s.visit": 37}
BOOKS = {"HJ": ("s.visit", "s.call"), "KH": ("s.person",)}
YEARS = {"HJ": 1995, "KH": 1990}
DECLARED: dict[str, Any] = {
    "reconciliation": {
        "counts": [
            {"name": "visit", "table": "s.visit", "by": ["person_id"]},
            {"name": "call", "table": "s.call", "by": ["person_id"]},
            {"name": "person", "table": "s.person", "by": ["branch"]},
        ]
    },
    "ledger": {
        "number": "XH-1", "pack": POLICY[0], "medium": "示例介质 / sample medium", "reader": "psql",
        "currency": "CNY",
        "archives": [
            {"name": f"示例 {code}", "code": code, "rule": "R01", "tables": list(tables),
             "years": [YEARS[code], YEARS[code]], "totals": [{"item": table[2:]} for table in tables]}
            for code, tables in BOOKS.items()
        ],
    },
}  # fmt: skip


@pytest.fixture
def company(cluster: Cluster, second_cluster: Cluster, tmp_path: Path) -> Iterator[Disposing]:
    """A runner whose source is filled."""
    with databases(cluster) as source, databases(second_cluster) as target:
        yield ending_company(tmp_path, cluster, second_cluster.programs, source, target)


@pytest.fixture
def context(company: Disposing) -> Context:
    """A run with an archive: traces are due, files would be but for a hold."""
    law = ending_case()["matter"]
    next(one for one in law["documents"] if one["kind"] == "appraisal")["number"] = "JD-1"
    made = open_ending(company, **deepcopy(DECLARED), matter=law)
    archived(made)
    return made


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    path = tmp_path / "scan.pdf"
    path.write_bytes(b"signed")
    return Scan(path)


def changed(context: Context, change: Callable[[dict[str, Any]], object]) -> Context:
    """The same run, when its case file has moved on."""
    case = context.case.document()
    change(case)
    return replace(context, case=type(context.case).model_validate(case))


def unheld(context: Context) -> Context:
    """The matter over the files is settled."""
    return changed(context, lambda case: case["matter"].update(holds=[]))


def listed(context: Context) -> tuple[Context, DestructionList]:
    """Make the list; returns the run under which it is signed as well."""
    run, made = make_list_of_terms(context, CLERK)
    return replace(context, run=run), made


def said(role: str, **more: object) -> dict[str, Any]:
    return {"role": role, "name": f"示例 {role}", "on": TODAY, **more}


def shut(context: Context, missing: str) -> None:
    """Nobody can even ask to destroy the traces."""
    with pytest.raises(NotReady, match=f"accounting archives cannot be destroyed; missing: {missing}"):
        ask_destroying(context, ANN, TRACES, "T-1", "it is over", identifying_only=False)


def ended(context: Context, number: int) -> tuple[str, ...]:
    name = ask_destroying(context, ANN, number, "T-2", "it is over", identifying_only=False)
    with pytest.raises(LedgerRefused, match="asked for by this person"):
        approve(context, ANN, name)
    approve(context, BOB, name)
    return destroy(context, ANN, name).closed


def check(listing: Context, who: str, role: str) -> None:
    check_before(listing, Account(name=who, id=who), **said(role, agrees=True, reason="核对相符"))


def cleared(listing: Context, scan: Scan) -> None:
    """Everybody signs what has to be signed before."""
    appraise(listing, CLERK, "JD-1", ("鉴定甲",), TODAY, scan)
    for role in OPINIONS:
        give_opinion(listing, CLERK, scan, **said(role, agrees=True, reason="同意销毁"))
    for supervisor in SUPERVISORS:
        check(listing, supervisor, supervisor)


# -- what stands on it --------------------------------------------------------------------------------------


def test_what_stands_on_the_list(context: Context) -> None:
    listing, made = listed(context)
    (traces,) = made.volumes
    assert (traces.code, traces.first_year, traces.last_year, traces.rule) == ("HJ", 1995, 1995, "R01")
    assert (traces.required_years, str(traces.keep_until)) == (30, "2025-12-31")
    assert (traces.medium, traces.format) == (DECLARED["ledger"]["medium"], term_listing.FORMAT)
    assert traces.system.endswith("_archives/test-transfer/run-1")
    assert {one.table: one.rows for one in traces.contents} == TRACES_ROWS
    parts = [
        part["digest"]
        for entry in context.entries("archived-table")
        for part in entry.body["parts"]
        if entry.body["whole"] == "s.call"
    ]
    assert len(parts) == 2, "a partition each"
    digests = {one.table: one.digest for one in traces.contents}
    assert digests["s.call"] == context.digest(hashlib.sha256("\n".join(parts).encode()).digest())
    assert [(one.code, one.row_class, one.table, one.rows, one.matter) for one in made.annex] == [
        ("KH", "files", "s.person", 7, "litigation")
    ]
    assert (made.run, listing.run, made.number) == ("run-1", "run-1-terms-1", "XH-1/run-1-terms-1")
    assert (made.requested_by, made.appraisal, made.edition) == ("clerk", "JD-1", 1)
    assert [(e.body["by"], e.body["act"]) for e in listing.entries(BY_ACCOUNT)] == [
        ("clerk", "destruction-list")
    ]


def test_the_same_stays_and_what_is_other_is_signed_anew(
    context: Context, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing, made = listed(context)
    appraise(listing, CLERK, "JD-1", ("鉴定甲",), TODAY, scan)
    monkeypatch.setattr(term_listing, "legal_day", lambda: TODAY + timedelta(days=40))
    assert make_list_of_terms(context, BOB) == (listing.run, made), "whoever asks, on whatever day"
    assert len(listing.entries("destruction-list")) == 1
    monkeypatch.undo()
    run, again = make_list_of_terms(unheld(context), CLERK)
    assert (run, again.edition, again.annex) == (listing.run, 2, ())
    assert {one.code for one in again.volumes} == {"HJ", "KH"}
    assert destruction_standing(listing).state == "draft"
    shut(context, "the appraisal opinion")


OTHERWISE: list[tuple[Callable[[dict[str, Any]], object], type[Exception], str]] = [
    (lambda case: case.pop("ledger"), CaseInvalid, "the case declares none"),
    (lambda case: case["ledger"]["archives"].pop(0), CaseInvalid, r"s\.\w+ is of no archive under ledger"),
    (
        lambda case: next(one for one in case["matter"]["documents"] if one["kind"] == "appraisal").pop(
            "number"
        ),
        CaseInvalid,
        "no appraisal opinion with a number",
    ),
    (
        lambda case: case["matter"]["holds"][0].pop("row_classes"),
        NotReady,
        "run-1 may stand on a destruction list today; under open matters: files, traces",
    ),
    (lambda case: case.update(policy=[]), NotReady, "names no policy"),
]


def test_what_cannot_stand_on_a_list(
    company: Disposing, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change, error, message in OTHERWISE:
        with pytest.raises(error, match=message):
            make_list_of_terms(changed(context, change), CLERK)
    with pytest.raises(NotReady, match="step seal_archive has not been done"):
        make_list_of_terms(replace(context, run="another"), CLERK)
    monkeypatch.setattr(term_listing, "legal_day", lambda: TODAY.replace(year=2025))
    with pytest.raises(NotReady, match=r"may stand on a destruction list today; under open matters: files\n"):
        make_list_of_terms(context, CLERK)
    monkeypatch.undo()
    there = open_holder(context.settings, "test-transfer", company.urls.__getitem__)
    hold_table(there, ANN, "s.person", Matter("litigation", "a claim", "示例法院 (sample court)"))
    with pytest.raises(NotReady, match="may stand on a destruction list today"):
        make_list_of_terms(context, CLERK)
    assert context.ledger.entries("test-transfer", kinds=("destruction-list",)) == []


# -- the whole way ------------------------------------------------------------------------------------------


def test_the_whole_way(context: Context, scan: Scan) -> None:
    own = destruction_list(
        compiled_on=TODAY, volumes=(volume(1, 1, destroy_on=TODAY, holds=HoldCheck(on=TODAY)),)
    )
    register(context, Listed(list=own))
    shut(context, r"a destruction list \(销毁清册\)")
    listing, made = listed(context)
    _signed_one_by_one(context, listing, scan)
    with pytest.raises(NotReady, match="closed: term 4, class traces"):
        record_execution(listing, CLERK, ["执行甲"])
    assert len(ended(context, TRACES)) == 3
    with pytest.raises(LedgerRefused, match="is a supervisor"):
        record_execution(listing, CLERK, ["示例 archive_supervisor"])
    assert record_execution(listing, CLERK, ["执行甲"]).state == "executed"
    _executed(context, listing)
    assert len(destruction_list_faults(listing)) == len(made.supervisors)
    for role in made.supervisors:
        sign_after(listing, CLERK, scan, **said(role))
    put_away(listing, CLERK, scan, name="档案甲", on=TODAY, place="示例档案室 / sample archive room")
    assert destruction_list_faults(listing) == []
    assert destruction_standing(context).made == own, "that of what goes at the source is another"
    with pytest.raises(NotReady, match="under open matters: files"):
        make_list_of_terms(context, CLERK)
    later, another = listed(unheld(context))
    assert (later.run, another.edition, [one.code for one in another.volumes]) == ("run-1-terms-2", 1, ["KH"])
    assert destruction_standing(listing).state == "archived"


def _signed_one_by_one(context: Context, listing: Context, scan: Scan) -> None:
    """Each signature is waited for; nobody speaks twice, or for what he asked for."""
    assert destruction_list_faults(listing) == [
        "destruction list: missing the appraisal opinion (鉴定意见书)"
    ]
    shut(context, "the appraisal opinion")
    appraise(listing, CLERK, "JD-1", ("鉴定甲", "鉴定乙"), TODAY, scan)
    for role in OPINIONS:
        shut(context, f"the opinion of {role}")
        give_opinion(listing, CLERK, scan, **said(role, agrees=True, reason="同意销毁"))
    with pytest.raises(LedgerRefused, match="asked for this"):
        check(listing, "Clerk", "archive_supervisor")
    for role in SUPERVISORS:
        shut(context, f"the check before by {role}")
        check(listing, role, role)
        with pytest.raises(LedgerRefused, match=f"has checked this list as {role}"):
            check(listing, role, "system_supervisor")
    due = expired_terms(context.settings, TODAY, context.databases.resolve)
    [one] = [one for one in due.terms if one.term == TRACES]
    assert one.needs_list and one.lacking == ""


def _executed(context: Context, listing: Context) -> None:
    now = destruction_standing(listing)
    (act,) = now.acts(Execution)
    assert {one.table: (one.row_class, one.rows, one.stayed) for one in act.destroyed} == {
        table: ("traces", rows, 0) for table, rows in TRACES_ROWS.items()
    }
    (ending,) = context.entries("archive-keys-destroyed")
    used = context.entries("custody-used")[-1]
    assert act.finished.isoformat()[:19] == ending.at[:19]
    assert act.started.isoformat()[:19] == used.at[:19]
    assert max(one.at for one in now.recorded if isinstance(one.act, PreCheck)) < act.started
    assert act.holds == HoldCheck(on=TODAY)


def test_only_the_end_of_all_terms_is_the_execution(context: Context, scan: Scan) -> None:
    free = unheld(context)
    listing, made = listed(free)
    assert [one.code for one in made.volumes] == ["HJ", "KH"]
    cleared(listing, scan)
    ended(free, TRACES)
    assert make_list_of_terms(context, CLERK) == (listing.run, made), "what was begun is brought to its end"
    with pytest.raises(NotReady, match="closed: term 3, class files"):
        record_execution(listing, CLERK, ["执行甲"])
    with pytest.raises(NotReady, match="kept by an open matter: litigation"):
        ended(context, FILES)
    ended(free, FILES)
    record_execution(listing, CLERK, ["执行甲"])
    (act,) = destruction_standing(listing).acts(Execution)
    assert {one.table: one.rows for one in act.destroyed} == {**TRACES_ROWS, "s.person": 7}


def test_what_still_opens_is_not_executed(
    context: Context, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing, _ = listed(context)
    cleared(listing, scan)
    monkeypatch.setattr(key_destruction, "rows_of", lambda *_: iter([b"1\t2\t3\n"]))
    with pytest.raises(VerificationFailed, match="3 files of term 4 can still be read"):
        ended(context, TRACES)
    with pytest.raises(NotReady, match="closed: term 4"):
        record_execution(listing, CLERK, ["执行甲"])
    assert destruction_standing(listing).state == "checked"
    assert of_terms(context).run == listing.run


# -- the commands -------------------------------------------------------------------------------------------


def test_the_commands(
    company: Disposing,
    context: Context,
    scan: Scan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "clerk").write_text("secret of clerk")
    proof = ["--as", "clerk", "--password-file", str(tmp_path / "clerk")]

    def run(action: str, name: str, *arguments: str) -> int:
        return main(["destruction", action, "test-transfer", "--run", name, *arguments])

    with login_service(tmp_path / "login", {"clerk": "secret of clerk"}) as address:
        for name, value in (context.settings.variables | {"AIRFLOW__API__BASE_URL": address}).items():
            monkeypatch.setenv(name, value)
        for name, url in company.urls.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", url)
        assert main(["custodian", "due"]) == 0
        assert "`handover destruction list-terms test-transfer --run run-1`" in capsys.readouterr().out
        assert run("list-terms", "run-1", *proof) == 0
        told = capsys.readouterr().out
        assert "1 volumes, 1 lines on the annex" in told and "--run run-1-terms-1`" in told
        assert run("show", "run-1-terms-1", "--into", str(tmp_path / "printed")) == 1
        assert "state: draft" in capsys.readouterr().out
        assert (tmp_path / "printed" / "destruction-list.pdf").is_file()
        more = ["--number", "JD-1", "--member", "鉴定甲", "--on", TODAY.isoformat(), "--file", str(scan.path)]
        assert run("appraise", "run-1-terms-1", *more, *proof) == 0
        assert run("list-terms", "run-1", *proof) == 0
        assert run("show", "run-1") == 0
        assert "state: none" in capsys.readouterr().out
