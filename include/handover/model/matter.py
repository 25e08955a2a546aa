"""The facts of a matter that the legal gates ask for, as a case carries them.

Everything may be left out, and what is left out closes the gates that need it. None means unknown; an empty
list is a statement that there is nothing. Names here are those of companies, officers and counsel,
never of customers.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from handover.model.base import Frozen
from handover.model.check import DocumentKind
from handover.model.legal_terms import Mechanism, Name, Persons, Region, RiskLevel, Trigger, Words
from handover.model.stated import Hold, StatedFacts

Day = date  # a field may be called date
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _stays_inside(name: str) -> str:
    if name.startswith("/") or ".." in name.split("/") or "\\" in name:
        raise ValueError("leads out of the case's documents; give a path below them")
    return name


FileName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]{1,200}$"), AfterValidator(_stays_inside)]
Uscc = Annotated[str, StringConstraints(pattern=r"^[0-9A-HJ-NPQRTUWXY]{18}$")]
Basis = Literal[
    "consent", "contract", "statutory_duty", "emergency", "news", "public_data", "other_law", "entrustment"
]
Operation = Literal["transfer", "archive", "restrict", "erase", "pseudonymise", "backup"]


class Document(Frozen):
    """A document on file. ``expires`` must be said: a date, or that it never does."""

    kind: DocumentKind
    file: FileName
    sha256: Sha256
    date: date
    expires: Day | Literal["never"]
    signatory: Words | None = None
    party: Words | None = None
    number: Words | None = None
    clauses: tuple[Name, ...] = ()


class Opinion(Frozen):
    """What a named counsel holds about gates; ``file`` is that of a registered document."""

    about: tuple[str, ...]
    counsel: Words
    on: date
    file: FileName


class CounselAcceptance(Frozen):
    """A named counsel stands for a rule whose text nobody has read for the pack."""

    rule: str
    name: Words
    on: date


class Acceptance(Frozen):
    """A named person accepts a warning, or answers a gate that no data decides."""

    gate: str
    name: Words
    on: date
    reason: Words


class Recipient(Frozen):
    """Who receives data. ``purposes`` are the recipient's own words for what it will do with them."""

    name: Words
    uscc: Uscc | None = None
    contact: Words | None = None
    region: Region | None = None
    effective: date | None = None
    purposes: tuple[Words, ...] | None = None
    screened_on: date | None = None
    on_restricted_list: bool | None = None


class LawfulBasis(Frozen):
    """Why an operation on a data set is lawful; a statutory duty cites its law."""

    data_set: Words
    operation: Operation
    basis: Basis | None = None
    article: Words | None = None
    cites: Words | None = None


class Notices(Frozen):
    """How many persons of the batch were told, by the way they were told."""

    template_sha256: Sha256 | None = None
    delivered: Persons | None = None
    publicly: Persons | None = None
    debtors_delivered: Persons | None = None
    export_delivered: Persons | None = None
    depends_on_unrelated_consent: bool | None = None


class Consents(Frozen):
    """The snapshot of consents from which the batch was made."""

    text_version: Words | None = None
    snapshot_sha256: Sha256 | None = None
    taken_on: date | None = None


class Contract(Frozen):
    """What a contract with a processor or partner must fix (PIPL 21, NDSR 12)."""

    purpose: Words | None = None
    period: Words | None = None
    method: Words | None = None
    kinds: Words | None = None
    measures: Words | None = None
    duties: Words | None = None


class Processor(Frozen):
    """An entrusted party, or a processor of it."""

    name: Words
    region: Region | None = None
    contract: Contract | None = None
    ended: bool | None = None


class Flow(Frozen):
    """An export of the current year, by whichever group company and in however many batches.

    ``remote_reading``: nothing is sent, but it is read from abroad. Persons are counted since 1 January.
    """

    recipient: Words
    region: Region | None = None
    remote_reading: bool | None = None
    ordinary_persons: Persons | None = None
    sensitive_persons: Persons | None = None
    data_sets: tuple[Words, ...] | None = None
    exemption: Name | None = None
    mechanism: Mechanism | None = None
    mechanism_number: Words | None = None
    mechanism_recipient: Words | None = None
    mechanism_data_sets: tuple[Words, ...] | None = None
    valid_from: date | None = None
    valid_until: date | None = None


