"""One digest over a stream that comes in chunks, without holding it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from handover.postgres.copying import Chunk


def rolling_digest(chunks: Iterable[Chunk]) -> tuple[int, bytes]:
    """Return the number of rows and the SHA-256 of all their bytes."""
    digest, rows = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk.data)
        rows += chunk.rows
    return rows, digest.digest()
