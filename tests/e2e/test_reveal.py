"""Who is behind a pseudonym is told to two persons together, once, and the ledger knew of it before."""

import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fixtures import masked
from fixtures.clusters import databases
from fixtures.contents import run_sql
from fixtures.login import login_service
from fixtures.runs import Runner, make_ledger, migrated
from handover.cli import main
from handover.errors import HandoverError, KeyUnavailable, LedgerRefused, NotReady
from handover.evidence.ledger import Entry, Ledger
from handover.local.clusters import Cluster
from handover.model.approval import Account
from handover.postgres.session import connect
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.pseudonym_keys import settle_keys
from handover.stages.pseudonyms import domain_keys
from handover.stages.revealing import (
    APPROVED,
    MOST_AT_ONCE,
    REFUSED,
    REQUESTED,
    USED,
    approve,
    newest_run,
    request,
    reveal,
    reveals,
)
from handover.stages.unmasking import How, domains_of
from handover.vault.keyring import Keyring
from handover.vault.roots import Purpose
from handover.vault.store import FolderStore

ANN, BOB, EVE = (Account(name=name, id=name) for name in ("ann", "bob", "eve"))
# A number that stands in no column, only in a text; and who is behind the same document's path.
ELSEWHERE = "13912345678"
MORE = f"""
UPDATE s.customer SET remark = 'his wife has {ELSEWHERE}' WHERE id = 3;
UPDATE s.customer SET resident_id = 'broken\tnumber' WHERE id = 4;
"""


def company_map() -> dict[str, Any]:
    """The data map of the company, in which a path of a document holds a telephone."""
    datamap = masked.data_map()
    (customer,) = [one for one in datamap["datasets"] if one["table"] == "s.customer"]
    customer["columns"]["profile"]["contains"] = [{"kind": "mobile", "at": "$.n"}]
    return datamap


@pytest.fixture(scope="module")
def company(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runner]:
    """A runner whose source is filled."""
    home = tmp_path_factory.mktemp("revealing")
    with databases(cluster) as source, databases(second_cluster) as target:
        urls = {"src": source("source"), "dst": target("target"), "empty": target("empty")}
        made = Runner(home, make_ledger(cluster, source), str(second_cluster.programs), urls)
        masked.fill(made)
        run_sql(urls["src"], MORE)
        yield made


@pytest.fixture(scope="module")
def context(company: Runner) -> Context:
    """A run whose target is filled with pseudonyms."""
    made = masked.open_masked(company, datamap=company_map())
    migrated(made)
    return made


@pytest.fixture
def apart(context: Context, tmp_path: Path) -> Context:
    """The same run with a keyring of its own, in which keys may be destroyed."""
    shutil.copytree(context.keyring.folder, tmp_path / "keyring")
    (tmp_path / "keyring").chmod(0o700)
    return replace(context, keyring=Keyring.open(tmp_path / "keyring"))


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with closing(connect(url, read_only=True)) as connection:
        return connection.execute(query.encode()).fetchall()


def arrived(context: Context, column: str, number: int = 1) -> str:
    """What a column of a customer is at the target; incomes arrive as they are."""
    found = rows(context.target, f"SELECT {column}::text FROM s.customer WHERE income = {number} * 1000.5")
    return str(found[0][0]).strip()


def raw(context: Context, column: str, number: int = 1) -> str:
    return str(rows(context.source, f"SELECT {column}::text FROM s.customer WHERE id = {number}")[0][0])


def asked(context: Context, domain: str, *pseudonyms: str, who: Account = ANN) -> str:
    return request(context, who, domain, pseudonyms, "T-1", "a court asks")


