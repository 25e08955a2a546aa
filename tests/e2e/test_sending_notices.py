"""Letters to the persons of a case: only the sender opens them, and only who was told counts."""

import csv
import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures import lawful
from fixtures.contents import run_sql
from fixtures.lawful import data_map, lawful_matter, lay_out, open_lawful, planned
from fixtures.matters import RECIPIENT
from fixtures.runs import Runner
from handover.cli import main
from handover.errors import CaseInvalid, GateBlocked, LedgerRefused, NotReady
from handover.evidence.notice_letters import RESULT_COLUMNS
from handover.settings import REPOSITORY
from handover.stages import notices
from handover.stages.context import Context
from handover.stages.facts import legal_day
from handover.stages.gates import judge
from handover.stages.notice_results import COVERAGE, DELIVERED, record_results
from handover.stages.notices import MAILED, Mailing, make_notices

MOBILE = "19900000001"
ADDRESS = "示例省示例市示例路"
Letters = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def company(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """The small company of fixtures.lawful, with mobiles, and addresses in a table of their own.

    Person 8 has neither and has not consented; 9 and 10 are nobody's business here.
    """
    monkeypatch.setattr(lawful, "_SCOPES", {})  # this data map makes another scope than that of others
    monkeypatch.setattr(lawful, "TABLES", (*lawful.TABLES, "s.address"))
    datamap = data_map()
    personal = {"jrt0171": "C2", "pipl_sensitive": False, "gbt43697": 3, "gdpr": "personal"}
    datamap["datasets"][0]["columns"]["mobile"] = {"kind": "mobile", **personal}
    address = {"kind": "address", **personal}
    columns = {"id": lawful.NONE, "person_id": lawful.IDENTIFIER, "full_text": address, "since": lawful.DATED}
    datamap["datasets"].append(
        {"table": "s.address", "purpose": "loan service", "origin": "applications", "columns": columns,
         "subject": [{"by": ["person_id"], "to": "s.person"}]}
    )  # fmt: skip
    lay_out(runner, datamap)
    run_sql(
        runner.urls["src"],
        f"ALTER TABLE s.person ADD mobile text; UPDATE s.person SET mobile = '{MOBILE}' WHERE id = 1;"
        "CREATE TABLE s.address (id int PRIMARY KEY, person_id int NOT NULL REFERENCES s.person,"
        " full_text text, since date);"
        f"INSERT INTO s.address SELECT n, n, '{ADDRESS}' || n, '2020-01-01' FROM generate_series(1, 7) n;"
        f"INSERT INTO s.address VALUES (8, 2, '{ADDRESS}old', '1999-01-01'), (9, 8, NULL, NULL)",
    )
    write_notice(runner)
    return runner


def write_notice(runner: Runner, kind: str = "P23", **changes: Any) -> None:
    document = yaml.safe_load((REPOSITORY / "include" / "notices" / f"{kind}.yaml").read_text())
    document |= {"case": "test-transfer"}
    document["fields"]["recipient"] = {"zh": RECIPIENT, "en": "Recipient"}
    where = {"table": "s.address", "column": "full_text", "matches": ["person_id"], "newest_by": "since"}
    document["addressees"] = [{"person": "s.person", "name": "name", "mobile": "mobile", "address": where}]
    path = runner.home / "documents" / "test-transfer" / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(document | changes, allow_unicode=True))


@pytest.fixture
def sender(tmp_path: Path) -> Path:
    """The certificate of a sender; its key lies beside it."""
    made = tmp_path / "sender.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=sample sender", "-keyout", str(tmp_path / "key.pem"), "-out", str(made)],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


@pytest.fixture
def letters(sender: Path) -> Letters:
    """Opens a file as its sender does."""

    def opened(path: Path) -> dict[str, bytes]:
        key = sender.with_name("key.pem")
        command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-inkey", str(key), "-in", str(path)]
        done = subprocess.run(command, check=True, capture_output=True)
        with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    return opened


def notices_of(company: Runner, **changes: Any) -> Context:
    return open_lawful(company, run="notices", **changes)


def mailed(company: Runner, sender: Path, kind: Any = "P23") -> Mailing:
    return make_notices(notices_of(company), kind, sender.read_bytes(), company.home / "out")


def sheet(rows: list[tuple[str, str, str]]) -> bytes:
    made = io.StringIO()
    csv.writer(made).writerows([RESULT_COLUMNS, *rows])
    return made.getvalue().encode()


