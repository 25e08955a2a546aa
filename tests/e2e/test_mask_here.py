"""Rows that get pseudonyms where they lie: those of the class that equal their backup, and no others."""

from contextlib import closing
from typing import Any

import psycopg
import pytest

from fixtures.contents import contents, run_sql
from fixtures.disposed import CLASSES, Disposing, fill, open_disposing, opened
from fixtures.holding import Adding, at
from fixtures.runs import Runner
from handover.crashpoints import CrashPoint
from handover.errors import Busy, CaseInvalid, GateBlocked, ScopeChanged, VerificationFailed
from handover.stages import mask_here
from handover.stages.context import Context
from handover.stages.freezing import lift_freeze, not_frozen
from handover.stages.hold_epoch import raise_epoch
from handover.stages.mask_here import (
    finish_mask_here,
    look_here_lane,
    mask_here_faults,
    mask_here_lane,
)

PERSONS, VISITS, CALLS = 5, 37, 20


@pytest.fixture
def company(runner: Runner) -> Disposing:
    """A runner whose source is filled."""
    return fill(runner)


def query(context: Context, text: str) -> list[tuple[Any, ...]]:
    """Return what a query says at the source."""
    with psycopg.connect(context.source) as source:
        return source.execute(text.encode()).fetchall()


def in_lanes(work: Any, context: Context) -> int:
    """Do every lane's work; returns the sum."""
    return sum(work(context, lane.number) for lane in context.plan().lanes)


def test_rows_of_the_class_get_pseudonyms_and_no_others(company: Disposing) -> None:
    context = open_disposing(company)
    opened(context)
    before = contents(context.source)
    raw = query(context, "SELECT * FROM s.person ORDER BY id")
    assert mask_here_faults(context)[0] == "pseudonymised at the source: 4 of 4 chunks are not"
    assert in_lanes(mask_here_lane, context) == PERSONS + VISITS + CALLS
    after = contents(context.source)
    person = query(context, "SELECT * FROM s.person ORDER BY id")
    assert person[5:] == raw[5:]
    kept = [(row[:2], row[3:5]) for row in raw[:5]]
    assert [(row[:2], row[3:5]) for row in person[:5]] == kept
    assert [(row[6], row[7]) for row in person[:5]] == [(1, f"Dear {row[2]}") for row in person[:5]]
    assert {table for table in before if before[table] != after[table]} == {
        "s.person", "s.visit", "s.call_1", "s.call_2", "s.log"}  # fmt: skip
    left = b"".join(row for table in ("s.visit", "s.call_1", "s.call_2") for row in after[table])
    assert left.count(b"13800138") == 1, "the visit of who is out of scope"
    # One person has one pseudonym wherever the number stood.
    together = """SELECT count(*) FROM s.call c JOIN s.visit v
                  ON v.person_id = c.person_id AND v.note = 'seen ' || c.mobile"""
    assert query(context, together) == [(CALLS * 5,)]
    assert not_frozen(context) == []
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        run_sql(context.source, "UPDATE s.person SET touched = 0")
    told_once_and_read_again(context)
    lift_freeze(context)
    for change, said in LATER:
        found_later(context, change, said)


def told_once_and_read_again(context: Context) -> None:
    """Repeat the step, read again, and look into the ledger."""
    masked = contents(context.source)
    assert in_lanes(mask_here_lane, context) == PERSONS + VISITS + CALLS, "a repeated step says the same"
    assert contents(context.source) == masked
    entries = {entry.body["table"]: entry.body for entry in context.entries("chunk-masked-here")}
    assert len(entries) == len(context.entries("chunk-masked-here")) == 4
    person = entries["s.person"]
    assert (person["rows"], person["masked"], person["differing"], person["gone"]) == (7, PERSONS, 0, 0)
    assert (person["changed"], person["counts"]["mobile"]["masked"]) == ({"touched": 5}, 5)
    assert any("not read again" in fault for fault in mask_here_faults(context))
    assert in_lanes(look_here_lane, context) == PERSONS + VISITS + CALLS
    finish_mask_here(context)
    assert mask_here_faults(context) == []
    (summary,) = context.entries("masked-here")
    assert summary.body["faults"] == 0
    assert sum(table["masked"] for table in summary.body["tables"]) == PERSONS + VISITS + CALLS
    text = "".join(entry.line for entry in context.entries())
    assert "13800138" not in text
    assert "privat" not in text


