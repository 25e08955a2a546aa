"""Check an evidence folder of Handover, offline and without any secret.

    python verify.py FOLDER [--vault DIR] [--public-key FILE] [--json]

Needs Python 3.11 and the package `cryptography`, nothing of Handover: a copy of this file lies in every
evidence folder. Exit status 0 when everything holds, 1 when something does not. Run a copy that you got
from somebody you trust: a forged folder may hold a forged program. What is checked, and what a good
result does not prove, stands in docs/evidence-format.md.

Entry hash of the ledger: SHA-256 over "handover.ledger.entry.v1" and a zero byte, then the eight fields
case, seq (decimal digits), run, at, kind, key, body, prev_hash, each as its length in bytes (8 bytes,
big-endian) and its UTF-8 text; a missing key is the length 2^64-1 without text. The signature is Ed25519
over "handover.ledger.signature.v1", a zero byte and the 32 bytes of the hash.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://handover.invalid/transfer-manifest/v1"
MANIFEST, LEDGER, PUBLIC_KEY = "manifest.dsse.json", "ledger.jsonl", "public-key.pem"
VAULT = "vault/"
PARTIAL = ".partial-"
GENESIS = "0" * 64
MAGIC = b"HDVRSEG\x01"
LINE_FIELDS = ("at", "body", "case", "hash", "key", "key_id", "kind", "prev_hash", "run", "seq", "signature")
LONGEST_HEADER = 64 * 1024


@dataclass(frozen=True)
class Finding:
    code: str
    where: str
    message: str


@dataclass
class Report:
    findings: list[Finding] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    key_id: str = ""
    pinned: bool = False

    @property
    def ok(self) -> bool:
        return not self.findings

    def add(self, code: str, where: str, message: str) -> None:
        self.findings.append(Finding(code, where, message))

    def count(self, what: str) -> None:
        self.checked[what] = self.checked.get(what, 0) + 1


def verify(folder: Path, vault: Path | None = None, public_key: Path | None = None) -> Report:
    """Check everything and collect every finding; only an unreadable manifest or key ends it early."""
    report = Report(pinned=public_key is not None)
    key = read_key(public_key or folder / PUBLIC_KEY, report)
    payload = check_envelope(folder / MANIFEST, key, report) if key else None
    manifest = check_statement(payload, report) if payload is not None else None
    if key is None or manifest is None:
        return report
    subjects, predicate = manifest
    own = {name: digest for name, digest in subjects.items() if not name.startswith(VAULT)}
    stored = {name.removeprefix(VAULT): d for name, d in subjects.items() if name.startswith(VAULT)}
    check_folder(folder, own, report)
    check_ledger(folder / LEDGER, predicate, {report.key_id: key}, report)
    if vault is not None:
        check_vault(vault, stored, predicate, report)
    return report


def fingerprint(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def load_key(pem: bytes) -> Ed25519PublicKey:
    key = load_pem_public_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")
    return key


def read_key(path: Path, report: Report) -> Ed25519PublicKey | None:
    try:
        key = load_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        report.add("public-key", str(path), f"no Ed25519 public key in PEM form ({type(error).__name__})")
        return None
    report.key_id = fingerprint(key)
    return key


def pae(payload: bytes) -> bytes:
    """DSSE pre-authentication encoding: what is really signed."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def unbase64(text: str) -> bytes:
    """The bytes, if ``text`` is the one way to write them: spare bits at the end must be zero."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not the canonical base64 of its bytes")
    return raw


def check_envelope(path: Path, key: Ed25519PublicKey, report: Report) -> bytes | None:
    try:
        data = path.read_bytes()
        document = json.loads(data)
        payload = unbase64(document["payload"])
        (signature,) = document["signatures"]
        raw = unbase64(signature["sig"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        report.add("manifest", MANIFEST, f"no readable DSSE envelope ({type(error).__name__})")
        return None
    exact = document | {
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": report.key_id, "sig": signature["sig"]}],
    }
    if signature.get("keyid") != report.key_id:
        report.add("manifest-key", MANIFEST, f"signed by another key than {report.key_id}")
    elif len(document) != 3 or data != compact(exact).encode() + b"\n":
        report.add("manifest", MANIFEST, "not in the form in which it was written")
    try:
        key.verify(raw, pae(payload))
        report.count("manifest signature")
    except InvalidSignature:
        report.add("manifest-signature", MANIFEST, "the signature does not fit: the manifest was edited")
    return payload


def check_statement(payload: bytes, report: Report) -> tuple[dict[str, str], Mapping[str, Any]] | None:
    try:
        document = json.loads(payload)
        types = (document["_type"], document["predicateType"])
        subjects = {str(s["name"]): str(s["digest"]["sha256"]) for s in document["subject"]}
        predicate = document["predicate"]
        str(predicate["case"]), str(predicate["run"]), str(predicate["ledger"]["head"])
        int(predicate["ledger"]["entries"]), read_sealed_by(predicate)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        report.add("statement", MANIFEST, f"no readable in-toto statement ({type(error).__name__})")
        return None
    if types != (STATEMENT_TYPE, PREDICATE_TYPE):
        report.add("statement", MANIFEST, f"of another type: {types}")
    if len(subjects) != len(document["subject"]):
        report.add("statement", MANIFEST, "names a file twice")
    return subjects, predicate


def sha256_file(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def find_files(folder: Path) -> dict[str, Path]:
    """Everything below that is no folder; a link is never followed."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix(): path for path in sorted(found)}


