"""Held rows of a term that is to be destroyed: before its keys go they go into an archive of their own.

It stands under a run ``RUN-held-TERM-N`` and counts once it was read back and the term's own run says so. Who
dies before that leaves nothing that counts: while all keys of the term live, the next attempt takes it away
and begins again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from handover.archive.selecting import Match
from handover.crashpoints import CrashPoint, passing
from handover.errors import NotReady, VaultCorrupt, VerificationFailed
from handover.model.archive import TermKeys
from handover.model.hold import DataHold
from handover.stages.archive_proof import abandon_archive
from handover.stages.archive_terms import HELD
from handover.stages.archived_holds import Matches, matches_of
from handover.stages.archiving_held import HeldPart, held_parts, write_held
from handover.stages.context import Context, run_name
from handover.stages.custody import SealedArchive
from handover.vault.keyring import KeyState

ABORTED = "run-aborted"


@dataclass(frozen=True)
class Apart:
    """The holds for which a term need not be kept, and of others why it has to be.

    ``supplement``: the archive of their rows; None where none of the term's rows is theirs.
    """

    holds: frozenset[str] = frozenset()
    reasons: Mapping[str, str] = field(default_factory=dict)
    supplement: SealedArchive | None = None

    def require(self) -> None:
        """Raise VerificationFailed unless the archive of the held rows is whole and can be read."""
        faults = _faults(self.supplement) if self.supplement else []
        if self.supplement and faults:
            raise VerificationFailed(
                f"the archive of held rows of run {self.supplement.context.run} is not safe: {faults[0]}",
                hint="bring its bag back from a copy; no key goes before",
                differences=faults,
            )


def set_apart(archive: SealedArchive, term: TermKeys, holds: Sequence[DataHold]) -> Apart:
    """Write the rows of a term that holds keep into an archive of their own, and read it back.

    Once a key of the term is gone nothing more is written: what was set apart before stays as it is. Nobody
    else may do it at the same time (handover.stages.archiving.alone).
    """
    context, last = archive.context, _last(archive.context, term.number)
    names = sorted(one.id for one in holds)
    if not is_whole(archive, term):
        return _told(context, last) if last else Apart()
    if last and last["holds"] == names and _stands(context, last):
        _abandon(context, term.number, but=str(last["run"]))
        return _told(context, last)
    _abandon(context, term.number)
    if not names and not last:
        return Apart()
    matches, untold = matches_of(context, archive.index, term.number, holds)
    if untold:
        return Apart(reasons={one.hold.id: one.why for one in untold})
    _require_undamaged(archive)
    held = held_parts(archive, term, _together(matches))
    rows = sum(one.sum.rows for one in held)
    if rows and rows == sum(part.rows for part in archive.index.of_term(term.number)):
        return Apart(reasons=dict.fromkeys(names, "every row of it is held"))
    into = _next(context, term.number)
    if held:
        write_held(archive, term, held, names, into)
    passing(CrashPoint.HELD_ROWS_UNRECORDED)
    body = _body(context, term, held, names, into.run if held else "")
    context.record(HELD, body)
    passing(CrashPoint.HELD_ROWS_RECORDED)
    return _told(context, body)


def is_whole(archive: SealedArchive, term: TermKeys) -> bool:
    """Say whether both keys of a term live."""
    return all(archive.state(key) is KeyState.ACTIVE for key in (term.identifying, term.other))


def tellable(archive: SealedArchive, term: TermKeys, holds: Sequence[DataHold]) -> Apart:
    """Return the holds whose rows of a term can be told from the others, before any row is read."""
    if not is_whole(archive, term):
        last = _last(archive.context, term.number)
        return _told(archive.context, last) if last else Apart()
    matches, untold = matches_of(archive.context, archive.index, term.number, holds)
    return Apart(frozenset(matches), {one.hold.id: one.why for one in untold})


def _faults(supplement: SealedArchive) -> list[str]:
    faults = [f"{damage.file} is {damage.what}" for damage in supplement.damage()]
    alive = all(is_whole(supplement, one) for one in supplement.index.terms.terms)
    return faults + ([] if alive else ["its keys are destroyed"])


def _last(context: Context, number: int) -> Mapping[str, Any] | None:
    found = [entry.body for entry in context.entries(HELD) if entry.body["term"] == number]
    return found[-1] if found else None


def _told(context: Context, body: Mapping[str, Any]) -> Apart:
    run = str(body["run"])
    supplement = SealedArchive.of(replace(context, run=run)) if run else None
    return Apart(frozenset(body["holds"]), supplement=supplement)


def _stands(context: Context, body: Mapping[str, Any]) -> bool:
    """Say whether what was set apart can still be had."""
    try:
        supplement = _told(context, body).supplement
    except (NotReady, VaultCorrupt):  # taken away by an attempt that was killed then; or damaged: made anew
        return False
    return supplement is None or not _faults(supplement)


def _attempts(context: Context, number: int) -> Iterator[Context]:
    """Yield the runs of all attempts at a term, and last one that nobody has used."""
    for attempt in count(1):
        one = replace(context, run=run_name(f"{context.run}-held-{number}-{attempt}"))
        yield one
        if not one.entries():
            return


def _next(context: Context, number: int) -> Context:
    return list(_attempts(context, number))[-1]


def _abandon(context: Context, number: int, but: str = "") -> None:
    """Take away what attempts at a term left but one: the keys of the term's own files live."""
    for one in _attempts(context, number):
        if one.run != but and one.entries() and not one.entries(ABORTED):
            removed = abandon_archive(one)
            one.record(ABORTED, {"of": {"run": context.run, "term": number}, "removed": removed})


def _together(matches: Mapping[str, Matches]) -> dict[str, tuple[Match, ...]]:
    labels = {label for one in matches.values() for label in one}
    return {label: tuple(m for one in matches.values() for m in one[label]) for label in labels}


def _require_undamaged(archive: SealedArchive) -> None:
    if damaged := archive.damage():
        raise VaultCorrupt(
            f"{archive.bag} is not whole, so nobody can say what of it is held: {damaged[0].file} is "
            f"{damaged[0].what}",
            hint="bring the bag back from a copy",
        )


def _body(
    context: Context, term: TermKeys, held: Sequence[HeldPart], names: Sequence[str], run: str
) -> dict[str, object]:
    return {
        "term": term.number,
        "class": term.term.row_class,
        "holds": list(names),
        "run": run,
        "rows": sum(one.sum.rows for one in held),
        "tables": [
            {
                "table": one.table.label,
                "rows": one.sum.rows,
                "of": one.part.rows,
                "digest": context.digest(one.sum.sha256.digest()),
            }
            for one in held
        ],
    }
