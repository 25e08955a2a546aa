"""Accounting archives are handed over by a list that both sides' figures bear out, signed and tested."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fixtures.clusters import databases
from fixtures.contents import run_sql
from fixtures.copies import Finished
from fixtures.matters import packs
from fixtures.runs import Runner, make_ledger, migrated, verified
from handover.cli import main
from handover.errors import CaseInvalid, EvidenceInvalid, LedgerRefused, NotReady, VerificationFailed
from handover.evidence import verifier
from handover.evidence.handover_list import list_files
from handover.law.facts import DataFacts, Facts
from handover.law.gates import evaluate
from handover.law.packs import select
from handover.local.clusters import Cluster
from handover.model.handover_list import ROLES, HandoverList, Test
from handover.model.ledger_list import Archive
from handover.model.matter import Matter
from handover.stages.backup_index import read_index
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.facts import legal_day
from handover.stages.handover_entries import LIST, current_list, signatures, with_handover
from handover.stages.handover_list import make_list
from handover.stages.handover_signing import SIGNATURES_NAME, documents, list_faults, record_test, sign
from handover.stages.ledger_rules import retention_rule
from handover.stages.tally import tally_target

# An amount that stands alone in its year: no list, message or ledger entry may quote it.
PRIVATE = "7654321.09"
SOURCE = f"""
CREATE SCHEMA s;
CREATE TABLE s.voucher (id int PRIMARY KEY, book_year smallint, made date);
INSERT INTO s.voucher SELECT n, 2019 + n % 3, make_date(2019 + n % 3, 1 + n % 12, 5)
  FROM generate_series(1, 90) n;
INSERT INTO s.voucher VALUES (91, 2022, '2022-03-01');
CREATE TABLE s.line (voucher int REFERENCES s.voucher, no int, debit numeric(18, 2), credit numeric(18, 2),
  PRIMARY KEY (voucher, no));
INSERT INTO s.line SELECT n, m, (n + 0.07) * (m % 2), (n + 0.07) * ((m + 1) % 2)
  FROM generate_series(1, 90) n, generate_series(1, 2) m;
INSERT INTO s.line VALUES (91, 1, {PRIVATE}, 0), (91, 2, 0, {PRIVATE});
CREATE TABLE s.account (code text PRIMARY KEY, name text);
INSERT INTO s.account VALUES ('1', 'assets'), ('2', 'debts');
"""
RECONCILIATION = {
    "counts": [
        {"name": "vouchers", "table": "s.voucher", "by": ["book_year"]},
        {"name": "accounts", "table": "s.account", "by": ["code"]},
    ],
    "balances": [
        {
            "name": "trial",
            "table": "s.line",
            "debit": "debit",
            "credit": "credit",
            "period": {"table": "s.voucher", "column": "made", "key": ["id"], "by": ["voucher"]},
            "grain": "year",
        }
    ],
}
LEDGER: dict[str, Any] = {
    "number": "YJ-1",
    "pack": "cn-accounting@2026.11",
    "medium": "PostgreSQL",
    "reader": "PostgreSQL 18",
    "currency": "CNY",
    "open_questions": ["one voucher is still to be stamped"],
    "archives": [
        {
            "name": "会计凭证 / vouchers",
            "code": "PZ",
            "rule": "R01",
            "tables": ["s.voucher", "s.line"],
            "totals": [{"item": "vouchers", "year": "book_year"}, {"item": "trial"}],
        },
        {
            "name": "会计科目 / chart of accounts",
            "code": "KM",
            "rule": "R04",
            "tables": ["s.account"],
            "totals": [{"item": "accounts"}],
            "years": [2019, 2022],
        },
    ],
}
CASE = {"reconciliation": RECONCILIATION, "ledger": LEDGER}
ALL_YES: dict[Test, bool] = {"accurate": True, "complete": True, "usable": True, "safe": True}
TODAY = legal_day()


@pytest.fixture(scope="module")
def finished(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    """One run whose target was filled, read back and listed."""
    home = tmp_path_factory.mktemp("finished")
    with databases(cluster) as source, databases(second_cluster) as target:
        urls = {"src": source("source"), "dst": target("target")}
        run_sql(urls["src"], SOURCE)
        made = Runner(home, make_ledger(cluster, source), str(second_cluster.programs), urls)
        context = made.open(**CASE)
        migrated(context)
        with pytest.raises(NotReady, match="have not been read back"):
            make_list(context)
        assert list_faults(context) == ["hand-over list: not made; step handover_list is not done"]
        verified(context)
        assert make_list(context) == make_list(context)  # the same again is no other edition
        assert len(context.entries(LIST)) == 1
        yield Finished(context, second_cluster)


@pytest.fixture
def listed(finished: Finished) -> Context:
    """The run with a list made anew, which nobody has signed."""
    context = finished.context
    body = dict(context.entries(LIST)[0].body)
    other = HandoverList.model_validate(body["list"] | {"edition": len(context.entries(LIST)) + 1})
    files = {name: hashlib.sha256(data).hexdigest() for name, data in list_files(other).items()}
    context.record(LIST, body | {"list": other.document(), "sha256": other.sha256, "files": files})
    assert signatures(context) == {}
    return context


def scan(context: Context, text: str = "scan") -> Path:
    """Write a file as if the printed list had been signed and scanned."""
    path = context.settings.home / f"{text}.pdf"
    path.write_bytes(text.encode())
    return path


def sign_all(context: Context) -> None:
    """Let everybody sign the list."""
    for role in ROLES:
        sign(context, role, f"示例 {role}", TODAY, scan(context, role))


def lines_of(context: Context) -> list[dict[str, str]]:
    """The list's CSV by its English headings."""
    text = documents(context)["handover-list.csv"].decode("utf-8-sig")
    return [{k.partition(" ")[2]: v for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))]


