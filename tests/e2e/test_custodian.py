"""The custodian reads a row, or ends a term, with another person; the ledger knows of it first."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from fixtures.archived import (
    FILES,
    HOLD,
    LOANS,
    OLD,
    ROWS,
    TRACES,
    apart,
    archived,
    ending_company,
    open_ending,
)
from fixtures.clusters import databases
from fixtures.destruction import appraisal, destruction_list, opinion, precheck, volume
from fixtures.disposed import Disposing
from fixtures.login import login_service
from handover.archive.bag import PAYLOAD
from handover.cli import main
from handover.errors import (
    DataRefused,
    HandoverError,
    KeyUnavailable,
    LedgerRefused,
    NotReady,
    VerificationFailed,
)
from handover.evidence.ledger import Entry, Ledger
from handover.local.clusters import Cluster
from handover.model.approval import Account
from handover.model.archive import Term
from handover.model.destruction_acts import Listed
from handover.model.destruction_list import OPINIONS, HoldCheck, ListedRows
from handover.stages import key_destruction
from handover.stages.archive_terms import bag_of
from handover.stages.context import Context
from handover.stages.custody import SealedArchive, approve, ask_reading, custody, newest_archive, read, terms
from handover.stages.destruction_signing import of_terms, register
from handover.stages.facts import legal_day
from handover.stages.hold_epoch import raise_epoch
from handover.stages.key_destruction import ask_destroying, destroy
from handover.vault.keyring import Keyring, KeyState

ANN, BOB, EVE = (Account(name=name, id=name) for name in ("ann", "bob", "eve"))
MOBILE = "13800138003"


@pytest.fixture(scope="module")
def company(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disposing]:
    """A runner whose source is filled."""
    with databases(cluster) as source, databases(second_cluster) as target:
        home = tmp_path_factory.mktemp("custody")
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


def asked(context: Context, value: str = MOBILE, table: str = "s.person", column: str = "mobile") -> str:
    return ask_reading(context, ANN, table, column, value, "T-1", "a court asks")


def told(context: Context, value: str, table: str, column: str) -> list[dict[str, str | None]]:
    """Ask, approve and read."""
    name = asked(context, value, table, column)
    approve(context, BOB, name)
    return [dict(row.values) for one in read(context, ANN, name, value).values() for row in one.rows]


def ended(context: Context, number: int, *, identifying_only: bool = False) -> key_destruction.Destroyed:
    """Ask, approve and destroy."""
    name = ask_destroying(context, ANN, number, "T-2", "it is over", identifying_only=identifying_only)
    approve(context, BOB, name)
    return destroy(context, ANN, name)


def last(context: Context, kind: str) -> Entry:
    return context.entries(kind)[-1]


def test_a_named_subject_or_voucher_comes_out(kept: Context) -> None:
    (person,) = told(kept, MOBILE, "s.person", "mobile")
    assert (person["id"], person["name"], person["born"]) == ("3", "privat 3", "1980-01-01")
    assert [row["amount"] for row in told(kept, "5", "s.loan", "id")] == ["500"]
    calls = told(kept, "3", "s.call", "person_id")
    assert len(calls) == 3 and {row["mobile"] for row in calls} == {MOBILE}, "of all partitions"
    assert told(kept, "3", "s.call_1", "person_id") == [row for row in calls if str(row["day"]) < "2026-02"]
    assert told(kept, "nobody", "s.person", "name") == []


def test_every_use_is_in_the_ledger_and_no_person_is(kept: Context) -> None:
    told(kept, MOBILE, "s.person", "mobile")
    made, used = last(kept, "custody-requested").body, last(kept, "custody-used").body
    assert (made["by"], made["ticket"], made["purpose"]) == ("ann", "T-1", "a court asks")
    assert (made["table"], made["column"]) == ("s.person", "mobile")
    assert last(kept, "custody-approved").body["by"] == "bob"
    assert (used["request"], used["rows"], used["closed"]) == (made["request"], 1, [])
    lines = "\n".join(kept.ledger.lines(kept.case.case))
    assert MOBILE not in lines and "privat" not in lines


def refused(context: Context, said: str, work: Callable[[], object]) -> None:
    """It is refused, and who tried stands in the ledger."""
    before = len(context.entries("custody-refused"))
    with pytest.raises(LedgerRefused, match=said):
        work()
    assert len(context.entries("custody-refused")) == before + 1


def test_it_takes_two_persons_once_within_a_day(kept: Context) -> None:
    name = asked(kept)
    refused(kept, "not approved: waits for another person", lambda: read(kept, ANN, name, MOBILE))
    for who in (ANN, Account(name="Ann", id="17"), Account(name="other", id="ann")):
        refused(kept, "asked for by this person", lambda who=who: approve(kept, who, name))  # type: ignore[misc]
    approve(kept, BOB, name)
    refused(kept, "it is approved already", lambda: approve(kept, EVE, name))
    for who in (BOB, EVE, Account(name="ann", id="17")):
        refused(kept, "somebody else asked", lambda who=who: read(kept, who, name, MOBILE))  # type: ignore[misc]
    refused(kept, "another value than the one asked for", lambda: read(kept, ANN, name, "13800138004"))
    read(kept, ANN, name, MOBILE)
    refused(kept, "not approved: used", lambda: read(kept, ANN, name, MOBILE))
    late = asked(kept)
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    body = {"request": late, "by": "bob", "account_id": "bob", "expires_at": past}
    kept.record("custody-approved", body, key=late)
    refused(kept, "not approved: expired", lambda: read(kept, ANN, late, MOBILE))
    own = asked(kept)
    mine = {"request": own, "by": "ann", "account_id": "ann", "expires_at": "2999-01-01T00:00:00.000000Z"}
    kept.record("custody-approved", mine)
    refused(kept, "not approved: waits", lambda: read(kept, ANN, own, MOBILE))


def test_only_those_whom_the_case_names_approve(kept: Context) -> None:
    sides = {"execute": {"approvers": ["bob", "ann"]}}
    named = replace(kept, case=type(kept.case).model_validate({**kept.case.document(), "approvals": sides}))
    name = asked(named)
    for who in (EVE, Account(name="bob", id="17")):
        refused(kept, "not under approvals.execute", lambda who=who: approve(named, who, name))  # type: ignore[misc]
    assert approve(named, BOB, name).approved_by == BOB


class Full(Ledger):
    """A ledger that takes no note of a use."""

    def append(self, case: str, run: str, kind: str, body: Any, *, key: str | None = None) -> Entry:
        if kind == "custody-used":
            raise LedgerRefused("full")
        return super().append(case, run, kind, body, key=key)


def test_nothing_is_told_or_destroyed_that_is_not_written_down(context: Context) -> None:
    full = replace(context, ledger=Full(context.ledger_url, context.keyring.signer()))
    name = asked(context)
    approve(context, BOB, name)
    with pytest.raises(LedgerRefused, match="full"):
        read(full, ANN, name, MOBILE)
    ending = ask_destroying(context, ANN, OLD, "T", "over", identifying_only=False)
    approve(context, BOB, ending)
    with pytest.raises(LedgerRefused, match="full"):
        destroy(full, ANN, ending)
    assert {one.other for one in terms(context)} == {KeyState.ACTIVE}


WRONG: dict[str, tuple[Callable[[Context], object], str]] = {
    "table": (lambda one: asked(one, table="s.nothing"), "no table s.nothing with a column mobile"),
    "column": (lambda one: asked(one, column="nothing"), "no table s.person with a column nothing"),
    "not archived": (lambda one: asked(one, table="s.consent", column="no"), "no table s.consent"),
    "term": (
        lambda one: ask_destroying(one, ANN, 9, "T", "why", identifying_only=False),
        "the archive has no term 9",
    ),
    "no ticket": (lambda one: ask_reading(one, ANN, "s.loan", "id", "1", " ", "why"), "the ticket is empty"),
    "long": (
        lambda one: ask_reading(one, ANN, "s.loan", "id", "1", "T", "why " * 200),
        "the purpose is longer than 500",
    ),
    "a command": (
        lambda one: ask_reading(one, ANN, "s.loan", "id", "1", "T", "why\x1b[2J"),
        "the purpose holds signs that are no text",
    ),
    "a person": (
        lambda one: ask_reading(one, ANN, "s.loan", "id", "1", "T", "who has 13800007919"),
        "the purpose names personal data",
    ),
    "unknown": (lambda one: approve(one, BOB, "cu-0"), "no request with this id"),
    "another thing": (lambda one: destroy(one, ANN, asked(one)), "asks to read, not to destroy"),
    "no archive": (lambda one: terms(replace(one, run="other")), "seal_archive has not been done"),
    "no run": (
        lambda one: newest_archive(replace(one, case=one.case.model_copy(update={"case": "another"}))),
        "no run of case another has an archive",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_request_is_refused(kept: Context, what: str) -> None:
    call, said = WRONG[what]
    with pytest.raises((LedgerRefused, DataRefused, NotReady), match=said) as raised:
        call(kept)
    assert "13800007919" not in str(raised.value)


def test_an_aborted_run_and_a_forged_ledger(kept: Context, tmp_path: Path) -> None:
    gone = replace(kept, run="gone")
    gone.record("archive-sealed", {})
    gone.record("run-aborted", {})
    with pytest.raises(NotReady, match="run gone was aborted"):
        terms(gone)
    assert newest_archive(kept) == "run-1"
    other = replace(kept, keyring=Keyring.open(tmp_path / "other"))
    with pytest.raises(LedgerRefused, match="does not verify"):
        custody(other).all()


KEPT = {
    LOANS: "its retention decision is restrict; its period: it may go from 20",
    FILES: "an open matter: litigation",
    TRACES: "accounting archives cannot be destroyed; missing: ",
}


@pytest.mark.parametrize("number", KEPT)
@pytest.mark.parametrize("identifying_only", [True, False])
def test_what_the_law_keeps_is_not_destroyed(kept: Context, number: int, identifying_only: bool) -> None:
    with pytest.raises(NotReady, match=KEPT[number]):
        ask_destroying(kept, ANN, number, "T", "why", identifying_only=identifying_only)
    # Nor by a request that got into the ledger before the law changed.
    wanted = {"what": "destroy", "term": number, "class": "x", "identifying": identifying_only}
    name = custody(kept).ask(ANN, "T", "why", wanted)
    approve(kept, BOB, name)
    with pytest.raises(NotReady, match=KEPT[number]):
        destroy(kept, ANN, name)
    assert all(one.other is one.identifying is KeyState.ACTIVE for one in terms(kept))


def changed(context: Context, **matter: Any) -> Context:
    """The case as it says something else today."""
    document = context.case.document()
    document["matter"] = {**context.case.matter.document(), **matter}
    return replace(context, case=type(context.case).model_validate(document))


def test_a_hold_that_came_later_counts_and_one_that_was_released_does_not(context: Context) -> None:
    name = ask_destroying(context, ANN, OLD, "T", "over", identifying_only=False)
    approve(context, BOB, name)
    held = changed(context, holds=[{**HOLD, "row_classes": ["old loans"]}])
    with pytest.raises(NotReady, match="an open matter: litigation"):
        destroy(held, ANN, name)
    for said, other in (
        ("a doubt: holds were not looked up", changed(context, holds=None)),
        ("a doubt: no rule is named", changed(context, retention=[])),
        ("names no policy", replace(context, case=context.case.model_copy(update={"policy": ()}))),
    ):
        with pytest.raises(NotReady, match=said):
            destroy(other, ANN, name)
    rules = [
        {"row_class": "files", "rules": ["R08"], "triggers": {"period_end": "2005-01-01"}},
    ]
    released = {**HOLD, "released_by": "法务", "released_on": "2026-02-01"}
    free = changed(context, holds=[released], retention=rules)
    assert ended(free, FILES).closed == ("tables/006-person/term-03.parquet",)


def test_the_day_of_the_archive_is_waited_for_even_if_the_case_says_less(context: Context) -> None:
    rules = [{"row_class": "loans", "rules": ["R08"], "triggers": {"period_end": "2005-01-01"}}]
    with pytest.raises(NotReady, match=r"kept by its period: it may go from 20\d\d-01-01"):
        ask_destroying(changed(context, retention=rules), ANN, LOANS, "T", "why", identifying_only=False)


def test_destroying_a_term_closes_exactly_that(context: Context) -> None:
    done = ended(context, OLD)
    assert [key.result for key in done.keys] == ["unlinked, not verifiable"] * 2
    assert done.closed == ("tables/004-loan/term-01.parquet",)
    entry = last(context, "archive-keys-destroyed").body
    assert (entry["class"], entry["closed"], entry["still_open"]) == ("old loans", [*done.closed], [])
    assert last(context, "custody-used").body["decision"]["outcome"] == "may_erase"
    standing = {one.number: (one.identifying, one.other) for one in terms(context)}
    gone = (KeyState.DESTROYED, KeyState.DESTROYED)
    assert standing == {**dict.fromkeys(standing, (KeyState.ACTIVE, KeyState.ACTIVE)), OLD: gone}
    name = asked(context, "2", "s.loan", "id")
    approve(context, BOB, name)
    found = read(context, ANN, name, "2")["s.loan"]
    assert (found.rows, found.closed) == ((), done.closed), "closed, not empty"
    assert last(context, "custody-used").body["closed"] == [*done.closed]
    assert len(told(context, "5", "s.loan", "id")) == 1
    with pytest.raises(KeyUnavailable, match="keys of term 1 are destroyed"):
        ended(context, OLD)


def test_identifying_columns_can_go_while_the_skeleton_stays(context: Context) -> None:
    rules = [
        {"row_class": "files", "rules": ["R08"], "triggers": {"period_end": "2005-01-01"}},
    ]
    free = changed(context, holds=[], retention=rules)
    done = ended(free, FILES, identifying_only=True)
    assert len(done.keys) == 1 and done.closed == ("tables/006-person/term-03.parquet",)
    name = asked(free, "3", "s.person", "id")
    approve(free, BOB, name)
    (row,) = read(free, ANN, name, "3")["s.person"].rows
    assert dict(row.values) == {"id": "3", "branch": "1", "touched": "0"}
    assert row.withheld == ("name", "born", "resident_id", "mobile")
    name = asked(free)
    approve(free, BOB, name)
    assert read(free, ANN, name, MOBILE)["s.person"].closed == done.closed
    assert [one.other for one in terms(free)] == [KeyState.ACTIVE] * 4
    assert len(ended(free, FILES).keys) == 2, "the skeleton goes later"


def test_what_no_minimum_needs_goes_before_its_skeleton(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def split(one: Context, on: Any) -> Any:
        from handover.stages.class_decisions import class_decisions

        found = class_decisions(one, on)
        return {name: each.model_copy(update={"outcome": "split"}) for name, each in found.items()}

    monkeypatch.setattr(key_destruction, "class_decisions", split)
    with pytest.raises(NotReady, match="its retention decision is split"):
        ended(context, LOANS)
    assert len(ended(context, LOANS, identifying_only=True).keys) == 1


def test_a_file_that_still_opens_is_no_destroyed_one(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_destruction, "rows_of", lambda *_: iter([b"1\t2\t3\n"]))
    with pytest.raises(
        VerificationFailed, match="1 files of term 1 can still be read, first tables/004-loan"
    ):
        ended(context, OLD)
    assert last(context, "archive-keys-destroyed").body["still_open"] == ["tables/004-loan/term-01.parquet"]


def test_no_hold_comes_between_the_law_and_the_key(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who adds a hold waits until the keys are gone, or is seen."""
    name = ask_destroying(context, ANN, OLD, "T", "over", identifying_only=False)
    approve(context, BOB, name)
    raised, seen = Event(), list[bool]()

    def add() -> None:
        with raise_epoch(context):
            raised.set()

    adding = Thread(target=add)
    original = Keyring.destroy

    def slow(self: Keyring, key_id: str) -> Any:
        if not adding.is_alive() and not raised.is_set():
            adding.start()
        seen.append(raised.wait(0.3))
        return original(self, key_id)

    monkeypatch.setattr(Keyring, "destroy", slow)
    destroy(context, ANN, name)
    adding.join(10)
    assert seen == [False, False] and raised.is_set()


