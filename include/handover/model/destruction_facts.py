"""What a certificate of destruction is made from: plain facts, each as a stage found or a person attested it.

Field names follow NIST SP 800-88r2 where it has one. Its terms are of media; rows of a database are deleted
logically, and what they were encrypted under is shredded.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from handover.model.base import Frozen
from handover.model.destruction_standing import State
from handover.model.legal_terms import Persons, Words
from handover.model.matter import Day, FileName, Sha256, Uscc
from handover.model.policy import RuleId, Text
from handover.model.residue import PLACES, Outcome, Place, Residue

Method = Literal[
    "logical_deletion", "logical_deletion_crypto_shredding", "purge_by_ce", "pseudonymised", "anonymised"
]
Part = Literal["requester", "approver", "executor", "supervisor"]
StoreKind = Literal["database", "file_share", "mail", "backup", "paper", "media", "other"]


class TableCount(Frozen):
    """Rows of a table that were to go: gone by this run, gone already, or stayed and why."""

    table: Words
    planned: Persons
    done: Persons
    gone_already: Persons = 0
    stayed: Persons = 0
    because: Text | None = None


class Verified(Frozen):
    """Verification: that the technique ran. ``checked`` of all were looked at again."""

    how: Text
    checked: Persons
    passed: bool


class Validated(Frozen):
    """Validation: that the result is good enough, which a named person decides."""

    how: Text
    by: Words
    on: Day
    good_enough: bool


class Treated(Frozen):
    """What was done to the rows of one class by one rule; ``list_sha256`` is that of their 销毁清册."""

    row_class: Words
    rule: RuleId
    pack: Words
    basis: Text
    method: Method
    persons: Persons
    tables: Annotated[tuple[TableCount, ...], Field(min_length=1)]
    verification: Verified
    validation: Validated | None = None
    needs_list: bool = False
    list_sha256: Sha256 | None = None


class Retained(Frozen):
    """What stays by law: locked away with an end date, or without one as long as it is held."""

    row_class: Words
    rule: Words
    rows: Persons
    until: Day | None
    where: Text


class Attestation(Frozen):
    """An owner's or vendor's word for a store out of reach."""

    file: FileName
    sha256: Sha256
    serial: Words | None
    on: Day
    signatory: Words


class Store(Frozen):
    """A place that held the data, as the case declares it; ``open``: nothing was proven or attested."""

    name: Words
    kind: StoreKind
    state: Literal["searched", "attested", "open"]
    how: Text
    attestation: Attestation | None = None

    @model_validator(mode="after")
    def _has_its_paper(self) -> Self:
        if (self.state == "attested") != (self.attestation is not None):
            raise ValueError(f"store {self.name}: register the attestation of an attested store, of no other")
        return self


class Search(Frozen):
    """The search for values of the erased: ``of_retained`` matches are attributed to people who stay."""

    stores: tuple[Words, ...]
    method: Text
    values: Persons
    matches: Persons
    of_retained: Persons
    on: Day

    @property
    def unexplained(self) -> int:
        """Return how many matches nobody who stays accounts for."""
        return self.matches - self.of_retained

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.of_retained > self.matches:
            raise ValueError("of_retained is more than all matches")
        return self


class ResidueLine(Frozen):
    """A place where bytes may stay, of a database or any other; ``mandatory``: the policy wants it clean."""

    place: Text
    outcome: Outcome
    how: Text
    reasons: tuple[Text, ...] = ()
    mandatory: bool = False

    @property
    def clean(self) -> bool:
        """Say whether nothing is left there, as far as the method can tell."""
        return self.outcome in ("cleared", "not present")


def residue_line(found: Residue, mandatory: Collection[Place]) -> ResidueLine:
    """Return the line of a certificate for a place of a database."""
    return ResidueLine(
        place=PLACES[found.place],
        outcome=found.outcome,
        how=found.how,
        reasons=found.reasons,
        mandatory=found.place in mandatory,
    )


class KeyCopy(Frozen):
    """A declared copy of a key; ``on``: the day on which it was destroyed, where that is known."""

    place: Words
    destroyed: bool
    on: Day | None = None


class Key(Frozen):
    """A key and what became of it; ``unlinked`` is all that a provider of files can do.

    ``decryption_fails``: it was tried after the destruction. ``from_the_start``: the data it stands for was
    never stored otherwise than encrypted under it. Keys of archives live as long as what must be kept.
    ``backup``: case and run of a backup that is not the run's own; ``until``: the day before which it lives.
    """

    name: Words
    purpose: Literal["backup", "pseudonyms", "archive"]
    state: Literal["live", "unlinked", "destroyed"]
    at: AwareDatetime | None = None
    decryption_fails: bool = False
    from_the_start: bool = False
    backup: Words | None = None
    until: Day | None = None
    copies: tuple[KeyCopy, ...] = ()

    @property
    def copies_gone(self) -> bool:
        """Say whether every declared copy was destroyed."""
        return all(copy.destroyed for copy in self.copies)

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if (self.state == "live") != (self.at is None) or (self.state == "live" and self.decryption_fails):
            raise ValueError(f"key {self.name}: say when it was destroyed; a live one opens what it should")
        return self


class IdentityTest(Frozen):
    """The re-identification test of what is called anonymised (GB/T 42460 level, PIPL 73)."""

    level: Annotated[int, Field(ge=1, le=4)]
    passed: bool
    no_lookup_table: bool
    on: Day
    by: Words
    report_sha256: Sha256


class Medium(Frozen):
    """A physical medium as its sanitiser certified it; the organisation's act, registered here."""

    manufacturer: Words
    model: Words
    serial: Words
    asset: Words | None
    kind: Words
    source: Words
    sensitivity_before: Words
    method: Literal["clear", "purge", "destroy"]
    technique: Words
    tool: Words
    verification: Words
    validation: Words
    sensitivity_after: Words
    destination: Words
    sanitiser: Words
    verifier: Words
    on: Day
    certificate: Attestation


class Involved(Frozen):
    """Who asked, approved, executed or supervised; ``signature_sha256`` is that of the signed file."""

    part: Part
    name: Words
    title: Words
    organisation: Words
    location: Words
    contact: Words | None = None
    on: Day
    signature_sha256: Sha256 | None = None


class ListReference(Frozen):
    """A destruction list of accounting archives and how far it came."""

    number: Words
    sha256: Sha256
    state: State


class CertificateFacts(Frozen):
    """All that happened. ``undeclared``: stores that were found and that the case does not name.

    ``issued_at`` is in the zone whose days the law counts.
    """

    number: Words
    case: Words
    run: Words
    title: Words
    unit: Words
    uscc: Uscc | None
    issued_at: AwareDatetime
    verification_url: Words | None
    tool: Words
    packs: dict[str, Sha256]
    plan_sha256: Sha256
    ledger_head: Sha256
    erased_at: AwareDatetime
    treated: Annotated[tuple[Treated, ...], Field(min_length=1)]
    retained: tuple[Retained, ...]
    skipped: tuple[Words, ...]
    stores: Annotated[tuple[Store, ...], Field(min_length=1)]
    undeclared: tuple[Words, ...]
    search: Search | None
    residue: Annotated[tuple[ResidueLine, ...], Field(min_length=1)]
    keys: tuple[Key, ...]
    identity_test: IdentityTest | None
    media: tuple[Medium, ...]
    lists: tuple[ListReference, ...]
    involved: tuple[Involved, ...]
    also_not_covered: tuple[Text, ...]