def compare(
    files: Mapping[str, Path], subjects: Mapping[str, str], where: str, report: Report
) -> Iterator[tuple[str, Path, str]]:
    """Count the files that are as signed, report the missing, yield name, path and digest of the others."""
    for name, expected in sorted(subjects.items()):
        path = files.get(name)
        if path is None or path.is_symlink() or not path.is_file():
            report.add("missing", where + name, "is missing")
            continue
        digest = sha256_file(path)
        if digest == expected:
            report.count("vault files" if where else "evidence files")
        else:
            yield name, path, digest


def check_folder(folder: Path, subjects: Mapping[str, str], report: Report) -> None:
    files = find_files(folder)
    for name, _, _ in compare(files, subjects, "", report):
        report.add("changed", name, "was changed after signing")
    for name in sorted(files.keys() - subjects.keys() - {MANIFEST}):
        report.add("extra", name, "is not in the manifest")


def entry_hash(entry: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(b"handover.ledger.entry.v1\x00")
    for name in ("case", "seq", "run", "at", "kind", "key", "body", "prev_hash"):
        if entry[name] is None:
            digest.update(b"\xff" * 8)
        else:
            text = str(entry[name]).encode()
            digest.update(struct.pack(">Q", len(text)) + text)
    return digest.hexdigest()


def signed_bytes(hash_hex: str) -> bytes:
    return b"handover.ledger.signature.v1\x00" + bytes.fromhex(hash_hex)


def parse_line(line: str) -> dict[str, Any]:
    line.encode()  # a byte that is no UTF-8 was read as a lone surrogate
    entry = json.loads(line)
    if tuple(sorted(entry)) != LINE_FIELDS or type(entry["seq"]) is not int or compact(entry) != line:
        raise ValueError("not in the form in which it was written")
    texts = {name: value for name, value in entry.items() if name != "seq"}
    if any(type(value) is not str and (name, value) != ("key", None) for name, value in texts.items()):
        raise ValueError("a field is no text")
    return dict(entry)


def check_entry(entry: Mapping[str, Any], keys: Mapping[str, Ed25519PublicKey]) -> Iterator[tuple[str, str]]:
    """What is wrong with an entry by itself."""
    if entry_hash(entry) != entry["hash"]:
        yield "ledger-edited", "was edited: its content does not match its hash"
    key = keys.get(entry["key_id"])
    if key is None:
        yield "ledger-key", f"is signed by the unknown key {entry['key_id']}"
        return
    try:
        key.verify(unbase64(entry["signature"]), signed_bytes(entry["hash"]))
    except (InvalidSignature, ValueError):
        yield "ledger-signature", "was edited: its signature does not fit"


def check_place(entry: Mapping[str, Any], seq: int, previous: str) -> Iterator[tuple[str, str]]:
    """What is wrong with an entry where it stands: after ``seq`` entries, the last with hash ``previous``."""
    if entry["seq"] <= seq:
        yield "ledger-order", f"stands after entry {seq}: entries were reordered, repeated or added"
    elif entry["seq"] > seq + 1:
        yield "ledger-missing", f"follows entry {seq}: what was between them is missing, from seq {seq + 1}"
    elif entry["prev_hash"] != previous:
        yield "ledger-chain", f"does not continue the chain after entry {seq}"


def check_lines(
    lines: Iterable[str], keys: Mapping[str, Ed25519PublicKey], case: str | None, report: Report
) -> tuple[int, str]:
    """Check a chain from its first entry; the seq and hash of its last one."""
    seq, previous = 0, GENESIS
    for number, line in enumerate(lines, 1):
        try:
            entry = parse_line(line)
        except (ValueError, TypeError, RecursionError):
            report.add("ledger-line", f"{LEDGER} line {number}", "is no ledger entry, or was reformatted")
            continue
        case = entry["case"] if case is None else case
        problems = [*check_entry(entry, keys), *check_place(entry, seq, previous)]
        if entry["case"] != case:
            problems.append(("ledger-case", f"belongs to another case than {case}"))
        for code, message in problems:
            report.add(code, f"{LEDGER} seq {entry['seq']}", message)
        if not problems:
            report.count("ledger entries")
        seq, previous = entry["seq"], entry["hash"]
    return seq, previous


def check_ledger(
    path: Path, predicate: Mapping[str, Any], keys: Mapping[str, Ed25519PublicKey], report: Report
) -> None:
    try:
        lines = path.read_bytes().decode(errors="surrogateescape").split("\n")
    except OSError as error:
        report.add("ledger", LEDGER, f"cannot be read ({type(error).__name__})")
        return
    if lines.pop():
        report.add("ledger", LEDGER, "was cut: its last line does not end")
    seq, head = check_lines(lines, keys, predicate["case"], report)
    count, signed_head = int(predicate["ledger"]["entries"]), predicate["ledger"]["head"]
    if seq < count:
        report.add("ledger-head", f"{LEDGER} seq {seq + 1}", f"is missing, as is all up to seq {count}")
    elif seq > count:
        report.add("ledger-head", f"{LEDGER} seq {count + 1}", "was added after the manifest was signed")
    elif head != signed_head:
        report.add("ledger-head", f"{LEDGER} seq {seq}", "is not the last entry that the manifest names")


def read_label(path: Path) -> tuple[dict[str, Any], int] | None:
    """Label and full size of a segment as its readable header says, None if there is none."""
    try:
        with path.open("rb") as source:
            start = source.read(len(MAGIC) + 4)
            (length,) = struct.unpack(">I", start.removeprefix(MAGIC))
            header = json.loads(source.read(min(length, LONGEST_HEADER)))
        return dict(header["label"]), len(start) + length + 32 + int(header["sealed_size"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError, struct.error):
        return None


def explain(
    path: Path, digest: str, owner: Mapping[str, str], predicate: Mapping[str, Any], sealed_by: str
) -> tuple[str, str]:
    """Code and message for a vault file whose digest is not the signed one."""
    if digest in owner:
        return "swapped", f"holds the content of {VAULT}{owner[digest]}"
    found = read_label(path)
    if found is None:
        return "changed", "was changed or cut: it has no readable header"
    label, size = found
    for name, expected in (("case", predicate["case"]), ("run", sealed_by)):
        if label.get(name) != expected:
            return "foreign", f"belongs to another {name}: its label says {label.get(name)!r}"
    if path.stat().st_size < size:
        return "truncated", f"was cut: {path.stat().st_size} bytes, its header says {size}"
    return "changed", "was changed after signing"


def read_sealed_by(predicate: Mapping[str, Any]) -> dict[str, str]:
    """The files that the run has from an earlier backup of its source, with the run that sealed them."""
    chunks = (chunk for table in predicate.get("tables", []) for chunk in table["chunks"])
    return {str(chunk["file"]): str(chunk["sealed_by"]) for chunk in chunks if "sealed_by" in chunk}


def is_shared(name: str, path: Path, owner: Mapping[str, str], predicate: Mapping[str, Any]) -> bool:
    """Whether a file in the folder of another run is one of this run's, to the last byte."""
    elsewhere = not name.startswith(f"{predicate['case']}/{predicate['run']}/")
    return elsewhere and sha256_file(path) in owner


def check_vault(
    vault: Path, subjects: Mapping[str, str], predicate: Mapping[str, Any], report: Report
) -> None:
    files = {name: path for name, path in find_files(vault).items() if not path.name.startswith(PARTIAL)}
    owner = {digest: name for name, digest in subjects.items()}
    sealed_by = read_sealed_by(predicate)
    for name, path, digest in compare(files, subjects, VAULT, report):
        run = sealed_by.get(name, predicate["run"])
        code, message = explain(path, digest, owner, predicate, run)
        report.add(code, VAULT + name, message)
    folders = {files[name].parent for name in subjects.keys() & files.keys()}
    for name in sorted(files.keys() - subjects.keys()):
        found = read_label(files[name])
        if found is None and files[name].parent in folders:
            report.add("extra", VAULT + name, "is no segment and not in the manifest")
        elif not found or any(found[0].get(part) != predicate[part] for part in ("case", "run")):
            continue
        elif not is_shared(name, files[name], owner, predicate):
            report.add("extra", VAULT + name, "is of this run but not in the manifest")


def print_text(report: Report, say: Callable[[str], None]) -> None:
    for finding in report.findings:
        say(f"FAILED  {finding.where}: {finding.message}")
    for what, count in sorted(report.checked.items()):
        say(f"ok      {count} {what}")
    if report.key_id:
        say(f"signed by key {report.key_id}")
    if not report.pinned:
        say("NOTE: this key was taken from the folder itself; compare the fingerprint with the one that the")
        say("      signer gave you another way, or pass that key with --public-key")
    say(
        "RESULT: everything holds" if report.ok else f"RESULT: {len(report.findings)} findings, does not hold"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check an evidence folder of Handover, offline.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vault", type=Path, help="also check the backup files in this vault folder")
    parser.add_argument("--public-key", type=Path, help="trust this key (PEM) and not the one in the folder")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    report = verify(options.folder, options.vault, options.public_key)
    if options.json:
        print(json.dumps({"ok": report.ok, **asdict(report)}, ensure_ascii=False))
    else:
        print_text(report, print)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
