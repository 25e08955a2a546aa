"""Legal holds: each keeps exactly its rows, comes between batches, and ends by two persons or by its day."""

import io
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from psycopg.conninfo import make_conninfo

from fixtures.contents import contents, run_sql
from fixtures.disposed import Disposing, disposed_map, fill, opened
from fixtures.holding import at
from fixtures.lawful import write_map
from fixtures.login import login_service
from fixtures.runs import Runner
from fixtures.settled import GONE, open_settled
from handover.cli import main
from handover.crashpoints import CrashPoint
from handover.errors import (
    CaseInvalid,
    ConfigurationMissing,
    ConnectionLost,
    GateBlocked,
    HandoverError,
    KeyUnavailable,
    LedgerRefused,
    SubjectUnclear,
    SubjectUnknown,
)
from handover.evidence.ledger import verify_chain
from handover.model.approval import Account
from handover.model.registered import RegisteredSource
from handover.postgres.closure import Closure
from handover.postgres.erasing import batches, pace
from handover.postgres.identity import database_identity
from handover.postgres.session import connect, with_database
from handover.settings import Settings
from handover.stages import databases
from handover.stages.context import Context, open_context
from handover.stages.databases import Databases
from handover.stages.disposal import require_law
from handover.stages.erase_here import erase_here
from handover.stages.facts import legal_day
from handover.stages.held_rows import held_rows
from handover.stages.hold_epoch import epoch
from handover.stages.holding import (
    Laid,
    Matter,
    hold_everything,
    hold_named,
    hold_subject,
    hold_table,
    holds,
    name_subject,
    open_holder,
    release,
    request_release,
)
from handover.stages.holds import all_holds, held_graph, held_scope, open_holds
from handover.stages.reading import begin_snapshot
from handover.vault.roots import Purpose

ASKER, FIRST, SECOND, OUTSIDER = (Account(name=n, id=n) for n in ("asker", "first", "second", "outsider"))
WHY = Matter("litigation", "a claim is before the court 诉讼", "示例法院 (sample court)")
ALL_GONE = sum(GONE.values())
NAME = "test-transfer"


@pytest.fixture
def company(runner: Runner) -> Disposing:
    """A runner whose source is filled."""
    return fill(runner)


def holder(company: Disposing, name: str = NAME) -> Context:
    return open_holder(company.settings(), name, company.urls.__getitem__)


def mobile(number: int) -> str:
    return f"138001380{number:02}"


def counted(context: Context) -> dict[str, int]:
    return {one.table: one.rows for one in held_rows(context)}


def let_go(there: Context, laid: Laid, second: Account = FIRST) -> None:
    release(there, second, request_release(there, ASKER, laid.id, "the court has decided"))


def of_person(url: str, number: int) -> dict[str, int]:
    """How many rows of each table are a person's, as the server counts them."""
    tables = {"s.person": "id", **dict.fromkeys(("s.loan", "s.consent", "s.visit", "s.call"), "person_id")}
    with closing(connect(url)) as session:
        return {
            table: int(session.execute(f"SELECT count(*) FROM {table} WHERE {c} = {number}").fetchone()[0])
            for table, c in tables.items()
        }


def test_each_kind_keeps_its_rows_until_two_persons_release_it(company: Disposing) -> None:
    context = open_settled(company)
    opened(context)
    before, there = contents(context.source), holder(company)
    assert held_rows(context) == []
    elsewhere = hold_subject(there, ASKER, mobile(9), None, WHY)
    assert counted(context) == {}, "it keeps nothing of what goes"
    require_law(context)
    assert elsewhere.moments == {NAME: "before"}

    one = hold_subject(there, ASKER, mobile(3), None, WHY)
    assert counted(context) == of_person(context.source, 3)
    with pytest.raises(GateBlocked) as raised:
        erase_here(context)
    assert raised.value.data["holds"] == [one.id]
    assert f"hold {one.id} (litigation) keeps 1 rows of s.loan" in raised.value.message
    assert mobile(3) not in str(raised.value)
    assert ([one.id, "s.loan", 1]) in context.entries("disposal-heard")[-1].body["held"]
    released_by_another(there, one)

    rows = hold_table(there, ASKER, "s.visit", WHY)
    assert counted(context) == {"s.visit": GONE["s.visit"], "s.person": 5}, "its rows and those they need"
    some = hold_table(there, ASKER, "s.loan", WHY, "amount = 200 AND id IS NOT NULL")
    found = {(each.hold, each.table): each.rows for each in held_rows(context)}
    assert found[some.id, "s.loan"] == found[some.id, "s.person"] == 1
    assert (rows.id, "s.loan") not in found
    let_go(there, rows)
    assert counted(context) == {"s.loan": 1, "s.person": 1}
    let_go(there, some)
    everything = hold_everything(there, ASKER, WHY)
    assert counted(context) == GONE
    let_go(there, everything)
    assert contents(context.source) == before
    assert erase_here(context) == ALL_GONE
    nothing_of_a_person_is_told(there)


