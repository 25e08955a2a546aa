"""How far a run is, for people: a small mutable table beside the ledger, by which nothing is decided."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from handover.evidence.connection import session
from handover.evidence.ledger import Ledger

# Often enough for a moving bar, seldom enough to cost nothing beside a chunk.
UPDATE_SECONDS = 0.5
_UPSERT = """
INSERT INTO public.progress (case_id, run, stage, lane, rows, bytes, total_rows, total_bytes, chunks,
                      started_at, updated_at, done)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp(), %s)
ON CONFLICT (case_id, run, stage, lane) DO UPDATE SET rows = excluded.rows, bytes = excluded.bytes,
  total_rows = excluded.total_rows, total_bytes = excluded.total_bytes, chunks = excluded.chunks,
  updated_at = clock_timestamp(), done = excluded.done
"""
_READ = """
SELECT stage, sum(rows)::bigint, sum(total_rows)::bigint, sum(bytes)::bigint, sum(total_bytes)::bigint,
       sum(chunks)::bigint, bool_and(done),
       (extract(epoch FROM max(updated_at) - min(started_at)) * 1000)::bigint
FROM public.progress WHERE case_id = %s AND run = %s GROUP BY stage ORDER BY min(started_at)
"""


@dataclass(frozen=True)
class StageProgress:
    """One stage over all its lanes; ``state`` is ``running`` or ``done``."""

    stage: str
    rows: int
    total_rows: int
    bytes: int
    total_bytes: int
    chunks: int
    state: str
    seconds: float


class Meter:
    """Counts the work of one lane and writes it down now and then."""

    def __init__(self, url: str, identity: tuple[str, str, str, str]) -> None:
        self._url = url
        self._identity = identity
        self._counts = [0, 0, 0, 0, 0]
        self._written = 0.0

    def expect(self, rows: int, size: int) -> None:
        """Say how much there is to do."""
        self._counts[2:4] = [rows, size]
        self._write(done=False)

    def add(self, rows: int, size: int) -> None:
        """Count one chunk."""
        self._counts[0] += rows
        self._counts[1] += size
        self._counts[4] += 1
        if time.monotonic() - self._written > UPDATE_SECONDS:
            self._write(done=False)

    def finish(self) -> None:
        """Write the final counts."""
        self._counts[2] = max(self._counts[2], self._counts[0])
        self._counts[3] = max(self._counts[3], self._counts[1])
        self._write(done=True)

    def _write(self, *, done: bool) -> None:
        with session(self._url) as connection:
            connection.execute(_UPSERT, (*self._identity, *self._counts, done))
        self._written = time.monotonic()


@contextmanager
def meter(url: str, case: str, run: str, stage: str, lane: str = "") -> Iterator[Meter]:
    """Measure a block of work; it counts as done when the block ends well."""
    measuring = Meter(url, (case, run, stage, lane))
    measuring.expect(0, 0)
    yield measuring
    measuring.finish()


def read(url: str, case: str, run: str) -> list[StageProgress]:
    """Return the progress of every stage that has begun, in the order of their beginnings."""
    with session(url) as connection:
        rows = connection.execute(_READ, [case, run]).fetchall()
    return [
        StageProgress(
            stage=stage,
            rows=done,
            total_rows=total,
            bytes=size,
            total_bytes=total_size,
            chunks=chunks,
            state="done" if finished else "running",
            seconds=milliseconds / 1000,
        )
        for stage, done, total, size, total_size, chunks, finished, milliseconds in rows
    ]


def failures(url: str, case: str, run: str) -> list[str]:
    """Return what the failed steps of a run said, oldest first, each message once."""
    entries = Ledger(url, None).entries(case, run=run, kinds=["failure"])
    return list(dict.fromkeys(str(entry.body["message"]) for entry in entries))


def evidence_folder(url: str, case: str, run: str, kind: str = "evidence-written") -> str:
    """Return the folder of the latest evidence of a run, empty when none was written.

    ``certificate-written`` is the kind of a certificate that was issued after closing.
    """
    entries = Ledger(url, None).entries(case, run=run, kinds=[kind])
    return str(entries[-1].body["folder"]) if entries else ""
