"""Runs that work in one database keep receipts of their own there, and close without each other's."""

from collections.abc import Callable, Iterator
from contextlib import closing
from threading import Thread

import pytest

from handover.postgres.outcomes import create_outcomes, keep_outcome, outcomes
from handover.postgres.receipts import create_receipts, drop_receipts, once, receipts, runs_with_receipts
from handover.postgres.session import Connection, connect, fetch
from handover.postgres.undoing import undo

SWEEP, REQUEST, STEP = "sweep/run-1", "request/run-1", "step"
THERE = "SELECT to_regnamespace('handover') IS NOT NULL"


@pytest.fixture
def url(database: Callable[..., str]) -> str:
    return database("receipts")


@pytest.fixture
def session(url: str) -> Iterator[Connection]:
    with closing(connect(url)) as made:
        yield made


def done(session: Connection, run: str, unit: str) -> None:
    with once(session, run, STEP, unit, 7) as todo:
        assert todo
        keep_outcome(session, run, STEP, unit, {"rows": 7})


def test_a_run_that_closes_leaves_what_others_did(session: Connection) -> None:
    for run in (SWEEP, REQUEST):
        create_outcomes(session, run)
        done(session, run, "0")
    assert not drop_receipts(session, REQUEST)
    assert (receipts(session, REQUEST, STEP), outcomes(session, REQUEST, STEP)) == ({}, {})
    assert receipts(session, SWEEP, STEP) == {"0": (7, "")}
    assert outcomes(session, SWEEP, STEP) == {"0": {"rows": 7}}
    done(session, SWEEP, "1")
    assert drop_receipts(session, SWEEP)
    assert fetch(session, THERE) == [(False,)]
    assert not drop_receipts(session, SWEEP)
    assert runs_with_receipts(session) == set()


def test_a_run_that_has_done_nothing_yet_keeps_the_schema(session: Connection) -> None:
    create_outcomes(session, REQUEST)
    create_receipts(session, SWEEP)
    assert not drop_receipts(session, REQUEST)
    done(session, SWEEP, "0")
    assert receipts(session, SWEEP, "") == {"": (0, "")}


def test_an_abort_leaves_what_others_did(session: Connection) -> None:
    create_receipts(session, SWEEP)
    create_receipts(session, REQUEST)
    assert undo(session, REQUEST, STEP, ["s"]) == ["receipts in schema handover"]
    assert runs_with_receipts(session) == {SWEEP}
    assert undo(session, REQUEST, STEP, ["s"]) == []
    assert undo(session, SWEEP, STEP, ["s"]) == ["schema handover"]


def test_one_begins_while_another_closes(url: str, session: Connection) -> None:
    """Whoever comes second waits, and what it finds then counts: the schema is there for both, or anew."""
    create_outcomes(session, REQUEST)
    with closing(connect(url)) as other:
        closing_too = Thread(target=drop_receipts, args=(other, REQUEST))
        with session.transaction():
            create_outcomes(session, SWEEP)
            closing_too.start()
            closing_too.join(0.3)
            assert closing_too.is_alive(), "it did not wait for the one that begins"
        closing_too.join()
        done(session, SWEEP, "0")
        beginning = Thread(target=create_outcomes, args=(other, REQUEST))
        with session.transaction():
            assert drop_receipts(session, SWEEP)
            beginning.start()
            beginning.join(0.3)
            assert beginning.is_alive(), "it did not wait for the one that closes"
        beginning.join()
        done(other, REQUEST, "0")
    assert runs_with_receipts(session) == {REQUEST}
