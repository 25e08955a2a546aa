"""What persons and the software do with a destruction list, as the ledger holds it: one model for each kind.

Every act but the list itself names the SHA-256 of the list that it is about; about another list it counts
for nothing.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from handover.model.base import Frozen
from handover.model.destruction_list import DestructionList, HoldCheck, OpinionRole, SupervisorRole
from handover.model.legal_terms import Persons, Words
from handover.model.matter import Day, FileName, Sha256


class Listed(Frozen):
    """The list was made, or made anew."""

    list: DestructionList


class Appraisal(Frozen):
    """The appraisal opinion (鉴定意见书) lets everything listed go."""

    list_sha256: Sha256
    number: Words
    members: Annotated[tuple[Words, ...], Field(min_length=1)]
    on: Day
    file: FileName
    sha256: Sha256


class Opinion(Frozen):
    """One of the five opinions on the printed list; ``sha256`` is that of the scan or signed file."""

    list_sha256: Sha256
    role: OpinionRole
    name: Words
    on: Day
    agrees: bool
    reason: Words
    file: FileName
    sha256: Sha256


class PreCheck(Frozen):
    """A supervisor compared the list with what is about to be destroyed, item by item."""

    list_sha256: Sha256
    role: SupervisorRole
    name: Words
    on: Day
    agrees: bool
    reason: Words


class Destroyed(Frozen):
    """What was destroyed of a class and table, and what stayed although it was listed."""

    row_class: Words
    table: Words
    rows: Persons
    stayed: Persons = 0
    because: Words | None = None

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if (self.stayed > 0) != (self.because is not None):
            raise ValueError(f"{self.table}: say under because why rows stayed, and only then")
        return self


class Execution(Frozen):
    """What was listed was destroyed; ``receipts_sha256`` is over the receipts of the erasing."""

    list_sha256: Sha256
    executors: Annotated[tuple[Words, ...], Field(min_length=1)]
    started: AwareDatetime
    finished: AwareDatetime
    destroyed: tuple[Destroyed, ...]
    holds: HoldCheck
    receipts_sha256: Sha256

    @model_validator(mode="after")
    def _ends_after_it_began(self) -> Self:
        if self.finished < self.started:
            raise ValueError("finished is before started")
        return self


class Supervised(Frozen):
    """A supervisor's signature after the destruction."""

    list_sha256: Sha256
    role: SupervisorRole
    name: Words
    on: Day
    file: FileName
    sha256: Sha256


class Archived(Frozen):
    """The signed list went into the archives, where it is kept permanently (R07)."""

    list_sha256: Sha256
    name: Words
    on: Day
    place: Words
    file: FileName
    sha256: Sha256


Act = Listed | Appraisal | Opinion | PreCheck | Execution | Supervised | Archived
# The kinds of the ledger's entries.
ACTS: dict[str, type[Act]] = {
    "destruction-list": Listed,
    "destruction-appraisal": Appraisal,
    "destruction-opinion": Opinion,
    "destruction-precheck": PreCheck,
    "destruction-executed": Execution,
    "destruction-supervised": Supervised,
    "destruction-archived": Archived,
}


def kind_of(act: Act) -> str:
    """Return the kind of the ledger's entry for an act."""
    return next(kind for kind, model in ACTS.items() if type(act) is model)


def person(name: str) -> str:
    """Return a name as it is compared: width, case and spaces make no other person."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())
