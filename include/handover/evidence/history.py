"""A run's ledger entries as a report reads them: by kind, and only those that count.

Bodies are read as plain JSON, not through the models: a report must also be made of what an older or newer
version wrote, and any entry may be absent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from handover.evidence.entry import Entry

Body = Mapping[str, Any]


class History:
    """The entries of one run, in order."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.seq)
        self._kinds: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            self._kinds[entry.kind].append(entry)

    def all(self, kind: str) -> list[Entry]:
        """Return all entries of a kind."""
        return self._kinds.get(kind, [])

    def last(self, kind: str) -> Body:
        """Return the body of the last entry of a kind, empty when there is none."""
        found = self.all(kind)
        return found[-1].body if found else {}

    @cached_property
    def case(self) -> Body:
        """The case file as the run was opened with it."""
        found: Body = self.last("run-opened").get("case", {})
        return found

    @cached_property
    def catalog(self) -> Body:
        """The inventory of the source."""
        found: Body = self.last("inventory").get("catalog", {})
        return found

    @cached_property
    def plan(self) -> Body:
        """The plan in force."""
        found: Body = self.last("plan").get("plan", {})
        return found

    @cached_property
    def state(self) -> Body:
        """The snapshot that counts: that of the sealed backup, else the newest."""
        sealed = self.last("backup-sealed").get("generation")
        states: list[Body] = [entry.body["state"] for entry in self.all("snapshot-exported")]
        wanted = [state for state in states if sealed is None or state["generation"] == sealed]
        return wanted[-1] if wanted else {}

    @property
    def generation(self) -> int:
        """The generation that counts; 0 before there is one."""
        return int(self.last("backup-sealed").get("generation", self.state.get("generation", 0)))

    def counting(self, kind: str) -> list[Body]:
        """Return the bodies of a kind that belong to the generation that counts."""
        bodies = (entry.body for entry in self.all(kind))
        return [body for body in bodies if body.get("generation") == self.generation]

    def chunks(self) -> list[Body]:
        """Return the receipts of the chunks of the generation that counts, in the order of their streams."""
        prefix = f"g{self.generation}/"
        found = [e.body for e in self.all("chunk-backed-up") if str(e.key).startswith(prefix)]
        return sorted(found, key=lambda body: (body["table"], body["group"], body["chunk"]))

    def at(self, kind: str) -> str:
        """Return when the last entry of a kind was written, empty when there is none."""
        found = self.all(kind)
        return found[-1].at if found else ""
