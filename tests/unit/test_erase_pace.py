"""Erasing keeps to its pace: rows a second, replicas that are behind, sessions that wait for our locks."""

import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fixtures.contents import run_sql
from fixtures.erasing import Asking, saved
from handover.errors import Stopped
from handover.local.clusters import Cluster
from handover.postgres.erasing.engine import erase
from handover.postgres.erasing.pace import (
    Throttle,
    blocked_by_us,
    replication_delay,
    replication_lag,
)
from handover.postgres.erasing.request import Pace
from handover.postgres.session import Connection, connect


def never() -> None:
    """Nobody asks to stop."""


def test_rows_a_second_are_kept_to(database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handover.postgres.erasing.batches.SUBJECTS_OF_A_NUMBER", 10)
    url = database("erase")
    run_sql(url, "CREATE SCHEMA s; CREATE TABLE s.a AS SELECT n AS id FROM generate_series(1, 600) n")
    with closing(connect(url)) as session:
        asking = Asking(saved(session, "s.a"), "s.a", {"s.a": "true"}, pace=Pace(rows_per_second=1000))
        began = time.monotonic()
        assert erase(session, asking.request()).tables[0].deleted == 600
        assert 0.55 < time.monotonic() - began < 10


def test_a_transaction_takes_more_while_it_is_quick_and_less_while_it_is_slow() -> None:
    throttle = Throttle(Pace(seconds_per_batch=1.0), never)
    first = throttle.width
    throttle.after(10, 0.1, 0)
    assert throttle.width == 2 * first
    throttle.after(10, 0.7, 0)
    assert throttle.width == 2 * first
    throttle.after(10, 3.0, 0)
    assert throttle.width == first


def test_those_who_waited_for_us_get_time(database: Callable[..., str]) -> None:
    url = database("erase")
    run_sql(url, "CREATE TABLE a (id int); INSERT INTO a VALUES (1)")
    with closing(connect(url)) as session, psycopg.connect(url) as other:
        session.execute("BEGIN")
        session.execute("DELETE FROM public.a")
        assert blocked_by_us(session) == 0
        waiting = threading.Thread(target=lambda: other.execute("UPDATE a SET id = 2"))
        waiting.start()
        end = time.monotonic() + 10
        while not blocked_by_us(session) and time.monotonic() < end:
            time.sleep(0.01)
        blocked = blocked_by_us(session)
        session.execute("COMMIT")
        waiting.join()
    assert blocked == 1
    throttle = Throttle(Pace(), never)
    first, began = throttle.width, time.monotonic()
    throttle.after(10, 0.2, blocked)
    assert throttle.width == first // 4
    assert time.monotonic() - began >= 0.2


def say(wire: pq.PGconn, where: bytes) -> None:
    """Tell the server that everything up to there is written, flushed and replayed."""
    high, low = (int(part, 16) for part in where.split(b"/"))
    here = (high << 32) + low
    wire.put_copy_data(b"r" + struct.pack(">QQQQB", here, here, here, 0, 0))
    wire.flush()


@contextmanager
def replica(url: str) -> Iterator[pq.PGconn]:
    """A replica that says once where it is, and from then on does nothing."""
    wire = pq.PGconn.connect(make_conninfo(url, replication="true").encode())
    where = wire.exec_(b"IDENTIFY_SYSTEM").get_value(0, 2) or b""
    assert wire.exec_(b"START_REPLICATION PHYSICAL " + where).status == pq.ExecStatus.COPY_BOTH
    say(wire, where)
    try:
        yield wire
    finally:
        wire.finish()


@pytest.fixture
def watched(database: Callable[..., str], cluster) -> Iterator[Connection]:
    """A session that may see replicas, one of which is behind by some MB."""
    admin = cluster.admin_url(str(conninfo_to_dict(database("erase"))["dbname"]))
    with replica(admin), closing(connect(admin)) as session:
        session.execute("CREATE TABLE public.a AS SELECT md5(n::text) FROM generate_series(1, 30000) n")
        end = time.monotonic() + 10
        while replication_lag(session) < 1 << 20 and time.monotonic() < end:
            time.sleep(0.05)
        yield session


def test_replicas_that_replay_late_are_waited_for(
    database: Callable[..., str], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handover.postgres.erasing.pace._LOOK_SECONDS", 0.01)
    admin = cluster.admin_url(str(conninfo_to_dict(database("erase"))["dbname"]))
    with replica(admin) as wire, closing(connect(admin)) as session:
        assert replication_delay(session) < 0.1
        for late in (0.3, 1.0, 3.0):  # the delay counts from when the server has sent, which may be later
            session.execute("SELECT pg_logical_emit_message(false, 'late', repeat('x', 10000))")
            time.sleep(late)
            say(wire, str(session.execute("SELECT pg_current_wal_lsn()").fetchall()[0][0]).encode())
            end = time.monotonic() + 2
            while replication_delay(session) <= 0.2 and time.monotonic() < end:
                time.sleep(0.05)
            if replication_delay(session) > 0.2:
                break
        assert replication_delay(session) > 0.2
        Throttle(Pace(most_lag_seconds=60), never).before(session)

        looks: list[int] = []

        def stop() -> None:
            looks.append(1)
            if len(looks) == 3:
                raise Stopped("stopped while waiting")

        with pytest.raises(Stopped):
            Throttle(Pace(most_lag_seconds=0.1), stop).before(session)


def test_replicas_that_are_behind_are_waited_for_until_somebody_stops_it(watched: Connection) -> None:
    assert replication_lag(watched) > 1 << 20
    Throttle(Pace(most_lag=1 << 30), never).before(watched)
    looks: list[int] = []

    def stop() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise Stopped("stopped while waiting")

    with pytest.raises(Stopped):
        Throttle(Pace(most_lag=1 << 20), stop).before(watched)
