"""Spares others: how much a transaction takes, and how long to wait before the next one."""

from __future__ import annotations

import time
from collections.abc import Callable

from handover.postgres.erasing.request import Pace
from handover.postgres.session import Connection, fetch

FIRST_WIDTH = 8
_LOOK_SECONDS = 0.5
_BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
# Who may not see the state of replicas (pg_monitor) sees no numbers here, and waits for none of them.
_LAG = """
SELECT coalesce(max(pg_wal_lsn_diff(
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
  coalesce(replay_lsn, flush_lsn, write_lsn, sent_lsn))), 0)::bigint FROM pg_stat_replication
"""
# How old what the slowest replica replays last was then; nothing while all have caught up.
_DELAY = "SELECT coalesce(extract(epoch FROM max(replay_lag)), 0)::float8 FROM pg_stat_replication"


def blocked_by_us(connection: Connection) -> int:
    """Count the sessions that wait for a lock of ours, while we hold it."""
    return int(str(fetch(connection, _BLOCKED)[0][0]))


def replication_lag(connection: Connection) -> int:
    """Return by how many bytes of WAL the slowest replica is behind."""
    return int(str(fetch(connection, _LAG)[0][0]))


def replication_delay(connection: Connection) -> float:
    """Return by how many seconds the slowest replica is behind."""
    return float(str(fetch(connection, _DELAY)[0][0]))


class Throttle:
    """Keeps to a pace; ``width`` is how many numbers the next transaction should take."""

    def __init__(self, pace: Pace, honour_stop: Callable[[], None]) -> None:
        self.width = FIRST_WIDTH
        self._pace, self._honour_stop = pace, honour_stop
        self._began, self._rows = time.monotonic(), 0

    def before(self, connection: Connection) -> None:
        """Wait until replicas have come near; looks at the stop flag meanwhile."""
        self._honour_stop()
        while (
            replication_lag(connection) > self._pace.most_lag
            or replication_delay(connection) > self._pace.most_lag_seconds
        ):
            self._sleep(_LOOK_SECONDS)

    def after(self, rows: int, seconds: float, blocked: int) -> None:
        """Take more or less the next time, let those pass who waited, and keep to the rows a second."""
        if blocked:
            self.width = max(1, self.width // 4)
            self._sleep(seconds)
        elif seconds > self._pace.seconds_per_batch:
            self.width = max(1, self.width // 2)
        elif seconds < self._pace.seconds_per_batch / 2:
            self.width *= 2
        self._rows += rows
        if self._pace.rows_per_second:
            self.width = min(self.width, max(1, self._pace.rows_per_second // max(1, rows // self.width)))
            self._sleep(self._rows / self._pace.rows_per_second - (time.monotonic() - self._began))

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._honour_stop()
            time.sleep(min(left, _LOOK_SECONDS))
