"""Erasures of one database by runs of any case: what a restore of an older backup has to do again.

Runs belong to one database when they read it by the same connection, or when it said that it is the same. An
erasure is open while rows may have gone and their tombstones are not written. Before each time that rows
begin to go the law is asked, in an entry of its own: where it let none go, none went.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from handover.errors import KeyUnavailable, LedgerRefused
from handover.evidence.entry import verify_chain
from handover.evidence.ledger import Entry, Ledger
from handover.evidence.tombstones import count_tombstones
from handover.model.case import Case
from handover.model.disposition import SourceTreatment
from handover.model.plan import Plan
from handover.stages.context import Context
from handover.stages.disposal import HEARD, OPENED
from handover.stages.hold_epoch import ERASED, ERASING_PLANNED
from handover.stages.past_runs import case_of
from handover.stages.tombstones import DESTROYED, WRITTEN
from handover.vault.keyring import Keyring, KeyState
from handover.vault.roots import Purpose

EXPORTED, SEALED, ENDED, ABORTED = "snapshot-exported", "backup-sealed", "backup-ended", "run-aborted"
ARCHIVED = "archive-sealed"
ISSUED, CERTIFIED = "certificate-issued", "certificate-written"
# What an entry of the law says is in the way of rows that are to go.
_IN_THE_WAY = ("hindered", "kept", "held")
TAKING = (OPENED, HEARD, ERASING_PLANNED, ERASED, WRITTEN, DESTROYED)
KINDS = ("run-opened", "plan", EXPORTED, SEALED, ENDED, ABORTED, *TAKING, ARCHIVED, ISSUED, CERTIFIED)


@dataclass(frozen=True)
class PastRun:
    """A run as the ledger has it, of the kinds that tell what it erased and backed up."""

    case: Case
    run: str
    entries: Mapping[str, Sequence[Entry]]

    def last(self, kind: str) -> Entry | None:
        """Return the last entry of a kind, if there is one."""
        found = self.entries.get(kind)
        return found[-1] if found else None

    @property
    def databases(self) -> set[str]:
        """Return what its database said that it is."""
        return {str(e.body.get("database", "")) for e in self.entries.get(EXPORTED, ())} - {""}

    @property
    def erases(self) -> bool:
        """Say whether rows may have gone by it."""
        return self._lets_go("erase") and (WRITTEN in self.entries or bool(self._allowed(ERASING_PLANNED)))

    @property
    def pseudonymises(self) -> bool:
        """Say whether rows may have lost their identities by it."""
        return self._lets_go("pseudonymise") and bool(self._allowed(OPENED))

    def _lets_go(self, how: SourceTreatment) -> bool:
        made = self.last("plan")
        if made is None or OPENED not in self.entries:
            return False
        scope = Plan.model_validate(made.body["plan"]).scope
        return any(c.rows and c.source == how for t in (scope.tables if scope else ()) for c in t.classes)

    def _allowed(self, since: str) -> list[Entry]:
        """Return the entries by which the law let rows go, after the first one of a kind."""
        begun = next((e.seq for e in self.entries.get(since, ())), None)
        return [
            e
            for e in self.entries.get(HEARD, ())
            if begun is not None and e.seq > begun and not any(e.body[name] for name in _IN_THE_WAY)
        ]

    @property
    def is_open(self) -> bool:
        """Say whether rows may have gone and nobody could tell which, but by its backup."""
        written = self.last(WRITTEN)
        since = [*self._allowed(ERASING_PLANNED), *self.entries.get(ERASED, ())]
        return self.erases and (written is None or any(e.seq > written.seq for e in since))

    @property
    def erased_at(self) -> str:
        """Return the last moment at which rows went; later than all while they may be going.

        Once a hold has kept rows from going, every session that erases has to ask first: until the law lets
        rows go again none went, and what a backup has that was read meanwhile is there by right.
        """
        last = self.last(ERASED)
        if not self.is_open:
            return last.at if last else "9"
        let_go = max((e.seq for e in self._allowed(ERASING_PLANNED)), default=0)
        kept = [e for e in self.entries.get(HEARD, ()) if e.seq > let_go and e.body["held"]]
        ended = [e for e in self.entries.get(ERASED, ()) if e.seq > let_go]
        return min((e.at for e in (*kept, *ended)), default="9")

    @property
    def read_at(self) -> str:
        """Return a moment surely before the snapshot of its backup: when the plan it follows was made.

        The entry of the snapshot comes after it, and what was erased in between is in the backup. Before all
        when nobody knows.
        """
        sealed = self.last(SEALED)
        wanted = f"g{sealed.body['generation']}" if sealed else None
        for taken in reversed(self.entries.get(EXPORTED, ())):
            if taken.key == wanted:
                by = taken.body["state"]["plan_digest"]
                plans = (
                    e for e in self.entries.get("plan", ()) if e.seq < taken.seq and e.body["digest"] == by
                )
                return next((e.at for e in plans), "")
        return ""

    @property
    def is_backed_up(self) -> bool:
        """Say whether it has a backup that can be restored."""
        return SEALED in self.entries and not {ENDED, ABORTED} & self.entries.keys()

    @property
    def name(self) -> str:
        """Return how its backup is named in the keyring."""
        return f"{self.case.case}/{self.run}"

    def context(self, like: Context) -> Context:
        """Return this run's context, with the ledger, vault and keyring of another one."""
        return replace(like, case=self.case, run=self.run)


