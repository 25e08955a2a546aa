"""The terms of a run's archive: which class may be destroyed from which day, and the keys of each.

Decided once, before the first row is written, and kept in the ledger: whatever day it is when a table is
archived, all of them go with the same terms.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

from handover.errors import CaseInvalid
from handover.law.retention import Decision
from handover.model.archive import ArchiveTerms, BagContact, Term, TermKeys
from handover.model.base import Frozen
from handover.stages.class_decisions import class_decisions
from handover.stages.context import Context
from handover.stages.facts import legal_day
from handover.vault.keyring import KeyInfo, KeyState
from handover.vault.roots import Purpose

BEGUN, HELD = "archive-begun", "archive-held-rows"
# No case can have this name, so that no run's folder in the vault lies here or is emptied with it.
ARCHIVES = "_archives"


class Begun(Frozen):
    """What an archive was begun with."""

    made_on: date
    terms: ArchiveTerms

    @property
    def by_class(self) -> dict[str, Term]:
        """Return the term of each class."""
        return {one.term.row_class: one.term for one in self.terms.terms}


def bag_of(context: Context) -> Path:
    """Return where the run's archive lies once it is whole."""
    return context.settings.vault / ARCHIVES / context.case.case / context.run


def making_of(context: Context) -> Path:
    """Return where it is made, on the same file system; no run has a name with a dot."""
    return bag_of(context).with_name(f"{context.run}.making")


def archived_classes(context: Context) -> list[str]:
    """Return the names of the classes that the case archives, in its order."""
    return [one.name for one in context.case.classes if one.target == "archive"]


def begin(context: Context) -> None:
    """Decide the terms and make their keys, unless that is done; raises CaseInvalid without a keeper."""
    contact_of(context)
    if not context.entries(BEGUN):
        context.record(BEGUN, _begun(context), key=BEGUN)


def begun(context: Context) -> Begun:
    """Return the terms that were decided."""
    body = context.last(BEGUN, "prepare_archive").body
    return Begun.model_validate({name: body[name] for name in Begun.model_fields})


def _begun(context: Context) -> dict[str, object]:
    today = legal_day()
    found = class_decisions(context, today)
    decisions = {name: found.get(name) for name in archived_classes(context)}
    keys = tuple(
        term_keys(context, number, Term(row_class=name, destroy_from=_ends(decision)))
        for number, (name, decision) in enumerate(decisions.items(), 1)
    )
    made = Begun(made_on=today, terms=ArchiveTerms(case=context.case.case, terms=keys))
    return made.document() | {"decisions": {name: told(one) for name, one in decisions.items()}}


def _ends(decision: Decision | None) -> date | None:
    """Return the first day on which nothing keeps the class; None while a hold or a doubt does."""
    kept = decision is None or decision.open_holds or decision.doubts
    return None if kept or decision is None else decision.free_from


def told(decision: Decision | None) -> dict[str, object]:
    """Return what the ledger is told of a decision."""
    if decision is None:
        return {"outcome": "not known", "doubts": ["the case names no policy"]}
    document = decision.document()
    wanted = ("outcome", "free_from", "permanent", "open_holds", "doubts", "before_destruction", "packs")
    return {name: document[name] for name in wanted}


def key_names(context: Context) -> str:
    """Return how the names of all the archive's keys in the keyring begin."""
    return f"{context.case.case}/{context.run}/archive/"


def term_keys(context: Context, number: int, term: Term) -> TermKeys:
    """Return a term with its two keys, made now unless there were any."""
    made = [
        context.ensure_key(Purpose.ARCHIVE, f"{key_names(context)}{number}/{half}")
        for half in ("identifying", "other")
    ]
    return TermKeys(number=number, term=term, identifying=made[0], other=made[1])


def keys_of(context: Context) -> dict[str, KeyInfo]:
    """Return every key that this archive ever had, destroyed ones too, by its id."""
    start = key_names(context)
    return {
        one.key_id: one
        for one in context.keyring.list()
        if one.purpose is Purpose.ARCHIVE and one.case.startswith(start)
    }


def secrets_of(context: Context, terms: ArchiveTerms) -> dict[str, bytes]:
    """Return the secrets of the archive's keys that still are."""
    alive = {name for name, one in keys_of(context).items() if one.state is KeyState.ACTIVE}
    wanted = [key for one in terms.terms for key in (one.identifying, one.other)]
    return {key: context.keyring.key(key) for key in wanted if key in alive}


def held_apart(context: Context) -> dict[int, Context]:
    """Return the runs of the archives into which held rows of this run's terms went, by term."""
    last = {int(entry.body["term"]): str(entry.body["run"]) for entry in context.entries(HELD)}
    found = {number: replace(context, run=run) for number, run in last.items() if run}
    return {number: one for number, one in found.items() if not one.entries("run-aborted")}


def origin(context: Context) -> Context:
    """Return the run of whose archive a term's held rows are in this run's; any other run itself."""
    of = [entry.body["of"] for entry in context.entries(BEGUN) if "of" in entry.body]
    return replace(context, run=str(of[0]["run"])) if of else context


def contact_of(context: Context) -> BagContact:
    """Return the office that keeps the archive; raises CaseInvalid when the case names none (CO-2)."""
    contact = context.case.disposal.archive
    if contact is None:
        raise CaseInvalid(
            "rows are to be archived and nobody is named who keeps the archive",
            hint="add disposal.archive with organisation, office and email to the case file, start a new run",
        )
    return BagContact(organization=contact.organisation, name=contact.office, email=contact.email)
