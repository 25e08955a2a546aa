"""The destruction list (会计档案销毁清册) of an archive's terms, made from the ledger on their day.

It names what two persons may then destroy the keys of (handover.stages.key_destruction). What is in the
archive is told by the files' digests in the ledger; no row is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from handover.errors import NotReady
from handover.model.approval import Account
from handover.model.archive import TermKeys
from handover.model.destruction_acts import Listed
from handover.model.destruction_list import DestructionList, ListedRows
from handover.stages.archiving import SEALED
from handover.stages.class_decisions import class_decisions
from handover.stages.context import Context
from handover.stages.destruction_listing import Compiling, Place
from handover.stages.destruction_registering import register_as
from handover.stages.destruction_signing import destruction_standing, of_terms
from handover.stages.destruction_volumes import Decisions, VolumeOfClass, declared_ledger, volumes_of
from handover.stages.ended_terms import archived_parts
from handover.stages.expired_archives import due_terms, living_terms
from handover.stages.facts import legal_day
from handover.stages.key_destruction import LIST_BEFORE, free_from

FORMAT = "加密 Parquet（BagIt 袋）/ encrypted Parquet in a BagIt bag"


def make_list_of_terms(context: Context, who: Account) -> tuple[str, DestructionList]:
    """Make the list of what is due of a run's archive, or leave the one that says the same.

    Returns the run under which it is signed. Raises NotReady where nothing is due that needs a list.
    """
    listing = of_terms(context)
    now = destruction_standing(listing).made
    if now is not None and _is_begun(context, now):
        return listing.run, now  # what is left of it goes by this list, or its end could not be registered
    edition = now.edition + 1 if now else 1
    made = _compiled(context, legal_day(), number=_number(listing), edition=edition, requested_by=who.name)
    if now is not None and _says_the_same(made, now):
        return listing.run, now
    register_as(listing, who, Listed(list=made), made.sha256)
    return listing.run, made


def _is_begun(context: Context, made: DestructionList) -> bool:
    living = {one.term.row_class for one in living_terms(context)}
    return any(name not in living for name, _ in made.tables)


def _number(listing: Context) -> str:
    """Return a number that no other list of the case has: that of its run is of what went at the source."""
    return f"{declared_ledger(listing).number}/{listing.run}"


def _says_the_same(made: DestructionList, now: DestructionList) -> bool:
    """Say whether a list says more than the day on which it was made, and who asked for it."""
    then = {one.name: one for one in now.volumes}
    volumes = tuple(
        one.model_copy(update={"kept": old.kept, "destroy_on": old.destroy_on, "holds": old.holds})
        for one in made.volumes
        for old in [then.get(one.name, one)]
    )
    dated = {"compiled_on": now.compiled_on, "edition": now.edition, "requested_by": now.requested_by}
    return made.model_copy(update={"volumes": volumes, **dated}) == now


def _compiled(context: Context, on: date, *, number: str, edition: int, requested_by: str) -> DestructionList:
    parts = archived_parts(context)
    every = sorted(_volumes(context, parts, on), key=lambda one: (one.archive.code, one.years, one.row_class))
    if not any(one.is_listed for one in every):
        held = sorted({one.row_class for one in every})
        raise NotReady(
            f"nothing of the archive of run {context.run} may stand on a destruction list today"
            + (f"; under open matters: {', '.join(held)}" if held else ""),
            hint=f"`handover custodian {context.case.case} terms` shows dates and open matters, "
            "`handover hold list` the holds of the ledger",
            held=held,
        )
    bag = context.last(SEALED, "seal_archive").body["bag"]
    place = Place(FORMAT, f"Handover, {bag}", f"加密归档，不销毁 / encrypted archive, kept: {bag}")
    contents = {key: _listed(context, *key, some) for key, some in parts.items()}
    compiling = Compiling(context, declared_ledger(context), place, contents)
    return compiling.listing(every, on, number=number, edition=edition, requested_by=requested_by)


def _volumes(
    context: Context, parts: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]], on: date
) -> Iterator[VolumeOfClass]:
    """Yield the volumes that are due, and those that are due but for an open matter."""
    due = {one.term for one in due_terms(context, on) if one.needs_list}
    decisions = class_decisions(context, on)
    for term in living_terms(context):
        name = term.term.row_class
        if term.number not in due and not _is_held(decisions, term, on):
            continue
        # The later of two days: what was sealed with the term, and what the law says now.
        decision = decisions[name].model_copy(update={"free_from": free_from(term, decisions[name])})
        counts = {
            table: rows
            for (of, table), some in parts.items()
            if of == name and (rows := sum(part["rows"] for part in some))
        }
        yield from volumes_of(declared_ledger(context), name, counts, decision, is_going=True)


def _is_held(decisions: Decisions, term: TermKeys, on: date) -> bool:
    """Say whether an accounting term's day has come and an open matter alone keeps it."""
    decision = decisions[term.term.row_class]
    day = free_from(term, decision)
    is_over = day is not None and day <= on and not decision.doubts
    return is_over and bool(decision.open_holds) and LIST_BEFORE in decision.before_destruction


def _listed(context: Context, name: str, table: str, parts: Sequence[Mapping[str, Any]]) -> ListedRows:
    """Return number and digest of the rows of a class: over the keyed digests of its files' rows."""
    digest = hashlib.sha256("\n".join(str(part["digest"]) for part in parts).encode()).digest()
    rows = sum(int(part["rows"]) for part in parts)
    return ListedRows(row_class=name, table=table, rows=rows, digest=context.digest(digest))
