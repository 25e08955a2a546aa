"""Evidence folders: a whole one verifies, and each damage is found and named, by its name here."""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from fixtures.evidence import SIGNER, Bundle, make_bundle
from handover.evidence import verifier
from handover.evidence.verifier import main, verify
from handover.vault.signing import Signer

RSA_PEM = (
    rsa.generate_private_key(65537, 2048)
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path)


def findings(bundle: Bundle) -> list[tuple[str, str]]:
    return [(f.code, f.where) for f in verify(bundle.folder, bundle.vault).findings]


def messages(bundle: Bundle) -> dict[str, str]:
    return {f.where: f.message for f in verify(bundle.folder, bundle.vault).findings}


def flip(path: Path, index: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[index] ^= 1
    path.write_bytes(data)


def edit_lines(bundle: Bundle, edit: Callable[[list[str]], list[str]]) -> list[tuple[str, str]]:
    path = bundle.folder / "ledger.jsonl"
    path.write_text("".join(f"{line}\n" for line in edit(path.read_text().splitlines())))
    found = findings(bundle)
    assert ("changed", "ledger.jsonl") in found
    return [finding for finding in found if finding[1] != "ledger.jsonl"]


def test_whole_folder_verifies(bundle: Bundle) -> None:
    report = verify(bundle.folder, bundle.vault)
    assert report.findings == []
    assert report.checked == {
        "manifest signature": 1,
        "evidence files": 6,
        "ledger entries": 6,
        "vault files": 3,
    }
    assert report.key_id == SIGNER.key_id
    assert not report.pinned


def test_without_vault_its_files_are_not_looked_at(bundle: Bundle) -> None:
    shutil.rmtree(bundle.vault)
    assert verify(bundle.folder).findings == []


def test_other_runs_and_cases_in_the_vault_do_no_harm(bundle: Bundle) -> None:
    bundle.store_segment("case-2/run-9/0.seg", case="case-2")
    bundle.store_segment("case-1/run-0/0.seg", run="run-0")
    (bundle.vault / "notes.txt").write_text("not ours")
    (bundle.vault / "case-1/run-1/.partial-dead").write_bytes(b"half")
    assert findings(bundle) == []


def test_edited_manifest_is_named(bundle: Bundle) -> None:
    path = bundle.folder / "manifest.dsse.json"
    document = json.loads(path.read_text())
    payload = base64.b64decode(document["payload"]).replace(b'"rows":3', b'"rows":4')
    path.write_text(verifier.compact(document | {"payload": base64.b64encode(payload).decode()}) + "\n")
    assert findings(bundle) == [("manifest-signature", "manifest.dsse.json")]


def test_manifest_signed_by_another_key_is_named(bundle: Bundle) -> None:
    other = make_bundle(bundle.folder.parent / "other", Signer(b"\x07" * 32))
    shutil.copy(other.folder / "manifest.dsse.json", bundle.folder)
    assert ("manifest-key", "manifest.dsse.json") in findings(bundle)
    assert ("manifest-signature", "manifest.dsse.json") in findings(bundle)


def test_forged_folder_is_found_with_the_pinned_key(bundle: Bundle) -> None:
    """Everything signed anew by a forger holds in itself; only the key from elsewhere tells."""
    forged = make_bundle(bundle.folder.parent / "forged", Signer(b"\x07" * 32))
    pinned = bundle.folder / "public-key.pem"
    assert verify(forged.folder, forged.vault).findings == []
    codes = {f.code for f in verify(forged.folder, forged.vault, pinned).findings}
    assert {"manifest-key", "manifest-signature", "ledger-key"} <= codes
    assert verify(bundle.folder, bundle.vault, pinned).pinned


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"null", b"[" * 100_000, b'{"payload":1}'])
def test_manifest_that_is_none_is_named(bundle: Bundle, content: bytes) -> None:
    (bundle.folder / "manifest.dsse.json").write_bytes(content)
    assert findings(bundle) == [("manifest", "manifest.dsse.json")]


def test_missing_manifest_is_named(bundle: Bundle) -> None:
    (bundle.folder / "manifest.dsse.json").unlink()
    assert findings(bundle) == [("manifest", "manifest.dsse.json")]


