"""The certificate of destruction of a run: as files for its evidence, and anew once its backup has ended."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from handover.crashpoints import CrashPoint, passing
from handover.errors import ConfigurationMissing, EvidenceInvalid, NotReady
from handover.evidence.destruction_certificate import (
    HTML_NAME,
    JSON_NAME,
    PDF_NAME,
    certificate_files,
    certificate_paper,
)
from handover.evidence.destruction_paper import page
from handover.evidence.manifest import statement, write_evidence
from handover.model.destruction_certificate import Certificate, certify
from handover.stages.backup_end import backup_due, backup_end, has_ended
from handover.stages.certificate_backups import is_alive, other_backups
from handover.stages.certificate_facts import certificate_facts
from handover.stages.clean_residue import residue_faults
from handover.stages.context import Context
from handover.stages.destruction_signing import destruction_documents
from handover.stages.disposal import OPENED
from handover.stages.erasures import ENDED, PastRun, same_database
from handover.stages.facts import legal_day
from handover.stages.failures import Failures
from handover.stages.proving import proof, prove_faults
from handover.stages.tombstones import tombstone_faults

STEP = "certify"
ISSUED, WRITTEN = "certificate-issued", "certificate-written"
# Says why there is no PDF; the other two forms say the same.
NO_PDF_NAME = "destruction-certificate.pdf-missing.txt"


def certificate(context: Context) -> dict[str, bytes]:
    """Return the certificate as files, none for a run that disposes of nothing.

    Raises EvidenceInvalid with the reasons when none can be made.
    """
    if not context.disposes:
        return {}
    return files_of(certify(certificate_facts(context)))


def end_when_due(context: Context) -> None:
    """End the backup of a complete run whose day has come, and issue the certificates that this leaves."""
    if context.disposes and legal_day() >= backup_due(context):
        backup_end(context)
        issue_certificate(context)
        issue_outstanding(context)


def issue_outstanding(context: Context) -> None:
    """Issue every outstanding certificate; one that cannot be issued does not keep the others."""
    failures = Failures()
    for one in outstanding(context):
        with failures.while_doing(f"issuing the certificate of {one.name}"):
            issue_certificate(one.context(context))
    failures.raise_first()


def outstanding(context: Context) -> list[PastRun]:
    """Return the runs over the database whose last certificate does not know yet that all backups ended.

    Also those of which none was issued since the run's own backup ended: whoever was to do it was killed.
    """
    every = same_database(context)
    alive = {one.name for one in every if is_alive(one)}
    return [one for one in every if {OPENED, ENDED} <= one.entries.keys() and _is_outstanding(one, alive)]


def _is_outstanding(one: PastRun, alive: Set[str]) -> bool:
    issued, written = one.last(ISSUED), one.last(WRITTEN)
    if issued is None or written is None or written.seq < issued.seq or not issued.body["backup_ended"]:
        return True
    waited_for = set(issued.body.get("other_backups", ()))
    return bool(waited_for) and not waited_for & alive


def certificate_faults(context: Context) -> list[str]:
    """Return why the run gets no certificate, beside what its own steps say; for closing."""
    if not context.disposes:
        return []
    faults = [*prove_faults(context), *residue_faults(context), *tombstone_faults(context)]
    if proof(context) is None:
        return faults
    try:
        certify(certificate_facts(context))
    except EvidenceInvalid as refused:
        reasons = refused.data.get("refused", [refused.message])
        faults += [f"certificate: {reason}" for reason in reasons]  # type: ignore[attr-defined]
    return list(dict.fromkeys(faults))


def files_of(made: Certificate) -> dict[str, bytes]:
    """Return all forms of a certificate; without the font the PDF is missing, and a file says so."""
    try:
        return certificate_files(made)
    except ConfigurationMissing as problem:
        said = f"{PDF_NAME} could not be made: {problem.message}\n{HTML_NAME} and {JSON_NAME} say the same.\n"
        return {
            JSON_NAME: made.json_bytes,
            HTML_NAME: page(certificate_paper(made)).encode(),
            NO_PDF_NAME: said.encode(),
        }


def issue_certificate(context: Context) -> Path:
    """Write the certificate of a complete run into an evidence folder of its own, as it is now.

    For what came after closing: the backup's end, a validation, an attestation. None is ever changed.
    """
    with context.step(STEP):
        closed = context.entries("run-closed")
        if not context.disposes or not closed or closed[-1].body["status"] != "complete":
            raise NotReady("the run is not complete, or disposed of nothing", hint="clear the task close")
        made = certify(certificate_facts(context))
        told = {
            "number": made.number,
            "finality": made.finality,
            "effective_erasure_date": str(made.effective_erasure_date or ""),
            "backup_ended": has_ended(context),
            "other_backups": [one.past.name for one in other_backups(context) if one.lives],
            "open_points": [point.en for point in made.open_points],
        }
        # First the entry: each attempt gets a folder of its own.
        context.record(ISSUED, told)
        made = certify(certificate_facts(context))  # its head of the chain is that entry
        folder = _write(context, made, told)
        passing(CrashPoint.EVIDENCE_UNRECORDED)
        context.record(WRITTEN, {"folder": str(folder), "finality": made.finality})
    return folder


def _write(context: Context, made: Certificate, told: dict[str, object]) -> Path:
    number = len(context.entries(ISSUED))
    predicate = {"case": context.case.case, "run": context.run, "status": "certified", **told}
    return write_evidence(
        context.settings.evidence / context.case.case / f"{context.run}-certificate-{number}",
        statement=statement([], predicate),
        ledger_lines=context.ledger.lines(context.case.case),
        documents={**files_of(made), **destruction_documents(context)},
        signer=context.keyring.signer(),
    )