def as_it_is_now(context: Context, one: PastRun) -> PastRun:
    """Return a run as the ledger has it by now."""
    entries: dict[str, list[Entry]] = {}
    for entry in context.ledger.entries(one.case.case, run=one.run, kinds=KINDS):
        entries.setdefault(entry.kind, []).append(entry)
    return replace(one, entries=entries)


def past_runs(ledger: Ledger) -> list[PastRun]:
    """Return all runs of all cases that the ledger knows."""
    found: list[PastRun] = []
    for case in ledger.cases():
        by_run: dict[str, dict[str, list[Entry]]] = {}
        for entry in ledger.entries(case, kinds=KINDS):
            by_run.setdefault(entry.run, {}).setdefault(entry.kind, []).append(entry)
        found += [
            PastRun(case_of(entries["run-opened"][0]), run, entries)
            for run, entries in by_run.items()
            if "run-opened" in entries
        ]
    return found


def pseudonymised_since(context: Context) -> list[str]:
    """Return the names of the runs by which rows of this run's backup may have lost their identities."""
    found, read_at = _since(context)
    opened = {one.name: one.last(OPENED) for one in found if one.pseudonymises}
    return [name for name, entry in opened.items() if entry and entry.at > read_at]


def _since(context: Context) -> tuple[list[PastRun], str]:
    """Return the runs over the database, and when this run's backup was read."""
    found = same_database(context)
    mine = (one.read_at for one in found if (one.case.case, one.run) == (context.case.case, context.run))
    return found, next(mine, "")


def active_backups(keyring: Keyring) -> set[str]:
    """Return the names of the backups whose key is there."""
    keys = [key for key in keyring.list() if key.purpose is Purpose.BACKUP]
    return {key.case for key in keys if key.state is KeyState.ACTIVE}


def same_database(context: Context) -> list[PastRun]:
    """Return the runs of all cases over the database of this run, itself among them."""
    every = past_runs(context.ledger)
    mine = [one for one in every if (one.case.case, one.run) == (context.case.case, context.run)]
    connections = {context.case.source.connection}
    databases = {name for one in mine for name in one.databases}
    return [one for one in every if one.case.source.connection in connections or one.databases & databases]


def erasures_since(context: Context, *, strict: bool = True) -> Iterator[PastRun]:
    """Yield the runs by which rows went that this run's backup may hold.

    With ``strict`` raises LedgerRefused when ledger or tombstones were tampered with, KeyUnavailable when
    nobody can say any more what went.
    """
    found, read_at = _since(context)
    since = [one for one in found if one.erases and one.erased_at > read_at]
    for case in sorted({one.case.case for one in since}) if strict else ():
        _require_signed(context, case)
    for one in since:
        if strict:
            _require_whole(context, one)
        yield one


def spent(context: Context) -> list[PastRun]:
    """Return the runs whose tombstones nobody needs: no backup of the database lives that has their rows.

    Nor does a declared one, of which nobody attested that it is gone.
    """
    active = active_backups(context.keyring)
    every = same_database(context)
    alive = [one.read_at for one in every if one.name in active and EXPORTED in one.entries]
    return [
        one
        for one in every
        if WRITTEN in one.entries
        and not any(read_at < one.erased_at for read_at in alive)
        and not any(store.kind == "backup" and store.attestation is None for store in one.case.stores)
    ]


def _require_signed(context: Context, case: str) -> None:
    public = [context.keyring.signer().public_pem]
    if findings := verify_chain((entry.line for entry in context.ledger.entries(case)), public):
        raise LedgerRefused(
            f"the ledger of case {case} does not verify, so nobody knows what was erased: {findings[0]}",
            hint="find out who changed it before anything is restored",
            findings=findings,
        )


def _require_whole(context: Context, one: PastRun) -> None:
    """Raise unless there are as many tombstones of a run as were written."""
    name, written = f"run {one.run} of case {one.case.case}", one.last(WRITTEN)
    if written and context.keyring.find(Purpose.TOMBSTONE, one.name) is None:
        raise KeyUnavailable(
            f"the key of the tombstones of {name} is not there, so nobody can say which rows it erased",
            hint="two persons may decide to restore it with all rows: `handover keep-erased`",
        )
    count = count_tombstones(context.ledger_url, one.case.case, one.run)
    if written and not one.is_open and count != written.body["tombstones"]:
        raise LedgerRefused(
            f"{name} left {written.body['tombstones']} tombstones, {count} are there",
            hint="bring the ledger's database back from a copy; nothing is restored without them",
        )
