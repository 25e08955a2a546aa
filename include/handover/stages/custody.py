"""The custodian's work on a sealed archive: reading a row out of it, under two persons, and its fixity (C05).

It goes on when the run is over and the case file has moved on: what a hold or a date says is asked of the
case as it is today.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from handover.archive.bag import Damage, check_fixity
from handover.archive.finding import Found, find_rows
from handover.archive.sealing import read_archive
from handover.errors import DataRefused, LedgerRefused, NotReady
from handover.evidence.digest import token
from handover.evidence.ledger import Entry
from handover.model.approval import Account
from handover.model.archive import Archive, TermKeys
from handover.stages.archive_terms import bag_of, held_apart, keys_of, origin, secrets_of
from handover.stages.archiving import SEALED, TABLE
from handover.stages.class_decisions import class_decisions
from handover.stages.context import Context
from handover.stages.facts import legal_day
from handover.stages.two_persons import Request, TwoPersons
from handover.vault.keyring import KeyState

READ = "read"


@dataclass(frozen=True)
class TermStanding:
    """A term of an archive, its keys, and what the law says of its class today."""

    number: int
    row_class: str
    destroy_from: date | None
    rows: int
    identifying: KeyState
    other: KeyState
    outcome: str
    holds: tuple[str, ...]


@dataclass(frozen=True)
class SealedArchive:
    """An archive whose run is in the ledger: where it lies and what is in it."""

    context: Context
    bag: Path
    index: Archive
    digest: str

    @classmethod
    def of(cls, context: Context) -> SealedArchive:
        """Open the archive of the context's run; raises NotReady when it has none, or was taken back."""
        if context.entries("run-aborted"):
            raise NotReady(f"run {context.run} was aborted, and its archive with it", hint="name another run")
        digest = str(context.last(SEALED, "seal_archive").body["tag_manifest_sha256"])
        bag = bag_of(context)
        return cls(context, bag, read_archive(bag), digest)

    def damage(self) -> tuple[Damage, ...]:
        """Return what is missing, changed or extra in the bag."""
        return check_fixity(self.bag, self.digest)

    def term(self, number: int) -> TermKeys:
        """Return a term; raises DataRefused for another number."""
        found = next((one for one in self.index.terms.terms if one.number == number), None)
        if found is None:
            raise DataRefused(
                f"the archive has no term {number}",
                hint=f"`handover custodian {self.context.case.case} terms` lists them",
            )
        return found

    def state(self, key: str) -> KeyState:
        """Say whether a key still is."""
        return keys_of(self.context)[key].state

    def supplements(self) -> list[SealedArchive]:
        """Return the archives into which held rows of terms went of which a key is destroyed."""
        return [
            SealedArchive.of(context)
            for number, context in held_apart(self.context).items()
            for term in [self.term(number)]
            if KeyState.DESTROYED in (self.state(term.identifying), self.state(term.other))
        ]

    def tables(self) -> dict[str, list[str]]:
        """Return for each table the archived ones that hold its rows: itself, or its partitions."""
        found: dict[str, list[str]] = {}
        for entry in self.context.entries(TABLE):
            document = entry.body["document"]
            label = f"{document['schema_name']}.{document['name']}"
            for name in dict.fromkeys((str(entry.body["whole"]), label)):
                found.setdefault(name, []).append(label)
        return found


def newest_archive(context: Context) -> str:
    """Return the case's newest run that has an archive of its own and was not taken back."""
    entries = context.ledger.entries(context.case.case, kinds=(SEALED, "run-aborted"))
    taken_back = {entry.run for entry in entries if entry.kind == "run-aborted"}
    found = [entry.run for entry in entries if _is_of_run(entry) and entry.run not in taken_back]
    if not found:
        raise NotReady(f"no run of case {context.case.case} has an archive", hint="nothing is in custody")
    return found[-1]


