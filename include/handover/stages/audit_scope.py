"""What an audit works with: a day, ledger and keyring, and the runs, cases and sources that it looks at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

from pydantic import ValidationError

from handover.errors import CaseInvalid, SourceInvalid
from handover.evidence.entry import Entry
from handover.evidence.history import History
from handover.evidence.ledger import Ledger
from handover.law.working_days import WorkingDays, load_working_days
from handover.model.audit import WITHIN, Finding, Severity
from handover.model.case import Case, load_case
from handover.model.policy import Text
from handover.model.registered import RegisteredSource, known_sources, load_source
from handover.settings import Settings
from handover.stages.context import Context, Resolver, open_case
from handover.stages.facts import LEGAL_TIME
from handover.vault.keyring import Keyring, KeyState
from handover.vault.store import FolderStore

# The case under which audits stand in the ledger, and their folder among the evidence.
AUDITS = "audits"
DONE, CHECKED = "audit-done", "audit-checked"
OPERATIONS, COMPLIANCE = "系统运维 / operations", "合规 / compliance"


@dataclass(frozen=True)
class Told:
    """A run as the ledger tells it."""

    case: str
    run: str
    history: History

    def has(self, kind: str) -> bool:
        """Say whether it has an entry of a kind."""
        return bool(self.history.all(kind))

    @property
    def is_complete(self) -> bool:
        """Say whether it was closed as complete."""
        return self.history.last("run-closed").get("status") == "complete"

    @property
    def is_taken_back(self) -> bool:
        """Say whether it was aborted."""
        return self.has("run-aborted")

    @property
    def place(self) -> str:
        """Return its name for people."""
        return f"{self.case}, {self.run}"

    @property
    def opened_with(self) -> Case | None:
        """Return the case as it opened the run; None where a version of before wrote it otherwise."""
        try:
            return Case.model_validate(self.history.case)
        except ValidationError:
            return None


@dataclass(frozen=True)
class Audit:
    """An audit of everything on a day. ``share``: how much of the vault's objects is read."""

    settings: Settings
    resolve: Resolver
    on: date
    ledger: Ledger
    keyring: Keyring
    share: float = 1.0

    @property
    def run(self) -> str:
        """Return the run under which its entries stand."""
        return f"audit-{self.on}"

    @cached_property
    def store(self) -> FolderStore:
        """The vault."""
        return FolderStore(self.settings.vault)

    @cached_property
    def calendar(self) -> WorkingDays:
        """The working days, by which findings are due."""
        return load_working_days(self.settings.policies)

    def record(self, kind: str, body: Mapping[str, object]) -> Entry:
        """Append to the ledger of audits."""
        return self.ledger.append(AUDITS, self.run, kind, body)

    def finding(
        self, check: str, severity: Severity, where: str, zh: str, en: str, owner: str = OPERATIONS
    ) -> Finding:
        """Return a finding, due by its severity."""
        return Finding(
            id=f"{check}:{where}",
            check=check,
            severity=severity,
            what=Text(zh=zh[:500], en=en[:500]),
            where=where,
            owner=owner,
            due=self.calendar.add_working_days(self.on, WITHIN[severity]).day,
        )

    def told(self, case: str) -> list[Told]:
        """Return a case's runs, in the order in which they began; what belongs to no run is left aside."""
        by_run: dict[str, list[Entry]] = {}
        for entry in self.ledger.entries(case):
            by_run.setdefault(entry.run, []).append(entry)
        return [
            Told(case, run, History(entries))
            for run, entries in by_run.items()
            if any(entry.kind == "run-opened" for entry in entries)
        ]

    @cached_property
    def runs(self) -> list[Told]:
        """Every run of every case."""
        return [one for case in self.ledger.cases() if case != AUDITS for one in self.told(case)]

    @cached_property
    def keys(self) -> dict[str, KeyState]:
        """Every key that ever was in the keyring, by its id."""
        return {one.key_id: one.state for one in self.keyring.list()}

    @cached_property
    def newest_runs(self) -> list[Told]:
        """The newest run of each case that people wrote down; daily ones belong to sources."""
        newest = {one.case: one for one in self.runs if one.opened_with and not one.opened_with.is_daily}
        return list(newest.values())

    @cached_property
    def open_runs(self) -> list[Told]:
        """Those of them that are not over."""
        return [one for one in self.newest_runs if not one.is_complete and not one.is_taken_back]

    def case_of(self, told: Told) -> Case:
        """Return the case as its file says it today, or as the run was opened with it where there is none."""
        try:
            return load_case(self.settings.cases, told.case)
        except CaseInvalid:
            return Case.model_validate(told.history.case)

    def context_of(self, told: Told) -> Context:
        """Open a run to read what it says of itself; none of its databases is looked for."""
        return open_case(self.settings, self.case_of(told), told.run, lambda connection: "")

    def sources(self) -> Iterator[RegisteredSource]:
        """Yield the registered sources that can be read; ``unreadable_sources`` has the others."""
        for name in known_sources(self.settings.sources):
            try:
                yield load_source(self.settings.sources, name)
            except SourceInvalid:
                continue

    def unreadable_sources(self) -> Iterator[Finding]:
        """Yield a finding for each source whose file does not hold: nothing is done with it day by day."""
        for name in known_sources(self.settings.sources):
            try:
                load_source(self.settings.sources, name)
            except SourceInvalid as refused:
                said = " ".join(refused.message.split())
                yield self.finding(
                    "source", "error", name, f"数据源文件无效：{said}", f"the file does not hold: {said}"
                )


def legal_date(at: str) -> date:
    """Return the day of an entry, where the law is asked."""
    return datetime.fromisoformat(at).astimezone(LEGAL_TIME).date()