def told(context: Context, domain: str, *pseudonyms: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Ask, approve and look."""
    name = asked(context, domain, *pseudonyms)
    approve(context, BOB, name)
    found = reveal(context, ANN, name, pseudonyms)
    return {one: (behind.how.value, behind.values) for one, behind in found.items()}


def last(context: Context, kind: str) -> Entry:
    return context.entries(kind)[-1]


COLUMNS = {
    "s.customer.id": ("id", How.BACKUP),
    "resident_id": ("resident_id", How.KEY),
    "mobile": ("mobile", How.BACKUP),
    "email": ("email", How.BACKUP),
}


@pytest.mark.parametrize("domain", COLUMNS)
def test_two_persons_together_learn_who_it_is(context: Context, domain: str) -> None:
    column, how = COLUMNS[domain]
    numbers = (1, 2, 40)
    pseudonyms = [arrived(context, column, number) for number in numbers]
    found = told(context, domain, *pseudonyms)
    for pseudonym, number in zip(pseudonyms, numbers, strict=True):
        value = raw(context, column, number)
        # A document has the same number as +86 …: one pseudonym, told in each way in which it is written.
        ways = {value, f"+86 {value}"} if domain == "mobile" else {value}
        assert found[pseudonym] == (how.value, frozenset(ways))


def test_a_reference_has_the_pseudonym_of_what_it_refers_to(context: Context) -> None:
    customer = rows(context.target, "SELECT customer_id::text FROM s.loan WHERE amount = 100")[0][0]
    assert told(context, "s.customer.id", customer)[customer][1] == {"2"}
    loan = rows(context.target, "SELECT no FROM s.loan WHERE amount = 100")[0][0]
    assert told(context, "s.loan.no", loan)[loan][1] == {"L1"}


def test_several_who_share_a_pseudonym_are_all_told(context: Context) -> None:
    names = rows(context.source, "SELECT DISTINCT name FROM s.customer")
    seen = {row[0] for row in rows(context.target, "SELECT DISTINCT name FROM s.customer")}
    found = told(context, "person_name", *seen)
    assert frozenset[str]().union(*(values for _, values in found.values())) >= {row[0] for row in names}
    assert raw(context, "name") in found[arrived(context, "name")][1]


def test_what_stands_only_in_a_text_is_found_there(context: Context) -> None:
    pseudonym = arrived(context, "remark", 3).split()[-1]
    assert told(context, "mobile", pseudonym)[pseudonym] == ("backup", frozenset({ELSEWHERE}))
    at_path = arrived(context, "profile ->> 'n'", 5)
    assert at_path != "5" and told(context, "mobile", at_path)[at_path][1] == {"5"}
    in_document = arrived(context, "pages ->> 'id'", 7)  # whose column holds no number
    assert told(context, "resident_id", in_document)[in_document][1] == {
        json.loads(raw(context, "pages", 7))["id"]
    }


def test_a_value_out_of_form_is_found_by_its_token(context: Context) -> None:
    token, number = arrived(context, "resident_id", 4), arrived(context, "resident_id", 5)
    assert told(context, "resident_id", token, number) == {
        token: ("backup", frozenset({"broken\tnumber"})),
        number: ("key", frozenset({raw(context, "resident_id", 5)})),
    }


def test_what_nobody_was_given_is_not_found(context: Context) -> None:
    assert told(context, "mobile", "abcdefghijkl") == {"abcdefghijkl": ("not found", frozenset())}


def test_each_step_is_in_the_ledger_and_no_person_is(context: Context) -> None:
    pseudonym, value = arrived(context, "mobile", 8), raw(context, "mobile", 8)
    told(context, "mobile", f" {pseudonym} ", pseudonym, "")  # as people copy and paste
    made = last(context, REQUESTED).body
    assert (made["domain"], made["count"], made["by"]) == ("mobile", 1, "ann")
    assert (made["ticket"], made["purpose"]) == ("T-1", "a court asks")
    assert last(context, APPROVED).body["by"] == "bob"
    used = last(context, USED)
    assert (used.body["request"], used.body["found"], used.body["values"]) == (made["request"], 1, 2)
    lines = "\n".join(context.ledger.lines(context.case.case))
    assert pseudonym not in lines and value not in lines and ELSEWHERE not in lines
    state = {one.id: one.state for one in reveals(context)}
    assert state[made["request"]] == "used"


def refused(context: Context, said: str, *call: Any) -> None:
    """A call is refused, and who tried stands in the ledger."""
    before = len(context.entries(REFUSED))
    with pytest.raises(LedgerRefused, match=said):
        call[0](context, *call[1:])
    assert len(context.entries(REFUSED)) == before + 1


def test_nobody_approves_what_he_asked_for(context: Context) -> None:
    name = asked(context, "mobile", "a")
    for who in (ANN, Account(name="Ann", id="17"), Account(name="other", id="ann")):
        refused(context, "asked for by this person", approve, who, name)
    assert last(context, REFUSED).body["by"] == "other"
    refused(context, "not approved: waits for another person", reveal, ANN, name, ["a"])
    # Even signed: an approval by the one who asked is none.
    body = {"request": name, "by": "ann", "account_id": "ann", "expires_at": "2999-01-01T00:00:00.000000Z"}
    context.record(APPROVED, body)
    refused(context, "not approved", reveal, ANN, name, ["a"])


def test_only_the_one_who_asked_looks_and_only_at_what_was_asked(context: Context) -> None:
    name = asked(context, "mobile", "a", "b")
    approve(context, BOB, name)
    for who in (BOB, EVE, Account(name="ann", id="17")):
        refused(context, "somebody else asked", reveal, who, name, ["a", "b"])
    for pseudonyms in (["a"], ["a", "b", "c"], ["a", "c"]):
        refused(context, "other pseudonyms", reveal, ANN, name, pseudonyms)
    assert reveal(context, ANN, name, ["b", "a"])["a"].how is How.NOT_FOUND


def test_an_approval_is_good_for_one_use(context: Context) -> None:
    name = asked(context, "mobile", "a")
    approve(context, BOB, name)
    refused(context, "it is approved already", approve, EVE, name)
    reveal(context, ANN, name, ["a"])
    refused(context, "not approved: used", reveal, ANN, name, ["a"])
    refused(context, "it is used already", approve, BOB, name)


def test_of_two_who_look_at_once_one_sees(context: Context) -> None:
    name = asked(context, "mobile", "a")
    approve(context, BOB, name)

    def look(_: int) -> bool:
        try:
            return bool(reveal(replace(context), ANN, name, ["a"]))
        except LedgerRefused:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(look, range(4))) == [False, False, False, True]
    assert [e.key for e in context.entries(USED)].count(name) == 1


def test_an_approval_ends_after_a_day(context: Context) -> None:
    name = asked(context, "mobile", "a")
    approve(context, BOB, name)
    (one,) = [one for one in reveals(context) if one.id == name]
    assert one.expires_at is not None and 23.9 < _hours(one.at, one.expires_at.isoformat()) < 24.1
    late = asked(context, "mobile", "a")
    body = {"request": late, "by": "bob", "account_id": "bob", "expires_at": "2026-01-01T00:00:00.000000Z"}
    context.record(APPROVED, body, key=late)
    refused(context, "not approved: expired", reveal, ANN, late, ["a"])
    refused(context, "it is expired already", approve, BOB, late)


def _hours(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() / 3600


class Slow(FolderStore):
    """A vault that takes its time."""

    def get(self, name: str) -> bytes:
        time.sleep(0.7)
        return super().get(name)


def test_an_approval_that_ends_while_the_backup_is_read_shows_nothing(context: Context) -> None:
    name = asked(context, "mobile", "a")
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    context.record(
        APPROVED, {"request": name, "by": "bob", "account_id": "bob", "expires_at": soon}, key=name
    )
    slow = replace(context, store=Slow(context.settings.vault))
    refused(slow, "not approved: expired", reveal, ANN, name, ["a"])
    assert name not in [entry.key for entry in context.entries(USED)]


class Full(Ledger):
    """A ledger that takes no note of a use."""

    def append(self, case: str, run: str, kind: str, body: Any, *, key: str | None = None) -> Entry:
        if kind == USED:
            raise LedgerRefused("full")
        return super().append(case, run, kind, body, key=key)


def test_nothing_is_told_that_is_not_written_down(context: Context) -> None:
    pseudonym = arrived(context, "mobile")
    name = asked(context, "mobile", pseudonym)
    approve(context, BOB, name)
    full = Full(context.ledger_url, context.keyring.signer())
    with pytest.raises(LedgerRefused, match="full"):
        reveal(replace(context, ledger=full), ANN, name, [pseudonym])


WRONG: dict[str, tuple[tuple[Any, ...], str]] = {
    "unknown domain": (("nothing", ["a"], "T", "why"), "no pseudonyms in such a domain"),
    "no pseudonyms": (("address", ["a"], "T", "why"), "no pseudonyms in such a domain"),
    "nothing": (("mobile", [" ", ""], "T", "why"), "0 pseudonyms were given"),
    "too many": (("mobile", map(str, range(MOST_AT_ONCE + 1)), "T", "why"), "1001 pseudonyms were given"),
    "no ticket": (("mobile", ["a"], " ", "why"), "the ticket is empty"),
    "long": (("mobile", ["a"], "T", "why " * 200), "the purpose is longer than 500"),
    "a command": (("mobile", ["a"], "T", "why\x1b[2J"), "the purpose holds signs that are no text"),
    "a person": (("mobile", ["a"], "T", "who has 13800007919"), "the purpose names personal data"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_request_is_refused(context: Context, what: str) -> None:
    call, said = WRONG[what]
    before = len(context.entries(REQUESTED))
    with pytest.raises(LedgerRefused, match=said) as raised:
        request(context, ANN, *call)
    assert "13800007919" not in str(raised.value)
    assert len(context.entries(REQUESTED)) == before


def test_the_domains_are_those_in_which_something_stands_for_a_value(context: Context) -> None:
    found = set(domains_of(context.plan()))
    assert found >= {*COLUMNS, "person_name", "s.loan.no"}
    assert "s.customer.born" not in found and "s.loan.signed" not in found
    made = context.plan()
    here = [one.model_copy(update={"masked": (), "masked_here": one.masked}) for one in made.tables]
    assert set(domains_of(made.model_copy(update={"tables": here}))) == found, "what was masked in place"


def test_an_unknown_request_and_a_forged_ledger(context: Context, tmp_path: Path) -> None:
    for call in (lambda: approve(context, BOB, "rv-0"), lambda: reveal(context, ANN, "rv-0", ["a"])):
        with pytest.raises(LedgerRefused, match="no request with this id"):
            call()
    name = asked(context, "mobile", "a")
    other = replace(context, keyring=Keyring.open(tmp_path / "other"))
    with pytest.raises(LedgerRefused, match="does not verify"):
        approve(other, BOB, name)


def test_without_the_key_nobody_is_found(apart: Context) -> None:
    pseudonym = arrived(apart, "mobile")
    name, other = asked(apart, "mobile", pseudonym), asked(apart, "mobile", pseudonym)
    approve(apart, BOB, name)
    destroying = apart.case.model_copy(
        update={"pseudonyms": apart.case.pseudonyms.model_copy(update={"keys": "destroy"})}
    )
    first = domain_keys(apart)[0]
    apart.keyring.destroy(first.key_id)  # and the process was killed
    settle_keys(replace(apart, case=destroying))
    calls: list[Callable[[], object]] = [
        lambda: reveal(apart, ANN, name, [pseudonym]),
        lambda: approve(apart, BOB, other),
        lambda: asked(apart, "mobile", pseudonym),
    ]
    for call in calls:
        with pytest.raises(KeyUnavailable, match="was destroyed at"):
            call()
    keys = {one["domain"]: one for one in last(apart, "pseudonym-keys-destroyed").body["keys"]}
    assert keys["mobile"]["result"] == "unlinked, not verifiable" and keys["mobile"]["copies"] == []
    assert {key.state.value for key in domain_keys(apart)} == {"destroyed"}
    settle_keys(replace(apart, case=destroying))
    assert len(apart.entries("pseudonym-keys-destroyed")) == 1


def test_kept_keys_are_named(context: Context) -> None:
    settle_keys(context)
    settle_keys(context)
    (entry,) = context.entries("pseudonym-keys-kept")
    assert {one["domain"] for one in entry.body["keys"]} >= {"mobile", "person_name", "s.customer.id"}
    assert {key.state.value for key in domain_keys(context)} == {"active"}


def test_without_the_backup_only_what_the_key_turns_back_is_found(apart: Context) -> None:
    found = apart.keyring.find(Purpose.BACKUP, apart.backup_name)
    assert found is not None
    apart.keyring.destroy(found.key_id)
    with pytest.raises(KeyUnavailable, match="cannot be found any more"):
        asked(apart, "mobile", arrived(apart, "mobile"))
    token, number = arrived(apart, "resident_id", 4), arrived(apart, "resident_id", 5)
    assert told(apart, "resident_id", token, number) == {
        token: ("cannot be found any more", frozenset()),
        number: ("key", frozenset({raw(apart, "resident_id", 5)})),
    }
    assert told(apart, "s.customer.id", arrived(apart, "id", 9)).popitem()[1] == ("key", frozenset({"9"}))


def test_only_those_whom_the_case_names_approve(company: Runner, context: Context) -> None:
    sides = {"execute": {"approvers": ["bob", "ann"]}, "accept": {"approvers": ["receiver"]}}
    elsewhere = company.between(company.urls["src"], company.urls["empty"])
    named = masked.open_masked(elsewhere, "run-2", company_map(), approvals=sides)
    inventory(named)
    plan(named)
    name = asked(named, "resident_id", "a")
    for who in (EVE, Account(name="receiver", id="receiver"), Account(name="bob", id="17")):
        refused(named, "not under approvals.execute.approvers", approve, who, name)
    assert approve(named, BOB, name).approved_by == BOB
    assert newest_run(named) == context.run, "the other has no backup"
    with pytest.raises(NotReady, match="no run of case"):
        newest_run(replace(named, case=named.case.model_copy(update={"case": "another"})))
    # The request is about the run in which it was made, whatever run it is looked at from.
    assert approve_from(named, "check").run == "run-2"


def approve_from(context: Context, run: str) -> Any:
    name = asked(context, "resident_id", "b")
    return approve(replace(context, run=run), BOB, name)


PASSWORDS = {"ann": "secret of ann", "bob": "secret of bob"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with login_service(tmp_path_factory.mktemp("login"), PASSWORDS) as found:
        yield found


@pytest.fixture
def installation(
    company: Runner, context: Context, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """The command line of an installation with people, each with a file that holds a password."""
    masked.open_masked(company, datamap=company_map())  # the case file as it opened the run
    variables = company.settings().variables | {"AIRFLOW__API__BASE_URL": address}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name, url in company.urls.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", url)
    for name, password in PASSWORDS.items():
        (tmp_path / name).write_text(password + "\n")

    def run(*arguments: str, who: str, password: str | None = None, lines: str = "") -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        proof = ["--as", who, "--password-file", str(tmp_path / (password or who))] if who else []
        return main(["reveal", "test-transfer", *arguments, *proof])

    return run


def test_the_commands(
    installation: Callable[..., int], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    token, number = arrived(context, "resident_id", 4), arrived(context, "resident_id", 5)
    lines = f"{token}\r\n\n{number}\nabc"
    said = ["--domain", "resident_id", "--ticket", "T-9", "--purpose", "why [bold]"]
    assert installation("request", *said, who="ann", lines=lines) == 0
    out = capsys.readouterr()
    name = out.out.strip()
    assert f"approve {name}" in out.err
    assert installation("approve", name, who="ann") == 1
    assert "asked for by this person" in capsys.readouterr().err
    assert installation("approve", name, who="bob") == 0
    assert "3 pseudonyms of resident_id, once\nticket T-9; purpose: why [bold]" in capsys.readouterr().out
    assert installation("list", who="") == 0
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    (mine,) = [line for line in listed if line[0] == name]
    assert mine[1:5] == ["approved", "by", "bob", "ann"] and mine[-3:] == ["T-9", "why", "[bold]"]
    assert installation("show", name, who="bob", lines=lines) == 1
    assert installation("show", name, who="ann", lines=lines) == 1, "one is not found"
    out = capsys.readouterr()
    assert out.out.splitlines() == [
        f"{token}\tbroken\\tnumber",
        f"{number}\t{raw(context, 'resident_id', 5)}",
        "abc\tnot found",
    ]
    assert "worked out by the key alone" in out.err
    assert token not in out.err and number not in out.err
    assert installation("show", name, who="ann", lines=lines) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["reveal"],
        ["reveal", "x"],
        ["reveal", "x", "approve", "rv-1"],
        ["reveal", "x", "request", "--domain", "d", "--as", "ann"],
        ["reveal", "x", "show", "rv-1", "PSEUDONYM", "--as", "ann"],
        ["reveal", "x", "show", "rv-1", "--as", "ann", "--password", "secret"],
    ],
    ids=" ".join,
)
def test_a_wrong_call(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_nobody_is_somebody_else(
    installation: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("")
    for who, password in (("ann", "bob"), ("eve", "ann"), ("ann", "empty"), ("ann", "absent")):
        assert installation("approve", "rv-0", who=who, password=password) == 1
        said = capsys.readouterr().err
        assert "did not confirm who you are" in said or "can neither be read from a file" in said
        assert "secret" not in said


def test_a_password_is_never_taken_for_a_pseudonym(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal nothing is asked: the answer would be read from standard input."""
    from handover.commands import persons

    class Options:
        account, password_file = "ann", None

    monkeypatch.setattr("sys.stdin", io.StringIO("pseudonym\n"))
    monkeypatch.setattr(persons, "TERMINAL", Path("/nonexistent/tty"))
    with pytest.raises(HandoverError, match="can neither be read"):
        persons.person(Options())  # type: ignore[arg-type]
