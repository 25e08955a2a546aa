"""The verification report of a run, made of its ledger entries alone: verification.json and .html.

It repeats what the ledger says and adds nothing; who needs proof checks the ledger and the manifest. The
same entries give the same bytes. The form is described in docs/evidence-format.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from handover.errors import EvidenceInvalid
from handover.evidence.canonical import canonical
from handover.evidence.compared import DIFFERENT, EQUAL, comparisons, tables, totals
from handover.evidence.entry import Entry
from handover.evidence.expected import PENDING, expectations, faults
from handover.evidence.history import History
from handover.evidence.report_html import verification_html
from handover.evidence.report_law import law
from handover.evidence.report_pseudonyms import pseudonyms
from handover.evidence.uncompared import not_compared
from handover.postgres.session import PINNED

FORMAT = "handover.verification.v1"
ENDING = "deregistration"
# What a run does after it was closed for the first time, when it goes on and is not yet closed again.
_WORK = frozenset(
    {
        "verified",
        "migrated",
        "restore-tested",
        "expectations-checked",
        "tallied",
        "reconciled",
        "source-rechecked",
        "handover-list",
        "absence-searched",
        "reidentification-tested",
    }
)
_STEPS = (
    ("opened", "run-opened"),
    ("inventory", "inventory"),
    ("plan", "plan"),
    ("gates", "gates"),
    ("snapshot", "snapshot-exported"),
    ("backup", "backup-sealed"),
    ("restore_test", "restore-tested"),
    ("migrate", "migrated"),
    ("verify", "verified"),
    ("reconcile", "reconciled"),
    ("archive", "archive-verified"),
    ("recheck", "source-rechecked"),
    ("handover_list", "handover-list"),
    ("quarantine", "quarantined"),
    ("dispose", "disposal-opened"),
    ("mask_here", "masked-here"),
    ("erase", "erased"),
    ("prove", "proved"),
    ("close", "run-closed"),
)


def write_report(entries: Iterable[Entry]) -> dict[str, bytes]:
    """Return both forms of the report by the names of their files in the evidence folder."""
    document = verification_document(entries)
    return {
        "verification.json": canonical(document, EvidenceInvalid, "verification.json") + b"\n",
        "verification.html": verification_html(document).encode(),
    }


def verification_document(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return the content of verification.json; ``entries`` are one run's, any kind of them may be absent."""
    history = History(entries)
    found = comparisons(history)
    listed = tables(history, found)
    expected = expectations(history)
    reconciled = _reconciliation(history)
    legal = law(history)
    findings = _findings(history, found, expected, reconciled, legal["recheck"])
    status, reasons = _status(history)
    return {
        "format": FORMAT,
        **_matter(history),
        "status": status,
        "reasons": reasons,
        "verdict": _verdict(status, findings, found, history, expected),
        "findings": findings,
        **legal,
        "pseudonyms": pseudonyms(history),
        "totals": totals(listed, found),
        "steps": [{"step": s, "at": history.at(kind)} for s, kind in _STEPS if history.all(kind)],
        "how": _how(history),
        "tables": listed,
        "views": _views(history),
        "comparisons": found,
        "restore_test": _restore_test(history),
        "expectations": expected,
        "reconciliation": reconciled,
        "not_compared": not_compared(history),
        "failures": _failures(history),
    }


def _matter(history: History) -> dict[str, Any]:
    parties = history.case.get("parties", {})
    first = history.entries[0] if history.entries else None
    return {
        "case": first.case if first else "",
        "run": first.run if first else "",
        "kind": history.case.get("kind", ""),
        "title": history.case.get("title", ""),
        "giver": parties.get("giver", {}).get("name", ""),
        "recipient": parties.get("recipient", {}).get("name", ""),
        "ledger": {"entries": len(history.entries), "last_hash": history.entries[-1].hash if first else ""},
    }


def _status(history: History) -> tuple[str, list[str]]:
    """Return how far the run is, with the reasons that its closing gave."""
    if history.all("run-aborted"):
        return "aborted", []
    closings = history.all("run-closed")
    if not closings:
        return "in progress", []
    closing = closings[-1]
    if any(entry.kind in _WORK and entry.seq > closing.seq for entry in history.entries):
        return "in progress", []
    return str(closing.body["status"]), list(closing.body["reasons"])


