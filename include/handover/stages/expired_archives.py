"""Terms of archives whose day has come: found over all cases, in the ledger and the vault alone.

Nothing is destroyed here. What is due goes by two persons, accounting archives by their destruction list as
well (handover.stages.key_destruction). An archive of which something is in doubt is a finding, not due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date

from handover.archive.bag import PAYLOAD
from handover.errors import HandoverError, NotReady, VaultCorrupt
from handover.evidence.ledger import Ledger
from handover.law.retention import Decision
from handover.model.archive import TermKeys
from handover.model.case import load_case
from handover.settings import Settings
from handover.stages.archive_terms import begun, held_apart, keys_of
from handover.stages.context import Context, Resolver, open_case
from handover.stages.custody import SealedArchive
from handover.stages.databases import Databases
from handover.stages.erasures import ABORTED, ARCHIVED, PastRun, past_runs
from handover.stages.facts import judged_on
from handover.stages.key_destruction import LIST_BEFORE, free_from, kept_by, require_list
from handover.vault.keyring import Keyring, KeyState

STEP, DUE = "archives_due", "archive-terms-due"


@dataclass(frozen=True)
class DueTerm:
    """A term that may go. ``lacking``: what has to come before two persons can end it."""

    case: str
    run: str
    term: int
    row_class: str
    since: date | None
    rows: int
    needs_list: bool
    lacking: str

    @property
    def document(self) -> dict[str, object]:
        """Return it as plain JSON types."""
        said = asdict(self) | {"since": self.since.isoformat() if self.since else ""}
        return {"class": said.pop("row_class"), **said}


@dataclass(frozen=True)
class Finding:
    """An archive of which nobody can say what is due, and why: nothing of it goes."""

    case: str
    run: str
    problem: str


@dataclass(frozen=True)
class Due:
    """What is due on a day, and what is in doubt."""

    terms: tuple[DueTerm, ...]
    findings: tuple[Finding, ...]


def archives_due(context: Context) -> int:
    """Write down which terms of archives of a sweep's source are due; returns how many. Repeatable."""
    with context.step(STEP):
        mine = context.case.source.connection
        due = expired_terms(
            context.settings,
            judged_on(context.case),
            context.databases.resolve,
            lambda one: one.case.source.connection == mine,
        )
        body = {
            "as_of": judged_on(context.case).isoformat(),
            "terms": [one.document for one in due.terms],
            "findings": [asdict(one) for one in due.findings],
        }
        before = context.entries(DUE)
        if not before or before[-1].body != body:
            context.record(DUE, body)
        return len(due.terms)


def _every(_: PastRun) -> bool:
    return True


def expired_terms(
    settings: Settings, on: date, resolve: Resolver, wanted: Callable[[PastRun], bool] = _every
) -> Due:
    """Return the terms of all wanted archives whose day has come, and that nothing keeps on that day.

    ``resolve``: the connections of sources, whose databases are asked where a hold on one may keep archives.
    """
    keyring = Keyring.open(settings.keyring)
    ledger = Ledger(settings.require("HANDOVER_LEDGER_URL"), keyring.signer())
    terms: list[DueTerm] = []
    findings: list[Finding] = []
    for one in past_runs(ledger):
        if ARCHIVED not in one.entries or not wanted(one):
            continue
        run = one.run
        try:
            context = _opened(settings, one, resolve)
            own = () if ABORTED in one.entries else (context,)
            for archive in (*own, *held_apart(context).values()):
                run = archive.run
                terms += list(due_terms(archive, on))  # all of an archive, or none
        except HandoverError as problem:
            findings.append(Finding(one.case.case, run, problem.message))
    return Due(tuple(terms), tuple(findings))


def _opened(settings: Settings, one: PastRun, resolve: Resolver) -> Context:
    """Open a run as its case stands today, without its databases, which may be gone."""
    context = open_case(settings, load_case(settings.cases, one.case.case), one.run, lambda _: "")
    return replace(context, databases=Databases(resolve))


def living_terms(context: Context) -> list[TermKeys]:
    """Return the terms of a run's archive that have a key left."""
    keys = keys_of(context)
    return [
        one
        for one in begun(context).terms.terms
        if KeyState.ACTIVE in (keys[one.identifying].state, keys[one.other].state)
    ]


def due_terms(context: Context, on: date) -> Iterator[DueTerm]:
    """Yield the terms of a run's archive whose day has come, and that nothing keeps on that day."""
    living = living_terms(context)
    if not living:
        return
    archive = SealedArchive.of(context)
    for term in living:
        decision, keeps = kept_by(context, term, on, identifying_only=False)
        if keeps:
            continue
        _require_files(archive, term)
        needs_list = LIST_BEFORE in decision.before_destruction
        yield DueTerm(
            case=context.case.case,
            run=context.run,
            term=term.number,
            row_class=term.term.row_class,
            since=free_from(term, decision),
            rows=sum(part.rows for part in archive.index.of_term(term.number)),
            needs_list=needs_list,
            lacking=_lacking(archive, term, decision) if needs_list else "",
        )


def _require_files(archive: SealedArchive, term: TermKeys) -> None:
    parts = archive.index.of_term(term.number)
    missing = [part.file for part in parts if not (archive.bag / PAYLOAD / part.file).is_file()]
    if missing:
        raise VaultCorrupt(
            f"{archive.bag} lacks {missing[0]} of term {term.number}", hint="bring the bag back from a copy"
        )


def _lacking(archive: SealedArchive, term: TermKeys, decision: Decision) -> str:
    try:
        require_list(archive, term, decision)
    except NotReady as problem:
        return problem.message
    return ""
