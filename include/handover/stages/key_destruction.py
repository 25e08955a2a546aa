"""Destroying a term of an archive: its keys go, and with them exactly the rows of one class and date.

It takes two persons, a day that has come, no hold, and for accounting archives a destruction list that may be
executed. The law is asked with the request and again in the moment of destroying, while no hold can be added.
Where the rows that holds keep can be told, they go into an archive of their own before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from handover.archive.bag import PAYLOAD
from handover.archive.rows import rows_of
from handover.crashpoints import CrashPoint, passing
from handover.errors import KeyUnavailable, NotReady, VerificationFailed
from handover.law.retention import Decision
from handover.model.approval import Account
from handover.model.archive import ArchivedPart, TermKeys
from handover.model.destruction import ToDestroy
from handover.model.hold import DataHold
from handover.stages.archive_supplements import Apart, set_apart, tellable
from handover.stages.archive_terms import held_apart, origin, secrets_of, told
from handover.stages.archiving import alone
from handover.stages.class_decisions import class_decisions
from handover.stages.context import Context
from handover.stages.custody import SealedArchive, custody, wanted_as
from handover.stages.destruction_signing import of_terms, require_destruction_cleared
from handover.stages.facts import legal_day
from handover.stages.hold_epoch import held
from handover.stages.holds import open_holds
from handover.stages.two_persons import Request
from handover.vault.keyring import Destruction, KeyState

DESTROY, DESTROYED = "destroy", "archive-keys-destroyed"
FREE = ("may_erase", "must_erase")
NOTHING_APART = Apart()
LIST_BEFORE = "destruction_list"


@dataclass(frozen=True)
class Destroyed:
    """What was destroyed, the files that nobody can open any more, and whose archive has held rows of it."""

    keys: tuple[Destruction, ...]
    closed: tuple[str, ...]
    held_in: str = ""


def ask_destroying(
    context: Context, who: Account, number: int, ticket: str, purpose: str, *, identifying_only: bool
) -> str:
    """Ask to destroy a term's keys, or only that of what identifies people; returns the request's id."""
    archive = SealedArchive.of(context)
    term = archive.term(number)
    if not _alive(archive, _keys(term, identifying_only=identifying_only)):
        raise KeyUnavailable(f"the keys of term {number} are destroyed", hint="this is final")
    apart = _apart(archive, term, identifying_only=identifying_only, of=tellable)
    require_destroyable(archive, term, legal_day(), identifying_only=identifying_only, apart=apart)
    wanted = {"what": DESTROY, "term": number, "class": term.term.row_class, "identifying": identifying_only}
    return custody(context).ask(who, ticket, purpose, wanted)


def destroy(context: Context, who: Account, name: str) -> Destroyed:
    """Destroy what an approved request names. Killed in between, it is repeated with the same request."""
    one = wanted_as(custody(context), name, DESTROY)
    context = replace(context, run=one.run)
    archive = SealedArchive.of(context)
    term, identifying_only = archive.term(int(one.wanted["term"])), bool(one.wanted["identifying"])
    with alone(context, f"term-{term.number}", f"term {term.number} is being destroyed"):
        done = _destroyed(archive, who, one, term, identifying_only=identifying_only)
    passing(CrashPoint.ARCHIVE_KEY_DESTROYED)
    parts = archive.index.of_term(term.number)
    opened = [part.file for part in parts if not _is_closed(archive, part, identifying_only=identifying_only)]
    closed = tuple(part.file for part in parts if part.file not in opened)
    context.record(
        DESTROYED,
        {
            "request": name,
            "term": term.number,
            "class": term.term.row_class,
            "identifying_only": identifying_only,
            "keys": [{"key": key.key_id, "at": key.at, "result": key.result} for key in done],
            "closed": list(closed),
            "still_open": opened,
        },
        key=name,
    )
    if opened:
        raise VerificationFailed(
            f"{len(opened)} files of term {term.number} can still be read, first {opened[0]}",
            hint="look for another copy of their keys; the certificate may not claim them",
            differences=opened,
        )
    apart = held_apart(context).get(term.number)
    return Destroyed(done, closed, apart.run if apart and not identifying_only else "")


def _destroyed(
    archive: SealedArchive, who: Account, one: Request, term: TermKeys, *, identifying_only: bool
) -> tuple[Destruction, ...]:
    context, keys = archive.context, _keys(term, identifying_only=identifying_only)
    apart = NOTHING_APART
    if _alive(archive, keys):
        if not _goes_on(context, who, one):
            custody(context).require_usable(who, one.id)
        apart = _apart(archive, term, identifying_only=identifying_only, of=set_apart)
    with held(context) as epoch:
        if _alive(archive, keys) or not one.used_at:
            on = legal_day()
            decision = require_destroyable(archive, term, on, identifying_only=identifying_only, apart=apart)
            if apart.holds.intersection(one.id for one in open_holds(context, on)):
                apart.require()
            _begin(context, who, one, {"decision": told(decision), "holds_apart": sorted(apart.holds)})
        epoch.require()
        return tuple(context.keyring.destroy(key) for key in keys)


def _apart(
    archive: SealedArchive,
    term: TermKeys,
    *,
    identifying_only: bool,
    of: Callable[[SealedArchive, TermKeys, Sequence[DataHold]], Apart],
) -> Apart:
    """Return the holds for which a term need not be kept, if nothing else keeps it.

    Holds keep all of it where its destruction list counts every row, where it holds but held rows, and for
    who wants but its identifying columns to go.
    """
    context, on = archive.context, legal_day()
    holds = open_holds(context, on)
    every = Apart(frozenset(one.id for one in holds))
    decision, keeps = kept_by(context, term, on, identifying_only=identifying_only, apart=every)
    is_whole = identifying_only or LIST_BEFORE in decision.before_destruction
    if keeps or (holds and is_whole) or origin(context).run != context.run:
        return NOTHING_APART
    return of(archive, term, holds)


def _begin(context: Context, who: Account, one: Request, said: Mapping[str, object]) -> None:
    """Write the use of the request down; one that was used by the same person and killed goes on."""
    if not _goes_on(context, who, one):
        custody(context).use(who, one.id, said)


def _goes_on(context: Context, who: Account, one: Request) -> bool:
    return bool(one.used_at) and who.id == one.by.id and not _is_finished(context, one)


def _is_finished(context: Context, one: Request) -> bool:
    return any(entry.key == one.id for entry in context.entries(DESTROYED))


def require_destroyable(
    archive: SealedArchive,
    term: TermKeys,
    on: date,
    *,
    identifying_only: bool,
    apart: Apart = NOTHING_APART,
) -> Decision:
    """Return what the law says of the class today; raises NotReady naming all that keeps it."""
    decision, keeps = kept_by(archive.context, term, on, identifying_only=identifying_only, apart=apart)
    if keeps:
        raise NotReady(
            f"term {term.number}, class {term.term.row_class}, is kept by " + "; ".join(dict.fromkeys(keeps)),
            hint="who is named for a hold releases it (`handover hold`: two persons); a date is waited for",
            keeps=keeps,
        )
    if not (identifying_only and decision.outcome == "split"):
        require_list(archive, term, decision)
    return decision


def kept_by(
    context: Context, term: TermKeys, on: date, *, identifying_only: bool, apart: Apart = NOTHING_APART
) -> tuple[Decision, list[str]]:
    """Return what the law says of a term's class on a day, and all that keeps it, but for a missing list.

    A hold of the ledger keeps every term, unless the rows that it keeps were set apart.
    """
    decision = class_decisions(origin(context), on).get(term.term.row_class)
    if decision is None:
        raise NotReady(
            f"nobody can say whether class {term.term.row_class} may go: the case names no policy",
            hint="nothing is destroyed without a rule",
        )
    keeps = [f"an open matter: {kind}" for kind in decision.open_holds]
    for one in open_holds(context, on):
        if one.id not in apart.holds:
            why = apart.reasons.get(one.id)
            keeps.append(f"a legal hold: {one.id} on {one.name}" + (f" ({why})" if why else ""))
    keeps += [f"a doubt: {doubt}" for doubt in decision.doubts]
    # What no minimum needs may go before its skeleton.
    if not (identifying_only and decision.outcome == "split"):
        if decision.outcome not in FREE:
            keeps.append(f"its retention decision is {decision.outcome}")
        if day := free_from(term, decision):
            keeps += [f"its period: it may go from {day}"] if on < day else []
    return decision, keeps


def free_from(term: TermKeys, decision: Decision) -> date | None:
    """Return the first day on which a term may go: the later of what was sealed and what the law says now."""
    return max(filter(None, (term.term.destroy_from, decision.free_from)), default=None)


def require_list(archive: SealedArchive, term: TermKeys, decision: Decision) -> None:
    """Raise NotReady unless accounting rows stand on a list that may be executed today (ACC-18, ACC-19)."""
    needs_list = LIST_BEFORE in decision.before_destruction
    labels = {table.number: table.label for table in archive.index.tables}
    wholes = {part: whole for whole, parts in archive.tables().items() for part in parts if part != whole}
    wanted = [
        ToDestroy(term.term.row_class, wholes.get(label, label), part.rows, needs_list)
        for part in archive.index.of_term(term.number)
        for label in [labels[part.table]]
    ]
    require_destruction_cleared(of_terms(archive.context), wanted, {})


def _keys(term: TermKeys, *, identifying_only: bool) -> Sequence[str]:
    return [term.identifying] if identifying_only else [term.identifying, term.other]


def _alive(archive: SealedArchive, keys: Sequence[str]) -> list[str]:
    return [key for key in keys if archive.state(key) is KeyState.ACTIVE]


def _is_closed(archive: SealedArchive, part: ArchivedPart, *, identifying_only: bool) -> bool:
    """Say whether what was destroyed of a file cannot be read with all the keys there are."""
    table = next(one for one in archive.index.tables if one.number == part.table)
    if identifying_only and not any(column.identifying for column in table.columns):
        return True  # nothing in it lay under the key
    try:
        for _ in rows_of(archive.bag / PAYLOAD / part.file, secrets_of(archive.context, archive.index.terms)):
            return False
    except KeyUnavailable:
        return True
    return False
