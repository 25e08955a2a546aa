"""Rows that go from the source: those of the class that equal their backup, under the law of the moment."""

from contextlib import closing
from dataclasses import replace
from random import Random
from threading import Thread

import psycopg
import pytest

from fixtures.contents import contents, run_sql
from fixtures.disposed import Disposing, agreed, delivered, fill, opened
from fixtures.holding import Adding, at
from fixtures.runs import Runner
from fixtures.settled import GONE, SETTLED, open_settled
from handover.crashpoints import CrashPoint
from handover.errors import Busy, CaseInvalid, GateBlocked, NotReady, PreflightFailed
from handover.evidence.progress import read
from handover.postgres.erasing import batches, method, pace
from handover.stages import erase_here as erasing
from handover.stages.abort import abort_run
from handover.stages.clean_residue import DATA_SETTING
from handover.stages.context import Context
from handover.stages.disposal import open_disposal
from handover.stages.erase_here import erase_faults, erase_here, rows_going
from handover.stages.freezing import not_frozen
from handover.stages.hold_epoch import Raised, epoch, held, raise_epoch

ALL_GONE = sum(GONE.values())


@pytest.fixture
def company(runner: Runner) -> Disposing:
    """A runner whose source is filled."""
    return fill(runner)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """One person in the first transaction, two in the next."""
    monkeypatch.setattr(batches, "SUBJECTS_OF_A_NUMBER", 1)
    monkeypatch.setattr(pace, "FIRST_WIDTH", 1)


def without(rows: dict[str, list[bytes]], url: str) -> dict[str, list[bytes]]:
    """What was there, less what the server by itself says is settled; taken back at once."""
    with psycopg.connect(url) as session:
        gone: dict[str, list[bytes]] = {}
        for table in rows:
            where = SETTLED.get("s.call" if table.startswith("s.call_") else table, "false")
            query = f"COPY (SELECT * FROM {table} WHERE {where}) TO STDOUT"
            with session.cursor().copy(query.encode()) as copy:
                gone[table] = [bytes(row) for row in copy]
    left = {table: list(lines) for table, lines in rows.items()}
    for table, lines in gone.items():
        for line in lines:
            left[table].remove(line)
    return left


def test_rows_of_the_class_go_and_no_others(company: Disposing) -> None:
    context = open_settled(company)
    delivered(context)
    with pytest.raises(NotReady, match="not open for disposal"):
        erase_here(context)
    agreed(context)
    open_disposal(context)
    assert rows_going(context.plan()) == GONE
    assert erase_faults(context) == ["erased at the source: not done"]
    rest = without(contents(context.source), context.source)
    assert erase_here(context) == ALL_GONE
    assert contents(context.source) == rest
    assert not_frozen(context) == []
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        run_sql(context.source, "DELETE FROM s.person")
    told(context)
    entries = len(context.entries())
    assert erase_here(context) == ALL_GONE, "a repeated step says the same"
    assert len(context.entries()) == entries
    with pytest.raises(NotReady, match="has begun to dispose"):
        abort_run(context)


def told(context: Context) -> None:
    """The ledger knows how rows went and how many, and no value."""
    assert erase_faults(context) == []
    (planned,) = [entry.body for entry in context.entries("erasing-planned")]
    assert {one["table"]: one["rows"] for one in planned["tables"]} == GONE
    assert all("too few" in one["because"] or "rows go" in one["because"] for one in planned["tables"])
    (done,) = [entry.body for entry in context.entries("erased")]
    assert {one["table"]: one["deleted"] for one in done["tables"]} == GONE
    assert (done["effects"], done["batches"]) == ([], 1)
    text = "".join(entry.line for entry in context.entries())
    assert "13800138" not in text
    assert "privat" not in text
    (stage,) = [
        one for one in read(context.ledger_url, context.case.case, context.run) if one.stage == erasing.STEP
    ]
    assert (stage.rows, stage.total_rows, stage.state) == (ALL_GONE, ALL_GONE, "done")


def test_what_is_in_the_way_stops_it_and_what_changed_stays(
    company: Disposing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "LOCK_SECONDS", 1)
    context = open_settled(company, cutover={}, disposal={"rows_per_second": 10_000})
    opened(context)
    before = contents(context.source)
    a_role_that_may_not_delete(context)
    a_disk_too_small(context)
    a_lock_that_never_comes(context)
    assert contents(context.source) == before
    rows_that_changed_or_went_stay_until_put_back(context)


def a_role_that_may_not_delete(context: Context) -> None:
    rights = ("DELETE ON s.loan", "DELETE, UPDATE ON s.call_2")
    for right in rights:
        run_sql(context.source, f"REVOKE {right} FROM company")
    with pytest.raises(PreflightFailed) as raised:
        erase_here(context)
    assert raised.value.data["lacking"] == ["UPDATE, DELETE on s.call_2", "DELETE on s.loan"]
    for right in rights:
        run_sql(context.source, f"GRANT {right} TO company")


def a_disk_too_small(context: Context) -> None:
    """A real file system that never has a free byte."""
    variables = {**context.settings.variables, DATA_SETTING: "/proc"}
    with pytest.raises(Busy, match=r"erasing needs about .* on the source.s disk for a while, 0"):
        erase_here(replace(context, settings=replace(context.settings, variables=variables)))
    assert context.entries("erasing-planned") == [], "nothing was begun"


