"""Erasing, killed anywhere and begun again: exactly what was approved is gone, and nobody half erased."""

import multiprocessing
import random
from collections.abc import Callable
from contextlib import closing
from multiprocessing.connection import Connection as Pipe
from threading import Thread

import psycopg
import pytest

from fixtures.child import PATIENCE_SECONDS, _forks, _install_pause
from fixtures.contents import contents, contents_seen_by, run_sql
from fixtures.erasing import Asking, saved
from handover.crashpoints import CrashPoint
from handover.postgres.erasing import batches
from handover.postgres.erasing.engine import erase
from handover.postgres.erasing.request import Pace
from handover.postgres.session import connect

POINTS = (CrashPoint.ERASED_UNCOMMITTED, CrashPoint.ERASED_COMMITTED)
SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.a (id int PRIMARY KEY, t text);
INSERT INTO s.a SELECT n, md5(n::text) FROM generate_series(1, 600) n;
CREATE TABLE s.b (id int PRIMARY KEY, a int NOT NULL REFERENCES s.a ON DELETE CASCADE,
  above int REFERENCES s.b);
INSERT INTO s.b SELECT n, 1 + n % 600, nullif(greatest(n - 600, 0), 0) FROM generate_series(1, 1800) n;
CREATE TABLE s.c (b int REFERENCES s.b, t text);
INSERT INTO s.c SELECT 1 + n % 1800, 'same' FROM generate_series(1, 3600) n;
CREATE INDEX ON s.b (a); CREATE INDEX ON s.b (above); CREATE INDEX ON s.c (b);
"""
GOING = {"s.a": "t.id <= 200", "s.b": "t.a <= 200", "s.c": "t.b IN (SELECT id FROM s.b WHERE a <= 200)"}
# Of each subject all ten rows are there, or none: itself, three below it, and two below each of those.
HALF = """
SELECT count(*) FROM generate_series(1, 200) AS x(id) WHERE
  (SELECT count(*) FROM s.a WHERE a.id = x.id) + (SELECT count(*) FROM s.b WHERE b.a = x.id)
  + (SELECT count(*) FROM s.c JOIN s.b ON b.id = c.b WHERE b.a = x.id) NOT IN (0, 1 + 3 + 6)
"""
RECEIPTS = "SELECT coalesce(sum(rows), 0) FROM handover.receipt WHERE step = 'erase'"
REMAINING = "SELECT (SELECT count(*) FROM s.a) + (SELECT count(*) FROM s.b) + (SELECT count(*) FROM s.c)"
ALL, APPROVED = 600 + 1800 + 3600, 200 * (1 + 3 + 6)


def work(url: str, asking: Asking, pause_at: str, pipe: Pipe) -> None:
    """Erase in small batches; for a process that is killed."""
    batches.SUBJECTS_OF_A_NUMBER = 1
    _install_pause(pause_at, pipe)
    with closing(connect(url)) as session:
        pipe.send("begun")
        erase(session, asking.again(session).request())


@pytest.fixture
def asked(database: Callable[..., str]) -> tuple[str, Asking]:
    url = database("erase")
    run_sql(url, SOURCE)
    with closing(connect(url)) as session:
        asking = Asking(saved(session, "s.a"), "s.a", GOING, pace=Pace(seconds_per_batch=0))
        return url, asking.name_keys(session)


def killed(url: str, asking: Asking, pause_at: str = "", after: float = 0.0) -> bool:
    """Kill a process that erases, at a point or after some seconds; returns whether it was still at it."""
    ours, theirs = multiprocessing.Pipe()
    process = _forks().Process(target=work, args=(url, asking, pause_at, theirs))
    process.start()
    theirs.close()
    try:
        assert ours.poll(PATIENCE_SECONDS)
        assert ours.recv() == "begun"
        if pause_at:
            assert ours.poll(PATIENCE_SECONDS), "it neither paused nor ended"
            assert ours.recv() == "paused"
        else:
            process.join(after)
        return process.is_alive()
    finally:
        process.kill()
        process.join()
        ours.close()


def numbers(url: str, *queries: str) -> list[int]:
    """What some queries for a number find, all at one moment."""
    with psycopg.connect(url) as session:
        found = session.execute(f"SELECT {', '.join(f'({query})' for query in queries)}").fetchone()
        return [int(str(number)) for number in found or ()]


def nothing_half(url: str) -> None:
    """Between two attempts: no subject is in two pieces, and the receipts tell what is gone."""
    half, told, remaining = numbers(url, HALF, RECEIPTS, REMAINING)
    assert (half, told) == (0, ALL - remaining)


def finished(url: str, asking: Asking, rest: dict[str, list[bytes]]) -> None:
    """The last attempt ends well, and exactly what was approved is gone."""
    with closing(connect(url)) as session:
        erased = erase(session, asking.again(session).request())
    assert sum(table.deleted for table in erased.tables) == APPROVED
    assert all((table.gone, table.stayed) == (0, ()) for table in erased.tables)
    assert contents(url) == rest
    nothing_half(url)


def what_remains(url: str) -> dict[str, list[bytes]]:
    """The rows that must be left, by means of the database alone, taken back at once."""
    with psycopg.connect(url) as session:
        session.execute("DELETE FROM s.c WHERE b IN (SELECT id FROM s.b WHERE a <= 200)")
        session.execute("DELETE FROM s.b WHERE a <= 200")
        session.execute("DELETE FROM s.a WHERE id <= 200")
        found = contents_seen_by(session)
        session.rollback()
    return found


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
@pytest.mark.parametrize("passing", [1, 3])
def test_killed_at_a_point_and_begun_again(
    asked: tuple[str, Asking], point: CrashPoint, passing: int
) -> None:
    url, asking = asked
    rest = what_remains(url)
    assert killed(url, asking, f"point:{point.name}:{passing}")
    nothing_half(url)
    finished(url, asking, rest)


def killed_at_random(url: str, asking: Asking, kills: int, seed: int) -> None:
    dice, rest = random.Random(seed), what_remains(url)
    for _ in range(kills):
        killed(url, asking, after=0.01 * 100 ** dice.random())
        with psycopg.connect(
            url, autocommit=True
        ) as session:  # who asks before the first receipt finds no table
            if session.execute("SELECT to_regclass('handover.receipt')").fetchone() != (None,):
                nothing_half(url)
    finished(url, asking, rest)


def test_killed_at_random_and_begun_again(asked: tuple[str, Asking]) -> None:
    killed_at_random(*asked, kills=3, seed=7)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(1, 5))
def test_killed_at_random_often(asked: tuple[str, Asking], seed: int) -> None:
    killed_at_random(*asked, kills=20, seed=seed)


def test_a_session_that_is_only_thought_dead_deletes_nothing_twice(asked: tuple[str, Asking]) -> None:
    """A second session starts while the first stands still with a batch uncommitted; then that one dies."""
    url, asking = asked
    rest = what_remains(url)
    ours, theirs = multiprocessing.Pipe()
    process = _forks().Process(target=work, args=(url, asking, "point:ERASED_UNCOMMITTED:2", theirs))
    process.start()
    theirs.close()
    try:
        assert ours.poll(PATIENCE_SECONDS)
        assert ours.recv() == "begun"
        assert ours.poll(PATIENCE_SECONDS)
        second = Thread(target=finished, args=(url, asking, rest))
        second.start()
        second.join(1.5)
        assert second.is_alive(), "it did not wait for the first one's receipt"
    finally:
        process.kill()
        process.join()
        ours.close()
    second.join(PATIENCE_SECONDS)
    nothing_half(url)
    assert contents(url) == rest
