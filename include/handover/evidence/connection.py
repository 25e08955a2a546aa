"""A short connection to the ledger's database: one transaction, errors stripped of values.

Not the pinned session of ``postgres.session``: nothing here depends on those settings, and setting them
would cost each ledger call some twenty round trips.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from handover.errors import ConfigurationMissing
from handover.postgres.session import CONNECT_SECONDS, place, stripped

Connection = psycopg.Connection[tuple[Any, ...]]

# Appending takes milliseconds; who waits longer than this stands behind a session that hangs.
_SETTINGS = r"-c lock_timeout=60s -c default_transaction_isolation=read\ committed -c search_path=pg_catalog"


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Open a connection, commit at the end of the block or roll back, and close.

    A connection per call costs some milliseconds and is in return safe across threads, forks, restarts
    of the server and long pauses.
    """
    _check_address(url)
    try:
        with psycopg.connect(
            url, connect_timeout=CONNECT_SECONDS, client_encoding="utf8", options=_SETTINGS
        ) as connection:
            yield connection
    except psycopg.Error as problem:
        raise stripped(problem, f"the ledger at {place(url)}") from None


def _check_address(url: str) -> None:
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ConfigurationMissing(
            "the ledger's address is no PostgreSQL URL",
            hint="it looks like postgresql://user@host:port/database",
        ) from None
