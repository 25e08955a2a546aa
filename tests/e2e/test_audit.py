"""The audit: each check finds the fault that it is for, names it, and nothing where all is well."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict

from fixtures.contents import run_sql
from fixtures.lawful import data_map
from fixtures.runs import CASE, Runner, transferred, write_case
from handover.archive.bag import make_bag
from handover.cli import main
from handover.errors import AuditFailed, NotReady, PolicyInvalid
from handover.evidence.verifier import verify
from handover.local.clusters import Cluster
from handover.model.audit import Finding
from handover.settings import REPOSITORY, Settings
from handover.stages import audit_evidence, audit_matters, audit_reviews, audit_vault
from handover.stages.audit import GROUPS, audit, check_group, conclude, open_audit
from handover.stages.audit_access import grants
from handover.stages.audit_scope import AUDITS, Audit
from handover.stages.facts import legal_day
from handover.vault.keyring import Keyring
from handover.vault.roots import Purpose

TODAY = date(2026, 11, 18)  # a Wednesday
CASE_ID, RUN = "test-transfer", "run-1"
SHA = "0" * 64
Check = Callable[[Audit], Any]


def settings_of(runner: Runner) -> Settings:
    """Return settings that look at nothing but the runner's own folders, and the packs."""
    folders = {name: runner.home / name for name in ("sources", "datamaps", "documents")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    return replace(runner.settings(), **folders)


@pytest.fixture
def office(runner: Runner) -> Callable[..., Audit]:
    """Opens audits of a runner's installation."""

    def opened(on: date = TODAY, share: float = 1.0) -> Audit:
        return open_audit(settings_of(runner), runner.urls.__getitem__, on, share)

    return opened


def tell(
    audit: Audit, kind: str, body: dict[str, Any] | None = None, run: str = RUN, case: str = CASE_ID
) -> None:
    """Write an entry as a run would."""
    audit.ledger.append(case, run, kind, body or {})


def begin(audit: Audit, run: str = RUN, **changes: Any) -> None:
    """Open a run of a case that is written down."""
    document = {**CASE, **changes}
    write_case(audit.settings.cases, **changes)
    tell(audit, "run-opened", {"case": document, "digest": ""}, run, str(document["case"]))


def found(check: Check, audit: Audit) -> dict[str, list[str]]:
    """Return where something was found, by check."""
    places: dict[str, list[str]] = {}
    for one in check(audit):
        places.setdefault(one.check, []).append(one.where)
    return places


def test_a_whole_run_holds_and_each_damage_to_it_is_found(
    runner: Runner, office: Callable[..., Audit], cluster: Cluster
) -> None:
    run_sql(runner.urls["src"], "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text);"
            "INSERT INTO s.t SELECT n, 'privat ' || n FROM generate_series(1, 50) n")  # fmt: skip
    evidence = transferred(runner.open())
    today = legal_day()
    for name in ("ledger", "evidence", "vault", "keys"):
        assert check_group(office(today), name) == []
    vault_damaged(office())
    keys_in_doubt(office(today))
    evidence_damaged(office(), evidence)
    ledger_damaged(runner, office(), cluster)


def vault_damaged(audit: Audit) -> None:
    names = list(audit.store.list(f"{CASE_ID}/{RUN}/g1/"))
    first, second = (audit.settings.vault / names[place] for place in (0, -1))
    for path, damage in ((first, lambda p: p.unlink()), (second, flip)):
        kept = path.read_bytes()
        damage(path)
        name = path.relative_to(audit.settings.vault).as_posix()
        assert found(audit_vault.backup_objects, audit) == {"vault-object": [name]}
        assert found(audit_vault.backup_objects, replace(audit, share=1e-9)) == {}
        path.write_bytes(kept)
    stranger = audit.settings.vault / "nobody" / "run-9" / "a.seg"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"x")
    assert found(audit_vault.strange_objects, audit) == {"vault-strange": ["nobody/run-9"]}
    shutil.rmtree(stranger.parent.parent)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def keys_in_doubt(audit: Audit) -> None:
    """The backup is past its end; then its key goes without a word, and with one comes back."""
    late = replace(audit, on=audit.on + timedelta(days=31))
    assert found(audit_vault.backups_past_their_end, late) == {"backup-end": [f"{CASE_ID}, {RUN}"]}
    assert [one.severity for one in audit_vault.backups_past_their_end(late)] == ["warning"]
    copy = audit.settings.keyring.with_name("older")
    shutil.copytree(audit.settings.keyring, copy)
    (key,) = [one.key_id for one in audit.keyring.list() if one.purpose is Purpose.BACKUP]
    audit.keyring.destroy(key)
    assert found(audit_vault.keys_and_ledger, replace(audit)) == {"key-untold": [key]}
    tell(audit, "key-destroyed", {"key_id": key})
    assert found(audit_vault.keys_and_ledger, replace(audit)) == {}
    older = replace(audit, keyring=Keyring.open(copy))
    assert found(audit_vault.keys_and_ledger, older) == {"key-back": [key]}
    tell(audit, "key-created", {"key": "backup-gone", "purpose": "backup"})
    assert found(audit_vault.keys_and_ledger, replace(audit)) == {"key-lost": ["backup-gone"]}