LATER = (
    ("UPDATE s.person SET name = 'privat 2' WHERE id = 2", "id = 2 differs in name"),
    ("UPDATE s.person SET name = 'other' WHERE id = 6", "id = 6 differs in name"),
    ("UPDATE s.call SET mobile = 'X' WHERE id = 3", "differs in mobile"),
    ("DELETE FROM s.call WHERE id = 13", "is missing"),
    ("UPDATE s.visit SET note = '13800138004' WHERE person_id = 4", "is missing"),
)


def found_later(context: Context, change: str, said: str) -> None:
    """Make a change after all was masked: the next look names it, and no value."""
    run_sql(context.source, change)
    found = []
    for lane in context.plan().lanes:
        try:
            look_here_lane(context, lane.number)
        except VerificationFailed as error:
            found += error.data["differences"]
    assert any(said in line for line in found), found
    assert "138001" not in str(found)
    assert "privat" not in str(found)
    assert mask_here_faults(context)


def test_rows_that_changed_or_went_stay_and_are_named(
    company: Disposing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_here, "LOCK_SECONDS", 1)
    context = open_disposing(company, cutover={})
    opened(context)
    run_sql(context.source, """DELETE FROM s.call WHERE id = 3; DELETE FROM s.visit
        WHERE ctid = (SELECT min(ctid) FROM s.visit WHERE person_id = 4)""")  # fmt: skip
    with closing(psycopg.connect(context.source)) as other:
        other.execute("UPDATE s.person SET mobile = '13911112222' WHERE id = 2")
        with pytest.raises(Busy):
            in_lanes(mask_here_lane, context)
        other.commit()
    assert in_lanes(mask_here_lane, context) == PERSONS + VISITS + CALLS - 3
    entries = {entry.body["table"]: entry.body for entry in context.entries("chunk-masked-here")}
    counts = {table: (body["differing"], body["gone"]) for table, body in entries.items()}
    assert counts == {"s.person": (1, 0), "s.call_1": (0, 1), "s.call_2": (0, 0), "s.visit": (0, 1)}
    assert entries["s.person"]["findings"] == ["s.person: row with id = 2 differs in mobile, touched"]
    assert entries["s.visit"]["findings"][0].endswith(" is missing")
    assert query(context, "SELECT mobile FROM s.person WHERE id = 2") == [("13911112222",)]
    with pytest.raises(VerificationFailed):
        in_lanes(look_here_lane, context)
    with pytest.raises(VerificationFailed, match="1 rows that differ from the backup, 0 that are gone"):
        finish_mask_here(context)
    assert context.entries("masked-here")[0].body["faults"] > 0


def test_a_column_that_came_since_stops_masking(company: Disposing) -> None:
    """What stands in it nobody has looked at: the rows would count as pseudonymised all the same."""
    context = open_disposing(company)
    opened(context)
    run_sql(context.source, "ALTER TABLE s.call ADD second_mobile text")
    before = contents(context.source)
    with pytest.raises(ScopeChanged, match=r"s\.call_1: column second_mobile is new"):
        in_lanes(mask_here_lane, context)
    assert {t: rows for t, rows in contents(context.source).items() if t.startswith("s.call")} == {
        t: rows for t, rows in before.items() if t.startswith("s.call")
    }


def test_what_no_backup_holds_is_refused(company: Disposing) -> None:
    classes = [{**one, "target": "nothing"} if one["name"] == "traces" else one for one in CLASSES]
    with pytest.raises(CaseInvalid, match="so that no backup would hold it"):
        company.open("draft", classes=classes)


def test_a_hold_that_comes_while_rows_are_masked_waits_for_the_chunk_and_stops_the_next(
    company: Disposing,
) -> None:
    context = open_disposing(company, lanes=1)
    with raise_epoch(context) as raised:
        assert raised.moment == "before"
    opened(context)
    adding = Adding(context, {"kind": "litigation", "row_classes": ["settled"]})
    with (
        at(CrashPoint.MASKED_HERE_UNCOMMITTED, adding.begin),
        pytest.raises(GateBlocked, match="row class settled is to be pseudonymised"),
    ):
        mask_here_lane(context, 0)
    adding.thread.join()
    assert adding.raised[0].moment == "during"
    assert contents(context.source) == adding.left, "rows lost their identities under a hold"
    assert mask_here_faults(context)[0] == "pseudonymised at the source: 3 of 4 chunks are not"
    adding.released()
    assert mask_here_lane(context, 0) == PERSONS + VISITS + CALLS
    assert look_here_lane(context, 0) == PERSONS + VISITS + CALLS
    finish_mask_here(context)
    with raise_epoch(context) as raised:
        assert raised.moment == "after"