def _is_of_run(entry: Entry) -> bool:
    """Say whether an archive is a run's own, and not of held rows of another's."""
    return entry.kind == SEALED and "of" not in entry.body


def terms(context: Context) -> list[TermStanding]:
    """Return the terms of the run's archive as they stand today."""
    archive = SealedArchive.of(context)
    decisions = class_decisions(origin(context), legal_day())
    found = []
    for one in archive.index.terms.terms:
        decision = decisions.get(one.term.row_class)
        found.append(
            TermStanding(
                number=one.number,
                row_class=one.term.row_class,
                destroy_from=one.term.destroy_from,
                rows=sum(part.rows for part in archive.index.of_term(one.number)),
                identifying=archive.state(one.identifying),
                other=archive.state(one.other),
                outcome=decision.outcome if decision else "not known",
                holds=decision.open_holds if decision else (),
            )
        )
    return found


def custody(context: Context) -> TwoPersons:
    """Return the requests of the case's custody."""
    return TwoPersons(
        context, "custody", "cu", f"handover custodian {context.case.case} list", by_anybody=True
    )


def ask_reading(
    context: Context, who: Account, table: str, column: str, value: str, ticket: str, purpose: str
) -> str:
    """Ask to read the rows of a table whose column has a value; returns the id of the request."""
    archive = SealedArchive.of(context)
    labels = archive.tables().get(table, [])
    columns = {c.name for one in archive.index.tables if one.label in labels for c in one.columns}
    if column not in columns:
        raise DataRefused(
            f"the archive has no table {table} with a column {column}",
            hint="the bag's index page lists tables and columns",
        )
    wanted = {"what": READ, "table": table, "column": column, "value": _token(context, table, column, value)}
    return custody(context).ask(who, ticket, purpose, wanted)


def approve(context: Context, who: Account, name: str) -> Request:
    """Let the one who asked go on, once and within a day; only another person may."""
    return custody(context).approve(who, name)


def read(context: Context, who: Account, name: str, value: str) -> dict[str, Found]:
    """Return the rows of an approved request by table, after its one use was written down."""
    pair = custody(context)
    one = wanted_as(pair, name, READ)
    context = replace(context, run=one.run)
    table, column = str(one.wanted["table"]), str(one.wanted["column"])
    pair.require_usable(who, name)
    if _token(context, table, column, value) != one.wanted["value"]:
        pair.refuse(who, one, "this is another value than the one asked for", "give the same, or ask anew")
    archive = SealedArchive.of(context)
    found = {label: _found(archive, label, column, value) for label in archive.tables()[table]}
    told = {
        "rows": sum(len(each.rows) for each in found.values()),
        "closed": [file for each in found.values() for file in each.closed],
    }
    pair.use(who, name, told)  # asks again: a large archive takes its time
    return found


def _found(archive: SealedArchive, label: str, column: str, value: str) -> Found:
    """Look in the archive itself and in those of held rows."""
    found = find_rows(archive.bag, _secrets(archive), label, column, value)
    for one in archive.supplements():
        if label in [table.label for table in one.index.tables]:
            more = find_rows(one.bag, _secrets(one), label, column, value)
            closed = tuple(f"{one.context.run}: {file}" for file in more.closed)
            found = Found(found.rows + more.rows, found.closed + closed)
    return found


def _secrets(archive: SealedArchive) -> dict[str, bytes]:
    return secrets_of(archive.context, archive.index.terms)


def wanted_as(pair: TwoPersons, name: str, what: str) -> Request:
    """Return a request for one thing; raises LedgerRefused for a request for another."""
    one = pair.find(name)
    if one.wanted["what"] != what:
        raise LedgerRefused(
            f"request {name} asks to {one.wanted['what']}, not to {what}",
            hint=f"`{pair.command}` shows what each asks for",
        )
    return one


def _token(context: Context, table: str, column: str, value: str) -> str:
    parts = (b"archived-value", table.encode(), column.encode(), value.encode())
    return token(context.evidence_key, *parts)
