"""What went is gone, what stays is there, and whatever came back or was overlooked is named."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Any

import psycopg
import pytest

from fixtures.clusters import databases
from fixtures.contents import run_sql
from fixtures.disposed import fill
from fixtures.erased import Seeing, gone, nowhere, open_erasing
from fixtures.residue import OUT_OF_REACH, Site, lab
from fixtures.runs import Runner
from handover.errors import NotReady, VerificationFailed
from handover.local.clusters import Cluster
from handover.model.disposal import Disposal, Window
from handover.postgres.session import with_database
from handover.stages.clean_residue import (
    clean_residue,
    in_rewrite_window,
    residue_faults,
    residue_lines,
    rewrite_window,
)
from handover.stages.context import Context
from handover.stages.facts import LEGAL_TIME
from handover.stages.freezing import lift_freeze
from handover.stages.proving import proof, prove, prove_faults
from handover.stages.tombstones import known, write_tombstones

__all__ = ["lab"]
# The module is loaded there, for another database.
UNKNOWN = OUT_OF_REACH | {"statement-texts"}
ERASED, SHARED = b"13800138003", b"13800138006"
ERASED_VISITS, ERASED_CALLS = 37, 20


@pytest.fixture
def site(lab: Cluster) -> Iterator[Site]:
    """An empty database on a server of its own, whose data directory may be read."""
    with databases(lab) as factory:
        owner = factory()
        name = str(psycopg.conninfo.conninfo_to_dict(owner)["dbname"])
        yield Site(lab, owner, with_database(lab.admin_url(), name))


@pytest.fixture
def company(runner: Runner, site: Site) -> Seeing:
    """A runner whose source is filled, on that server."""
    here = runner.between(site.admin, runner.urls["dst"])
    return Seeing(**vars(fill(here)), data=site.cluster.data)


def refused(context: Context, resolve: Any = nowhere) -> list[str]:
    """The lines with which a proof is refused; none names a value."""
    with pytest.raises(VerificationFailed) as caught:
        prove(context, resolve)
    assert "138001" not in str(caught.value)
    assert "privat" not in str(caught.value)
    lines: Any = caught.value.data["differences"]
    assert any(lines[0] in fault for fault in prove_faults(context))
    return list(lines)


def test_what_went_is_proven_to_be_gone(company: Seeing, site: Site) -> None:
    context = open_erasing(company)
    gone(context)
    assert prove_faults(context) == ["it was not proven that what went is gone"]
    assert residue_faults(context) == ["residue at the source: not looked at since rows went"]
    with pytest.raises(NotReady, match="not proven"):
        write_tombstones(context)
    residue_is_left_where_nothing_may_be_rewritten(context, site)
    clean_residue(context)
    lines = {line.place: line for line in residue_lines(context)}
    doubts = {place for place, line in lines.items() if not line.clean}
    assert doubts == UNKNOWN, [lines[place] for place in doubts - UNKNOWN]
    # A number that somebody who stays has as well is no residue of those who went.
    assert site.searched(ERASED) == set()
    assert site.searched(SHARED)
    prove(context, nowhere)
    assert prove_faults(context) == residue_faults(context) == []
    what_was_looked_at(context)
    tombstones_know_what_was_erased(context)
    lift_freeze(context)
    for change, back, said in LATER:
        run_sql(context.source, change)
        found = refused(context)
        assert any(said in line for line in found), found
        run_sql(context.source, back)
    an_acknowledged_finding_is_accepted(context)
    another_store_is_searched(context)
    prove(context, nowhere)
    assert prove_faults(context) == []


def residue_is_left_where_nothing_may_be_rewritten(context: Context, site: Site) -> None:
    """Without hours for rewriting the places stay as they are, and the report says why."""
    assert site.searched(ERASED)
    disposal = context.case.disposal.model_copy(update={"rewrite": None, "mandatory": ("heap", "wal")})
    without = replace(context, case=context.case.model_copy(update={"disposal": disposal}))
    # The digest of the case is that of the run: only the look at it is another one.
    object.__setattr__(without.case, "sha256_of_json", context.case.sha256_of_json)
    clean_residue(without)
    lines = {line.place: line for line in residue_lines(without)}
    assert lines["heap"].outcome == lines["indexes"].outcome == "not cleared"
    assert "no hours" in lines["heap"].reasons[0].en
    assert "no hours" in lines["wal"].reasons[0].en
    assert lines["data-directory"].outcome == "not cleared"
    assert any("base/" in reason.en for reason in lines["data-directory"].reasons)
    assert residue_faults(without) == [
        "residue at the source: heap is to be clean and is not cleared",
        "residue at the source: wal is to be clean and is cannot be verified",
    ]


def what_was_looked_at(context: Context) -> None:
    """Look into the entry: counts, columns, no value."""
    body = proof(context)
    assert body is not None
    assert {one["table"]: (one["rows"], one["there"]) for one in body["classes"]} == {
        "s.visit": (ERASED_VISITS, 0), "s.call": (ERASED_CALLS, 0)}  # fmt: skip
    assert body["persons"] == {"settled": 5, "traces": 7}
    assert all(one["same"] for one in body["kept"])
    assert {one["table"] for one in body["kept"]} == {"s.person", "s.loan", "s.consent", "s.log"}
    (store,) = body["stores"]
    assert (store["values"], store["findings"], store["attributed"]) == (
        {"mobile": 7}, [], {"s.person.mobile": 2})  # fmt: skip
    text = "".join(entry.line for entry in context.entries())
    assert "13800138" not in text
    assert "privat" not in text


def tombstones_know_what_was_erased(context: Context) -> None:
    """A row of an old backup is known by its key; one that nobody erased is not."""
    rows = ERASED_VISITS + ERASED_CALLS
    assert write_tombstones(context) == write_tombstones(context) == rows
    (entry,) = context.entries("tombstones-written")
    assert entry.body["rows"] == rows
    assert entry.body["tombstones"] == ERASED_CALLS + 7 + 1, "equal rows without a key have one"
    calls = [(b"1", b"2026-01-26"), (b"1", b"2026-01-27"), (b"999", b"2026-01-26")]
    assert known(context, "s.call", calls) == [True, False, False]
    assert known(context, "s.visit", [(b"3", None), (b"3", b"\\N"), (b"9", b"seen 13800138009")]) == [
        True, False, False]  # fmt: skip
    with psycopg.connect(context.ledger_url) as ledger:
        (text,) = ledger.execute("SELECT string_agg(t::text, ' ') FROM public.tombstone t").fetchone() or (
            "",
        )
    assert "13800138" not in text


# A change, what takes it back, and what is said of it.
LATER = (
    (
        "INSERT INTO s.call VALUES (1, '2026-01-26', 1, NULL)",
        "DELETE FROM s.call",
        "s.call: 1 rows of class traces are there, 0 stayed",
    ),
    (
        "INSERT INTO s.visit VALUES (3, NULL)",
        "DELETE FROM s.visit WHERE note IS NULL",
        "s.visit: 1 rows of class traces are there",
    ),
    (
        "INSERT INTO s.call VALUES (777, '2026-01-26', 1, NULL)",
        "DELETE FROM s.call",
        "s.call: 1 rows are there, 0 should be",
    ),
    (
        "INSERT INTO s.log VALUES (1, 'rang 138-0013-8003')",
        "DELETE FROM s.log WHERE said LIKE 'rang%'",
        "s.log.said: 1 cell holds raw values",
    ),
    (
        "UPDATE s.person SET name = name || 'x' WHERE id = 6",
        "ALTER TABLE s.person DISABLE TRIGGER touch; UPDATE s.person SET name = 'privat 6', touched = 0"
        " WHERE id = 6; ALTER TABLE s.person ENABLE TRIGGER touch; DELETE FROM s.log WHERE person_id = 6",
        "s.person: 1 of 2 kept rows of class active are not as they were",
    ),
    (
        "DELETE FROM s.loan WHERE id = 2",
        "INSERT INTO s.loan VALUES (2, 2, 200)",
        "s.loan: 1 of 7 kept rows",
    ),
    (
        "CREATE TABLE public.copy AS SELECT 13800138003 AS n",
        "DROP TABLE public.copy",
        "public.copy.n: 1 cell holds raw values",
    ),
)


def an_acknowledged_finding_is_accepted(context: Context) -> None:
    """Who looked into a finding accepts it by its id, and nobody else's."""
    run_sql(context.source, "CREATE TABLE public.copy AS SELECT 13800138003 AS n")
    case = context.case.model_copy(update={"acknowledge": ("src:raw-value:public.copy.n",)})
    object.__setattr__(case, "sha256_of_json", context.case.sha256_of_json)
    prove(replace(context, case=case), nowhere)
    assert prove_faults(replace(context, case=case)) == []
    assert prove_faults(context) != []
    run_sql(context.source, "DROP TABLE public.copy")