def released_by_another(there: Context, one: Laid) -> None:
    request = request_release(there, ASKER, one.id, "the court has decided")
    with pytest.raises(LedgerRefused, match="asked for by this person"):
        release(there, ASKER, request)
    with pytest.raises(LedgerRefused, match="not under approvals"):
        release(there, OUTSIDER, request)
    assert [hold.id for hold in open_holds(there, legal_day())][-1] == one.id
    assert release(there, FIRST, request).id == one.id
    with pytest.raises(LedgerRefused, match="no open hold"):
        request_release(there, ASKER, one.id, "again")
    with pytest.raises(LedgerRefused):
        release(there, SECOND, request)
    state = next(hold for hold in holds(there)[0] if hold.id == one.id).state(legal_day())
    assert state.startswith("released by first on ")


def nothing_of_a_person_is_told(there: Context) -> None:
    entries = there.ledger.entries(NAME)
    assert verify_chain((e.line for e in entries), [there.keyring.signer().public_pem]) == []
    mine = [entry for entry in entries if entry.kind.startswith("hold")]
    text = "".join(entry.line for entry in mine) + repr(holds(there))
    for secret in ("1380013", '"id"', "amount"):
        assert secret not in text
    assert all("sealed" in entry.body for entry in mine if entry.kind == "hold-added")


