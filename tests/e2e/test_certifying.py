"""The certificate of a run says what was proven and no more, and is final only once the backup has ended."""

import hashlib
import json
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fixtures.disposed import Disposing, fill
from fixtures.erased import gone, open_erasing, proven
from fixtures.runs import Runner
from handover.cli import main
from handover.errors import EvidenceInvalid, KeyUnavailable, LedgerRefused, NotReady
from handover.evidence import pdf
from handover.evidence.pdf import write_pdf
from handover.evidence.tombstones import count_tombstones
from handover.evidence.verifier import verify
from handover.model.approval import Account
from handover.model.destruction_certificate import certify
from handover.postgres.outcomes import create_outcomes
from handover.postgres.receipts import once, receipts, runs_with_receipts
from handover.postgres.session import connect
from handover.stages.backup_end import backup_due, backup_end
from handover.stages.backup_index import read_index
from handover.stages.certificate_facts import certificate_facts
from handover.stages.certifying import certificate, certificate_faults, issue_certificate
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.facts import legal_day
from handover.stages.tombstones import known
from handover.stages.validating import validate_result, validation

FIRST, RECEIVER = Account(name="first", id="first"), Account(name="receiver", id="receiver")
CALL = (b"1", b"2026-01-26")


@pytest.fixture
def company(runner: Runner) -> Disposing:
    """A runner whose source is filled."""
    return fill(runner)


def otherwise(context: Context, **changes: Any) -> Context:
    """The same run as if its case had said something else from the beginning."""
    case = context.case.model_validate(context.case.document() | changes)
    object.__setattr__(case, "sha256_of_json", context.case.sha256_of_json)
    return replace(context, case=case)


def open_points(context: Context) -> list[str]:
    return [point.en for point in certify(certificate_facts(context)).open_points]