def another_store_is_searched(context: Context) -> None:
    """A declared store with a connection must not hold anything of who went; nothing there is excepted."""
    store = context.case.stores[0].model_copy(update={"name": "mirror", "connection": "mirror"})
    case = context.case.model_copy(update={"stores": (*context.case.stores, store)})
    object.__setattr__(case, "sha256_of_json", context.case.sha256_of_json)
    found = refused(replace(context, case=case), {"mirror": context.target}.__getitem__)
    assert any(line.startswith("mirror: s.person.mobile: 7 cells hold raw values") for line in found), found


@pytest.mark.parametrize(
    ("start", "end", "now", "begins", "is_open"),
    [
        (time(1), time(5), 3, 1, True),
        (time(1), time(5), 6, 25, False),
        (time(22), time(4), 3, -2, True),
        (time(22), time(4), 12, 22, False),
        (time(0), time(0), 12, 0, True),
    ],
)
def test_hours_for_rewriting(start: time, end: time, now: int, begins: int, is_open: bool) -> None:
    class OfCase:
        class case:  # noqa: N801
            disposal = Disposal(rewrite=Window(start=start, end=end))

    midnight = datetime(2026, 3, 10, tzinfo=LEGAL_TIME)
    at = midnight.replace(hour=now).astimezone(UTC)
    found = rewrite_window(OfCase, at)  # type: ignore[arg-type]
    assert found is not None
    assert (found.begins - midnight).total_seconds() / 3600 == begins
    assert (found.begins <= at < found.ends) is is_open


def test_without_hours_nobody_waits_for_them() -> None:
    class OfCase:
        disposes = False

    assert in_rewrite_window(OfCase)  # type: ignore[arg-type]
