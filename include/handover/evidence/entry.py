"""A ledger entry: how it is hashed, chained and signed, apart from any database.

The hash is defined in ``verifier`` (and docs/evidence-format.md), so that what we write is what the
stand-alone program checks. An entry that was not checked by ``verify_chain`` proves nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from handover.evidence import verifier
from handover.vault.signing import Signer

GENESIS = verifier.GENESIS


@dataclass(frozen=True)
class Entry:
    """One row of the ledger; ``body_text`` is the exact text that was hashed."""

    case: str
    seq: int
    run: str
    at: str
    kind: str
    key: str | None
    body_text: str
    prev_hash: str
    hash: str
    signature: str
    key_id: str

    @property
    def body(self) -> Mapping[str, Any]:
        """The body as it was given."""
        parsed: Mapping[str, Any] = json.loads(self.body_text)
        return parsed

    @property
    def line(self) -> str:
        """The entry as a line of ledger.jsonl, without its end."""
        fields = {name: value for name, value in vars(self).items() if name != "body_text"}
        return verifier.compact(fields | {"body": self.body_text})


@dataclass(frozen=True)
class Draft:
    """What is about to be appended."""

    case: str
    run: str
    kind: str
    key: str | None
    body_text: str


def link(draft: Draft, seq: int, prev_hash: str, at: str, signer: Signer) -> Entry:
    """The entry that continues a chain; ``at`` is UTC in ISO 8601 with microseconds and Z."""
    fields = {
        "case": draft.case,
        "seq": seq,
        "run": draft.run,
        "at": at,
        "kind": draft.kind,
        "key": draft.key,
        "body": draft.body_text,
        "prev_hash": prev_hash,
    }
    hash_hex = verifier.entry_hash(fields)
    signature = base64.b64encode(signer.sign(verifier.signed_bytes(hash_hex))).decode()
    return Entry(
        draft.case,
        seq,
        draft.run,
        at,
        draft.kind,
        draft.key,
        draft.body_text,
        prev_hash,
        hash_hex,
        signature,
        signer.key_id,
    )


def verify_chain(lines: Iterable[str], public_keys: Iterable[bytes]) -> list[str]:
    """Findings of a whole chain, each naming its seq; ``public_keys`` are the PEMs that are trusted."""
    keys = [verifier.load_key(pem) for pem in public_keys]
    report = verifier.Report()
    verifier.check_lines(lines, {verifier.fingerprint(key): key for key in keys}, None, report)
    return [f"{finding.where}: {finding.message}" for finding in report.findings]