def evidence_damaged(audit: Audit, folder: Path) -> None:
    name = f"{CASE_ID}/{RUN}"
    report = folder / "case.json"
    kept = report.read_bytes()
    flip(report)
    assert found(audit_evidence.evidence_folders, audit) == {"evidence": [f"{name}: case.json"]}
    report.write_bytes(kept)
    away = folder.parent.parent.parent / "away"
    folder.rename(away)
    assert found(audit_evidence.evidence_is_there, audit) == {"evidence-missing": [name]}
    away.rename(folder)
    other = replace(audit, keyring=Keyring.open(folder.parent.parent.parent / "other-keyring"))
    assert found(audit_evidence.evidence_folders, other) == {"evidence-key": [name]}
    assert found(audit_evidence.evidence_folders, audit) == {}


def ledger_damaged(runner: Runner, audit: Audit, cluster: Cluster) -> None:
    """Change an entry as the server's administrator can, then cut the end off."""
    database = str(conninfo_to_dict(runner.ledger_url)["dbname"])
    with psycopg.connect(cluster.admin_url(database), autocommit=True) as admin:
        admin.execute("ALTER TABLE public.entry DISABLE TRIGGER ALL")
        admin.execute("UPDATE public.entry SET body = '{}' WHERE seq = 2 AND case_id = %s", [CASE_ID])
        places = found(audit_evidence.ledger_chains, audit)
        assert places["ledger"][0] == f"{CASE_ID}, ledger.jsonl seq 2"
        admin.execute("DELETE FROM public.entry WHERE seq > 1 AND case_id = %s", [CASE_ID])
    assert found(audit_evidence.ledger_chains, audit) == {}  # what is left holds in itself
    assert "ledger-head" in found(audit_evidence.evidence_folders, audit)