def test_the_list_names_each_volume_with_figures_of_both_sides(listed: Context) -> None:
    rows = lines_of(listed)
    with psycopg.connect(listed.target) as target:
        counted = target.execute("SELECT book_year::text, count(*) FROM s.voucher GROUP BY 1").fetchall()
        summed = target.execute(
            "SELECT v.book_year::text, sum(l.debit)::text FROM s.line l JOIN s.voucher v ON v.id = l.voucher"
            " WHERE v.book_year IN (2020, 2021) GROUP BY 1"
        ).fetchall()
    assert {(r["From"], int(r["Rows"])) for r in rows if r["Table"] == "s.voucher"} == set(counted)
    assert {(r["From"], r["Control total"]) for r in rows if r["Amount of"] == "debit"} >= set(summed)
    first = rows[0]
    assert (first["Archive code"], first["Volume no."], first["Volumes"]) == ("PZ", "1", "4")
    assert (first["Period required"], first["Keep until"]) == ("30 年 years", "2049-12-31")
    last = rows[-1]
    assert (last["Archive code"], last["From"], last["To"], last["Rows"]) == ("KM", "2019", "2022", "2")
    assert last["Period required"] == "永久 permanent"
    first_day = date(2020, 1, 1)
    months = (TODAY.year - first_day.year) * 12 + TODAY.month - first_day.month
    assert first["Period kept"].startswith(f"{months // 12} 年 {months % 12} 月")


def test_a_volume_of_few_rows_shows_no_amount_anywhere(listed: Context) -> None:
    debits = {r["From"]: r["Control total"] for r in lines_of(listed) if r["Amount of"] == "debit"}
    assert debits["2022"].startswith("<10 · ")
    assert [year for year, text in debits.items() if "·" in text] == ["2019", "2022"]  # not 2022 alone:
    # it would follow from the others and the column's total.
    told = b"".join(documents(listed).values()) + "".join(e.body_text for e in listed.entries()).encode()
    assert PRIVATE.encode() not in told


def test_tables_have_a_digest_that_the_manifest_bears_out(listed: Context) -> None:
    made = current_list(listed)
    assert made is not None
    index = read_index(listed)
    for table in made.made.tables:
        planned = next(one for one in index.plan.tables if one.label == table.table)
        chunks = [c for g in index.plan.groups() if g.table == planned.id for c in index.of(g)]
        joined = "\n".join(chunk.digest for chunk in chunks)
        assert table.digest == hashlib.sha256(joined.encode()).hexdigest()
        assert table.rows == sum(chunk.rows for chunk in chunks)
    assert {table.table: table.rows for table in made.made.tables} == {
        "s.voucher": 91, "s.line": 182, "s.account": 2
    }  # fmt: skip


@pytest.fixture
def spoilt(finished: Finished) -> Iterator[Context]:
    """The run with a copy of its target that may be spoilt; its list is the first one again afterwards."""
    copy = finished.copy()
    yield copy
    finished.drop(copy)
    tally_target(finished.context)


