"""Tombstones in the ledger's database: keyed tokens of rows that were erased, by case, run and table.

De-identified, and personal data all the same: without their key they name nobody, with it they say of a given
row whether it was erased. They go when no backup is left that could bring the row back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from handover.evidence.connection import session

_INSERT = """
INSERT INTO public.tombstone (case_id, run, label, token) SELECT %s, %s, %s, unnest(%s::bytea[])
ON CONFLICT DO NOTHING
"""
_COUNT = "SELECT count(*) FROM public.tombstone WHERE case_id = %s AND run = %s"
_COUNT_OF = f"{_COUNT} AND label = %s"
_FOUND = """
SELECT token FROM public.tombstone WHERE case_id = %s AND run = %s AND label = %s
AND token = ANY(%s::bytea[])
"""
_DELETE = "DELETE FROM public.tombstone WHERE case_id = %s AND run = %s"
_TAKE_BACK = f"{_DELETE} AND label = %s AND token = ANY(%s::bytea[])"
# Keeps these locks apart from others in the ledger's database.
_LOCK_CLASS = 0x701B
_ALONE = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"


@contextmanager
def writing_alone(url: str, case: str, run: str) -> Iterator[None]:
    """Keep others from adding or taking back tombstones of a run; raises Busy when somebody takes long."""
    with session(url) as connection, connection.transaction():
        connection.execute(_ALONE.encode(), [_LOCK_CLASS, f"{case}/{run}"])
        yield


def add_tombstones(url: str, case: str, run: str, label: str, tokens: Sequence[bytes]) -> None:
    """Add tombstones of a table's rows; those that are there stay."""
    with session(url) as connection:
        connection.execute(_INSERT, [case, run, label, list(tokens)])


def count_tombstones(url: str, case: str, run: str, label: str | None = None) -> int:
    """Return how many a run has, of one table or of all."""
    with session(url) as connection:
        query, values = (_COUNT, [case, run]) if label is None else (_COUNT_OF, [case, run, label])
        row = connection.execute(query.encode(), values).fetchone()
    return int(row[0]) if row else 0


def find_tombstones(url: str, case: str, run: str, label: str, tokens: Iterable[bytes]) -> set[bytes]:
    """Return those of the tokens that are tombstones."""
    with session(url) as connection:
        rows = connection.execute(_FOUND, [case, run, label, list(tokens)]).fetchall()
    return {bytes(row[0]) for row in rows}


def take_back_tombstones(url: str, case: str, run: str, label: str, tokens: Sequence[bytes]) -> int:
    """Delete tombstones of a table's rows; returns how many there were."""
    with session(url) as connection:
        return connection.execute(_TAKE_BACK.encode(), [case, run, label, list(tokens)]).rowcount


def delete_tombstones(url: str, case: str, run: str) -> int:
    """Delete all of a run; returns how many there were."""
    with session(url) as connection:
        return connection.execute(_DELETE, [case, run]).rowcount