class Exports(Frozen):
    """All exports of a calendar year; the two flags say that nothing was left aside.

    ``year: every`` is the statement of a company that never exports anything.
    """

    year: int | Literal["every"] | None = None
    flows: tuple[Flow, ...] | None = None
    counts_affiliates: bool | None = None
    counts_remote_reading: bool | None = None


class Custodian(Frozen):
    """Who keeps what must be kept once the company is gone, and how persons reach them."""

    name: Words | None = None
    contact: Words | None = None
    contact_tested: date | None = None


class ImpactAssessment(Frozen):
    """The conclusion of the assessment of PIPL 55; ``scope_sha256`` binds it to what it was made for."""

    scope_sha256: Sha256 | None = None
    conclusion: Literal["proceed", "proceed_with_conditions", "stop"] | None = None
    approver: Words | None = None
    on: date | None = None
    keep_until: date | None = None
    risk: RiskLevel | None = None


class Department(Frozen):
    """A department's signature, or why it has nothing to sign."""

    name: Words
    signed_by: Words | None = None
    on: date | None = None
    not_applicable: Words | None = None


class RowClassRules(Frozen):
    """Which retention rules a class of rows falls under, with the dates that start their periods."""

    row_class: Words
    rules: tuple[str, ...] | None = None
    triggers: dict[Trigger, date | int] | None = None
    indivisible: bool | None = None


class Claims(Frozen):
    """Liquidation and open claims (Company Law 232-239, Civil Code 546)."""

    open_claims: Persons | None = None
    claim_period_ended: date | None = None
    report_confirmed: date | None = None
    simplified_deregistration: bool | None = None


class Incident(Frozen):
    """A security incident: hours count from its discovery."""

    persons_affected: Persons | None = None
    loss_yuan: Persons | None = None
    critical_infrastructure: bool | None = None
    state_organ: bool | None = None
    hours_to_report: Persons | None = None
    hours_since_found: Persons | None = None
    notified: bool | None = None
    closed: bool | None = None


class Handover(Frozen):
    """The receiver's four tests of handed-over accounting archives (ACC-24)."""

    accurate: bool | None = None
    complete: bool | None = None
    usable: bool | None = None
    safe: bool | None = None


class Matter(Frozen):
    """All that a case states for the gates.

    ``entity_cases``: the case in which one of ``entities`` returns or deletes. ``purposes``: the recipient's
    purpose by data set, where it is not in the data set's own words. ``holds``: an empty list says that
    somebody looked and found none.
    """

    recipients: tuple[Recipient, ...] | None = None
    custodian: Custodian | None = None
    bases: tuple[LawfulBasis, ...] | None = None
    notices: Notices | None = None
    consents: Consents | None = None
    documents: tuple[Document, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    counsel_acceptances: tuple[CounselAcceptance, ...] = ()
    acceptances: tuple[Acceptance, ...] = ()
    processors: tuple[Processor, ...] | None = None
    joint_handlers: tuple[Words, ...] | None = None
    entities: tuple[Words, ...] | None = None
    entity_cases: dict[Words, Words] = Field(default={})
    partners: tuple[Words, ...] | None = None
    participants: tuple[Words, ...] | None = None
    exports: Exports | None = None
    store_regions: tuple[Region, ...] | None = None
    impact_assessment: ImpactAssessment | None = None
    departments: tuple[Department, ...] | None = None
    controls: tuple[Name, ...] | None = None
    retention: tuple[RowClassRules, ...] | None = None
    holds: tuple[Hold, ...] | None = None
    purposes: dict[Words, Words] = Field(default={})
    stated: StatedFacts | None = None
    claims: Claims | None = None
    incidents: tuple[Incident, ...] | None = None
    handover: Handover | None = None
    payment_account_switches: bool | None = None
    sensitive_necessity: Words | None = None
    notice_exception: Words | None = None
    publications: tuple[Words, ...] | None = None
    request_origin: Literal["own", "domestic", "foreign_authority"] | None = None
    ciio: bool | None = None
    mlps_level: Annotated[int, Field(ge=1, le=5)] | None = None
    mlps_number: Words | None = None
    aml_obliged: Literal["yes", "no", "unknown"] = "unknown"
    sector_profiles: tuple[Name, ...] | None = None
    ecommerce_role: Literal["none", "operator", "platform"] | None = None
    protection_officer: Words | None = None
    officer_changes: bool | None = None
    open_requests: Persons | None = None
    open_portability_requests: Persons | None = None
    log_retention_days: Persons | None = None
    evidence_years: Persons | None = None
    record_years: Persons | None = None