def test_what_differs_is_named_by_archive_and_volume(spoilt: Context) -> None:
    run_sql(spoilt.target, "UPDATE s.line SET debit = debit + 1, credit = credit + 1 WHERE voucher = 3")
    with pytest.raises(VerificationFailed, match="trial"):
        tally_target(spoilt)
    with pytest.raises(VerificationFailed) as refused:
        make_list(spoilt)
    said = str(refused.value)
    assert "archive PZ 会计凭证 / vouchers, volume 2019: debit of s.line: its total in the target" in said
    assert "volume 2020" not in said
    assert PRIVATE not in said
    assert list_faults(spoilt) == [
        "hand-over list: made before the target was last read back; clear handover_list"
    ]


def test_what_differs_beside_the_totals_stops_the_list_too(spoilt: Context) -> None:
    run_sql(spoilt.target, "UPDATE s.account SET name = 'other' WHERE code = '1'")
    body = {"unit": "objects", "generation": 1, "differences": ["VIEW s.v is missing"]}
    spoilt.record("verified", body)
    with pytest.raises(VerificationFailed, match="not verified, or different: objects"):
        make_list(spoilt)
    spoilt.record("verified", body | {"differences": []})


def test_software_says_what_it_found_for_each_test(spoilt: Context) -> None:
    tally_target(spoilt)
    made = make_list(spoilt)
    assert made is not None
    assert {check.test: check.passed for check in made.checks} == ALL_YES
    run_sql(spoilt.target, "GRANT USAGE ON SCHEMA s TO PUBLIC; GRANT SELECT ON s.line TO PUBLIC")
    again = make_list(spoilt)
    assert again is not None
    assert {check.test for check in again.checks if not check.passed} == {"safe"}
    run_sql(spoilt.target, "ALTER TABLE s.line RENAME COLUMN no TO number")
    unreadable = make_list(spoilt)
    assert unreadable is not None
    usable = next(check for check in unreadable.checks if check.test == "usable")
    assert not usable.passed
    assert "s.line" in usable.found[0].en


@pytest.mark.parametrize("rule", ["R08", "R99", "ACC-24"])
def test_a_rule_that_keeps_no_archives_is_refused(listed: Context, rule: str) -> None:
    ledger = listed.case.ledger
    assert ledger is not None
    archive = Archive.model_validate(LEDGER["archives"][0] | {"rule": rule})
    with pytest.raises(CaseInvalid, match=f"archive PZ: {rule} is no rule of cn-accounting@2026.11"):
        retention_rule(listed, archive, ledger)


def test_an_unsigned_and_untested_list_keeps_the_run_from_closing(listed: Context) -> None:
    assert list_faults(listed) == [
        "hand-over list: not signed by giver-handler (移交方经办人（移交人）)",
        "hand-over list: not signed by receiver-handler (接收方经办人（接收人）)",
        "hand-over list: not signed by giver-supervisor (移交方监督人（监交人）)",
        "hand-over list: not signed by receiver-supervisor (接收方监督人（监交人）)",
        "hand-over list: the receiver's four tests are not recorded (接收方检验)",
    ]
    sign_all(listed)
    assert len(list_faults(listed)) == 1
    record_test(listed, {**ALL_YES, "usable": False}, "示例 接收人", "a column could not be read")
    assert list_faults(listed) == ["hand-over list: the receiver's test of usability failed (可用性)"]
    record_test(listed, ALL_YES, "示例 接收人", "sampled 20 vouchers")
    assert list_faults(listed) == []


def test_a_case_without_archives_has_no_list(listed: Context) -> None:
    context = replace(listed, case=listed.case.model_copy(update={"ledger": None}))
    assert make_list(context) is None
    assert (list_faults(context), documents(context)) == ([], {})
    with pytest.raises(CaseInvalid, match="hands over no archives"):
        sign(context, "giver-handler", "示例", TODAY, scan(context))


def test_evidence_holds_the_list_and_who_signed(listed: Context) -> None:
    sign_all(listed)
    record_test(listed, ALL_YES, "示例 接收人", "sampled 20 vouchers")
    files = documents(listed)
    assert set(files) == {"handover-list.json", "handover-list.csv", "handover-list.html", SIGNATURES_NAME}
    entry = listed.entries(LIST)[-1].body
    for name, digest in entry["files"].items():
        assert hashlib.sha256(files[name]).hexdigest() == digest
    signed = json.loads(files[SIGNATURES_NAME])
    assert signed["list"] == hashlib.sha256(files["handover-list.json"]).hexdigest() == entry["sha256"]
    assert {one["role"] for one in signed["signatures"]} == set(ROLES)
    assert signed["open"] == []
    assert HandoverList.model_validate_json(files["handover-list.json"]) == current_list(listed).made  # type: ignore[union-attr]
    assert b"<script" not in files["handover-list.html"]