def test_accounting_archives_go_by_a_destruction_list(context: Context) -> None:
    """As it stands in the ledger from here on: on the list, or not a row of it."""
    today = legal_day()
    contents = tuple(
        ListedRows(row_class="traces", table=table, rows=rows, digest="0" * 64)
        for table, rows in (("s.visit", 37), ("s.call", 20))
    )
    for edition, listed in ((1, contents[:1]), (2, contents)):
        made = destruction_list(
            edition=edition,
            compiled_on=today,
            volumes=(volume(1, 1, destroy_on=today, holds=HoldCheck(on=today), contents=listed),),
        )
        acts = [appraisal(made, on=today), *(opinion(made, role, on=today) for role in OPINIONS)]
        for act in [Listed(list=made), *acts, *(precheck(made, one, on=today) for one in made.supervisors)]:
            register(of_terms(context), act)
        if edition == 1:
            with pytest.raises(NotReady, match=r"20 rows of s\.call in class traces: the list has 0"):
                ended(context, TRACES)
    assert len(ended(context, TRACES).closed) == 3


def test_fixity(context: Context) -> None:
    archive = SealedArchive.of(context)
    assert archive.damage() == ()
    part = archive.index.parts[0]
    (bag_of(context) / PAYLOAD / part.file).unlink()
    assert (f"data/{part.file}", "missing") in [(one.file, one.what) for one in archive.damage()]