def a_lock_that_never_comes(context: Context) -> None:
    with closing(psycopg.connect(context.source)) as other:
        other.execute("SELECT FROM s.person WHERE id = 2 FOR UPDATE")
        with pytest.raises(Busy):
            erase_here(context)


def rows_that_changed_or_went_stay_until_put_back(context: Context) -> None:
    run_sql(context.source, "UPDATE s.loan SET amount = 1 WHERE id = 2; DELETE FROM s.call WHERE id = 3")
    assert erase_here(context) == ALL_GONE - 3
    said = (
        "not erased at the source: {} rows that differ from the backup, {} to which rows that stay refer; {}"
    )
    assert erase_faults(context) == [
        f"s.call: {said.format(0, 0, 1)} were gone already",
        f"s.loan: {said.format(1, 0, 0)} were gone already",
        "at the source: s.loan: row with id = 2 is still there",
        f"s.person: {said.format(0, 1, 0)} were gone already",
        "at the source: s.person: row with id = 2 is still there",
    ]
    run_sql(context.source, "UPDATE s.loan SET amount = 200 WHERE id = 2")
    assert erase_here(context) == ALL_GONE - 1
    assert [line.split(":")[0] for line in erase_faults(context)] == ["s.call"]
    run_sql(context.source, "INSERT INTO s.person (id, branch, name) VALUES (2, 1, 'made again')")
    assert erase_here(context) == ALL_GONE - 2
    assert erase_faults(context)[1:] == [
        f"s.person: {said.format(1, 0, 0)} were gone already",
        "at the source: s.person: row with id = 2 is still there",
    ]


def test_tables_of_which_most_goes_are_emptied(company: Disposing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "WORTH_EMPTYING", 1)
    monkeypatch.setattr(method, "REWRITE_FROM", 0.6)
    context = open_settled(company)
    opened(context)
    rest = without(contents(context.source), context.source)
    assert erase_here(context) == ALL_GONE
    (done,) = [entry.body for entry in context.entries("erased")]
    assert {one["table"]: one["method"] for one in done["tables"]} == {
        "s.person": "delete", "s.loan": "delete", "s.consent": "rewrite", "s.visit": "rewrite",
        "s.call": "rewrite",
    }  # fmt: skip
    assert contents(context.source) == rest
    assert (not_frozen(context), erase_faults(context)) == ([], [])


def test_a_hold_that_comes_while_rows_go_waits_for_the_batch_and_stops_the_next(
    company: Disposing, small_batches: None
) -> None:
    """Whatever makes the law say no: here a document that is another one than was registered."""
    context = open_settled(company)
    with raise_epoch(context) as raised:
        assert raised == Raised(1, "before")
    opened(context)
    added: list[Raised] = []
    document = company.home / "documents" / context.case.case / context.case.matter.documents[0].file

    def add() -> None:
        with raise_epoch(context) as raised:
            added.append(raised)
            document.write_text("another one")

    adding = Thread(target=add)

    def begin() -> None:
        adding.start()
        adding.join(1)
        assert adding.is_alive(), "it did not wait for the batch"

    with at(CrashPoint.ERASED_UNCOMMITTED, begin), pytest.raises(CaseInvalid, match="documents"):
        erase_here(context)
    adding.join()
    assert (added, epoch(context)) == ([Raised(2, "during")], 2)
    assert len(contents(context.source)["s.person"]) == 9, "one batch went, and not the next"
    assert erase_faults(context) == ["erased at the source: not done"]
    document.write_text(document.name)
    assert erase_here(context) == ALL_GONE
    seen: list[int] = []

    def look() -> None:
        with held(context) as now:
            now.require()
            seen.append(now.number)

    looking = Thread(target=look)
    with raise_epoch(context) as late:
        assert late == Raised(3, "after")
        looking.start()
        looking.join(0.3)
        assert seen == []
    looking.join()
    assert seen == [3]


OVER_WHAT_GOES = [None, ["settled s.person"], ["settled s.loan", "kept s.visit"]]
OVER_WHAT_STAYS = ["kept s.person"]


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.campaign) for n in range(2, 12))])
def test_nothing_goes_from_when_a_hold_is_in_force_until_it_is_released(
    company: Disposing, small_batches: None, seed: int
) -> None:
    """Holds that come in the midst of a batch, or whenever another thread has its turn."""
    random = Random(seed)
    context = open_settled(company)
    opened(context)
    rest = without(contents(context.source), context.source)
    stopped = 0
    for classes in [*random.sample(OVER_WHAT_GOES, len(OVER_WHAT_GOES)), OVER_WHAT_STAYS]:
        adding = Adding(context, {"kind": "litigation", "row_classes": classes})
        in_a_batch = (CrashPoint.ERASED_UNCOMMITTED, adding.begin)
        after_it = (CrashPoint.ERASED_COMMITTED, adding.thread.start)
        try:
            with at(*(random.choice([in_a_batch, after_it]) if stopped else in_a_batch)):
                erase_here(context)
        except GateBlocked as blocked:
            adding.thread.join()
            assert contents(context.source) == adding.left, "rows went under a hold"
            assert classes != OVER_WHAT_STAYS
            assert adding.raised[0].moment == "during"
            assert "row class settled" in blocked.message
            stopped += 1
        adding.released()
        if not erase_faults(context):
            break
    assert stopped
    assert contents(context.source) == rest