def test_the_same_list_again_keeps_its_signatures(listed: Context) -> None:
    sign_all(listed)
    assert make_list(listed) == current_list(listed).made  # type: ignore[union-attr]
    assert set(signatures(listed)) == set(ROLES)


def test_a_list_made_anew_voids_what_was_signed_and_tested(listed: Context) -> None:
    sign_all(listed)
    record_test(listed, ALL_YES, "示例 接收人", "sampled")
    assert list_faults(listed) == []
    run_sql(listed.target, "GRANT USAGE ON SCHEMA s TO PUBLIC; GRANT SELECT ON s.line TO PUBLIC")
    make_list(listed)
    assert len(list_faults(listed)) == 5
    run_sql(listed.target, "REVOKE USAGE ON SCHEMA s FROM PUBLIC; REVOKE SELECT ON s.line FROM PUBLIC")
    make_list(listed)  # says what the signed one said, and is another
    assert len(list_faults(listed)) == 5


def test_nobody_supervises_himself_and_each_role_signs_once(listed: Context) -> None:
    sign(listed, "giver-handler", "示例 王", TODAY, scan(listed, "one"))
    with pytest.raises(LedgerRefused, match="the same person as giver-handler"):
        sign(listed, "giver-supervisor", " 示例王 ", TODAY, scan(listed, "two"))
    with pytest.raises(LedgerRefused, match="giver-handler has signed this list already"):
        sign(listed, "giver-handler", "示例 李", TODAY, scan(listed, "two"))
    sign(listed, "receiver-supervisor", "示例 王", TODAY, scan(listed, "two"))  # of the other unit
    sign(listed, "giver-handler", "示例 王", TODAY, scan(listed, "one"))  # the same again
    assert len(signatures(listed)) == 2


@pytest.mark.parametrize("on", [date(2020, 1, 1), date(2999, 1, 1)])
def test_a_signature_of_another_day_is_refused(listed: Context, on: date) -> None:
    with pytest.raises(LedgerRefused, match="older than the list"):
        sign(listed, "giver-handler", "示例 王", on, scan(listed))


def test_a_file_that_is_missing_or_another_is_refused(listed: Context) -> None:
    with pytest.raises(LedgerRefused, match=r"absent\.pdf cannot be read"):
        sign(listed, "giver-handler", "示例 王", TODAY, Path("/absent.pdf"))
    with pytest.raises(LedgerRefused, match="not the one given"):
        sign(listed, "giver-handler", "示例 王", TODAY, scan(listed), expected="0" * 64)
    digest = hashlib.sha256(b"scan").hexdigest()
    assert sign(listed, "giver-handler", "示例 王", TODAY, scan(listed), digest.upper()).sha256 == digest


@pytest.mark.parametrize("name, reason", [("", "seen"), ("示例", " ")])
def test_a_test_without_name_or_reason_is_refused(listed: Context, name: str, reason: str) -> None:
    with pytest.raises(LedgerRefused, match="nothing was registered"):
        record_test(listed, ALL_YES, name, reason)


def test_personal_data_in_what_is_registered_is_refused(listed: Context) -> None:
    number = "11010519491231002X"
    with pytest.raises(LedgerRefused, match="reason names personal data") as refused:
        record_test(listed, ALL_YES, "示例", f"asked the customer {number}")
    with pytest.raises(LedgerRefused, match="file names personal data"):
        sign(listed, "giver-handler", "示例", TODAY, scan(listed, number))
    assert number not in str(refused.value)
    assert number not in "".join(entry.body_text for entry in listed.entries())


def test_a_test_that_leaves_out_a_question_is_refused(listed: Context) -> None:
    with pytest.raises(LedgerRefused, match="answers"):
        record_test(listed, {"accurate": True}, "示例", "seen")


