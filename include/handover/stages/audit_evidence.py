"""Checks of an audit: the ledger's chains and signatures, and the evidence folders that were made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from handover.evidence.entry import verify_chain
from handover.evidence.verifier import LEDGER, verify
from handover.model.audit import Finding
from handover.stages.audit_scope import DONE, Audit
from handover.stages.certifying import WRITTEN
from handover.stages.drill import WRITTEN as DRILLED

# One fault early in a chain spoils all that follows; the first ones tell where to look.
MOST = 20
FOLDERS = ("evidence-written", WRITTEN, DONE, DRILLED)


def ledger_chains(audit: Audit) -> Iterator[Finding]:
    """Verify the chain and the signatures of every case."""
    public = [audit.keyring.signer().public_pem]
    for case in audit.ledger.cases():
        for fault in verify_chain(audit.ledger.lines(case), public)[:MOST]:
            place = f"{case}, {fault.split(':')[0]}"
            yield audit.finding("ledger", "error", place, f"账本校验失败：{fault}", f"the ledger: {fault}")


def evidence_folders(audit: Audit) -> Iterator[Finding]:
    """Verify every evidence folder by itself, and look whether the ledger still has what it was made of."""
    for folder in sorted(audit.settings.evidence.glob("*/*")):
        if folder.name.startswith("."):
            continue  # of an attempt that was killed before the folder had its name
        where = f"{folder.parent.name}/{folder.name}"
        report = verify(folder)
        for fault in report.findings[:MOST]:
            said = f"{fault.where}: {fault.message}"
            yield audit.finding(
                "evidence",
                "error",
                f"{where}: {fault.where}",
                f"证据校验失败：{said}",
                f"does not hold: {said}",
            )
        if report.key_id and report.key_id != audit.keyring.signer().key_id:
            yield audit.finding(
                "evidence-key", "error", where, "由其他密钥签名。", "is signed by another key than ours."
            )
        elif report.ok:
            yield from _shortened(audit, folder, where)


def _shortened(audit: Audit, folder: Path, where: str) -> Iterator[Finding]:
    """A chain that was cut at its end, or written anew, holds in itself; the evidence remembers its head."""
    lines = (folder / LEDGER).read_text(encoding="utf-8").splitlines()
    if not lines:
        return
    head = json.loads(lines[-1])
    entries = audit.ledger.entries(head["case"])
    if len(entries) < head["seq"] or entries[head["seq"] - 1].hash != head["hash"]:
        place = f"{head['case']}, seq {head['seq']}"
        yield audit.finding(
            "ledger-head",
            "error",
            f"{where}: {place}",
            "账本中已没有该证据所依据的条目：账本被截断或重写。",
            "the ledger no longer has the entry that this evidence ends with: it was cut or written anew.",
        )


def evidence_is_there(audit: Audit) -> Iterator[Finding]:
    """Look for each evidence folder that the ledger says was written."""
    for case in audit.ledger.cases():
        for entry in audit.ledger.entries(case, kinds=FOLDERS):
            name = Path(str(entry.body["folder"])).name
            if not (audit.settings.evidence / case / name).is_dir():
                yield audit.finding(
                    "evidence-missing",
                    "error",
                    f"{case}/{name}",
                    "账本记载的证据文件夹缺失。",
                    "the evidence folder that the ledger names is missing.",
                )