def _verdict(
    status: str,
    findings: list[dict[str, str]],
    found: list[dict[str, Any]],
    history: History,
    expected: dict[str, Any],
) -> str:
    """Say ``equal`` only when everything that was planned was compared and nothing differed.

    A run that ends a company's data compares nothing with a target: complete, it is ``disposed``.
    """
    if status == "aborted":
        return "aborted"
    if findings:
        return "different"
    if history.case.get("kind") == ENDING:  # nothing arrives anywhere: its certificate says what was proven
        return "disposed" if status == "complete" else "unfinished"
    waiting = (
        status == "not complete",
        not found,
        any(comparison["state"] != EQUAL for comparison in found),
        bool(expected.get("standings", {}).get(PENDING)),
        bool(history.counting("tallied")) and not history.counting("reconciled"),
    )
    return "unfinished" if any(waiting) else "equal"


def _findings(
    history: History,
    found: list[dict[str, Any]],
    expected: dict[str, Any],
    reconciled: dict[str, Any],
    recheck: dict[str, Any],
) -> list[dict[str, str]]:
    rows = [line for c in found if c["state"] == DIFFERENT for line in c["differences"]]
    return [
        *({"area": "restore_test", "text": line} for line in _restore_test(history).get("differences", ())),
        *({"area": "target", "text": line} for line in rows),
        *({"area": "expectations", "text": line} for line in faults(expected)),
        *({"area": "reconciliation", "text": line} for line in reconciled.get("differences", ())),
        *({"area": "source", "text": line} for line in recheck.get("changes", ())),
    ]


def _restore_test(history: History) -> dict[str, Any]:
    """Return what the restore of the backup into a scratch database gave, empty when it was not tried."""
    tried = [*history.all("restore-test-failed"), *history.all("restore-tested")]
    mine = [entry for entry in tried if entry.body["generation"] == history.generation]
    if not mine:
        return {}
    latest = max(mine, key=lambda entry: entry.seq)
    return {
        "at": latest.at,
        "attempts": len(mine),
        "rows": latest.body.get("rows", 0),
        "differences": list(latest.body["differences"]),
    }


def _reconciliation(history: History) -> dict[str, Any]:
    latest = history.counting("reconciled")
    if not latest:
        return {}
    return {"tables": list(latest[-1]["tables"]), "differences": list(latest[-1]["differences"])}


def _how(history: History) -> dict[str, Any]:
    inventory, state = history.last("inventory"), history.state
    servers = {"source": history.catalog.get("server"), "target": inventory.get("target")}
    return {
        "chunk_digest": "HMAC-SHA-256 under the case's evidence key over the SHA-256 of its COPY stream",
        "table_digest": "SHA-256 over the digests of its chunks in order, in hex, each with a line feed",
        "snapshot": {
            "generation": history.generation,
            "name": state.get("snapshot", ""),
            "void_generations": len(history.all("generation-void")),
        },
        "settings": dict(PINNED),
        "servers": {
            side: {name: server[name] for name in ("version", "encoding", "collation")}
            for side, server in servers.items()
            if server
        },
        "schemas": list(history.case.get("source", {}).get("schemas", ())),
        "digests": {
            "case": str(history.last("run-opened").get("digest", "")),
            "plan": str(history.last("plan").get("digest", "")),
            "schema": str(history.plan.get("schema_digest", "")),
        },
    }


def _views(history: History) -> list[dict[str, Any]]:
    return [
        {
            "view": f"{view['schema_name']}.{view['name']}",
            "populated": view["populated"],
            "rows": view["rows"],
        }
        for view in history.state.get("views", ())
    ]


def _failures(history: History) -> list[dict[str, str]]:
    """Return what failed steps said, oldest first, without the remedies."""
    return [
        {
            "at": entry.at,
            "stage": str(entry.body["stage"]),
            "lane": str(entry.body["lane"]),
            "message": str(entry.body["message"]).split("\nHINT:")[0],
        }
        for entry in history.all("failure")
    ]
