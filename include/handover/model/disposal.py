"""What a case says of the end of its data: stores, waiting time, window, pace, archive."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from handover.model.base import Frozen
from handover.model.destruction_facts import Attestation, StoreKind
from handover.model.legal_terms import Words
from handover.model.residue import Place

ConnectionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]


class DeclaredStore(Frozen):
    """A place that holds data of the case (D02, B01).

    ``connection``: a database that this run searches, the source's own among them. Any other store needs the
    word of its owner or of who destroyed it, or it stays open and the certificate provisional.
    """

    name: Words
    kind: StoreKind
    holder: Words
    connection: ConnectionName | None = None
    attestation: Attestation | None = None

    @model_validator(mode="after")
    def _is_searched_or_attested(self) -> Self:
        if self.connection and self.kind != "database":
            raise ValueError(f"store {self.name} has a connection and is no database; take one of them out")
        if self.connection and self.attestation:
            raise ValueError(f"store {self.name} is searched; an attestation is for what is out of reach")
        return self


class Window(Frozen):
    """Hours of the day, in the case's legal time, in which tables may be rewritten under a lock."""

    start: time
    end: time


class ArchiveContact(Frozen):
    """The office that keeps the archive: an office, no person."""

    organisation: Words
    office: Words
    email: Words


class Disposal(Frozen):
    """How rows go. ``quarantine_days``: how long they stay locked away before they may go.

    ``custodian``: the only role that may still read them meanwhile. ``rows_per_second`` and
    ``most_lag_seconds`` hold the erasing back; ``rewrite`` says when tables are rewritten so that nothing is
    left in their files, without it that place stays as it is and the certificate says so. ``mandatory``:
    places that must be clean for a certificate. ``backup_days``: when the run's own backup ends, from its
    sealing.
    """

    quarantine_days: Annotated[int, Field(ge=0, le=3_660)] = 30
    custodian: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = None
    rows_per_second: Annotated[int, Field(ge=1)] | None = None
    most_lag_seconds: Annotated[int, Field(ge=1)] = 30
    rewrite: Window | None = None
    mandatory: tuple[Place, ...] = ()
    archive: ArchiveContact | None = None
    backup_days: Annotated[int, Field(ge=0, le=3_660)] = 30
