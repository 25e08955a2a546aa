"""Writing evidence: complete, in one step, and nothing signed that does not hold."""

import hashlib
import json
from pathlib import Path

import pytest

from fixtures.evidence import SIGNER, Bundle, chain, make_bundle
from handover.errors import ConfigurationMissing, EvidenceInvalid, VaultCorrupt
from handover.evidence import verifier
from handover.evidence.manifest import PREDICATE_TYPE, envelope, statement, write_evidence

PREDICATE = {"case": "case-1", "run": "run-1"}
LINES = [entry.line for entry in chain(3, "case-1", SIGNER)]


def write(folder: Path, *, lines: list[str] = LINES, documents: dict[str, bytes] | None = None) -> Path:
    return write_evidence(
        folder,
        statement=statement([("vault/a", "0" * 64)], PREDICATE),
        ledger_lines=lines,
        documents=documents or {},
        signer=SIGNER,
    )


def payload(folder: Path) -> dict[str, object]:
    data = verifier.check_envelope(
        folder / "manifest.dsse.json",
        verifier.load_key(SIGNER.public_pem),
        verifier.Report(key_id=SIGNER.key_id),
    )
    return dict(json.loads(data or b"{}"))


def test_statement_is_canonical_in_toto() -> None:
    data = statement([("b", "1" * 64), ("a", "0" * 64)], PREDICATE | {"客户": 1})
    assert data == verifier.compact(json.loads(data)).encode()
    assert json.loads(data) == {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": PREDICATE_TYPE,
        "predicate": PREDICATE | {"客户": 1},
        "subject": [
            {"name": "a", "digest": {"sha256": "0" * 64}},
            {"name": "b", "digest": {"sha256": "1" * 64}},
        ],
    }


def test_envelope_is_dsse() -> None:
    document = json.loads(envelope(b"payload", SIGNER))
    assert document["payloadType"] == "application/vnd.in-toto+json"
    assert verifier.pae(b"payload") == b"DSSEv1 28 application/vnd.in-toto+json 7 payload"
    assert [signature["keyid"] for signature in document["signatures"]] == [SIGNER.key_id]


def test_every_file_is_a_subject_and_the_head_is_signed(tmp_path: Path) -> None:
    folder = write(tmp_path / "evidence", documents={"plan.json": b"{}"})
    document = payload(folder)
    subjects = {s["name"]: s["digest"]["sha256"] for s in document["subject"]}  # type: ignore[attr-defined]
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    del files["manifest.dsse.json"]
    assert subjects == files | {"vault/a": "0" * 64}
    assert set(files) == {"ledger.jsonl", "plan.json", "public-key.pem", "verify.py", "README.txt"}
    assert document["predicate"] == PREDICATE | {
        "ledger": {"entries": 3, "head": json.loads(LINES[-1])["hash"]}
    }


def test_files_are_private_and_nothing_is_left_beside(tmp_path: Path) -> None:
    folder = write(tmp_path / "case-1" / "evidence")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert [path.name for path in folder.parent.iterdir()] == ["evidence"]


def test_leftover_of_a_killed_writer_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".evidence.partial-dead").mkdir()
    (tmp_path / ".evidence.partial-dead" / "plan.json").write_text("half")
    write(tmp_path / "evidence")
    assert [path.name for path in tmp_path.iterdir()] == ["evidence"]


def test_existing_folder_is_never_changed(tmp_path: Path) -> None:
    bundle: Bundle = make_bundle(tmp_path)
    before = (bundle.folder / "manifest.dsse.json").read_bytes()
    with pytest.raises(EvidenceInvalid, match="exists already and is never changed"):
        write(bundle.folder)
    assert (bundle.folder / "manifest.dsse.json").read_bytes() == before


@pytest.mark.parametrize("missing", ["case", "run"])
def test_predicate_without_case_or_run_is_refused(missing: str) -> None:
    predicate = {name: value for name, value in PREDICATE.items() if name != missing}
    with pytest.raises(EvidenceInvalid, match=f"predicate has no {missing}"):
        statement([], predicate)


def test_file_named_twice_is_refused() -> None:
    with pytest.raises(EvidenceInvalid, match="names vault/a twice"):
        statement([("vault/a", "0"), ("vault/a", "1")], PREDICATE)


def test_float_in_the_predicate_is_refused() -> None:
    with pytest.raises(EvidenceInvalid, match="the manifest holds a float at /predicate/seconds"):
        statement([], PREDICATE | {"seconds": 1.5})


@pytest.mark.parametrize("name", ["ledger.jsonl", "verify.py", "manifest.dsse.json", "vault/a"])
def test_reserved_document_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EvidenceInvalid, match=f"may not be named {name}"):
        write(tmp_path / "evidence", documents={name: b""})


def test_document_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(VaultCorrupt, match="is not allowed"):
        write(tmp_path / "evidence", documents={"../outside": b""})
    assert not (tmp_path / "evidence").exists()
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (LINES[1:], "seq 2: follows entry 0"),
        ([LINES[0], LINES[1].replace('"step"', '"stop"')], "seq 2: was edited"),
        ([entry.line for entry in chain(2, "case-2", SIGNER)], "the ledger is not of case case-1"),
        (["nonsense"], "line 1: is no ledger entry"),
    ],
    ids=["gap", "edited", "other case", "nonsense"],
)
def test_ledger_that_does_not_hold_is_never_signed(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(EvidenceInvalid, match=message):
        write(tmp_path / "evidence", lines=lines)
    assert list(tmp_path.iterdir()) == []


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationMissing, match="evidence cannot be written"):
        write(tmp_path / "file" / "evidence")
