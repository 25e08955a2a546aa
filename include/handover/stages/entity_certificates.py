"""Certificates of entities: who had data on a company's behalf proves in a case of its own that none is left.

An entrusted party keeps nothing (PIPL 21(2)): a provisional certificate counts for nothing here.
The certificate of this case's own entity is made by closing, which refuses where it cannot be made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from handover.evidence.entry import Entry, verify_chain
from handover.law.facts import Facts, VerifiedFile
from handover.model.matter import Document
from handover.stages.context import Context
from handover.stages.facts import LEGAL_TIME

KIND = "return_or_delete_certificate"  # what the packs call it
OTHERS = "is another company's, or another transaction's"


@dataclass(frozen=True)
class Found:
    """The entry of the ledger that stands for an entity's certificate, or why none does."""

    entity: str
    case: str
    entry: Entry | None = None
    because: str = ""


def with_entity_certificates(context: Context, facts: Facts) -> Facts:
    """Return the facts with a document on file for each certificate that the entities' own cases issued."""
    found = found_certificates(context)
    documents = tuple(_document(one.entity, one.case, one.entry) for one in found if one.entry)
    verified = tuple(VerifiedFile(file=one.file, sha256=one.sha256) for one in documents)
    matter = facts.matter.model_copy(update={"documents": (*facts.matter.documents, *documents)})
    return facts.model_copy(update={"matter": matter, "verified": (*facts.verified, *verified)})


def entity_certificate_faults(context: Context) -> list[str]:
    """Return a line for each entity whose certificate is outstanding, with what keeps its case from one."""
    on_file = {one.party for one in context.case.matter.documents if one.kind == KIND}
    return [
        f"certificate outstanding: {one.entity}: case {one.case} {one.because}"
        for one in found_certificates(context)
        if one.entry is None and one.entity not in on_file and not _is_own(context, one)
    ]


def _is_own(context: Context, found: Found) -> bool:
    """Say whether it is this case's own certificate, about which closing speaks for itself."""
    return (found.entity, found.case) == (context.case.parties.giver.name, context.case.case)


def found_certificates(context: Context) -> list[Found]:
    """Look in the ledger for the certificate of each entity that has a case."""
    return [_find(context, entity, case) for entity, case in context.case.matter.entity_cases.items()]


def _find(context: Context, entity: str, case: str) -> Found:
    if case == context.case.case:
        return _own(context, entity)
    entries = context.ledger.entries(case)
    public = [context.keyring.signer().public_pem]
    if findings := verify_chain((entry.line for entry in entries), public):
        return Found(entity, case, because=f"has a ledger that does not verify: {findings[0]}")
    return _certified(context, entity, case, entries)


def _own(context: Context, entity: str) -> Found:
    """Take the proof for the certificate that closing makes of it."""
    from handover.stages.proving import PROVED  # here, because what is proven rests on what the gates heard

    if entity != context.case.parties.giver.name:
        return Found(entity, context.case.case, because=OTHERS)
    proven = [one for one in context.entries(PROVED)[-1:] if not one.body["faults"]]
    why = "" if proven else "has not proven yet that what went is gone"
    return Found(entity, context.case.case, proven[0] if proven else None, why)


def _certified(context: Context, entity: str, case: str, entries: list[Entry]) -> Found:
    """Look at the last run that let anything go: what was proven before it says nothing of what it found."""
    from handover.stages.certifying import ISSUED  # here, because a certificate rests on what the gates heard
    from handover.stages.disposal import OPENED

    runs = [one.run for one in entries if one.kind == OPENED]
    if not runs:
        return Found(entity, case, because="has let nothing go yet")
    mine = [one for one in entries if one.run == runs[-1]]
    said = next(one.body["case"] for one in mine if one.kind == "run-opened")
    if said["parties"]["giver"]["name"] != entity or said["transaction"] != context.case.transaction:
        return Found(entity, case, because=OTHERS)
    issued = [one for one in mine if one.kind == ISSUED]
    if not issued:
        return Found(entity, case, because="has issued no certificate after the end of its backup")
    if issued[-1].body["finality"] != "final":
        open_points = "; ".join(issued[-1].body["open_points"])
        return Found(entity, case, because=f"has issued a provisional certificate only: {open_points}")
    return Found(entity, case, issued[-1])


def _document(entity: str, case: str, entry: Entry) -> Document:
    return Document(
        kind=KIND,
        file=f"ledger/{case}/{entry.seq}",
        sha256=entry.hash,
        date=datetime.fromisoformat(entry.at).astimezone(LEGAL_TIME).date(),
        expires="never",
        signatory=entity,
        party=entity,
        number=f"{case}/{entry.run}",
    )