def references(company: Runner, mailing: Mailing, letters: Letters) -> dict[str, str]:
    """The reference of each person by name, as the sender sees it."""
    found: dict[str, str] = {}
    for name in mailing.files:
        lines = letters(company.home / "out" / name)["recipients.jsonl"].decode().splitlines()
        found |= {one["name"]: one["reference"] for one in map(json.loads, lines)}
    return found


def test_the_sender_opens_the_letters_with_openssl(company: Runner, sender: Path, letters: Letters) -> None:
    context = notices_of(company)
    made = make_notices(context, "P23", sender.read_bytes(), company.home / "out")
    assert (made.persons, made.unreachable, len(made.files)) == (8, 1, 1)
    path = company.home / "out" / made.files[0]
    assert path.stat().st_mode & 0o777 == 0o600
    sealed = path.read_bytes()
    assert MOBILE.encode() not in sealed and b"privat" not in sealed
    files = letters(path)
    people = {one["name"]: one for one in map(json.loads, files["recipients.jsonl"].splitlines())}
    assert set(people) == {f"privat {n}" for n in range(1, 8)}
    assert people["privat 1"]["mobile"] == MOBILE
    assert people["privat 2"]["address"] == f"{ADDRESS}2"  # the newest
    assert f"{ADDRESS}7" in files["letters.html"].decode()
    results = list(csv.reader(io.StringIO(files["results.csv"].decode())))
    assert len(results) == 1 + 8
    assert [row[1] for row in results[1:]].count("unreachable") == 1
    entry = replace(context, run=made.run).last(MAILED, "make")
    assert entry.body["files"] == [
        {"name": made.files[0], "size": len(sealed), "sha256": hashlib.sha256(sealed).hexdigest()}
    ]
    assert (entry.body["persons"], entry.body["unreachable"]) == ({"s.person": 8}, {"s.person": 1})
    ledger = json.dumps([one.body for one in context.ledger.entries(context.case.case)], ensure_ascii=False)
    for private in (MOBILE, "privat", ADDRESS, people["privat 1"]["reference"]):
        assert private not in ledger


def test_many_people_come_in_several_files(
    company: Runner, sender: Path, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "PART", 3)
    made = mailed(company, sender)
    assert len(made.files) == 3
    assert len(references(company, made, letters)) == 7


def test_only_who_was_told_counts_at_the_gate(company: Runner, sender: Path, letters: Letters) -> None:
    """What the case states, 90 delivered, counts for nothing once letters were sent."""
    before = open_lawful(company, "before")
    planned(before)
    judge(before, "execution")
    assert before.entries(COVERAGE) == []
    made = mailed(company, sender)
    who = references(company, made, letters)
    today = legal_day().isoformat()
    hindered(company, "nobody-told", "P23")
    told = [(who[f"privat {n}"], "delivered", today) for n in range(1, 7)]
    counts = record_results(
        notices_of(company), made.run, sheet([*told, (who["privat 7"], "returned", today)])
    )
    assert counts == {"delivered": 6, "returned": 1, "unreachable": 0, "substituted": 0, "open": 1}
    context = hindered(company, "one-returned", "P23")
    assert context.last(COVERAGE, "gates").body["not_delivered"] == {"s.person": 1}
    record_results(notices_of(company), made.run, sheet([(who["privat 7"], "substituted", today)]))
    context = hindered(company, "one-substituted", "P23")  # 23 knows no substitute
    assert context.last(COVERAGE, "gates").body["facts"]["publicly"] == 1
    record_results(notices_of(company), made.run, sheet([(who["privat 7"], "delivered", today)]))
    after = open_lawful(company, "after")
    planned(after)
    judge(after, "execution")
    judge(after, "execution")
    coverage = after.entries(COVERAGE)
    assert [one.body["facts"]["delivered"] for one in coverage] == [7]  # counted once for these results
    another_recipient(company)


def another_recipient(company: Runner) -> None:
    """Who was told about one recipient was not told about another."""
    matter = lawful_matter()
    matter["recipients"][0]["name"] = "另一承接公司 (sample)"
    context = open_lawful(company, "another", matter=matter)
    planned(context)
    with pytest.raises(GateBlocked, match=r"\n  P23 \("):
        judge(context, "execution")
    assert context.last(COVERAGE, "gates").body["facts"]["delivered"] == 0


def hindered(company: Runner, run: str, gate: str) -> Context:
    """A run whose execution this gate alone hinders, with the gate that wants everybody told."""
    context = open_lawful(company, run)
    planned(context)
    with pytest.raises(GateBlocked, match=rf"\n  {gate} \("):
        judge(context, "execution")
    return context


