"""The named checks: what the general ones cannot say. Each yields what is missing; nothing: it passes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import rfc8785

from handover.law.dates import after
from handover.law.export import export_problems
from handover.law.facts import Facts
from handover.law.incidents import incident_problems
from handover.law.papers import has_opinion, is_accepted_by_counsel
from handover.model.check import SpecialName
from handover.model.policy import Pack, Period

Found = Iterable[str]
KEYED = ("keyed_hash", "token", "encryption", "format_preserving")
RISK_ORDER = ("low", "medium", "high")


def case_type(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """What legally happens decides first (section 0)."""
    matter = facts.matter
    match facts.transaction:
        case "equity_transfer":
            if facts.data.copied_persons != 0:
                yield (
                    "an equity deal copies nobody in clear (a room for due diligence shows pseudonyms); "
                    f"data.copied_persons is {facts.data.copied_persons}"
                )
        case "asset_transfer" | "loan_portfolio_transfer":
            yield from _consents_or_opinion(facts)
        case "vie_termination":
            if not matter.entities:
                yield "matter.entities names nobody: one certificate is due from each entity"
        case "dissolution" | "bankruptcy" | "deregistration":
            kept = matter.custodian is not None and matter.custodian.name and matter.custodian.contact
            if not matter.recipients and not kept:
                yield "neither matter.recipients nor matter.custodian (name and contact) is there"
        case _:
            if not matter.recipients:
                yield "matter.recipients names nobody"


def _consents_or_opinion(facts: Facts) -> Iterator[str]:
    data = facts.data
    if data.scope_persons is None or data.persons is None:
        yield "data.scope_persons and data.persons are not both known"
    if data.without_separate_consent != 0 and not has_opinion("P23", facts):
        yield (
            f"persons of the batch without separate consent: {data.without_separate_consent}, "
            "and no valid opinion of a named counsel about P23"
        )


def dropping_out(facts: Facts) -> tuple[int, int] | None:
    """Return persons of the scope who are not in the batch, and all of the scope; None when not known."""
    scope, batch = facts.data.scope_persons, facts.data.persons
    return None if scope is None or batch is None else (max(scope - batch, 0), scope)


def columns_have_purposes(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """Each column that leaves serves a purpose that a recipient states; authentication data never leaves."""
    if facts.data.outgoing is None:
        yield "data.outgoing is not known"
    stated = {purpose for one in facts.matter.recipients or () for purpose in one.purposes or ()}
    for column in facts.data.outgoing or ():
        name = f"{column.data_set}.{column.column}"
        if column.authentication:
            yield f"{name} holds authentication data, which never leaves"
        elif column.purpose not in stated:
            yield f"{name} serves no purpose that a recipient states"


def every_operation_has_a_basis(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """Each operation on each data set has a basis with its article and what that basis needs."""
    if facts.data.operations is None:
        yield "data.operations is not known"
    consents = facts.matter.consents
    snapshot = consents is not None and consents.snapshot_sha256 and consents.taken_on
    for data_set, operation in facts.data.operations or ():
        given = [
            one
            for one in facts.matter.bases or ()
            if (one.data_set, one.operation) == (data_set, operation) and one.basis and one.article
        ]
        if not given:
            yield f"{operation} of {data_set} has no basis with article"
        elif all(one.basis in ("statutory_duty", "other_law") and not one.cites for one in given):
            yield f"{operation} of {data_set} rests on a law that is not cited"
        elif all(one.basis == "consent" for one in given) and not snapshot:
            yield f"{operation} of {data_set} rests on consent without a snapshot of the consents"


def purpose_unchanged(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """What leaves serves the purpose for which it was collected, or everybody consented to the new one."""
    if facts.data.outgoing is None:
        yield "data.outgoing is not known"
    changed = [
        column
        for column in facts.data.outgoing or ()
        if column.collected_for is None or column.collected_for != column.purpose
    ]
    consents = facts.matter.consents
    versions = consents is not None and consents.text_version and consents.snapshot_sha256
    if changed and not (versions and facts.data.without_separate_consent == 0):
        yield from (
            f"{one.data_set}.{one.column} leaves for another purpose without new consent" for one in changed
        )


def retention_is_planned(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """Each class of rows has rules of the packs; counsel stands for those that nobody has read."""
    if facts.data.row_classes is None:
        yield "data.row_classes is not known"
    known = {name: rule for pack in packs for name, rule in pack.retention.items()}
    planned = {one.row_class: one.rules for one in facts.matter.retention or ()}
    for row_class in facts.data.row_classes or ():
        rules = planned.get(row_class.name)
        if not rules:
            yield f"row class {row_class.name} has no retention rule"
        for rule in rules or ():
            if rule not in known:
                yield f"row class {row_class.name}: rule {rule} is in none of the packs"
            elif known[rule].basis.needs_counsel and not is_accepted_by_counsel(rule, facts):
                yield f"row class {row_class.name}: rule {rule} needs a counsel's acceptance"


def deletions_are_free(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """Nothing is erased that is kept by law or a hold, nothing is kept or copied that has to go."""
    if facts.data.row_classes is None:
        yield "data.row_classes is not known"
    for one in facts.data.row_classes or ():
        if one.planned is None or one.outcome is None:
            yield f"row class {one.name} has no plan or no retention decision"
        elif one.planned in ("erase", "pseudonymise") and one.outcome not in ("may_erase", "must_erase"):
            yield f"row class {one.name} is to be {one.planned}d, its retention decision is {one.outcome}"
        elif one.planned not in ("erase", "pseudonymise") and one.outcome == "must_erase":
            yield f"row class {one.name} has to be erased, planned is {one.planned}"
        elif one.planned not in ("restrict", "archive") and one.outcome == "split":
            yield f"row class {one.name} has to be split and restricted, planned is {one.planned}"


def scope_digest(facts: Facts) -> str:
    """Return the SHA-256 of what an impact assessment is made for: columns, recipients, flows, operations."""
    matter, data = facts.matter, facts.data
    flows = (matter.exports and matter.exports.flows) or ()
    scope = {
        "transaction": facts.transaction,
        "columns": sorted([one.data_set, one.column] for one in data.outgoing or ()),
        "recipients": sorted(one.name for one in matter.recipients or ()),
        "processors": sorted(one.name for one in matter.processors or ()),
        "flows": sorted([flow.recipient, flow.region or ""] for flow in flows),
        "operations": sorted(list(one) for one in data.operations or ()),
    }
    return hashlib.sha256(rfc8785.dumps(scope)).hexdigest()


def impact_assessment_covers_the_run(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """An assessment is concluded for exactly this scope, and its record is kept for three years."""
    record = facts.matter.impact_assessment
    if record is None:
        yield "matter.impact_assessment is not there"
        return
    if None in (facts.data.outgoing, facts.data.operations, facts.matter.recipients, facts.matter.processors):
        yield "the scope is not known: data.outgoing, data.operations, matter.recipients, matter.processors"
    exports = facts.matter.exports
    if exports is None or exports.flows is None or any(flow.region is None for flow in exports.flows):
        yield "the scope is not known: matter.exports.flows with their regions"
    if record.scope_sha256 != scope_digest(facts):
        yield f"matter.impact_assessment.scope_sha256 is for another scope; this one is {scope_digest(facts)}"
    if record.conclusion not in ("proceed", "proceed_with_conditions"):
        yield "matter.impact_assessment.conclusion does not let it proceed"
    if not record.approver or record.risk is None:
        yield "matter.impact_assessment names no approver or no risk"
    if record.on is None or record.on > facts.on:
        yield "matter.impact_assessment.on is missing or after this day"
    elif record.keep_until is None or record.keep_until < (after(record.on, Period(years=3)) or date.max):
        yield "matter.impact_assessment.keep_until is less than three years after it"


def labels_are_honest(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """De-identified is not anonymised: that needs destroyed keys and a test, and no keyed form at all."""
    if facts.data.transforms is None:
        yield "data.transforms is not known"
    for number, one in enumerate(facts.data.transforms or ()):
        if one.label == "anonymised":
            if one.kind in KEYED:
                yield f"data.transforms[{number}] ({one.kind}) is de-identified, never anonymised"
            elif not (one.key_destroyed and one.reidentification_tested):
                yield f"data.transforms[{number}] lacks destroyed keys or a re-identification test"


def risk_controls_are_on(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """Each control of the packs from the assessed risk level down is on; an unknown level is high."""
    record = facts.matter.impact_assessment
    level = RISK_ORDER.index((record and record.risk) or "high")
    for pack in packs:
        for name, control in pack.controls.items():
            if RISK_ORDER.index(control.from_level) <= level and name not in (facts.matter.controls or ()):
                yield f"matter.controls does not have {name}, asked from risk {control.from_level}"


def departments_signed(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """Each department has signed by this day, or says why it has nothing to sign."""
    if not facts.matter.departments:
        yield "matter.departments names nobody"
    for number, one in enumerate(facts.matter.departments or ()):
        signed = one.signed_by and one.on is not None and one.on <= facts.on
        if not signed and not one.not_applicable:
            yield f"matter.departments[{number}] has not signed and gives no reason"


def claims_are_settled(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """No open claims, the creditors' period is over, and the liquidation report is confirmed."""
    claims = facts.matter.claims
    if claims is None or claims.open_claims != 0:
        yield f"matter.claims.open_claims is {claims and claims.open_claims}, must be 0"
    for name in ("claim_period_ended", "report_confirmed"):
        day: date | None = getattr(claims, name) if claims else None
        if day is None or day > facts.on:
            yield f"matter.claims.{name} is missing or after this day"


