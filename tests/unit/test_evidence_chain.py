"""The chain's fine print: one encoding for each entry, one text for each line."""

import base64
import hashlib
import json
from pathlib import Path

import pytest

from fixtures.evidence import SIGNER, chain, make_bundle
from handover.evidence import verifier
from handover.evidence.entry import GENESIS, Draft, link, verify_chain
from handover.evidence.manifest import envelope
from handover.evidence.verifier import verify

KEYS = [SIGNER.public_pem]
AT = "2026-01-01T00:00:00.000000Z"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def test_hash_is_as_documented() -> None:
    fields = {"case": "案", "seq": 12, "run": "r", "at": AT, "kind": "k", "key": None, "body": "{}"}
    encoded = b"handover.ledger.entry.v1\x00" + b"\x00" * 7 + b"\x03" + "案".encode()
    encoded += b"\x00" * 7 + b"\x02" + b"12" + b"\x00" * 7 + b"\x01r" + b"\x00" * 7 + b"\x1b" + AT.encode()
    encoded += (
        b"\x00" * 7 + b"\x01k" + b"\xff" * 8 + b"\x00" * 7 + b"\x02{}" + b"\x00" * 7 + b"\x40" + b"0" * 64
    )
    assert verifier.entry_hash(fields | {"prev_hash": GENESIS}) == hashlib.sha256(encoded).hexdigest()


def test_missing_key_is_no_text() -> None:
    hashes = {
        link(Draft("c", "r", "k", key, "{}"), 1, GENESIS, AT, SIGNER).hash
        for key in (None, "None", "", "null")
    }
    assert len(hashes) == 4


def test_empty_chain_holds() -> None:
    assert verify_chain([], KEYS) == []


def test_chain_of_two_cases_is_named() -> None:
    first = chain(1, "case-1", SIGNER)[0]
    second = link(Draft("case-2", "r", "k", None, "{}"), 2, first.hash, AT, SIGNER)
    assert verify_chain([first.line, second.line], KEYS) == [
        "ledger.jsonl seq 2: belongs to another case than case-1"
    ]


def test_number_in_place_of_a_text_is_named() -> None:
    entry = link(Draft("c", "5", "k", None, "{}"), 1, GENESIS, AT, SIGNER)
    line = entry.line.replace('"run":"5"', '"run":5')
    assert verify_chain([line], KEYS) == ["ledger.jsonl line 1: is no ledger entry, or was reformatted"]


@pytest.mark.parametrize("change", [lambda line: line.replace(":", ": ", 1), lambda line: line + " "])
def test_reformatted_line_is_named(change: object) -> None:
    line = chain(1, "c", SIGNER)[0].line
    assert callable(change)
    assert verify_chain([change(line)], KEYS) == [
        "ledger.jsonl line 1: is no ledger entry, or was reformatted"
    ]


def test_spare_bits_of_base64_are_not_free() -> None:
    """64 bytes leave four bits unused in the last character: they decode alike but are a changed file."""
    entry = chain(1, "c", SIGNER)[0]
    last = ALPHABET[ALPHABET.index(entry.signature[-3]) ^ 1]
    altered = f"{entry.signature[:-3]}{last}=="
    assert base64.b64decode(altered) == base64.b64decode(entry.signature)
    assert verify_chain([entry.line.replace(entry.signature, altered)], KEYS) == [
        "ledger.jsonl seq 1: was edited: its signature does not fit"
    ]


def signed_again(folder: Path, **changes: object) -> list[tuple[str, str]]:
    """Findings after the true signer signed another statement."""
    manifest = folder / "manifest.dsse.json"
    payload = json.loads(base64.b64decode(json.loads(manifest.read_text())["payload"]))
    manifest.write_bytes(envelope(verifier.compact(payload | changes).encode(), SIGNER))
    return [(finding.code, finding.message) for finding in verify(folder).findings]


@pytest.mark.parametrize("field", ["_type", "predicateType"])
def test_statement_of_another_type_is_named(tmp_path: Path, field: str) -> None:
    ((code, message),) = signed_again(make_bundle(tmp_path).folder, **{field: "https://other"})
    assert (code, message[:16]) == ("statement", "of another type:")


def test_file_named_twice_is_named(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path).folder
    subjects = [
        {"name": path.name, "digest": {"sha256": verifier.sha256_file(path)}}
        for path in sorted(folder.glob("*"))
        if path.is_file() and path.name != "manifest.dsse.json"
    ]
    notes = {"name": "notes/附件.txt", "digest": {"sha256": verifier.sha256_file(folder / "notes/附件.txt")}}
    assert signed_again(folder, subject=[*subjects, notes]) == []
    assert signed_again(folder, subject=[*subjects, notes, notes]) == [("statement", "names a file twice")]


@pytest.mark.parametrize(
    "predicate", [None, {}, {"case": "c", "run": "r", "ledger": {"entries": "x", "head": ""}}]
)
def test_statement_without_its_ledger_is_named(tmp_path: Path, predicate: object) -> None:
    folder = make_bundle(tmp_path).folder
    ((code, message),) = signed_again(folder, predicate=predicate)
    assert code == "statement"
    assert message.startswith("no readable in-toto statement")