def test_reformatted_manifest_is_named(bundle: Bundle) -> None:
    path = bundle.folder / "manifest.dsse.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    assert findings(bundle) == [("manifest", "manifest.dsse.json")]


@pytest.mark.parametrize("damage", ["none", "unknown algorithm", "other algorithm"])
def test_key_that_is_none_is_named(bundle: Bundle, damage: str) -> None:
    pem = {
        "none": b"no key",
        "unknown algorithm": SIGNER.public_pem.replace(b"MCowBQYDK2Vw", b"MCowBQYDK2Va"),
        "other algorithm": RSA_PEM,
    }[damage]
    (bundle.folder / "public-key.pem").write_bytes(pem)
    assert findings(bundle) == [("public-key", str(bundle.folder / "public-key.pem"))]


@pytest.mark.parametrize("name", ["plan.json", "README.txt", "verify.py", "ledger.jsonl", "notes/附件.txt"])
def test_flipped_byte_in_evidence_is_named(bundle: Bundle, name: str) -> None:
    flip(bundle.folder / name, 10)
    assert ("changed", name) in findings(bundle)


@pytest.mark.parametrize("name", ["plan.json", "README.txt", "verify.py", "notes/附件.txt"])
def test_missing_evidence_file_is_named(bundle: Bundle, name: str) -> None:
    (bundle.folder / name).unlink()
    assert findings(bundle) == [("missing", name)]


def test_missing_ledger_is_named(bundle: Bundle) -> None:
    (bundle.folder / "ledger.jsonl").unlink()
    assert findings(bundle) == [("missing", "ledger.jsonl"), ("ledger", "ledger.jsonl")]


def test_extra_evidence_file_is_named(bundle: Bundle) -> None:
    (bundle.folder / "notes" / "more.txt").write_text("")
    assert findings(bundle) == [("extra", "notes/more.txt")]


def test_link_in_place_of_a_file_is_named(bundle: Bundle) -> None:
    moved = bundle.folder.parent / "plan.json"
    (bundle.folder / "plan.json").rename(moved)
    (bundle.folder / "plan.json").symlink_to(moved)
    assert findings(bundle) == [("missing", "plan.json")]


def test_edited_ledger_row_is_named(bundle: Bundle) -> None:
    found = edit_lines(bundle, lambda lines: [line.replace('\\"n\\":2', '\\"n\\":9') for line in lines])
    assert found == [("ledger-edited", "ledger.jsonl seq 3")]


def test_edited_and_rehashed_ledger_row_is_named(bundle: Bundle) -> None:
    def edit(lines: list[str]) -> list[str]:
        entry = json.loads(lines[2]) | {"body": "{}"}
        entry["hash"] = verifier.entry_hash(entry)
        return [*lines[:2], verifier.compact(entry), *lines[3:]]

    found = edit_lines(bundle, edit)
    assert found == [("ledger-signature", "ledger.jsonl seq 3"), ("ledger-chain", "ledger.jsonl seq 4")]


def test_removed_ledger_row_is_named(bundle: Bundle) -> None:
    assert edit_lines(bundle, lambda lines: lines[:2] + lines[3:]) == [
        ("ledger-missing", "ledger.jsonl seq 4")
    ]
    assert "from seq 3" in messages(bundle)["ledger.jsonl seq 4"]


def test_removed_first_ledger_row_is_named(bundle: Bundle) -> None:
    assert edit_lines(bundle, lambda lines: lines[1:]) == [("ledger-missing", "ledger.jsonl seq 2")]


def test_reordered_ledger_rows_are_named(bundle: Bundle) -> None:
    found = edit_lines(bundle, lambda lines: [lines[0], lines[2], lines[1], *lines[3:]])
    assert ("ledger-order", "ledger.jsonl seq 2") in found


def test_repeated_ledger_row_is_named(bundle: Bundle) -> None:
    assert edit_lines(bundle, lambda lines: [*lines[:3], lines[2], *lines[3:]]) == [
        ("ledger-order", "ledger.jsonl seq 3")
    ]


def test_added_ledger_row_is_named(bundle: Bundle) -> None:
    found = edit_lines(bundle, lambda lines: [*lines, bundle.next_line(SIGNER)])
    assert found == [("ledger-head", "ledger.jsonl seq 7")]
    assert "added after the manifest" in messages(bundle)["ledger.jsonl seq 7"]