@dataclass(frozen=True)
class Special:
    """A named check and the facts that it looks at."""

    check: Callable[[Facts, Sequence[Pack]], Found]
    inputs: tuple[str, ...]


_SCOPE = ("data.outgoing", "data.operations", "matter.recipients", "matter.processors", "matter.exports")
_PAPERS = ("matter.opinions", "matter.documents")
SPECIALS: Mapping[SpecialName, Special] = {
    "case_type": Special(
        case_type,
        (
            "data.copied_persons",
            "data.scope_persons",
            "data.persons",
            "data.without_separate_consent",
            "matter.recipients",
            "matter.custodian",
            "matter.entities",
            *_PAPERS,
        ),
    ),
    "columns_have_purposes": Special(columns_have_purposes, ("data.outgoing", "matter.recipients")),
    "every_operation_has_a_basis": Special(
        every_operation_has_a_basis, ("data.operations", "matter.bases", "matter.consents")
    ),
    "purpose_unchanged": Special(
        purpose_unchanged, ("data.outgoing", "matter.consents", "data.without_separate_consent")
    ),
    "retention_is_planned": Special(
        retention_is_planned, ("data.row_classes", "matter.retention", "matter.counsel_acceptances")
    ),
    "deletions_are_free": Special(deletions_are_free, ("data.row_classes",)),
    "export_has_a_mechanism": Special(
        export_problems,
        (
            "matter.exports",
            "matter.recipients",
            "matter.processors",
            "matter.store_regions",
            "matter.ciio",
            "data.highest_grade",
            "matter.counsel_acceptances",
        ),
    ),
    "impact_assessment_covers_the_run": Special(
        impact_assessment_covers_the_run, ("matter.impact_assessment", *_SCOPE)
    ),
    "labels_are_honest": Special(labels_are_honest, ("data.transforms",)),
    "risk_controls_are_on": Special(risk_controls_are_on, ("matter.impact_assessment", "matter.controls")),
    "departments_signed": Special(departments_signed, ("matter.departments",)),
    "incidents_were_reported": Special(incident_problems, ("matter.incidents",)),
    "claims_are_settled": Special(claims_are_settled, ("matter.claims",)),
}
