"""The destruction list of a run on a real backup: what stands on it, what keeps books off it, who speaks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
import pytest
import yaml

from fixtures.contents import run_sql
from fixtures.lawful import CONSENTS, NONE, POLICY, data_map, lawful_matter, lay_out, planned
from fixtures.login import login_service
from fixtures.runs import CASE, Runner, backed_up
from handover.cli import main
from handover.errors import CaseInvalid, LedgerRefused, NotReady, VerificationFailed
from handover.law.special import scope_digest
from handover.model.approval import Account
from handover.model.case import parse_case
from handover.model.destruction_acts import Execution
from handover.model.destruction_list import OPINIONS, DestructionList
from handover.model.destruction_standing import Standing
from handover.postgres.catalog import read_catalog
from handover.postgres.fiscal_years import years_there
from handover.postgres.ordering import EVERY_ROW
from handover.postgres.session import connect
from handover.settings import Settings
from handover.stages import destruction_listing
from handover.stages.approvals import record_requester
from handover.stages.class_decisions import class_decisions
from handover.stages.context import Context
from handover.stages.destruction_listing import (
    Compiling,
    destruction_list_faults,
    make_destruction_list,
    require_list_cleared,
)
from handover.stages.destruction_registering import (
    BY_ACCOUNT,
    Scan,
    appraise,
    check_before,
    give_opinion,
    put_away,
    record_execution,
    sign_after,
)
from handover.stages.destruction_signing import destruction_standing
from handover.stages.facts import legal_day
from handover.stages.gates import hear
from handover.stages.hold_epoch import ERASED, ERASING_PLANNED

TODAY = legal_day()
# Thirty years after 1990 and 1991 are over; the books of 1992 are held, those of 2020 are to be kept.
BOOKS = """
CREATE TABLE s.voucher (id int PRIMARY KEY, book_year int, made_on date, loan_id int);
CREATE TABLE s.line (voucher_id int NOT NULL REFERENCES s.voucher, line_no int NOT NULL, book_year int,
    debit numeric, note text, PRIMARY KEY (voucher_id, line_no)) PARTITION BY LIST (line_no);
CREATE TABLE s.line_1 PARTITION OF s.line FOR VALUES IN (1);
CREATE TABLE s.line_2 PARTITION OF s.line FOR VALUES IN (2);
INSERT INTO s.voucher SELECT n, y, make_date(y, 6, 1), n FROM (
    SELECT n, (ARRAY[1990, 1991, 1992, 2020])[1 + n % 4] AS y FROM generate_series(1, 40) AS n) AS made;