def test_row_added_with_another_key_is_named(bundle: Bundle) -> None:
    found = edit_lines(bundle, lambda lines: [*lines, bundle.next_line(Signer(b"\x07" * 32))])
    assert ("ledger-key", "ledger.jsonl seq 7") in found


def test_missing_last_rows_are_named(bundle: Bundle) -> None:
    assert edit_lines(bundle, lambda lines: lines[:4]) == [("ledger-head", "ledger.jsonl seq 5")]
    assert messages(bundle)["ledger.jsonl seq 5"] == "is missing, as is all up to seq 6"


def test_emptied_ledger_is_named(bundle: Bundle) -> None:
    assert edit_lines(bundle, lambda lines: []) == [("ledger-head", "ledger.jsonl seq 1")]


def test_ledger_of_another_case_is_named(bundle: Bundle) -> None:
    other = make_bundle(bundle.folder.parent / "other", case="case-2")
    shutil.copy(other.folder / "ledger.jsonl", bundle.folder)
    assert ("ledger-case", "ledger.jsonl seq 1") in findings(bundle)


def test_byte_that_is_no_utf_8_is_named(bundle: Bundle) -> None:
    path = bundle.folder / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"key 3"', b'"key \xff"'))
    assert ("ledger-line", "ledger.jsonl line 4") in findings(bundle)


@pytest.mark.parametrize("line", ["", "{}", "null", '{"seq":1}', " ", "[" * 50_000])
def test_line_that_is_no_entry_is_named(bundle: Bundle, line: str) -> None:
    assert ("ledger-line", "ledger.jsonl line 3") in edit_lines(bundle, lambda ls: [*ls[:2], line, *ls[2:]])


def test_cut_ledger_is_named(bundle: Bundle) -> None:
    path = bundle.folder / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    assert ("ledger", "ledger.jsonl") in findings(bundle)


def test_missing_vault_file_is_named(bundle: Bundle) -> None:
    (bundle.vault / bundle.names[0]).unlink()
    assert findings(bundle) == [("missing", f"vault/{bundle.names[0]}")]


def test_missing_vault_is_named(bundle: Bundle) -> None:
    shutil.rmtree(bundle.vault)
    assert findings(bundle) == [("missing", f"vault/{name}") for name in bundle.names]


def test_truncated_vault_file_is_named(bundle: Bundle) -> None:
    path = bundle.vault / bundle.names[1]
    path.write_bytes(path.read_bytes()[:-5])
    assert findings(bundle) == [("truncated", f"vault/{bundle.names[1]}")]


@pytest.mark.parametrize("length", [0, 5, 30])
def test_vault_file_cut_in_its_header_is_named(bundle: Bundle, length: int) -> None:
    path = bundle.vault / bundle.names[1]
    path.write_bytes(path.read_bytes()[:length])
    assert findings(bundle) == [("changed", f"vault/{bundle.names[1]}")]


@pytest.mark.parametrize("index", [-1, -20, 0, 9, 40])
def test_flipped_byte_is_named(bundle: Bundle, index: int) -> None:
    flip(bundle.vault / bundle.names[2], index)
    ((code, where),) = findings(bundle)
    assert code in ("changed", "foreign", "truncated")
    assert where == f"vault/{bundle.names[2]}"


def test_swapped_files_are_named(bundle: Bundle) -> None:
    first, second = (bundle.vault / name for name in bundle.names[:2])
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    assert messages(bundle) == {
        f"vault/{bundle.names[0]}": f"holds the content of vault/{bundle.names[1]}",
        f"vault/{bundle.names[1]}": f"holds the content of vault/{bundle.names[0]}",
    }


def test_file_of_another_case_is_named(bundle: Bundle) -> None:
    (bundle.vault / bundle.names[0]).write_bytes(bundle.segment(case="case-2"))
    assert messages(bundle) == {
        f"vault/{bundle.names[0]}": "belongs to another case: its label says 'case-2'"
    }


def test_file_of_another_run_is_named(bundle: Bundle) -> None:
    (bundle.vault / bundle.names[0]).write_bytes(bundle.segment(run="run-0"))
    assert messages(bundle) == {f"vault/{bundle.names[0]}": "belongs to another run: its label says 'run-0'"}