def test_final_only_after_the_end_of_the_backup(
    company: Disposing,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    context = open_erasing(company)
    assert certificate(context) == {}
    assert certificate_faults(context) == []
    gone(context)
    assert "it was not proven that what went is gone" in certificate_faults(context)
    with pytest.raises(NotReady, match="not proven"):
        certificate(context)
    with pytest.raises(NotReady, match="no proof"):
        validate_result(context, FIRST, good_enough=True, reason="fine")
    proven(context)
    assert certificate_faults(context) == []
    provisional_with_what_is_open(context)
    refused_rather_than_weaker(context)
    stores_that_are_declared(context, company.home / "documents" / "test-transfer")
    the_font_may_be_missing(context, monkeypatch, tmp_path)
    validated_by_another_person(context)
    with pytest.raises(NotReady, match="not complete"):
        backup_end(context)
    with pytest.raises(NotReady, match="not complete"):
        issue_certificate(context)
    closed_beside_another_run(context)
    assert any("still lives" in point for point in open_points(context))
    the_backup_ends(context)
    folder = issued_by_command(company, monkeypatch, capsys)
    said = json.loads((folder / "destruction-certificate.json").read_text())
    assert (said["finality"], said["effective_erasure_date"]) == ("final", legal_day().isoformat())
    assert said["words"]["open_points"] == []
    assert said["words"]["methods"]["logical_deletion_crypto_shredding"]["en"] == (
        "logical deletion + crypto-shredding (key unlinked, not verifiable)"
    )
    assert (folder / "destruction-certificate.pdf").read_bytes().startswith(b"%PDF")
    assert verify(folder).ok
    text = "".join(path.read_text("utf-8", "replace") for path in folder.iterdir())
    assert "13800138" not in text
    assert "privat" not in text


def closed_beside_another_run(context: Context) -> None:
    """A run of the same name, of another case over the same source, keeps what it wrote down there."""
    other = f"other-case/{context.run}"
    with closing(connect(context.source)) as source:
        assert runs_with_receipts(source) == {f"test-transfer/{context.run}"}
        create_outcomes(source, other)
        with once(source, other, "erase-here", "0/s.person", 5):
            pass
        close_run(context)
        assert runs_with_receipts(source) == {other}
        assert receipts(source, other, "erase-here") == {"0/s.person": (5, "")}


def issued_by_command(
    company: Disposing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """Repeat the end of the backup and issue the certificate as a person does."""
    urls = {f"AIRFLOW_CONN_{name.upper()}": url for name, url in company.urls.items()}
    folders = {f"HANDOVER_{name.upper()}": str(company.home / name) for name in ("datamaps", "documents")}
    for name, value in {**company.settings().variables, **urls, **folders}.items():
        monkeypatch.setenv(name, value)
    assert main(["backup", "end", "test-transfer", "--run", "run-1"]) == 0
    assert "unlinked, not verifiable; it opens nothing any more" in capsys.readouterr().out
    assert main(["certificate", "issue", "test-transfer", "--run", "run-1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "nothing is open"
    return Path(said[0].removeprefix("final: "))


def provisional_with_what_is_open(context: Context) -> None:
    """Counts, persons and parts are there; the backup lives and nobody has validated anything."""
    made = certify(certificate_facts(context))
    assert (made.finality, made.effective_erasure_date) == ("provisional", None)
    said = {(one.row_class, count.table): (count.planned, count.done) for one in made.treated
            for count in one.tables}  # fmt: skip
    assert said == {("settled", "s.person"): (5, 5), ("traces", "s.visit"): (37, 37),
                    ("traces", "s.call"): (20, 20)}  # fmt: skip
    assert {one.row_class: (one.method, one.rule, one.persons) for one in made.treated} == {
        "settled": ("pseudonymised", "R01", 5), "traces": ("logical_deletion", "R17", 7)}  # fmt: skip
    kept = {one.row_class: one.rows for one in made.retained}
    assert kept == {"active": 2, "s.loan": 7, "s.consent": 7}
    parts = [(one.part, one.name) for one in made.involved]
    assert [name for part, name in parts if part == "requester"] == ["asker"]
    assert [name for part, name in parts if part == "approver"] == ["first", "second"]
    assert [name for part, name in parts if part == "supervisor"] == ["first", "second"]
    assert made.search is not None
    assert (made.search.values, made.search.matches, made.search.of_retained) == (7, 2, 2)
    points = open_points(context)
    assert any("still lives" in point for point in points)
    assert "traces: not validated" in points
    assert "residue not cleared: this system's vault: the backup of this run" in points


def refused_rather_than_weaker(context: Context) -> None:
    """What the case wants clean and is not, or a table that nobody speaks of: no certificate at all."""
    disposal = {**context.case.disposal.document(), "mandatory": ["heap", "backups"]}
    strict = otherwise(context, disposal=disposal)
    with pytest.raises(EvidenceInvalid, match="other backups and snapshots cannot be verified"):
        certificate(strict)
    assert any("backups is to be clean" in fault for fault in certificate_faults(strict))
    facts = certificate_facts(context)
    with pytest.raises(EvidenceInvalid, match=r"s\.visit was skipped"):
        certify(facts.model_copy(update={"skipped": ("s.visit",)}))


def stores_that_are_declared(context: Context, documents: Path) -> None:
    """A store is searched, attested by a paper on file, or open; the source itself may be undeclared."""
    paper = b"shredded"
    attestation = {"file": "shredding.pdf", "sha256": hashlib.sha256(paper).hexdigest(), "serial": "SN-1",
                   "on": legal_day().isoformat(), "signatory": "示例销毁商 / sample"}  # fmt: skip
    known = [one.document() for one in context.case.stores]
    papers = {"name": "paper", "kind": "paper", "holder": "示例公司"}
    attested = otherwise(context, stores=[*known, {**papers, "attestation": attestation}])
    assert "open store: paper" in open_points(attested), "its file is missing"
    (documents / "shredding.pdf").write_bytes(b"something else")
    assert "open store: paper" in open_points(attested), "its file is another one"
    (documents / "shredding.pdf").write_bytes(paper)
    assert "open store: paper" not in open_points(attested)
    (made,) = (one for one in certificate_facts(attested).stores if one.name == "paper")
    assert made.state == "attested"
    assert "open store: paper" in open_points(otherwise(context, stores=[*known, papers]))
    late = {**papers, "name": "mirror", "kind": "database", "connection": "mirror"}
    assert "open store: mirror" in open_points(otherwise(context, stores=[*known, late])), "not searched"
    assert "a store that was not declared: src" in str(open_points(otherwise(context, stores=[])))


def the_font_may_be_missing(context: Context, monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    """Without the font the other two forms are there, and a file says what is missing."""
    monkeypatch.setattr(pdf, "write_pdf", partial(write_pdf, fonts=empty))
    made = certificate(context)
    assert "destruction-certificate.pdf" not in made
    assert b"could not be made" in made["destruction-certificate.pdf-missing.txt"]
    assert "数据销毁证明".encode() in made["destruction-certificate.html"]
    assert json.loads(made["destruction-certificate.json"])["finality"] == "provisional"
    monkeypatch.undo()


def validated_by_another_person(context: Context) -> None:
    """Whoever approves may validate, the one who asked may not; a new proof needs a new decision."""
    for who, reason, said in (
        (RECEIVER, "fine", "under neither"),
        (Account(name="asker", id="asker"), "fine", "under neither"),
        (FIRST, " ", "no reason"),
        (FIRST, "call 13800138000", "names personal data"),
    ):
        with pytest.raises(LedgerRefused, match=said):
            validate_result(context, who, good_enough=True, reason=reason)
    assert validation(context) is None
    validate_result(context, FIRST, good_enough=False, reason="too early 尚早")
    with pytest.raises(EvidenceInvalid, match="not good enough"):
        certificate(context)
    made = validate_result(context, FIRST, good_enough=True, reason="reviewed 已审阅")
    assert (made.by, made.good_enough) == ("first", True)
    assert not any("not validated" in point for point in open_points(context))


def the_backup_ends(context: Context) -> None:
    """Not before its day; then nothing opens any more, not even with the keyring of before."""
    days = {**context.case.disposal.document(), "backup_days": 30}
    later = otherwise(context, disposal=days)
    assert backup_due(later) == legal_day() + timedelta(days=30)
    with pytest.raises(NotReady, match="is kept until"):
        backup_end(later)
    keyring = context.keyring.folder / "keyring.json"
    before, index = keyring.read_bytes(), read_index(context)
    chunk = next(one for one in index.chunks if one.rows)
    blob = context.store.get(chunk.object.name)
    elsewhere = context.store.put("_archives/kept", b"archive")
    assert known(context, "s.call", [CALL]) == [True]
    done = backup_end(context)
    assert backup_end(context) == done
    assert done["decryption_fails"]
    assert done["result"] == "unlinked, not verifiable"
    assert date.fromisoformat(done["effective_erasure_date"]) == legal_day()
    assert list(context.store.list("test-transfer/run-1/")) == []
    assert context.store.get(elsewhere.name) == b"archive"
    (tried,) = context.entries("backup-key-destroyed")
    assert tried.body["decryption_fails"]
    # A copy of the file and of the keyring from before is dead as well.
    context.store.put(chunk.object.name, blob)
    now = keyring.read_bytes()
    keyring.write_bytes(before)
    label = context.label(index.state.generation, "rows", f"{chunk.table}/{chunk.group}", chunk.chunk)
    with pytest.raises(KeyUnavailable):
        context.get(label, chunk.object)
    keyring.write_bytes(now)
    context.store.delete(chunk.object.name)
    assert known(context, "s.call", [CALL]) == [False]
    assert count_tombstones(context.ledger_url, "test-transfer", "run-1") == 0
