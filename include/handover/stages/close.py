"""Close: say from the ledger alone whether the run is complete, sign it, and write the evidence folder."""

from __future__ import annotations

import json
import platform
import subprocess
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from handover import __version__
from handover.crashpoints import CrashPoint, passing
from handover.errors import VerificationFailed
from handover.evidence.history import History
from handover.evidence.ledger import Entry
from handover.evidence.manifest import statement, write_evidence
from handover.evidence.report import write_report
from handover.evidence.report_pseudonyms import pseudonyms
from handover.model.backup import BackupIndex, ChunkReceipt, ObjectRef
from handover.model.plan import TablePlan
from handover.postgres.receipts import drop_receipts
from handover.postgres.session import connect
from handover.settings import REPOSITORY
from handover.stages import handover_signing, plan_documents
from handover.stages.backup_index import read_index
from handover.stages.certifying import certificate
from handover.stages.completeness import missing_steps
from handover.stages.context import Context
from handover.stages.definitions import kept_definitions
from handover.stages.destruction_signing import destruction_documents
from handover.stages.disposal import is_open
from handover.stages.gates import impact_text
from handover.stages.pseudonym_keys import settle_keys
from handover.stages.quarantine import lift_quarantine
from handover.stages.tally import tallies

_PACKAGES = (
    "apache-airflow",
    "cryptography",
    "great-expectations",
    "pandas",
    "psycopg",
    "pyarrow",
    "pydantic",
    "rfc8785",
    "zstandard",
)
NOT_COVERED = (
    "an Airflow administrator or DAG author who holds the signing key",
    "replicas, WAL archives, file-system snapshots and server logs outside the connections of the case",
    "copies made by people; physical media",
    "who started a run through Airflow's own command line: it records an account of the system",
)


def close_run(context: Context) -> Path:
    """Write the signed manifest and evidence; raises VerificationFailed when the run is not complete."""
    with context.step("close"):
        missing = missing_steps(context)
        status = "not complete" if missing else "complete"
        # First the entry: from it on nobody aborts the run, so the target needs its receipts no more.
        context.record("run-closed", {"status": status, "reasons": list(missing)})
        passing(CrashPoint.CLOSING_RECORDED)
        if not missing:
            for url in filter(None, (context.target, context.source if is_open(context) else "")):
                with closing(connect(url)) as database:
                    drop_receipts(database, context.holder)
            lift_quarantine(context)
            settle_keys(context)
        passing(CrashPoint.RECEIPTS_DROPPED)
        folder = _write(context, status, missing)
        passing(CrashPoint.EVIDENCE_UNRECORDED)
        context.record("evidence-written", {"folder": str(folder), "status": status})
        if missing:
            raise VerificationFailed(
                "the run is not complete:\n  " + "\n  ".join(missing),
                hint="see the failed tasks; clear them once their cause is gone",
                evidence=str(folder),
            )
    return folder


def _write(context: Context, status: str, reasons: list[str]) -> Path:
    """Write the evidence folder; each attempt to close gets one of its own, none is ever changed."""
    entries = context.entries()
    predicate = _predicate(context, status, reasons, entries)
    attempts = sum(entry.kind == "run-closed" for entry in entries)
    name = context.run if attempts == 1 else f"{context.run}-{attempts}"
    documents = {
        "case.json": _pretty(context.case.document()),
        **write_report(entries),
        **plan_documents.documents(context),
        **handover_signing.documents(context),
        **destruction_documents(context),
    }
    if not reasons:
        documents |= certificate(context)
    if text := impact_text(context):
        documents["impact-assessment.md"] = text.encode()
    return write_evidence(
        context.settings.evidence / context.case.case / name,
        statement=statement(_vault_files(context, entries), predicate),
        ledger_lines=context.ledger.lines(context.case.case),
        documents=documents,
        signer=context.keyring.signer(),
    )


def _pretty(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n"


def _vault_files(context: Context, entries: list[Entry]) -> list[tuple[str, str]]:
    if not any(e.kind == "backup-sealed" for e in entries):
        return []
    index = read_index(context)
    sealed = context.last("backup-sealed", "backup").body
    bounds = context.last("plan", "plan").body["bounds"]
    references = [ObjectRef.model_validate(o) for o in (sealed["index"], bounds)]
    references += [
        index.state.schema_object,
        index.state.large_objects_object,
        *(reference for _, reference in kept_definitions(context)),
        *tallies(context, index.state.generation),
        *(reference for kept in index.state.keys for reference in kept.objects),
        *(chunk.object for chunk in index.chunks),
    ]
    return [(f"vault/{reference.name}", reference.sha256) for reference in references]


def _predicate(context: Context, status: str, reasons: list[str], entries: list[Entry]) -> dict[str, object]:
    found: dict[str, object] = {
        "case": context.case.case,
        "run": context.run,
        "status": status,
        "reasons": list(reasons),
        "case_digest": context.case.sha256_of_json(),
        "opened": entries[0].at if entries else "",
        "closed": entries[-1].at if entries else "",
        "software": software(),
        "not_covered": list(NOT_COVERED),
    }
    if any(e.kind == "backup-sealed" for e in entries):
        found |= _backup(read_index(context))
    if masked := pseudonyms(History(entries)):
        found["pseudonyms"] = masked["wording"]
    return found


def _backup(index: BackupIndex) -> dict[str, object]:
    state = index.state
    chunks: dict[str, list[ChunkReceipt]] = {table.id: [] for table in index.plan.tables}
    for group in index.plan.groups():
        chunks[group.table] += index.of(group)
    return {
        "schema_digest": index.plan.schema_digest,
        "plan_digest": index.plan.sha256_of_json(),
        "generation": state.generation,
        "sequences": len(state.sequences),
        "materialized_views": [view.document() for view in state.views],
        "tables": [_table(table, chunks[table.id]) for table in index.plan.tables],
    }


def _table(table: TablePlan, chunks: list[ChunkReceipt]) -> dict[str, object]:
    return {
        "table": table.label,
        "format": table.format,
        "rows": sum(c.rows for c in chunks),
        "bytes": sum(c.bytes for c in chunks),
        "chunks": list(map(_chunk, chunks)),
    }


def _chunk(receipt: ChunkReceipt) -> dict[str, object]:
    found = {
        "unit": receipt.unit,
        "rows": receipt.rows,
        "digest": receipt.digest,
        "file": receipt.object.name,
    }
    return found | ({"sealed_by": receipt.shared.run} if receipt.shared else {})


def software() -> dict[str, str]:
    """Return the versions of what did the work, and the commit it was built from."""
    found = {"handover": __version__, "python": platform.python_version(), "git-commit": _commit()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _commit() -> str:
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"