def test_chunk_sealed_again_is_named(bundle: Bundle) -> None:
    (bundle.vault / bundle.names[0]).write_bytes(bundle.segment(chunk=0))
    assert findings(bundle) == [("changed", f"vault/{bundle.names[0]}")]


def test_extra_file_of_this_run_is_named(bundle: Bundle) -> None:
    bundle.store_segment("elsewhere/99.seg", chunk=99)
    (bundle.vault / "case-1/run-1/stray").write_text("stray")
    assert findings(bundle) == [("extra", "vault/case-1/run-1/stray"), ("extra", "vault/elsewhere/99.seg")]


def test_a_file_that_a_later_run_shares_is_not_too_many(bundle: Bundle) -> None:
    shared = bundle.vault / "case-1/run-2/1.seg"
    shared.parent.mkdir()
    shutil.copy(bundle.vault / bundle.names[0], shared)
    assert findings(bundle) == []
    flip(shared)
    assert findings(bundle) == [("extra", "vault/case-1/run-2/1.seg")]
    shutil.copy(bundle.vault / bundle.names[0], bundle.vault / "case-1/run-1/9.seg")
    shared.unlink()
    assert findings(bundle) == [("extra", "vault/case-1/run-1/9.seg")]


@pytest.mark.parametrize("tables", ["1", '{"t":1}', '[{"chunks":1}]', '[{"chunks":[{"sealed_by":1}]}]'])
def test_a_statement_of_another_form_is_named(bundle: Bundle, tables: str) -> None:
    path = bundle.folder / "manifest.dsse.json"
    document = json.loads(path.read_text())
    payload = json.loads(base64.b64decode(document["payload"]))
    payload["predicate"]["tables"] = json.loads(tables)
    edited = verifier.compact(payload).encode()
    path.write_text(verifier.compact(document | {"payload": base64.b64encode(edited).decode()}) + "\n")
    assert [code for code, _ in findings(bundle)] == ["manifest-signature", "statement"]


def test_securesystemslib_agrees(bundle: Bundle) -> None:
    document = json.loads((bundle.folder / "manifest.dsse.json").read_text())
    envelope = Envelope.from_dict(document)
    pem = (bundle.folder / "public-key.pem").read_text()
    key = SSlibKey(SIGNER.key_id, "ed25519", "ed25519", {"public": raw_hex(pem)})
    assert list(envelope.verify([key], 1)) == [SIGNER.key_id]
    assert json.loads(envelope.payload)["_type"] == "https://in-toto.io/Statement/v1"


def raw_hex(pem: str) -> str:
    return verifier.load_key(pem.encode()).public_bytes_raw().hex()


def test_command_line(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(bundle.folder), "--vault", str(bundle.vault)]) == 0
    said = capsys.readouterr().out
    assert "ok      3 vault files" in said
    assert f"signed by key {SIGNER.key_id}" in said
    assert "compare the fingerprint" in said
    assert "RESULT: everything holds" in said
    flip(bundle.vault / bundle.names[0])
    assert main([str(bundle.folder), "--vault", str(bundle.vault)]) == 1
    assert f"FAILED  vault/{bundle.names[0]}: was changed after signing" in capsys.readouterr().out


def test_command_line_json_with_a_pinned_key(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    pem = str(bundle.folder / "public-key.pem")
    assert main([str(bundle.folder), "--public-key", pem, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["pinned"], report["findings"]) == (True, True, [])
    assert report["checked"]["evidence files"] == 6
    assert report["key_id"] == hashlib.sha256(der(pem)).hexdigest()


def der(path: str) -> bytes:
    lines = Path(path).read_text().splitlines()
    return base64.b64decode("".join(lines[1:-1]))


STAND_ALONE = """
import runpy, sys
class NoHandover:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"handover", "rfc8785", "zstandard", "psycopg"}:
            raise ImportError(name)
sys.meta_path.insert(0, NoHandover())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("damaged", [False, True])
def test_program_in_the_folder_stands_alone(bundle: Bundle, damaged: bool) -> None:
    if damaged:
        flip(bundle.folder / "plan.json")
    done = subprocess.run(
        [sys.executable, "-I", "-c", STAND_ALONE, bundle.folder / "verify.py", bundle.folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (int(damaged), "")
    assert ("FAILED  plan.json: was changed after signing" in done.stdout) is damaged