PASSWORDS = {"ann": "secret of ann", "bob": "secret of bob"}


@pytest.fixture
def installation(
    company: Disposing,
    context: Context,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., int]]:
    """The command line of an installation with people, each with a file that holds a password."""
    folder = tmp_path_factory.mktemp("people")
    folders = {name: str(getattr(context.settings, name)) for name in ("vault", "keyring", "documents")}
    named = {f"HANDOVER_{name.upper()}": path for name, path in folders.items()}
    with login_service(folder / "login", PASSWORDS) as address:
        for name, value in (
            company.settings().variables | named | {"AIRFLOW__API__BASE_URL": address}
        ).items():
            monkeypatch.setenv(name, value)
        for name, url in company.urls.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", url)
        for name, password in PASSWORDS.items():
            (folder / name).write_text(password + "\n")

        def run(*arguments: str, who: str = "", value: str = "") -> int:
            monkeypatch.setattr("sys.stdin", io.StringIO(value))
            proof = ["--as", who, "--password-file", str(folder / who)] if who else []
            return main(["custodian", "test-transfer", *arguments, *proof])

        yield run


WHY = ["--ticket", "T-9", "--purpose", "why [bold]"]


def test_the_commands(installation: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--table", "s.person", "--column", "mobile"]
    assert installation("read", *where, *WHY, who="ann", value=f"{MOBILE}\r\n") == 0
    out = capsys.readouterr()
    name = out.out.strip()
    assert f"approve {name}" in out.err and MOBILE not in out.err
    assert installation("approve", name, who="ann") == 1
    assert "asked for by this person" in capsys.readouterr().err
    assert installation("approve", name, who="bob") == 0
    said = capsys.readouterr().out
    assert f"{name}: ann may read s.person by mobile, once\nticket T-9; purpose: why [bold]" in said
    assert installation("show", name, who="bob", value=MOBILE) == 1
    assert capsys.readouterr().out == ""
    assert installation("show", name, who="ann", value=MOBILE) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["table"], row["class"], row["values"]["name"]) == ("s.person", "files", "privat 3")
    assert installation("destroy", str(LOANS), *WHY, who="ann") == 1
    assert "it may go from" in capsys.readouterr().err
    the_end_of_a_term(installation, capsys)