INSERT INTO s.line SELECT id, no, book_year, 1, E'two\\nlines' FROM s.voucher, generate_series(1, 2) AS no;
"""
TABLES = ("s.person", "s.loan", "s.consent", "s.voucher", "s.line")
RULES = {1990: "books 1990", 1991: "books 1991", 1992: "books 1992", 2020: "books 2020"}
CLERK, REQUESTER = Account(name="clerk", id="clerk"), Account(name="engineer", id="engineer")
_SCOPE: list[str] = []
Changed = Callable[[dict[str, Any]], None]


def going(year: int) -> dict[str, Any]:
    return {"name": RULES[year], "tables": ["s.voucher", "s.line"], "where": f"book_year = {year}",
            "target": "nothing", "source": "erase"}  # fmt: skip


def staying(year: int, **ends: str) -> dict[str, Any]:
    return going(year) | {"target": "archive", "source": "restrict", **ends}


def archive(code: str, table: str, **more: Any) -> dict[str, Any]:
    return {"name": f"示例 {code}", "code": code, "rule": "R01", "tables": [table], **more}


LEDGER = {
    "number": "XH-2026-1", "pack": POLICY[0], "medium": "示例介质 / sample medium", "reader": "psql",
    "currency": "CNY",
    "archives": [
        archive("PZ", "s.voucher", totals=[{"item": "vouchers", "year": "book_year"}]),
        archive("FL", "s.line", totals=[{"item": "lines", "year": "book_year"}]),
    ],
}  # fmt: skip


def matter() -> dict[str, Any]:
    found = lawful_matter("deregistration")
    bases = ("backup", "archive", "restrict", "erase")
    found["bases"] = [
        {"data_set": table, "operation": one, "basis": "contract", "article": "PIPL 13(1)(2)"}
        for table in TABLES
        for one in bases
    ]
    kept = [{"row_class": "people", "rules": ["R18"], "triggers": {"completed": TODAY.isoformat()}}]
    found["retention"] = kept + [
        {"row_class": name, "rules": ["R01"], "triggers": {"fiscal_year": year}}
        for year, name in RULES.items()
    ]
    found["holds"] = [{"kind": "unsettled_voucher", "opened": "2026-01-01", "row_classes": [RULES[1992]]}]
    found["exports"]["flows"] = []
    zero = ("young_trades_planned_for_erasure", "open_vouchers_planned_for_erasure",
            "young_contracts_planned_for_erasure")  # fmt: skip
    found["stated"] |= dict.fromkeys(zero, 0) | {"accounting_rows_to_destroy": 60}
    for one in found["documents"]:
        if one["kind"] == "appraisal":
            one["number"] = "JD-1"
    return found


def books_case() -> dict[str, Any]:
    return {
        "kind": "deregistration", "transaction": "deregistration", "target": None, "policy": POLICY,
        "source": {"connection": "src", "schemas": ["s"], "large_objects": False},
        "consents": [CONSENTS],
        "classes": [
            {"name": "people", "tables": ["s.person", "s.loan", "s.consent"], "target": "archive",
             "source": "restrict"},
            going(1990), going(1991), staying(1992), staying(2020),
        ],
        "ledger": deepcopy(LEDGER), "matter": matter(),
        "reconciliation": {"counts": [
            {"name": "vouchers", "table": "s.voucher", "by": ["book_year"], "year": "made_on"},
            {"name": "lines", "table": "s.line", "by": ["book_year"]},
        ]},
    }  # fmt: skip


def books_map() -> dict[str, Any]:
    found = data_map()

    def of(table: str, **columns: Any) -> dict[str, Any]:
        return {"table": table, "purpose": "accounting", "origin": "booking", "subject": [],
                "columns": columns}  # fmt: skip

    found["datasets"] += [
        of("s.voucher", id=NONE, book_year=NONE, made_on=NONE, loan_id=NONE),
        {**of("s.line", voucher_id=NONE, line_no=NONE, book_year=NONE, debit=NONE, note=NONE),
         "partitions": ["s.line_1", "s.line_2"]},
    ]  # fmt: skip
    return found


class Books(Runner):
    """A runner that finds data map and documents in its own folder, in every process."""

    def settings(self) -> Settings:
        folders = {name: self.home / name for name in ("datamaps", "documents")}
        return replace(super().settings(), **folders)


@pytest.fixture
def books(runner: Runner) -> Books:
    lay_out(runner, books_map())
    run_sql(runner.urls["src"], BOOKS)
    return Books(**vars(runner))


def opened(books: Books, change: Changed = lambda case: None) -> Context:
    """Open a run of the case, changed, whose impact assessment is for its scope."""
    case = books_case()
    change(case)
    if not _SCOPE:
        draft = books.open("draft", **case)
        planned(draft)
        _SCOPE.append(scope_digest(hear(draft, draft.plan()).facts))
    case["matter"]["impact_assessment"]["scope_sha256"] = _SCOPE[0]
    context = books.open("run-1", **case)
    record_requester(context, REQUESTER.name)
    return context


def listed(books: Books, change: Changed = lambda case: None) -> tuple[Context, DestructionList]:
    context = opened(books, change)
    backed_up(context)
    made = make_destruction_list(context)
    assert made is not None
    return context, made


def erased(
    context: Context, made: DestructionList, stayed: Mapping[str, int] = MappingProxyType({}), gone: int = 0
) -> None:
    """Write down what the engine would, had it erased all that is listed but some rows of a table."""
    context.record(ERASING_PLANNED, {"tables": []})
    tables = []
    for table in ("s.line", "s.voucher"):
        asked, stays = sum(made.rows_of(name, table) for name in RULES.values()), stayed.get(table, 0)
        why = [{"why": "differs", "rows": stays, "tokens": []}] if stays else []
        deleted = asked - stays - gone
        tables.append({"table": table, "asked": asked, "deleted": deleted, "gone": gone, "stayed": why})
    context.record(ERASED, {"generation": 1, "effects": [], "tables": tables})


def said(role: str, **more: object) -> dict[str, Any]:
    return {"role": role, "name": f"示例 {role}", "on": TODAY, **more}


def account(role: str) -> Account:
    return Account(name=role, id=role)


def approved(context: Context, scan: Scan) -> None:
    """The appraisal and the five opinions."""
    appraise(context, CLERK, "JD-1", ("鉴定甲", "鉴定乙"), TODAY, scan)
    for role in OPINIONS:
        give_opinion(context, CLERK, scan, **said(role, agrees=True, reason="同意销毁"))


def check(context: Context, who: Account, role: str) -> Standing:
    return check_before(context, who, **said(role, agrees=True, reason="核对相符"))


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    path = tmp_path / "scan.pdf"
    path.write_bytes(b"signed")
    return Scan(path)


# -- what stands on it --------------------------------------------------------------------------------------


def test_what_stands_on_the_list(books: Books, scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    context, made = listed(books)
    assert [(one.code, one.number, one.volumes, one.last_year, one.rows) for one in made.volumes] == [
        ("FL", 1, 2, 1990, 20), ("FL", 2, 2, 1991, 20), ("PZ", 1, 2, 1990, 10), ("PZ", 2, 2, 1991, 10)
    ]  # fmt: skip
    assert [(one.code, one.table, one.rows, one.matter) for one in made.annex] == [
        ("FL", "s.line", 20, "unsettled_voucher"), ("PZ", "s.voucher", 10, "unsettled_voucher")
    ]  # fmt: skip
    vouchers = made.volumes[2]
    assert (vouchers.required_years, str(vouchers.keep_until)) == (30, "2020-12-31")
    query = "COPY (SELECT * FROM s.voucher WHERE book_year = 1990 ORDER BY id) TO STDOUT"
    with psycopg.connect(books.urls["src"]) as source, source.cursor().copy(query) as copy:
        rows = b"".join(bytes(part) for part in copy)
    assert vouchers.contents[0].digest == context.digest(hashlib.sha256(rows).digest())
    assert (made.requested_by, made.appraisal, made.number) == ("engineer", "JD-1", "XH-2026-1")

    assert make_destruction_list(context) == made, "the same content stays the same list"
    assert len(context.entries("destruction-list")) == 1
    for change, error, message in OTHERWISE:
        with pytest.raises(error, match=message):
            compiled(differently(context, change))
    appraise(context, CLERK, "JD-1", ("鉴定甲",), TODAY, scan)
    monkeypatch.setattr(destruction_listing, "COMPILED_BY", "另一机构 / another body")
    again = make_destruction_list(context)
    assert again is not None and (again.edition, made.edition) == (2, 1)
    assert destruction_standing(context).state == "draft", "what was made anew is not appraised"


def compiled(context: Context) -> DestructionList:
    decisions = class_decisions(context, TODAY)
    return Compiling.of(context, decisions).made(decisions, TODAY, 2)


def differently(context: Context, change: Changed) -> Context:
    """The same run, had its case file declared something else."""
    document = books_case()
    change(document)
    path = context.settings.cases / "test-transfer.yaml"
    text = yaml.safe_dump({**CASE, **document}, allow_unicode=True)
    return replace(context, case=parse_case(text, path))


def trigger(case: dict[str, Any], year: int, value: object) -> None:
    named = next(one for one in case["matter"]["retention"] if one["row_class"] == RULES[year])
    named["triggers"] = {"fiscal_year": value} if value else {}


def archives(case: dict[str, Any], **changes: object) -> None:
    for one in case["ledger"]["archives"]:
        one.update(changes)


def unnumbered(case: dict[str, Any]) -> None:
    next(one for one in case["matter"]["documents"] if one["kind"] == "appraisal").pop("number")


def hold_all(case: dict[str, Any]) -> None:
    del case["matter"]["holds"][0]["row_classes"]


# What is declared otherwise than the rows are keeps them off the list.
OTHERWISE: list[tuple[Changed, type[Exception], str]] = [
    (lambda case: case.pop("ledger"), CaseInvalid, "the case declares none"),
    (lambda case: case["ledger"]["archives"].pop(), CaseInvalid, "s.line is of no archive"),
    (lambda case: archives(case, rule="R02"), CaseInvalid, "not keep it by R02"),
    (lambda case: trigger(case, 1990, None), NotReady, "row class books 1990: restrict"),
    (lambda case: trigger(case, 1990, 2025), NotReady, "restrict, kept through 2055-12-31"),
    (lambda case: archives(case, years=[1985, 1991]), CaseInvalid, "counts from 1990, archive PZ reaches to"),
    (
        lambda case: trigger(case, 1990, 1989),
        VerificationFailed,
        "20 rows of row class books 1990 are not of",
    ),
    (unnumbered, CaseInvalid, "no appraisal opinion with a number"),
    (hold_all, NotReady, "belongs to open matters"),
]


def test_years_of_days_and_of_nothing(books: Books) -> None:
    """A day counts by its year; a row without one, or at infinity, is of none."""
    run_sql(books.urls["src"], "UPDATE s.voucher SET made_on = NULL WHERE id = 40")
    run_sql(books.urls["src"], "UPDATE s.voucher SET made_on = 'infinity' WHERE id = 39")
    with closing(connect(books.urls["src"])) as source:
        [table] = [one for one in read_catalog(source, ["s"]).tables if one.name == "voucher"]
        found = years_there(source, table, EVERY_ROW, "made_on", of_date=True)
    assert found == {1990: 9, 1991: 10, 1992: 10, 2020: 9, None: 2}


# -- who may say what ---------------------------------------------------------------------------------------


def test_the_course_of_a_list(books: Books, scan: Scan) -> None:
    context, made = listed(books)
    with pytest.raises(NotReady, match="cannot be destroyed; missing: the appraisal"):
        require_list_cleared(context)
    approved(context, scan)
    with pytest.raises(NotReady, match="cannot be destroyed; missing: the check before by"):
        require_list_cleared(context)
    _supervisors_speak_for_themselves(context, made)
    require_list_cleared(context)
    _the_receipts_must_say_it(context, made)
    erased(context, made)
    with pytest.raises(LedgerRefused, match="is a supervisor"):
        record_execution(context, CLERK, ["示例 archive_supervisor"])
    assert record_execution(context, CLERK, ["执行甲"]).state == "executed"
    (act,) = destruction_standing(context).acts(Execution)
    assert sorted((one.row_class, one.table, one.rows, one.stayed) for one in act.destroyed) == [
        ("books 1990", "s.line", 20, 0), ("books 1990", "s.voucher", 10, 0),
        ("books 1991", "s.line", 20, 0), ("books 1991", "s.voucher", 10, 0),
    ]  # fmt: skip
    with pytest.raises(NotReady, match="a new list: the one in force was executed"):
        require_list_cleared(context)
    assert make_destruction_list(context) == made, "what was executed is not made anew"
    assert len(destruction_list_faults(context)) == len(made.supervisors)
    for role in made.supervisors:
        sign_after(context, CLERK, scan, **said(role))
    put_away(context, CLERK, scan, name="档案甲", on=TODAY, place="示例档案室 / sample archive room")
    assert destruction_list_faults(context) == []


def _supervisors_speak_for_themselves(context: Context, made: DestructionList) -> None:
    """None for two of them, and not the one who asked; what was refused leaves the account free."""
    first, second, third = made.supervisors
    with pytest.raises(LedgerRefused, match="asked for this run"):
        check(context, REQUESTER, first)
    with pytest.raises(LedgerRefused, match="a day to come"):
        check_before(
            context, account(first), **said(second, agrees=True, reason="x") | {"on": date(2099, 1, 1)}
        )
    check(context, account(first), first)
    with pytest.raises(LedgerRefused, match=f"has checked this list as {first}"):
        check(context, account(first.upper()), second)
    check(context, account(second), second)
    check(context, account(third), third)
    spoke = [entry.body["by"] for entry in context.entries(BY_ACCOUNT)]
    assert spoke[-3:] == [first, second, third]


def _the_receipts_must_say_it(context: Context, made: DestructionList) -> None:
    with pytest.raises(NotReady, match="nothing was erased"):
        record_execution(context, CLERK, ["执行甲"])
    erased(context, made, gone=1)
    with pytest.raises(NotReady, match=r"s\.line: 1 listed rows were not erased by this run"):
        record_execution(context, CLERK, ["执行甲"])
    erased(context, made, stayed={"s.voucher": 2})
    with pytest.raises(NotReady, match=r"s\.voucher: 2 rows of several classes stayed"):
        record_execution(context, CLERK, ["执行甲"])
    assert context.entries("destruction-executed") == []


def test_a_file_must_be_the_one_that_was_signed(scan: Scan, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"signed").hexdigest()
    assert replace(scan, expected=digest.upper()).document() == {"file": "scan.pdf", "sha256": digest}
    with pytest.raises(LedgerRefused, match="not the one given"):
        replace(scan, expected="0" * 64).document()
    with pytest.raises(LedgerRefused, match=r"absent\.pdf cannot be read: No such file"):
        Scan(tmp_path / "absent.pdf").document()


# -- the commands -------------------------------------------------------------------------------------------

ROLES = (*OPINIONS, "archive_supervisor", "accounting_supervisor", "system_supervisor")
PASSWORDS = {name: f"secret of {name}" for name in ("clerk", *ROLES)}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with login_service(tmp_path_factory.mktemp("login"), PASSWORDS) as found:
        yield found


def test_the_commands(
    books: Books,
    address: str,
    tmp_path: Path,
    scan: Scan,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    context, made = listed(books)
    for name, value in (context.settings.variables | {"AIRFLOW__API__BASE_URL": address}).items():
        monkeypatch.setenv(name, value)
    for name, url in books.urls.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", url)
    for name, password in PASSWORDS.items():
        (tmp_path / name).write_text(password)

    def run(action: str, *arguments: str, who: str = "clerk") -> int:
        proof = ["--as", who, "--password-file", str(tmp_path / who)] if action != "show" else []
        return main(["destruction", action, "test-transfer", "--run", "run-1", *arguments, *proof])

    file, on = ["--file", str(scan.path)], ["--on", TODAY.isoformat()]
    assert run("show", "--into", str(tmp_path / "printed")) == 1
    assert "state: draft" in capsys.readouterr().out
    printed = {path.name for path in (tmp_path / "printed").iterdir()}
    assert {"destruction-list.json", "destruction-list.pdf"} <= printed
    assert run("appraise", "--number", "JD-2", "--member", "鉴定甲", *on, *file) == 1
    assert "the list rests on appraisal JD-1" in capsys.readouterr().err
    assert run("appraise", "--number", "JD-1", "--member", "鉴定甲", "--member", "鉴定乙", *on, *file) == 0
    yes = ["--agrees", "yes", "--reason", "同意"]
    for role in OPINIONS:
        assert run("opinion", "--role", role, "--name", f"示例 {role}", *yes, *on, *file) == 0
    for role in made.supervisors:
        assert run("precheck", "--role", role, "--name", f"示例 {role}", *yes, *on, who=role) == 0
    assert "state: checked" in capsys.readouterr().out
    erased(context, made)
    assert run("executed", "--by", "执行甲") == 0
    for role in made.supervisors:
        assert run("supervise", "--role", role, "--name", f"示例 {role}", *on, *file) == 0
    assert run("archive", "--name", "档案甲", "--place", "示例档案室", *on, *file) == 0
    assert "the list is in the archives" in capsys.readouterr().out
    assert run("show") == 0
    shown = capsys.readouterr().out
    assert "state: archived" in shown and "鉴定甲, 鉴定乙" in shown and "nothing is open" in shown
