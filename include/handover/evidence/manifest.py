"""The manifest: an in-toto statement in a DSSE envelope, and the folder that an auditor gets.

Nothing is signed before it was checked: the ledger's chain must hold, and the statement must name every
file of the folder with its SHA-256. What the predicate claims beyond that is the caller's word.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from handover.crashpoints import CrashPoint, passing
from handover.errors import EvidenceInvalid
from handover.evidence import verifier
from handover.evidence.canonical import canonical
from handover.evidence.entry import GENESIS, verify_chain
from handover.evidence.readme import README
from handover.evidence.verifier import LEDGER, MANIFEST, PREDICATE_TYPE, PUBLIC_KEY
from handover.vault.files import make_private_folders, refusal, sync_folder
from handover.vault.signing import Signer
from handover.vault.store import FolderStore

__all__ = ["PREDICATE_TYPE", "envelope", "statement", "write_evidence"]

_PARTIAL = ".partial-"
_OWN_FILES = frozenset({MANIFEST, LEDGER, PUBLIC_KEY, "verify.py", "README.txt"})


def statement(subjects: list[tuple[str, str]], predicate: Mapping[str, object]) -> bytes:
    """An in-toto Statement v1 in RFC 8785 form; subjects are names with their SHA-256 in hex.

    Vault files are named ``vault/<object name>``. The predicate must hold the strings ``case`` and ``run``.
    """
    for name in ("case", "run"):
        if not isinstance(predicate.get(name), str):
            raise EvidenceInvalid(
                f"the manifest's predicate has no {name}",
                hint=f"put the {name}'s id there as a string: the verifier compares vault files with it",
            )
    _check_unique(subjects)
    return _statement(dict(subjects), predicate)


def envelope(payload: bytes, signer: Signer) -> bytes:
    """A DSSE envelope with one signature."""
    document = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": verifier.PAYLOAD_TYPE,
        "signatures": [
            {"keyid": signer.key_id, "sig": base64.b64encode(signer.sign(verifier.pae(payload))).decode()}
        ],
    }
    return verifier.compact(document).encode() + b"\n"


def write_evidence(
    folder: Path,
    *,
    statement: bytes,
    ledger_lines: Iterable[str],
    documents: Mapping[str, bytes],
    signer: Signer,
) -> Path:
    """Complete the statement, sign it and write the folder in one step; an existing folder is refused.

    Added to the statement: every evidence file as a subject, and in the predicate ``ledger`` with the
    number of ``entries`` and the hash of the last one as ``head``.
    """
    if folder.exists():
        raise EvidenceInvalid(
            f"the evidence folder {folder} exists already and is never changed",
            hint="verify it; to write it again move it away first",
        )
    lines = list(ledger_lines)
    files = _files(lines, documents, signer)
    complete = _complete(statement, lines, files, signer)
    files[MANIFEST] = envelope(complete, signer)
    _publish(folder, files)
    return folder


def _check_unique(subjects: list[tuple[str, str]]) -> None:
    twice = [name for name, count in Counter(name for name, _ in subjects).items() if count > 1]
    if twice:
        raise EvidenceInvalid(
            f"the manifest names {twice[0]} twice", hint="each file is one subject", files=twice
        )


def _statement(subjects: Mapping[str, str], predicate: Mapping[str, object]) -> bytes:
    document = {
        "_type": verifier.STATEMENT_TYPE,
        "predicateType": PREDICATE_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest}} for name, digest in sorted(subjects.items())
        ],
        "predicate": predicate,
    }
    return canonical(document, EvidenceInvalid, "the manifest")


def _files(lines: list[str], documents: Mapping[str, bytes], signer: Signer) -> dict[str, bytes]:
    reserved = sorted(name for name in documents if name in _OWN_FILES or name.startswith(verifier.VAULT))
    if reserved:
        raise EvidenceInvalid(f"a document may not be named {reserved[0]}", hint="choose another name")
    return dict(documents) | {
        LEDGER: "".join(f"{line}\n" for line in lines).encode(),
        PUBLIC_KEY: signer.public_pem,
        "verify.py": Path(verifier.__file__).read_bytes(),
        "README.txt": README.encode(),
    }


def _complete(given: bytes, lines: list[str], files: Mapping[str, bytes], signer: Signer) -> bytes:
    document: dict[str, Any] = json.loads(given)
    predicate: dict[str, Any] = document["predicate"]
    _check_ledger(lines, predicate["case"], signer)
    head = json.loads(lines[-1])["hash"] if lines else GENESIS
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in document["subject"]}
    subjects |= {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return _statement(subjects, predicate | {"ledger": {"entries": len(lines), "head": head}})


def _check_ledger(lines: list[str], case: str, signer: Signer) -> None:
    findings = verify_chain(lines, [signer.public_pem])
    if not findings and lines and json.loads(lines[0])["case"] != case:
        findings = [f"the ledger is not of case {case}"]
    if findings:
        raise EvidenceInvalid(
            f"the ledger does not hold and is not signed: {findings[0]} ({len(findings)} findings)",
            hint="nothing was written; compare the ledger's database with its backup",
            findings=findings,
        )


def _publish(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        make_private_folders(folder.parent)
        with _alone_in(folder.parent):
            for leftover in folder.parent.glob(f".*{_PARTIAL}*"):  # of killed attempts, whatever their name
                shutil.rmtree(leftover)
            partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}{_PARTIAL}", dir=folder.parent))
            store = FolderStore(partial)
            for name, data in sorted(files.items()):
                store.put(name, data)
            passing(CrashPoint.EVIDENCE_UNNAMED)
            partial.rename(folder)
            sync_folder(folder.parent)
    except OSError as error:
        raise refusal(error, folder, "written") from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let nobody else write evidence beside us; a killed process frees the folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
