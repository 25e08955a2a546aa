"""The stop flag of a case as one run sees it, looked at seldom enough to cost nothing beside a chunk."""

from __future__ import annotations

import math
import time

from handover.errors import Stopped
from handover.evidence.ledger import Ledger

# A person who stops a case waits this long at most before every process has seen it.
LOOK_SECONDS = 1.0
KINDS = ("stop-requested", "stop-lifted", "run-opened")


class StopFlag:
    """Asks the ledger for the flag; once it was seen set, every call says so until it is lifted."""

    def __init__(self, ledger: Ledger, case: str, run: str) -> None:
        self._ledger = ledger
        self._case = case
        self._run = run
        self._was_clear_at = -math.inf

    def honour(self) -> None:
        """Raise Stopped when somebody asked the case to stop after this run was opened."""
        now = time.monotonic()
        if now - self._was_clear_at < LOOK_SECONDS:
            return
        flags = self._ledger.entries(self._case, kinds=KINDS)
        mine = [flag for flag in flags if flag.kind != "run-opened" or flag.run == self._run]
        if mine and mine[-1].kind == "stop-requested":
            raise Stopped(
                f"case {self._case} was told to stop",
                hint=f"`handover stop {self._case} --lift`, then clear the failed tasks to go on",
            )
        self._was_clear_at = now