def test_an_audit_is_written_down_shown_and_fails_visibly(
    runner: Runner,
    office: Callable[..., Audit],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened = office()
    with pytest.raises(NotReady, match="has not looked at ledger"):
        conclude(opened)
    assert audit(opened.settings, runner.urls.__getitem__, TODAY) == []
    folder = conclude(opened)
    assert (folder.parent.name, folder.name) == (AUDITS, "2026-11-18")
    assert verify(folder).ok
    said = json.loads((folder / "audit.json").read_text())
    assert (said["on"], set(said["groups"])) == ("2026-11-18", set(GROUPS))
    (opened.settings.sources / "broken.yaml").write_text("source: broken\n")
    check_group(opened, "access")
    with pytest.raises(AuditFailed, match="1 errors") as failed:
        conclude(opened)
    page = Path(str(failed.value.data["report"]))
    assert page.parent.name == "2026-11-18-2"
    assert "broken" in page.read_text(encoding="utf-8")
    entries = opened.ledger.entries(AUDITS, kinds=["audit-done"])
    assert [one.body["error"] for one in entries] == [0, 1]
    for name, value in runner.settings().variables.items():
        monkeypatch.setenv(name, value)
    for name in ("sources", "datamaps", "documents"):
        monkeypatch.setenv(f"HANDOVER_{name.upper()}", str(runner.home / name))
    assert main(["audit", "--on", "2026-11-18"]) == 1
    out = capsys.readouterr().out
    assert "broken" in out
    assert "found 1 errors" in out
    (opened.settings.sources / "broken.yaml").unlink()
    assert main(["audit", "--on", "2026-11-18"]) == 0
    assert main(["audit", "--share", "0"]) == 1


def test_what_is_due_by_severity(office: Callable[..., Audit]) -> None:
    opened = office()
    due = {
        name: opened.finding("x", name, "here", "这里", "here").due for name in ("error", "warning", "notice")
    }
    assert due["error"] == date(2026, 11, 23)
    assert due["warning"] == date(2026, 12, 2)
    assert due["error"] < due["warning"] < due["notice"]


def test_without_a_calendar_nothing_is_due(runner: Runner, tmp_path: Path) -> None:
    settings = replace(settings_of(runner), policies=tmp_path / "none")
    with pytest.raises(PolicyInvalid):
        open_audit(settings, runner.urls.__getitem__, TODAY).finding("x", "error", "here", "这里", "here")


def test_archive_bags_and_their_terms(office: Callable[..., Audit]) -> None:
    opened = office()
    begin(opened)
    staging = opened.settings.vault / "staging"
    (staging / "data").mkdir(parents=True)
    (staging / "data" / "a.parquet").write_bytes(b"rows")
    bag = opened.settings.vault / "_archives" / CASE_ID / RUN
    bag.parent.mkdir(parents=True)
    expected = {"a.parquet": hashlib.sha256(b"rows").hexdigest()}
    digest = make_bag(staging, bag, {}, expected)
    keys = [opened.keyring.ensure(Purpose.ARCHIVE, f"k{number}").key_id for number in range(4)]
    terms = [
        {"number": 1 + place, "term": term, "identifying": keys[2 * place], "other": keys[2 * place + 1]}
        for place, term in enumerate(
            ({"row_class": "old", "destroy_from": "2026-11-18"}, {"row_class": "held", "destroy_from": None})
        )
    ]
    body = {"bag": f"_archives/{CASE_ID}/{RUN}", "tag_manifest_sha256": digest, "terms": terms}
    tell(opened, "archive-sealed", body)
    place = f"{CASE_ID}, {RUN}"
    assert found(audit_vault.archive_bags, opened) == {}
    assert found(audit_reviews.archive_reviews, opened) == {"archive-due": [f"{place}, term 1"]}
    before = replace(opened, on=TODAY - timedelta(days=1))
    assert found(audit_reviews.archive_reviews, before) == {}
    later = replace(opened, on=legal_day() + timedelta(days=366))
    assert found(audit_reviews.archive_reviews, later)["archive-undated"] == [f"{place}, term 2"]
    (bag / "data" / "a.parquet").write_bytes(b"other")
    assert found(audit_vault.archive_bags, opened)["archive"][0] == f"{body['bag']}: bag-info.txt"
    shutil.rmtree(bag)
    assert found(audit_vault.archive_bags, opened) == {"archive": [body["bag"]]}
    for key in keys:
        opened.keyring.destroy(key)
    assert found(audit_reviews.archive_reviews, replace(later)) == {}


def test_backups_that_should_have_ended(office: Callable[..., Audit]) -> None:
    opened = office(legal_day())
    begin(opened)
    tell(opened, "backup-sealed", {"generation": 1})
    tell(opened, "disposal-opened")
    opened.keyring.ensure(Purpose.BACKUP, f"{CASE_ID}/{RUN}")
    place = f"{CASE_ID}, {RUN}"
    assert found(audit_vault.backups_past_their_end, opened) == {}
    late = replace(opened, on=legal_day() + timedelta(days=31))
    (one,) = audit_vault.backups_past_their_end(late)
    assert (one.check, one.severity, one.where) == ("backup-end", "error", place)
    left = opened.settings.vault / CASE_ID / RUN / "g1" / "a.seg"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    assert found(audit_vault.strange_objects, opened) == {}
    tell(opened, "backup-ended")
    assert found(audit_vault.strange_objects, replace(opened)) == {"vault-left": [place]}
    assert found(audit_matters.certificates, replace(opened)) == {"certificate": [place]}
    tell(opened, "certificate-issued", {"finality": "provisional", "open_points": ["a store"]})
    assert found(audit_matters.certificates, replace(opened)) == {"certificate": [place]}
    tell(opened, "certificate-issued", {"finality": "final", "open_points": []})
    assert found(audit_matters.certificates, replace(opened)) == {}
    tell(opened, "run-aborted")
    assert found(audit_vault.backups_past_their_end, replace(opened)) == {"key-lives": [place]}


def test_a_restore_that_did_not_end_is_named(office: Callable[..., Audit]) -> None:
    opened = office()
    for place in ("a", "b"):
        tell(opened, "restore-begun", {"database": place})
    tell(opened, "restored", {"database": "b"})
    (one,) = audit_vault.restores_unfinished(opened)
    assert (one.check, one.severity) == ("restore-open", "error")
    tell(opened, "restore-begun", {"database": "a"})
    tell(opened, "restored", {"database": "a"})
    assert found(audit_vault.restores_unfinished, opened) == {}


def test_mailings_are_known_and_reports_of_drills_missed(office: Callable[..., Audit]) -> None:
    opened = office()
    for run in ("notice-1", "notice-2"):
        path = opened.settings.vault / CASE_ID / run / "a.seg"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    tell(opened, "notice-mailed", run="notice-1")
    assert found(audit_vault.strange_objects, opened) == {"vault-strange": [f"{CASE_ID}/notice-2"]}
    tell(opened, "drill-written", {"folder": "/x/drill-1-0", "what": "backup"}, "drill-1")
    assert found(audit_evidence.evidence_is_there, opened) == {"evidence-missing": [f"{CASE_ID}/drill-1-0"]}


def test_an_audit_that_was_left_out_is_missed(office: Callable[..., Audit]) -> None:
    opened = office(legal_day())
    assert found(audit_reviews.last_audit, opened) == {}
    opened.record("audit-done", {"folder": "x"})
    assert found(audit_reviews.last_audit, opened) == {}
    assert found(audit_reviews.last_audit, office(legal_day() + timedelta(days=14))) == {}
    assert found(audit_reviews.last_audit, office(legal_day() + timedelta(days=15))) == {
        "audit-late": [AUDITS]
    }


def write_map(audit: Audit, **changes: Any) -> None:
    document = data_map() | changes
    path = audit.settings.datamaps / f"{CASE_ID}.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True))


def test_data_maps_are_confirmed_each_year(office: Callable[..., Audit]) -> None:
    opened = office()
    begin(opened, policy=["cn-pipl@2026.11"])
    assert found(audit_reviews.data_maps, opened) == {"data-map": [CASE_ID]}
    write_map(opened)
    assert found(audit_reviews.data_maps, opened) == {}
    assert found(audit_reviews.data_maps, office(date(2027, 1, 16))) == {"data-map-old": [CASE_ID]}
    write_map(opened, confirmed=None)
    assert found(audit_reviews.data_maps, opened) == {"data-map": [CASE_ID]}
    tell(opened, "run-closed", {"status": "complete"})
    assert found(audit_reviews.data_maps, replace(opened)) == {}  # over: nobody needs it any more


def test_packs_are_there_in_force_and_read(
    runner: Runner, office: Callable[..., Audit], tmp_path: Path
) -> None:
    opened = office()
    begin(opened, policy=["cn-pipl@2026.11"])
    assert found(audit_reviews.policy_packs, opened) == {}
    assert found(audit_reviews.policy_packs, office(date(2027, 11, 30))) == {
        "pack-unread": ["cn-pipl@2026.11"]
    }
    folder = tmp_path / "policies"
    shutil.copytree(REPOSITORY / "include" / "policies", folder)
    mine = replace(opened, settings=replace(opened.settings, policies=folder))
    text = (folder / "cn-pipl-2026.11.yaml").read_text(encoding="utf-8")
    newer = text.replace('version: "2026.11"', 'version: "2026.12"', 1)
    (folder / "cn-pipl-2026.12.yaml").write_text(newer, encoding="utf-8")
    place = f"{CASE_ID}: cn-pipl@2026.11"
    assert found(audit_reviews.policy_packs, mine) == {"pack-newer": [place]}
    ended = text.replace(
        "effective_from: 2026-01-01", "effective_from: 2026-01-01\neffective_to: 2026-11-17", 1
    )
    (folder / "cn-pipl-2026.11.yaml").write_text(ended, encoding="utf-8")
    assert set(found(audit_reviews.policy_packs, mine)) == {"pack-ended", "pack-newer"}
    (folder / "cn-pipl-2026.11.yaml").unlink()
    assert found(audit_reviews.policy_packs, mine) == {"pack": ["cn-pipl@2026.11"]}
    (folder / "cn-pipl-2026.12.yaml").write_text("pack: [", encoding="utf-8")
    assert found(audit_reviews.policy_packs, mine) == {"pack": ["policies"]}


def test_a_year_without_holidays_is_found(office: Callable[..., Audit]) -> None:
    assert found(audit_reviews.calendar, office()) == {}
    assert found(audit_reviews.calendar, office(date(2026, 12, 1))) == {"calendar": ["2027"]}
    assert found(audit_reviews.calendar, office(date(2029, 1, 1))) == {"calendar": ["2029"]}


def document(kind: str, file: str, **fields: Any) -> dict[str, Any]:
    digest = hashlib.sha256(file.encode()).hexdigest()
    return {"kind": kind, "file": file, "sha256": digest, "date": "2026-01-01", "expires": "never",
            "signatory": "示例签字人", **fields}  # fmt: skip


def lay(audit: Audit, *files: str) -> None:
    folder = audit.settings.documents / CASE_ID
    folder.mkdir(exist_ok=True)
    for name in files:
        (folder / name).write_text(name)


def test_documents_expire_and_must_be_on_file(office: Callable[..., Audit]) -> None:
    opened = office()
    kept = [
        document("nda", "a.pdf", expires="2026-11-17"),
        document("nda", "b.pdf", expires="2026-12-18"),
        document("nda", "c.pdf", expires="2026-12-19"),
        document("notice", "d.pdf"),
    ]
    flow = {"recipient": "示例 (sample)", "valid_until": "2026-11-18", "mechanism_number": "N-1"}
    begin(opened, matter={"documents": kept, "exports": {"flows": [flow]}})
    lay(opened, "a.pdf", "b.pdf", "c.pdf")
    assert found(audit_matters.documents, opened) == {
        "document": [f"{CASE_ID}: notice d.pdf"],
        "document-expired": [f"{CASE_ID}: nda a.pdf"],
        "document-expires": [f"{CASE_ID}: nda b.pdf", f"{CASE_ID}: export mechanism N-1"],
    }
    lay(opened, "d.pdf")
    (opened.settings.documents / CASE_ID / "c.pdf").write_text("another")
    assert found(audit_matters.documents, opened)["document"] == [f"{CASE_ID}: nda c.pdf"]
    tell(opened, "run-closed", {"status": "complete"})
    assert found(audit_matters.documents, replace(opened)) == {}


APPROVALS = {"execute": {"approvers": ["first", "second"]}, "accept": {"approvers": ["receiver"]}}


def test_accounts_need_records_where_the_case_asks_for_them(office: Callable[..., Audit]) -> None:
    opened = office()
    kept = [
        document("account_training", f"{name}.pdf", party=name.upper(), expires=until)
        for name, until in (("first", "2026-11-18"), ("second", "2026-11-17"))
    ]
    kept.append(document("account_training", "receiver.pdf", party="receiver", signatory=None))
    matter = {"documents": kept, "controls": ["account_training"]}
    begin(opened, approvals=APPROVALS, matter=matter)
    lay(opened, "first.pdf", "second.pdf", "receiver.pdf")
    lacking = [f"{CASE_ID}: {name}, account_training" for name in ("receiver", "second")]
    assert found(audit_matters.accounts, opened) == {"account": lacking}
    begin(opened, "run-2", approvals=APPROVALS, matter=matter | {"controls": []})
    assert found(audit_matters.accounts, replace(opened)) == {}
    begin(opened, "run-3", approvals=APPROVALS, matter=matter | {"controls": ["account_nda"]})
    assert len(found(audit_matters.accounts, replace(opened))["account"]) == 3


def test_processors_certify_and_holds_are_looked_at_again(office: Callable[..., Audit]) -> None:
    opened = office()
    processors = [{"name": "示例甲 (sample)", "ended": True}, {"name": "示例乙 (sample)", "ended": False}]
    hold = {"kind": "litigation", "opened": "2025-11-17"}
    matter: dict[str, Any] = {"processors": processors, "holds": [hold, hold | {"opened": "2026-01-01"}]}
    begin(opened, matter=matter)
    assert [one.severity for one in audit_matters.processors(opened)] == ["warning"]
    assert found(audit_matters.stated_holds, opened) == {"hold": [f"{CASE_ID}: matter.holds.0 litigation"]}
    tell(opened, "run-closed", {"status": "complete"})
    (late,) = audit_matters.processors(replace(opened))
    assert (late.severity, late.where) == ("error", f"{CASE_ID}: 示例甲 (sample)")
    given = document("return_or_delete_certificate", "e.pdf", party="示例甲 (sample)")
    begin(opened, "run-2", matter=matter | {"documents": [given]})
    assert found(audit_matters.processors, replace(opened)) == {}


def test_holds_in_the_ledger_end_by_a_person(office: Callable[..., Audit]) -> None:
    opened = office()
    tell(opened, "hold-added", {"hold": "h-1", "until": "2026-11-18"}, "holds", "a-source")
    tell(opened, "hold-added", {"hold": "h-2", "until": ""}, "holds", "a-source")
    assert found(audit_matters.ledger_holds, opened) == {"hold-over": ["a-source: h-1"]}
    old = replace(opened, on=legal_day() + timedelta(days=366))
    assert found(audit_matters.ledger_holds, old)["hold"] == ["a-source: h-2"]
    tell(opened, "hold-released", {"hold": "h-1"}, "holds", "a-source")
    assert found(audit_matters.ledger_holds, opened) == {}


def register(audit: Audit, **changes: Any) -> None:
    source = {
        "source": "a-source", "title": "Sample", "handler": {"name": "Handler (sample)"},
        "keeper": {"name": "Keeper (sample)"}, "owner": "IT (sample)",
        "database": {"connection": "src", "schemas": ["s"], "large_objects": False},
        "restore_test": {"connection": "dst"}, "policy": ["cn-pipl@2026.11"],
        "approvals": {"execute": {"approvers": ["first"]}}, **changes,
    }  # fmt: skip
    (audit.settings.sources / "a-source.yaml").write_text(yaml.safe_dump(source, allow_unicode=True))


def test_grants_are_those_that_the_source_declares(
    runner: Runner, office: Callable[..., Audit], cluster: Cluster
) -> None:
    opened = office()
    register(opened)
    (one,) = grants(opened)
    assert (one.check, one.severity, one.owner) == ("grants-undeclared", "notice", "IT (sample)")
    declared = [{"role": "audit_reader", "schema": "s", "rights": ["SELECT"]}]
    register(
        opened, grants=declared, database={"connection": "gone", "schemas": ["s"], "large_objects": False}
    )
    assert found(grants, opened) == {"grants-unseen": ["a-source"]}
    register(opened, grants=declared)
    database = str(conninfo_to_dict(runner.urls["src"])["dbname"])
    run_sql(
        runner.urls["src"],
        "CREATE SCHEMA s; CREATE TABLE s.a (id int, secret text); CREATE TABLE s.b (id int)",
    )
    roles = ("audit_reader", "audit_member", "audit_super")
    with psycopg.connect(cluster.admin_url(database), autocommit=True) as admin:
        for role in roles:
            admin.execute(f"DROP ROLE IF EXISTS {role}")
        try:
            granted_otherwise(opened, admin)
        finally:
            admin.execute("DROP OWNED BY audit_reader")
            for role in reversed(roles):
                admin.execute(f"DROP ROLE IF EXISTS {role}")


def granted_otherwise(audit: Audit, admin: psycopg.Connection[Any]) -> None:
    admin.execute("CREATE ROLE audit_reader; GRANT SELECT ON s.a TO audit_reader")
    assert found(grants, audit) == {"grant-missing": ["a-source: audit_reader SELECT s"]}
    admin.execute("GRANT SELECT ON s.b TO audit_reader")
    assert found(grants, audit) == {}
    admin.execute("GRANT UPDATE (secret) ON s.a TO audit_reader; GRANT SELECT ON s.b TO PUBLIC")
    unexpected = ["a-source: PUBLIC SELECT s", "a-source: audit_reader UPDATE s"]
    assert found(grants, audit) == {"grant-unexpected": unexpected}
    admin.execute("REVOKE UPDATE (secret) ON s.a FROM audit_reader; REVOKE SELECT ON s.b FROM PUBLIC")
    admin.execute("CREATE ROLE audit_member LOGIN; GRANT audit_reader TO audit_member")
    assert found(grants, audit) == {"grant-by-membership": ["a-source: audit_member in audit_reader"]}
    admin.execute("DROP ROLE audit_member; CREATE ROLE audit_super LOGIN SUPERUSER")
    assert found(grants, audit) == {"grant-superuser": ["a-source: audit_super"]}


def test_each_check_of_each_group_has_a_test_above() -> None:
    text = Path(__file__).read_text()
    assert [one.__name__ for checks in GROUPS.values() for one in checks if one.__name__ not in text] == []


def test_a_finding_is_found_again_by_its_id(office: Callable[..., Audit]) -> None:
    opened = office()
    first = opened.finding("vault-object", "error", "a/b", "缺失", "is missing")
    assert isinstance(first, Finding)
    assert first.id == office(date(2026, 11, 19)).finding("vault-object", "error", "a/b", "缺失", "again").id