def test_gates_get_signatures_and_tests_as_facts(listed: Context) -> None:
    stated = Matter.model_validate({"handover": ALL_YES})
    empty = Facts(transaction="ledger_handover", on=TODAY, matter=stated, data=DataFacts())
    assert blocked(with_handover(listed, empty)) == ["ACC-24", "ACC-24.signed"]  # whatever the case states
    sign_all(listed)
    assert blocked(with_handover(listed, empty)) == ["ACC-24.signed"]
    record_test(listed, {**ALL_YES, "safe": False}, "示例 接收人", "sampled")
    assert blocked(with_handover(listed, empty)) == ["ACC-24.signed"]
    record_test(listed, ALL_YES, "示例 接收人", "sampled")
    assert blocked(with_handover(listed, empty)) == []
    other = replace(listed, case=listed.case.model_copy(update={"ledger": None}))
    assert with_handover(other, empty) == empty


def blocked(facts: Facts) -> list[str]:
    """The gates of article 24 that are closed."""
    verdicts = evaluate(select(packs(), [LEDGER["pack"]], TODAY), facts)
    return [one.gate for one in verdicts if one.gate.startswith("ACC-24") and one.state != "pass"]


def test_a_page_that_would_be_made_otherwise_today_is_not_passed_off_as_signed(listed: Context) -> None:
    body = dict(listed.entries(LIST)[-1].body)
    listed.record(LIST, body | {"files": body["files"] | {"handover-list.html": "0" * 64}})
    with pytest.raises(EvidenceInvalid, match=r"handover-list.html would not be what was signed"):
        documents(listed)


@pytest.fixture
def command_line(listed: Context, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command line in the run's own installation."""
    for name, value in listed.settings.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_CONN_SRC", listed.source)
    monkeypatch.setenv("AIRFLOW_CONN_DST", listed.target)
    return lambda *arguments: main(["list", *map(str, arguments), "--run", listed.run])


def test_the_command_line_shows_signs_and_tests(
    listed: Context, command_line: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = listed.case.case
    assert command_line("show", case, "--into", tmp_path / "print") == 1
    assert "not signed by giver-supervisor" in capsys.readouterr().out
    assert (tmp_path / "print" / "handover-list.html").read_bytes() == documents(listed)["handover-list.html"]
    for role in ROLES:
        path = scan(listed, role)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        who = ["--role", role, "--name", f"示例 {role}", "--on", TODAY]
        assert command_line("sign", case, *who, "--file", path, "--sha256", digest) == 0
    assert command_line("sign", case, *who[:3], "示例 other", *who[4:], "--file", path) == 1
    assert "has signed this list already" in capsys.readouterr().err
    answers = [word for name in ALL_YES for word in (f"--{name}", "yes")]
    assert command_line("test", case, *answers, "--by", "示例 接收人", "--reason", "sampled") == 0
    assert "clear the task close" in capsys.readouterr().out
    assert command_line("show", case) == 0
    shown = capsys.readouterr().out
    assert "signed by all four and tested" in shown
    assert "示例 giver-handler" in shown


def test_the_command_line_wants_every_answer(
    listed: Context, command_line: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command_line("test", listed.case.case, "--accurate", "yes", "--by", "示例", "--reason", "seen")
    assert "--complete, --usable, --safe" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command_line("sign", listed.case.case, "--role", "owner", "--name", "示例", "--on", "2026-01-01")
    assert "invalid choice: 'owner'" in capsys.readouterr().err


def test_closing_names_what_is_open_and_completes_once_it_is_done(listed: Context) -> None:
    """The last of this file: the run is over afterwards."""
    make_list(listed)
    sign(listed, "giver-handler", "示例 王", TODAY, scan(listed))
    with pytest.raises(VerificationFailed) as refused:
        close_run(listed)
    said = str(refused.value)
    assert "not signed by giver-handler" not in said
    for still_open in ("receiver-handler", "giver-supervisor", "receiver-supervisor", "four tests"):
        assert still_open in said
    unfinished = Path(str(refused.value.data["evidence"]))
    assert json.loads((unfinished / SIGNATURES_NAME).read_text())["open"] == list_faults(listed)
    for role in [role for role in ROLES if role != "giver-handler"]:
        sign(listed, role, f"示例 {role}", TODAY, scan(listed, role))
    record_test(listed, ALL_YES, "示例 接收人", "sampled 20 vouchers")
    evidence = close_run(listed)
    assert listed.entries("run-closed")[-1].body == {"status": "complete", "reasons": []}
    assert verifier.main([str(evidence)]) == 0
    (evidence / "handover-list.csv").write_bytes(b"\xef\xbb\xbf")
    assert verifier.main([str(evidence)]) == 1
