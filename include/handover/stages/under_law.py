"""Under law: what takes rows from the source does it while no hold is added, and asks the law when one was.

Entered before each transaction and left after it ended: between two of them a hold may come, and the next one
does not begin before gates, retention and holds were asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from handover.stages.context import Context
from handover.stages.disposal import require_law
from handover.stages.facts import legal_day
from handover.stages.hold_epoch import held


@dataclass
class UnderLaw:
    """Asks the law whenever a hold may have come, or another day; ``judged``: when it last let rows go."""

    context: Context
    judged: tuple[int, date] | None = None

    @contextmanager
    def enter(self) -> Iterator[Callable[[], None]]:
        """Let no hold be added within the block; yields what raises ConnectionLost when one may have been.

        Raises GateBlocked where the law keeps rows by now.
        """
        with held(self.context) as epoch:
            now = (epoch.number, legal_day())
            if self.judged != now:
                require_law(self.context)
                self.judged = now
            yield epoch.require
