"""Sessions of the ledger's database: kept open between calls, errors stripped of values.

Not the pinned session of ``postgres.session``: nothing here depends on those settings, and setting them
would cost some twenty round trips. A session serves one thread at a time and one process for ever; any
error ends it.
"""

from __future__ import annotations

import atexit
import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from handover.errors import ConfigurationMissing
from handover.postgres.session import CONNECT_SECONDS, keepalives, place, stripped

Connection = psycopg.Connection[tuple[Any, ...]]

# Appending takes milliseconds; who waits longer than this stands behind a session that hangs.
_SETTINGS = r"-c lock_timeout=60s -c default_transaction_isolation=read\ committed -c search_path=pg_catalog"
# More than lanes of one process that ask in the same moment; what is over is closed.
_MOST_IDLE = 8
# A firewall forgets silent connections without telling anybody; none does so this soon.
_LONGEST_IDLE_SECONDS = 60.0


@dataclass
class _Idle:
    """The sessions of this process that nobody uses at the moment, the latest last."""

    sessions: list[tuple[str, float, Connection]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, url: str) -> Connection | None:
        """Return a session that is still good, if there is one; those that are not are closed."""
        while found := self._remove(url):
            since, connection = found
            if time.monotonic() - since < _LONGEST_IDLE_SECONDS and _is_silent(connection):
                return connection
            connection.close()
        return None

    def _remove(self, url: str) -> tuple[float, Connection] | None:
        with self.lock:
            for number in reversed(range(len(self.sessions))):
                if self.sessions[number][0] == url:
                    return self.sessions.pop(number)[1:]
        return None

    def put(self, url: str, connection: Connection) -> None:
        """Keep a session for the next call."""
        with self.lock:
            self.sessions.append((url, time.monotonic(), connection))
            over, self.sessions = self.sessions[:-_MOST_IDLE], self.sessions[-_MOST_IDLE:]
        for _, _, old in over:
            old.close()

    def close(self) -> None:
        """Close all of them."""
        with self.lock:
            over, self.sessions = self.sessions, []
        for _, _, connection in over:
            connection.close()


_idle = _Idle()
# What a forked process finds belongs to its parent: closing it would end the parent's session.
_inherited: list[_Idle] = []


def _forget() -> None:
    global _idle
    _inherited.append(_idle)
    _idle = _Idle()


def close_idle() -> None:
    """Close what is kept open; the next call opens a session anew."""
    _idle.close()


atexit.register(close_idle)
os.register_at_fork(after_in_child=_forget)


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """Lend a session in autocommit mode, kept from an earlier call or new.

    A kept one that the server has ended is replaced before anything is sent. Whatever fails afterwards is
    raised and ends the session; nothing is sent twice.
    """
    connection = _idle.take(url) or _open(url, autocommit=True)
    try:
        yield connection
    except psycopg.Error as problem:
        connection.close()
        raise stripped(problem, f"the ledger at {place(url)}") from None
    except BaseException:
        connection.close()
        raise
    _idle.put(url, connection)


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Open a connection for one transaction: commit at the end of the block or roll back, and close."""
    try:
        with _open(url, autocommit=False) as connection:
            yield connection
    except psycopg.Error as problem:
        raise stripped(problem, f"the ledger at {place(url)}") from None


def _open(url: str, *, autocommit: bool) -> Connection:
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ConfigurationMissing(
            "the ledger's address is no PostgreSQL URL",
            hint="it looks like postgresql://user@host:port/database",
        ) from None
    try:
        connection = psycopg.connect(
            url,
            autocommit=autocommit,
            connect_timeout=CONNECT_SECONDS,
            client_encoding="utf8",
            options=_SETTINGS,
            **keepalives(),
        )
        # PGDATESTYLE in the environment is stronger than options, and times could then not be read.
        connection.execute("SET datestyle TO 'ISO'")
        return connection
    except psycopg.Error as problem:
        raise stripped(problem, f"the ledger at {place(url)}") from None


def _is_silent(connection: Connection) -> bool:
    """Say whether a session lives: the server has nothing to say to an idle one, except that it ends."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
