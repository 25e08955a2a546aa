"""Waits for what VACUUM and ANALYZE report of themselves: before version 15 a collector hears of it later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from handover.postgres.session import Connection

_AT_ONCE_SINCE = 150000
# The collector writes twice a second when it is asked; a report that was lost is not waited for.
_LONGEST, _STEP = 3.0, 0.1
Known = TypeVar("Known")


def reported(connection: Connection, ask: Callable[[], Known | None]) -> Known | None:
    """Return the answer as soon as there is one; None when there is none in time."""
    end = time.monotonic() + (_LONGEST if connection.info.server_version < _AT_ONCE_SINCE else 0)
    while (answer := ask()) is None and time.monotonic() < end:
        time.sleep(_STEP)
    return answer