def test_a_hold_that_comes_while_rows_go_keeps_what_is_there(
    company: Disposing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SUBJECTS_OF_A_NUMBER", 1)
    monkeypatch.setattr(pace, "FIRST_WIDTH", 1)
    context = open_settled(company)
    there = holder(company)
    early = hold_subject(there, ASKER, mobile(1), None, replace(WHY, until=legal_day() + timedelta(days=9)))
    let_go(there, early)
    opened(context)
    laid: list[Laid] = []
    adding = Thread(target=lambda: laid.append(hold_subject(there, ASKER, mobile(5), None, WHY)))

    def begin() -> None:
        adding.start()
        adding.join(0.3)
        assert adding.is_alive(), "it did not wait for the batch"

    with at(CrashPoint.ERASED_UNCOMMITTED, begin), pytest.raises(GateBlocked) as raised:
        erase_here(context)
    adding.join()
    assert raised.value.data["holds"] == [laid[0].id]
    assert (laid[0].moments, epoch(context)) == ({NAME: "during"}, 2)
    kept = of_person(context.source, 5)
    assert kept["s.person"] == 1
    assert kept["s.loan"] == 1
    assert counted(context) == kept
    let_go(there, laid[0])
    assert erase_here(context) == ALL_GONE
    assert not any(of_person(context.source, 5).values())
    assert hold_subject(there, ASKER, mobile(9), None, WHY).moments == {NAME: "after"}


WRONG: dict[str, tuple[type[HandoverError], str, dict[str, Any]]] = {
    "kind": (LedgerRefused, "no such kind", {"kind": "whim"}),
    "past": (LedgerRefused, "over already", {"until": date(2020, 1, 1)}),
    "reason": (LedgerRefused, "reason is empty", {"reason": " "}),
    "personal": (LedgerRefused, "names personal data", {"authority": f"call {mobile(3)}"}),
}


def test_what_is_wrong_is_refused_and_nothing_is_written(company: Disposing) -> None:
    open_settled(company)
    there = holder(company)
    before = len(there.ledger.entries(NAME))
    for error, said, change in WRONG.values():
        with pytest.raises(error, match=said):
            hold_everything(there, ASKER, replace(WHY, **change))
    run_sql(there.source, "UPDATE s.person SET mobile = '13800138004' WHERE id = 5")
    with pytest.raises(SubjectUnknown):
        hold_subject(there, ASKER, "13800138099", None, WHY)
    with pytest.raises(SubjectUnclear, match=r"2 in s\.person"):
        hold_subject(there, ASKER, mobile(4), None, WHY)
    for table, where, told in (
        ("s.nobody", "", "no column|not there|is no table|refused"),
        ("elsewhere.person", "", "in no schema"),
        ("person", "", "not named as"),
        ("s.person", "mood = 1", "no column"),
        ("s.person", f"mobile = '{mobile(3)}'", "names personal data"),
    ):
        with pytest.raises(HandoverError, match=told):
            hold_table(there, ASKER, table, WHY, where)
    with pytest.raises(LedgerRefused, match="no person was named"):
        hold_named(there, ASKER, "s.person#00", WHY)
    kinds = {entry.kind for entry in there.ledger.entries(NAME)[before:]}
    assert kinds <= {"key-created"}
    assert (epoch(there), all_holds(there, NAME)) == (0, [])


def test_a_person_is_named_for_a_form_and_a_hold_ends_on_its_day(company: Disposing) -> None:
    open_settled(company)
    there = holder(company)
    label = name_subject(there, mobile(3))
    assert label == name_subject(there, "3"), "the same person has one name"
    assert len(there.entries("hold-subject-named")) == 1
    day = legal_day() + timedelta(days=10)
    laid = hold_named(there, ASKER, label, replace(WHY, until=day))
    assert laid.over == label
    (found,) = all_holds(there, NAME)
    assert (found.where, found.what, found.over) == ("\"id\" = '3'", "subject", label)
    assert (found.state(day - timedelta(days=1)), found.state(day)) == (
        f"open until {day}", f"over since {day}, not released",
    )  # fmt: skip
    assert open_holds(there, day - timedelta(days=1)) == (found,)
    assert open_holds(there, day) == ()
    with pytest.raises(KeyUnavailable):
        there.keyring.destroy(there.keyring.find(Purpose.HOLD, NAME).key_id)
        open_holds(there, legal_day())


def test_an_entry_that_was_changed_stops_everything(company: Disposing, monkeypatch: Any) -> None:
    open_settled(company)
    there = holder(company)
    hold_everything(there, ASKER, WHY)
    (entry,) = there.entries("hold-added")
    other = replace(entry, body_text=entry.body_text.replace("everything", "subject"))
    monkeypatch.setattr(type(there.ledger), "entries", lambda *_, **__: [other])
    with pytest.raises(LedgerRefused, match=f"entry {entry.seq} .* was changed"):
        open_holds(there, legal_day())


SOURCE: dict[str, Any] = {
    "source": "sample-source", "title": "Sample 示例", "handler": {"name": "Sample"},
    "keeper": {"name": "Keeper"}, "owner": "office",
    "database": {"connection": "src", "schemas": ["s"], "large_objects": False},
    "restore_test": {"connection": "dst"}, "policy": ["cn-pipl@2026.11"],
    "approvals": {"execute": {"approvers": ["first", "second"]}},
    "virtual_keys": [
        {"table": "s.log", "columns": ["person_id"], "references": "s.person", "to_columns": ["id"]}
    ],
}  # fmt: skip


class Registered(Disposing):
    """A runner with sources of its own."""

    def settings(self) -> Settings:
        """Return the settings with the folder of sources."""
        return replace(super().settings(), sources=self.home / "sources")


@pytest.fixture
def registered(company: Disposing) -> Registered:
    """A runner whose database is a registered source."""
    made = Registered(**vars(company))
    RegisteredSource.model_validate(SOURCE)
    (made.home / "sources").mkdir()
    (made.home / "sources" / "sample-source.yaml").write_text(yaml.safe_dump(SOURCE, allow_unicode=True))
    write_map(made.home, disposed_map() | {"map": "sample-source"})
    run_sql(made.urls["src"], "INSERT INTO s.log VALUES (3, 'seen'), (4, 'seen')")
    return made


def test_a_hold_on_a_source_binds_every_case_over_it(registered: Registered) -> None:
    context = open_settled(registered)
    there = holder(registered, "sample-source")
    with pytest.raises(CaseInvalid, match="registered source sample-source"):
        hold_subject(holder(registered), ASKER, mobile(3), None, WHY)
    laid = hold_subject(there, ASKER, mobile(3), None, WHY)
    assert laid.moments == {"sample-source": "before", NAME: "before"}
    assert epoch(context) == 1
    (found,) = open_holds(context, legal_day())
    assert (found.id, found.name) == (laid.id, "sample-source")
    assert closed(context) == {
        "s.person": 1,
        "s.loan": 1,
        "s.consent": 1,
        "s.visit": 7,
        "s.call": 3,
        "s.log": 1,
    }
    with pytest.raises(LedgerRefused, match="not under approvals"):
        let_go(there, laid, OUTSIDER)
    let_go(there, laid)
    with closing(connect(context.source, read_only=True)) as session:
        assert held_scope(context, legal_day(), session, held_graph(context, session)) is None
    hold_everything(there, ASKER, WHY)
    assert set(closed(context)) == set(contents(context.source)) - {"s.call_1", "s.call_2"} | {"s.call"}


def by_another_name(registered: Registered, **more: str) -> tuple[Registered, dict[str, str]]:
    """The runner with one more connection to its source, that of another role say, and those to others."""
    owner = make_conninfo(registered.urls["src"], application_name="owner")
    urls = registered.urls | {"owner": owner} | more
    return replace(registered, urls=urls), SOURCE["database"] | {"connection": "owner"}


def test_a_hold_binds_a_case_that_reaches_the_database_by_another_connection(
    registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, database = by_another_name(registered)
    context = open_settled(runner, source=database)
    there = holder(runner, "sample-source")
    with pytest.raises(CaseInvalid, match="registered source sample-source"):
        hold_subject(holder(runner), ASKER, mobile(3), None, WHY)
    opened(context)
    laid = hold_subject(there, ASKER, mobile(3), None, WHY)
    assert (laid.moments, epoch(context)) == ({"sample-source": "before", NAME: "before"}, 1)
    asked = list[str]()
    monkeypatch.setattr(
        databases, "database_identity", lambda one: asked.append("") or database_identity(one)
    )
    for _ in range(2):
        assert [one.id for one in open_holds(context, legal_day())] == [laid.id]
    assert closed(context)["s.log"] == 1, "what the source declares leads to a person"
    assert len(asked) <= 2, "each database is asked once"
    gone = Databases({"src": runner.urls["src"]}.__getitem__)
    assert len(open_holds(replace(context, databases=gone), legal_day())) == 1, (
        "its snapshot said which it was"
    )
    with pytest.raises(GateBlocked) as raised:
        erase_here(context)
    assert raised.value.data["holds"] == [laid.id]
    let_go(there, laid)
    assert erase_here(context) == ALL_GONE


def test_where_nobody_can_say_whether_it_is_one_database_rows_stay(registered: Registered) -> None:
    runner, database = by_another_name(registered)
    context = open_settled(runner, source=database)
    blind = replace(runner, urls={name: url for name, url in runner.urls.items() if name != "src"})
    write_source(registered, "far-source", "far")
    unsure = open_context(blind.settings(), NAME, context.run, blind.urls.__getitem__)
    assert open_holds(unsure, legal_day()) == (), "no hold, nothing to ask"
    away = replace(runner, urls=runner.urls | {"far": "host=127.0.0.1 port=1 dbname=far"})
    with pytest.raises(ConnectionLost):
        hold_table(holder(away), ASKER, "s.visit", WHY)
    laid = hold_everything(holder(runner, "sample-source"), ASKER, WHY)
    assert laid.moments == dict.fromkeys(("far-source", "sample-source", NAME), "before")
    with pytest.raises(ConfigurationMissing, match="connection 'src'"):
        open_holds(unsure, legal_day())
    assert len(open_holds(context, legal_day())) == 1, "the far source has no hold, so nobody asks for it"
    gone = Databases({"src": runner.urls["src"]}.__getitem__)
    with pytest.raises(ConfigurationMissing, match="connection 'owner'"):
        open_holds(replace(context, databases=gone), legal_day())


def test_another_database_of_the_same_server_is_not_bound(registered: Registered) -> None:
    runner, _ = by_another_name(registered, far=with_database(registered.urls["src"], "postgres"))
    context = open_settled(runner)
    write_source(registered, "far-source", "far")
    laid = hold_everything(holder(runner, "far-source"), ASKER, WHY)
    assert (set(laid.moments), open_holds(context, legal_day())) == ({"far-source"}, ())


def test_a_hold_binds_other_sources_and_runs_that_go_on_without_their_file(registered: Registered) -> None:
    runner, database = by_another_name(registered)
    context = open_settled(runner, source=database)
    write_source(registered, "owner-source", "owner")
    (runner.home / "cases" / f"{NAME}.yaml").write_text("case: [")
    laid = hold_subject(holder(runner, "sample-source"), ASKER, mobile(3), None, WHY)
    assert set(laid.moments) == {"owner-source", "sample-source", NAME}
    assert epoch(context) == 1
    assert [one.id for one in open_holds(holder(runner, "owner-source"), legal_day())] == [laid.id]
    for entry in context.ledger.entries(NAME, kinds=["run-opened"]):
        replace(context, run=entry.run).record("run-aborted", {"removed": []})
    laid = hold_subject(holder(runner, "owner-source"), ASKER, mobile(4), None, WHY)
    assert set(laid.moments) == {"owner-source", "sample-source"}


def write_source(registered: Registered, name: str, connection: str) -> None:
    """Register one more source, without references of its own."""
    found = {key: said for key, said in SOURCE.items() if key != "virtual_keys"} | {"source": name}
    found |= {"database": SOURCE["database"] | {"connection": connection}}
    (registered.home / "sources" / f"{name}.yaml").write_text(yaml.safe_dump(found, allow_unicode=True))
    write_map(registered.home, disposed_map() | {"map": name})


def closed(context: Context) -> dict[str, int]:
    """What is held, as sweeps find it."""
    with closing(connect(context.source, read_only=True)) as session:
        graph = held_graph(context, session)
        scope = held_scope(context, legal_day(), session, graph)
        assert scope is not None
        closure = Closure(session, graph, scope, prefix="held")
        begin_snapshot(session)
        closure.compute(lambda rows: None)
        scopes = [closure.table_scope(number) for number in range(len(graph.tables))]
    return {one.label: one.owned + one.needed for one in scopes if one.owned + one.needed}


@pytest.fixture
def installation(
    registered: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., int]]:
    """The command line of an installation with people, each with a file that holds a password."""
    passwords = {"first": "secret of first", "second": "secret of second"}
    with login_service(tmp_path / "login", passwords) as address:
        folders = {
            f"HANDOVER_{name.upper()}": str(registered.home / name) for name in ("sources", "datamaps")
        }
        variables = registered.settings().variables | folders | {"AIRFLOW__API__BASE_URL": address}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for name, url in registered.urls.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", url)
        for name, password in passwords.items():
            (tmp_path / name).write_text(password)

        def run(action: str, *arguments: str, who: str = "", said: str = "") -> int:
            monkeypatch.setattr("sys.stdin", io.StringIO(said))
            proof = ["--as", who, "--password-file", str(tmp_path / who)] if who else []
            return main(["hold", action, "sample-source", *arguments, *proof])

        yield run


def test_the_commands(installation: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    why = ["--reason", "a claim", "--authority", "court [bold]", "--kind", "litigation"]
    assert installation("add", *why, who="first") == 2, "nobody said what"
    assert installation("add", "--everything", "--table", "s.person", *why, who="first") == 2
    assert "say what is held" in capsys.readouterr().err
    assert installation("add", "--subject", *why, who="first", said="13800138099") == 1
    assert "SubjectUnknown" in capsys.readouterr().err
    assert installation("add", "--subject", "--until", "2999-01-01", *why, who="first", said=mobile(3)) == 0
    out = capsys.readouterr()
    hold = out.out.strip()
    assert out.err == "sample-source: in time: nothing had gone\n"
    assert installation("token", said="3") == 0
    label = capsys.readouterr().out.strip()
    assert installation("release", hold, "--reason", "it was settled", who="first") == 0
    out = capsys.readouterr()
    request = out.out.strip()
    assert f"hold approve sample-source {request}" in out.err
    for before, state in ((request, "open until 2999-01-01"), ("", "released by second on ")):
        assert installation("list") == 0
        (line,) = [one for one in capsys.readouterr().out.splitlines() if one.strip().startswith(hold)]
        assert all(part in line for part in (before, state, label, "court [bold]", "a claim", "litigation"))
        if before:
            assert installation("approve", request, who="first") == 1
            assert installation("approve", request, who="second") == 0
            assert hold in capsys.readouterr().out


def test_a_hold_whose_rows_nobody_can_tell_any_more_lets_nothing_go(company: Disposing) -> None:
    context = open_settled(company)
    laid = hold_table(holder(company), ASKER, "s.log", WHY, "said <> 'x'")
    for change, told in (
        ("ALTER TABLE s.log RENAME said TO spoken", "no column 'said'"),
        ("DROP TABLE s.log CASCADE", r"s\.log is not there"),
    ):
        run_sql(context.source, change)
        with (
            closing(connect(context.source, read_only=True)) as session,
            pytest.raises(GateBlocked, match=f"hold {laid.id} of .* {told}"),
        ):
            held_scope(context, legal_day(), session, held_graph(context, session))