def test_results_that_are_wrong_are_named_by_line_and_nothing_counts(
    company: Runner, sender: Path, letters: Letters
) -> None:
    made, today = mailed(company, sender), legal_day().isoformat()
    one, other, *_ = references(company, made, letters).values()
    context = notices_of(company)
    wrong = sheet(
        [
            (one, "delivered", today),
            (other, "lost", today),
            ("ab" * 16, "delivered", today),
            ("no hex", "delivered", today),
            (other, "delivered", "1999-01-01"),
            (other, "delivered", "soon"),
            (one, "delivered", today),
        ]
    )
    with pytest.raises(LedgerRefused) as refused:
        record_results(context, made.run, wrong)
    said = refused.value.message
    for line, words in enumerate(
        ("no state", "no reference", "no reference", "a date before", "no date", "stands above"), 3
    ):
        assert f"line {line}: {words}" in said or f"line {line}: a reference that {words}" in said
    assert one not in said and "lost" not in said
    for data, words in (
        (b"\xff\xfe", "no CSV in UTF-8"),
        (b"who,state,date\r\n", "other columns"),
        (sheet([]) + b"a,b\r\n", "line 2: 2 cells"),
    ):
        with pytest.raises(LedgerRefused, match=words):
            record_results(context, made.run, data)
    with pytest.raises(NotReady, match="no mailing notice-x"):
        record_results(context, "notice-x", wrong)
    assert replace(context, run=made.run).entries(DELIVERED) == []


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another case": ({"case": "another"}, "is a P23 of case another"),
    "another kind": ({"notice": "P17"}, "is not valid|is a P17"),
    "another recipient": (
        {"fields": {"recipient": {"zh": "别家 (sample)", "en": "Other"}}},
        "is no recipient of the case",
    ),
    "a column that is no mobile": (
        {"addressees": [{"person": "s.person", "name": "name", "mobile": "resident_id"}]},
        r"s\.person\.resident_id is no mobile in the data map",
    ),
    "a column that is no name": (
        {"addressees": [{"person": "s.person", "name": "resident_id", "mobile": "mobile"}]},
        r"s\.person\.resident_id is no name",
    ),
    "a table of nobody": (
        {"addressees": [{"person": "s.loan", "name": "name", "mobile": "mobile"}]},
        r"s\.loan is no table of persons",
    ),
    "a table that is not there": (
        {"addressees": [{"person": "s.nobody", "name": "name", "mobile": "mobile"}]},
        r"no table s\.nobody",
    ),
}


def test_a_notice_that_does_not_fit_the_case_is_refused(company: Runner, sender: Path) -> None:
    context = notices_of(company)
    for changes, said in REFUSED.values():
        fields = yaml.safe_load((REPOSITORY / "include" / "notices" / "P23.yaml").read_text())["fields"]
        fields |= {"recipient": {"zh": RECIPIENT, "en": "Recipient"}} | changes.get("fields", {})
        write_notice(company, **changes | {"fields": fields})
        with pytest.raises(CaseInvalid, match=said):
            make_notices(context, "P23", sender.read_bytes(), company.home / "out")
    with pytest.raises(CaseInvalid, match=r"no notice P57\.yaml among the documents"):
        make_notices(context, "P57", sender.read_bytes(), company.home / "out")
    assert context.ledger.entries(context.case.case, kinds=(MAILED,)) == []
    assert not (company.home / "out").exists()


def test_the_commands(
    company: Runner, sender: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = {f"HANDOVER_{name.upper()}": str(company.home / name) for name in ("datamaps", "documents")}
    connections = {f"AIRFLOW_CONN_{name.upper()}": url for name, url in company.urls.items()}
    for name, value in {**company.settings().variables, **folders, **connections}.items():
        monkeypatch.setenv(name, value)
    notices_of(company)
    out = company.home / "out"
    assert (
        main(["notice", "make", "test-transfer", "--kind", "P23", "--to", str(sender), "--out", str(out)])
        == 0
    )
    told = capsys.readouterr()
    path, said = told.out.splitlines()
    assert Path(path).is_file() and "8 persons, 1 of them no letter reaches" in said
    run = said.split()[1].rstrip(":")
    empty = company.home / "results.csv"
    empty.write_bytes(sheet([]))
    assert main(["notice", "delivered", "test-transfer", "--run", run, str(empty)]) == 1
    assert "0 delivered" in capsys.readouterr().out
    assert main(["notice", "delivered", "test-transfer", "--run", run, str(out / "none.csv")]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert main(["notice", "list", "test-transfer"]) == 0
    assert run in capsys.readouterr().out