def the_end_of_a_term(installation: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert installation("check") == 0
    assert "whole" in capsys.readouterr().out
    assert installation("destroy", str(OLD), *WHY, who="ann") == 0
    name = capsys.readouterr().out.strip()
    assert installation("approve", name, who="bob") == 0
    assert "ann may destroy both keys of term 1, class old loans, once" in capsys.readouterr().out
    assert installation("carry-out", name, who="ann") == 0
    said = capsys.readouterr().out
    assert said.count("unlinked, not verifiable") == 2
    assert "tables/004-loan/term-01.parquet: cannot be opened any more" in said
    assert installation("terms") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "1 old loans 4 2015-01-02 may_erase destroyed destroyed" in lines
    assert "3 files 7 no date restrict, hold: litigation active active" in lines
    assert len(lines) == 1 + len(ROWS)
    assert installation("read", "--table", "s.loan", "--column", "id", *WHY, who="ann", value="2") == 0
    name = capsys.readouterr().out.strip()
    installation("approve", name, who="bob")
    capsys.readouterr()
    assert installation("show", name, who="ann", value="2") == 1
    out = capsys.readouterr()
    assert out.out == "" and "without their key: tables/004-loan/term-01.parquet" in out.err
    assert installation("list") == 0
    listed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any("used by bob ann" in line and "read s.loan by id T-9 why [bold]" in line for line in listed)


@pytest.mark.parametrize(
    "arguments",
    [
        ["custodian", "x"],
        ["custodian", "x", "read", "--table", "t", "--column", "c", "--ticket", "T", "--purpose", "p"],
        ["custodian", "x", "read", "--table", "t", "--column", "c", "VALUE", "--as", "ann"],
        ["custodian", "x", "destroy", "one", "--ticket", "T", "--purpose", "p", "--as", "ann"],
        ["custodian", "x", "carry-out", "--as", "ann"],
    ],
    ids=" ".join,
)
def test_a_wrong_call(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended_with:
        main(arguments)
    assert ended_with.value.code == 2


def test_a_terminal_gets_no_sign_that_commands_it() -> None:
    from handover.archive.finding import Found, FoundRow
    from handover.commands.custodian import _lines

    row = FoundRow(term=Term(row_class="c", destroy_from=None), values={"a": "姓名\x9b2J\u202e"}, withheld=())
    (line,) = _lines("t", Found((row,), ()))
    assert line.isprintable() and "姓名" in line and json.loads(line)["values"]["a"] == "姓名\x9b2J\u202e"


def test_a_password_is_never_taken_for_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal nothing is asked: the answer would be read from standard input."""
    from handover.commands import persons

    class Options:
        account, password_file = "ann", None

    monkeypatch.setattr("sys.stdin", io.StringIO("value\n"))
    monkeypatch.setattr(persons, "TERMINAL", Path("/nonexistent/tty"))
    with pytest.raises(HandoverError, match="can neither be read"):
        persons.person(Options())  # type: ignore[arg-type]
