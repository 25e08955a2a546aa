"""Requests of persons of the sample company: a sealed copy of what is theirs, a decision for each class."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from fixtures.clusters import databases
from fixtures.contents import run_sql
from fixtures.daily import swept
from fixtures.login import login_service
from fixtures.runs import Runner, make_ledger
from handover.cli import main
from handover.errors import (
    CaseInvalid,
    ConfigurationMissing,
    LedgerRefused,
    NotReady,
    SubjectUnclear,
    VerificationFailed,
)
from handover.evidence.answer import Decided
from handover.evidence.ledger import Ledger
from handover.local.clusters import Cluster
from handover.model.approval import Account
from handover.model.datamap import DataMap, DataSet
from handover.model.reconciliation import TableName
from handover.model.request import Asked, PersonRequest
from handover.postgres.session import connect, fetch
from handover.sample.company import generate
from handover.settings import REPOSITORY, Settings
from handover.stages.approvals import record_requester
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.daily_cases import open_sweep
from handover.stages.facts import legal_day
from handover.stages.holds import all_holds
from handover.stages.inventory import inventory
from handover.stages.person_copy import PersonCopy
from handover.stages.plan import plan
from handover.stages.request_answer import answer, answers_folder, deliver
from handover.stages.request_decided import sources_waiting
from handover.stages.request_decision import decide_erasure, noted
from handover.stages.request_owners import passed_of, passed_on, settle
from handover.stages.request_runs import (
    answer_when_due,
    note_overdue,
    open_erasure,
    over_at,
    require_none_overdue,
)
from handover.stages.request_subjects import run_of
from handover.stages.requests import (
    Desk,
    all_requests,
    find_request,
    open_request,
    overdue_requests,
    request_faults,
)
from handover.stages.subjects import Subject

SOURCE = "sample-lending"
CLERK = Account(name="clerk", id="clerk")


@dataclass(frozen=True)
class Company(Runner):
    """A runner with sources and answers of its own."""

    def settings(self) -> Settings:
        """Return the settings with the folder of sources."""
        return replace(super().settings(), sources=self.home / "sources")

    @property
    def desk(self) -> Desk:
        """Where requests come in."""
        urls = {"sample_source": self.urls["src"], "sample_target": self.urls["dst"]}
        urls |= {"sample_owner": self.urls["src"] + " application_name=owner"}
        return Desk(self.settings(), urls.__getitem__)

    def sweep(self, run: str) -> Context:
        """Open a sweep of today."""
        return open_sweep(self.desk.settings, SOURCE, run, self.desk.resolve, legal_day())

    def erasure(self, request: str, run: str) -> Context:
        """Open the erasure of a request."""
        desk = self.desk
        return open_erasure(desk.settings, SOURCE, request, run, desk.resolve, legal_day())

    def one(self, query: str) -> Any:
        """Return one value of the source."""
        session = connect(self.urls["src"], read_only=True)
        try:
            return fetch(session, query)[0][0]
        finally:
            session.close()


@pytest.fixture(scope="module")
def company(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Company]:
    """The sample company, registered; a card of one customer is written down in remarks about another."""
    with databases(cluster) as source, databases(second_cluster) as target:
        urls = {"src": source("source"), "dst": target("target")}
        generate(urls["src"], rows=1_000, seed=7)
        run_sql(urls["src"], TOLD)
        home = tmp_path_factory.mktemp("requests")
        made = Company(home, make_ledger(cluster, source), str(second_cluster.programs), urls)
        (home / "sources").mkdir()
        text = (REPOSITORY / "include" / "sources" / f"{SOURCE}.yaml").read_text(encoding="utf-8")
        (home / "sources" / f"{SOURCE}.yaml").write_text(text, encoding="utf-8")
        yield made


# A borrower with settled loans and page views; a note about another customer names their number.
TOLD = """
CREATE TABLE public.told AS SELECT c.customer_id AS id, c.mobile FROM lending.customers c
WHERE EXISTS (SELECT FROM lending.loans l WHERE l.customer_id = c.customer_id AND l.status = 'settled')
AND EXISTS (SELECT FROM lending.page_views v WHERE v.customer_id = c.customer_id)
AND (SELECT count(*) FROM lending.customers o WHERE o.mobile = c.mobile) = 1 ORDER BY 1 LIMIT 2;
INSERT INTO lending.call_notes (note_id, customer_id, employee_id, called_at, duration, note)
SELECT 1000000, o.customer_id, n.employee_id, n.called_at, n.duration, '联系人：李四，电话 '
  || concat_ws('-', left(t.mobile, 3), substr(t.mobile, 4, 4), right(t.mobile, 4)) || '；另一电话 13912345678'
FROM (SELECT * FROM lending.call_notes LIMIT 1) AS n, (SELECT * FROM public.told ORDER BY id LIMIT 1) AS t,
  (SELECT max(customer_id) AS customer_id FROM lending.customers) AS o;
"""


@dataclass(frozen=True)
class Requester:
    """Who asks, with a key of their own."""

    key: rsa.RSAPrivateKey
    pem: bytes

    @classmethod
    def make(cls, until: datetime) -> Requester:
        """Return somebody whose certificate is valid until then."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sample 示例")])
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(1).not_valid_before(until - timedelta(days=9)).not_valid_after(until)
        made = builder.sign(key, hashes.SHA256())
        return cls(key, made.public_bytes(serialization.Encoding.PEM))

    def answered(self, desk: Desk, request: str) -> dict[str, bytes]:
        """Have a request answered and return the files of the answer."""
        return self.opened((answers_folder(desk) / answer(desk, request).file).read_bytes())

    def opened(self, sealed: bytes) -> dict[str, bytes]:
        """Return the files of an answer."""
        certificate = x509.load_pem_x509_certificate(self.pem)
        plain = pkcs7.pkcs7_decrypt_der(sealed, certificate, self.key, [])
        with zipfile.ZipFile(io.BytesIO(plain)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def requester() -> Requester:
    """Somebody with a certificate that is valid."""
    return Requester.make(datetime.now(UTC) + timedelta(days=1))


def asked(kind: str = "access", **changes: Any) -> Asked:
    said = {
        "kind": kind,
        "channel": "hotline 热线",
        "received": legal_day(),
        "verified": "identity card shown",
    }
    return Asked.model_validate(said | changes)


def test_a_copy_of_what_is_theirs_and_of_what_names_them(company: Company, requester: Requester) -> None:
    mobile, told = (
        company.one("SELECT mobile FROM public.told ORDER BY id LIMIT 1"),
        company.one("SELECT min(id) FROM public.told"),
    )
    made = open_request(company.desk, CLERK, mobile, asked(), requester.pem)
    assert made.due == legal_day() + timedelta(days=30)
    assert "GB/T 35273" in made.clock.en
    done = answer(company.desk, made.id)
    assert answer(company.desk, made.id) == done, "it is written once"
    sealed = (answers_folder(company.desk) / done.file).read_bytes()
    assert mobile.encode() not in sealed
    files = requester.opened(sealed)
    data = json.loads(files["data.json"])
    mine = {one["table"]: one["rows"] for one in data["tables"] if one["yours"]}
    named = {one["table"]: one["rows"] for one in data["tables"] if not one["yours"]}
    assert mine["lending.customers"][0]["mobile"] == mobile
    for table, column in (
        ("loans", "customer_id"),
        ("page_views", "customer_id"),
        ("bank_cards", "customer_id"),
    ):
        count = company.one(f"SELECT count(*) FROM lending.{table} WHERE {column} = {told}")
        assert len(mine.get(f"lending.{table}", [])) == count, table
    (note,) = [
        one for one in named["lending.call_notes"] if "13912345678" in str(one) or "另一电话" in one["note"]
    ]
    assert mobile[-4:] in note["note"]
    assert "13912345678" not in note["note"]
    assert "李四" not in note["note"]
    assert note["customer_id"] == "［他人信息 / another person's］"
    letter = files["letter.html"].decode()
    assert "贷款服务的客户管理" in letter
    assert any(name.endswith("lending.loans.csv") for name in files)
    entries = company.desk.at(SOURCE).ledger.entries(SOURCE)
    assert mobile not in "".join(entry.line for entry in entries)
    assert find_request(company.desk, made.id).answered_at
    assert not find_request(company.desk, made.id).delivered_at
    assert deliver(company.desk, CLERK, made.id, "at the counter").delivered_at


def test_portability_holds_what_is_theirs_alone(company: Company, requester: Requester) -> None:
    key = company.one("SELECT mobile FROM public.told ORDER BY id LIMIT 1")
    made = open_request(
        company.desk, CLERK, key, asked("portability", basis="contract"), requester.pem, SOURCE
    )
    data = json.loads(requester.answered(company.desk, made.id)["data.json"])
    assert all(one["yours"] for one in data["tables"])
    (entry,) = company.desk.at(SOURCE, made.id).entries("request-answered")
    assert entry.body["portability"]["given_by"] == "contract"
    with pytest.raises(CaseInvalid, match="basis"):
        open_request(company.desk, CLERK, key, asked("portability"), requester.pem)


def test_who_is_nobody_here_is_answered_so(company: Company, requester: Requester) -> None:
    made = open_request(company.desk, CLERK, "13900009999", asked(), requester.pem)
    assert made.subjects == {}
    files = requester.answered(company.desk, made.id)
    assert "no record of you" in files["letter.html"].decode()
    assert "data.json" not in files


def test_what_cannot_be_is_refused_and_nothing_is_recorded(company: Company, requester: Requester) -> None:
    others = "customer_id NOT IN (SELECT id FROM public.told)"
    run_sql(company.urls["src"], f"UPDATE lending.customers SET mobile = '13911112222' WHERE {others}")
    before = len(company.desk.at(SOURCE).ledger.entries(SOURCE, kinds=("request-opened",)))
    with pytest.raises(SubjectUnclear, match=r"in lending\.customers"):
        open_request(company.desk, CLERK, "13911112222", asked(), requester.pem)
    late = Requester.make(datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(ConfigurationMissing, match="not valid today"):
        open_request(company.desk, CLERK, "13900009999", asked(), late.pem)
    with pytest.raises(CaseInvalid, match="to come"):
        tomorrow = legal_day() + timedelta(days=1)
        open_request(company.desk, CLERK, "13900009999", asked(received=tomorrow), requester.pem)
    with pytest.raises(CaseInvalid, match="what the complaint is about"):
        open_request(company.desk, CLERK, "13900009999", asked("complaint"), requester.pem)
    with pytest.raises(LedgerRefused, match="names personal data"):
        open_request(company.desk, CLERK, "13900009999", asked(channel="13800138000"), requester.pem)
    assert len(company.desk.at(SOURCE).ledger.entries(SOURCE, kinds=("request-opened",))) == before


def its_run_misses_its_deadline(company: Company, made: PersonRequest) -> None:
    """In the moment in which the day after its last one begins where the law counts; told once."""
    moment = over_at(company.settings(), made.id)
    assert moment
    assert (moment.isoformat()[-14:], (moment - timedelta(seconds=1)).date()) == ("00:00:00+08:00", made.due)
    for _ in range(2):
        with pytest.raises(VerificationFailed, match=made.id):
            note_overdue(company.desk, made.id)
    (entry,) = company.desk.at(SOURCE).ledger.entries(SOURCE, kinds=["request-overdue"])
    assert entry.body == {"request": made.id, "due": made.due.isoformat()}


def test_an_objection_holds_and_an_overdue_one_blocks(company: Company, requester: Requester) -> None:
    key = company.one("SELECT mobile FROM public.told ORDER BY id DESC LIMIT 1")
    long_ago = legal_day() - timedelta(days=60)
    said = asked("objection", received=long_ago, matter="disagrees with a fee")
    made = open_request(company.desk, CLERK, key, said, requester.pem)
    (hold,) = [one for one in all_holds(company.desk.at(SOURCE), SOURCE) if one.id == made.holds[SOURCE]]
    assert (hold.what, hold.kind, hold.subject) == ("subject", "objection", made.subjects[SOURCE])
    assert [one.id for one in overdue_requests(company.desk, legal_day())] == [made.id]
    sweep = company.sweep("run-late")
    assert request_faults(sweep) == [f"request {made.id} (objection) should have been answered by {made.due}"]
    by_another = sweep.case.source.model_copy(update={"connection": "sample_owner"})
    of_case = replace(sweep, case=sweep.case.model_copy(update={"source": by_another}))
    assert request_faults(of_case) == request_faults(sweep)
    with pytest.raises(VerificationFailed, match=made.id):
        require_none_overdue(company.desk)
    its_run_misses_its_deadline(company, made)
    answer(company.desk, made.id)
    note_overdue(company.desk, made.id)
    assert request_faults(sweep) == []
    assert require_none_overdue(company.desk) == 0
    other = open_request(company.desk, CLERK, key, asked("correction", matter="the postcode"), requester.pem)
    assert other.holds == {}
    its_office_says_what_it_made(company, requester, other)


def its_office_says_what_it_made(company: Company, requester: Requester, made: PersonRequest) -> None:
    """A correction is open, and overdue one day, until the office of its source has said what it made."""
    with pytest.raises(NotReady, match="nobody has said what became of the correction in 示例信息部"):
        answer(company.desk, made.id)
    assert [one.id for one in overdue_requests(company.desk, made.due + timedelta(days=1))] == [made.id]
    (waiting,) = [one for one in passed_on(company.desk) if not one.settled_at]
    assert (waiting.request.id, waiting.request.matter) == (made.id, "the postcode")
    with pytest.raises(LedgerRefused, match="names personal data"):
        settle(company.desk, CLERK, made.id, refused="13800138000 has no such postcode")
    settle(company.desk, CLERK, made.id, SOURCE, "it is the one of the register")
    letter = requester.answered(company.desk, made.id)["letter.html"].decode()
    assert "未予更正，理由：it is the one of the register" in letter
    assert "示例信息部" in letter
    assert overdue_requests(company.desk, made.due + timedelta(days=1)) == []


def decisions(found: list[Any]) -> dict[tuple[str, bool], int]:
    return {(one.row_class, one.goes): one.rows for one in found}


def its_note_is_passed_on(company: Company, made: PersonRequest, mobile: str, letter: str) -> None:
    """The number in a remark about somebody else is not erased, and nobody is told that it is."""
    note = ("lending.call_notes", "note", 1)
    for entry in company.desk.at(SOURCE).ledger.entries(
        SOURCE, kinds=["request-decided", "request-answered"]
    ):
        if entry.body["request"] == made.id:
            counted = [(one["table"], one["column"], one["rows"]) for one in entry.body["named"]]
            assert note in counted
            assert mobile not in entry.line
    assert "they are not erased" in letter.replace("\n", " ")
    assert "它们未被删除；已列入负责部门的待办，由其决定：示例信息部" in letter
    assert "<td>note</td><td>1</td>" in letter
    (waiting,) = [one for one in passed_on(company.desk) if one.request.id == made.id]
    assert note in [(one.table, one.column, one.rows) for one in waiting.rows]
    assert settle(company.desk, CLERK, made.id) == [SOURCE]
    assert next(passed_of(company.desk, made)).settled_at
    with pytest.raises(LedgerRefused, match="nothing of request"):
        settle(company.desk, CLERK, made.id)


def test_of_an_erasure_what_the_law_keeps_stays(company: Company, requester: Requester) -> None:
    """The first of the two has no hold; the other one's complaint keeps everything."""
    for order, held in (("min", False), ("max", True)):
        key = company.one(f"SELECT {order}(id) FROM public.told")
        mobile = company.one(f"SELECT mobile FROM public.told WHERE id = {key}")
        if held:
            said = asked("complaint", matter="disagrees with a fee")
            complaint = open_request(company.desk, CLERK, mobile, said, requester.pem)
            assert complaint.holds
            assert complaint.late == (SOURCE,), "the first one's rows had gone by then"
            letter = requester.answered(company.desk, complaint.id)["letter.html"].decode()
            assert "some of your data may be gone" in letter
        made = open_request(company.desk, CLERK, mobile, asked("erasure"), requester.pem)
        with pytest.raises(NotReady, match="cannot be answered yet"):
            answer(company.desk, made.id)
        context = company.erasure(made.id, f"erase-{order}")
        record_requester(context, "admin")
        inventory(context)
        planned = plan(context)
        found = decide_erasure(context, company.desk)
        views = company.one(f"SELECT count(*) FROM lending.page_views WHERE customer_id = {key}")
        told = decisions(found)
        assert told.get(("网站浏览记录 / page views", True), 0) == (0 if held else views)
        assert told.get(("网站浏览记录 / page views", False), 0) == (views if held else 0)
        assert not any(one.goes for one in found if one.row_class == "lending.customers")
        rows = {one.table: one.rows for one in planned.scope.tables if one.rows}
        assert rows.get("lending.page_views", 0) == (0 if held else views)
        assert sum(rows.values()) == 0 if held else rows
        kept = [one for one in found if one.row_class.startswith("已结清贷款") and not one.goes]
        for one in kept:
            assert one.until or held
            assert one.why
        if not held:
            swept(company, context)
            close_run(context)
            assert company.one(f"SELECT count(*) FROM lending.page_views WHERE customer_id = {key}") == 0
            assert company.one("SELECT count(*) FROM lending.page_views") > 0
            letter = requester.answered(company.desk, made.id)["letter.html"].decode()
            assert "删除 / erased" in letter
            its_note_is_passed_on(company, made, mobile, letter)
        if held:
            assert any("异议" in text.zh for one in found for text in one.why)
            files = requester.answered(company.desk, made.id)
            assert "异议" in files["letter.html"].decode()


def test_a_restriction_says_what_it_does_not_reach(company: Company, requester: Requester) -> None:
    mobile = company.one("SELECT mobile FROM public.told ORDER BY id LIMIT 1")
    said = asked("restriction", matter="until a fee is settled")
    made = open_request(company.desk, CLERK, mobile, said, requester.pem)
    letter = requester.answered(company.desk, made.id)["letter.html"].decode()
    assert "<td>note</td><td>1</td>" in letter
    assert "What was done does not reach them" in letter
    access = open_request(company.desk, CLERK, mobile, asked(), requester.pem)
    assert (
        "Other rows that name you" not in requester.answered(company.desk, access.id)["letter.html"].decode()
    )


NOBODY_BEFORE = """
ALTER TABLE lending.call_notes ALTER customer_id DROP NOT NULL;
UPDATE lending.call_notes SET customer_id = NULL, called_at = '2001-02-03'
WHERE employee_id = {key};
DO $$ DECLARE one name; BEGIN
  FOR one IN SELECT conname FROM pg_constraint WHERE conrelid = 'lending.call_notes'::regclass
  AND confrelid = 'lending.employees'::regclass LOOP
    EXECUTE format('ALTER TABLE lending.call_notes DROP CONSTRAINT %I', one);
  END LOOP;
END $$;
"""


def test_rows_that_lead_to_nobody_before_are_decided_about(company: Company, requester: Requester) -> None:
    """A note about a customer is the customer's; one about nobody is that of the employee who wrote it."""
    key = company.one("SELECT min(employee_id) FROM lending.call_notes")
    notes = company.one(f"SELECT count(*) FROM lending.call_notes WHERE employee_id = {key}")
    paper = company.one(f"SELECT resident_id FROM lending.employees WHERE employee_id = {key}")
    run_sql(company.urls["src"], NOBODY_BEFORE.format(key=key))
    seen = open_request(company.desk, CLERK, paper, asked(), requester.pem, table="lending.employees")
    data = json.loads(requester.answered(company.desk, seen.id)["data.json"])
    copied = [one for one in data["tables"] if one["yours"] and one["table"] == "lending.call_notes"]
    assert [len(one["rows"]) for one in copied] == [notes]
    made = open_request(
        company.desk, CLERK, paper, asked("erasure"), requester.pem, table="lending.employees"
    )
    context = company.erasure(made.id, "erase-employee")
    record_requester(context, "admin")
    inventory(context)
    planned = plan(context)
    assert decisions(decide_erasure(context, company.desk))[("通话记录 / call notes", True)] == notes
    assert planned.scope
    assert {one.table: one.rows for one in planned.scope.tables}["lending.call_notes"] == notes
    said = asked("complaint", matter="disagrees with a note")
    assert open_request(company.desk, CLERK, paper, said, requester.pem, table="lending.employees").holds
    told = decisions(decide_erasure(company.erasure(made.id, "erase-employee-held"), company.desk))
    assert told["通话记录 / call notes", False] == notes, "a hold keeps them, whether or not there is a key"
    assert ("通话记录 / call notes", True) not in told


@pytest.fixture
def command(
    company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., int]]:
    """The command line of an installation with one clerk."""
    with login_service(tmp_path / "login", {"clerk": "secret"}) as address:
        variables = company.settings().variables | {
            "HANDOVER_SOURCES": str(company.home / "sources"),
            "AIRFLOW__API__BASE_URL": address,
            "AIRFLOW_CONN_SAMPLE_SOURCE": company.urls["src"],
            "AIRFLOW_CONN_SAMPLE_TARGET": company.urls["dst"],
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "password").write_text("secret")

        def run(action: str, *arguments: str, said: str = "", proven: bool = True) -> int:
            monkeypatch.setattr("sys.stdin", io.StringIO(said))
            proof = ["--as", "clerk", "--password-file", str(tmp_path / "password")] if proven else []
            return main(["request", action, *arguments, *proof])

        yield run


def test_the_commands(
    command: Callable[..., int],
    company: Company,
    requester: Requester,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "to.pem").write_bytes(requester.pem)
    long_ago = str(legal_day() - timedelta(days=40))
    about = [
        "--kind",
        "access",
        "--channel",
        "hotline",
        "--verified",
        "identity card",
        "--received",
        long_ago,
    ]
    assert command("open", *about, "--to", str(tmp_path / "nothing"), said="x") == 1
    assert "cannot be read" in capsys.readouterr().err
    assert command("open", *about, "--to", str(tmp_path / "to.pem"), said="13900008888") == 0
    out = capsys.readouterr()
    request = out.out.strip()
    assert "no source: the answer says so" in out.err
    assert command("overdue", proven=False) == 1
    assert request in capsys.readouterr().out
    assert command("delivered", request, "--channel", "by post") == 1
    assert "has no answer yet" in capsys.readouterr().err
    assert command("answer", request, proven=False) == 0
    assert "zip.p7m" in capsys.readouterr().out
    assert command("delivered", request, "--channel", "by post") == 0
    assert capsys.readouterr().out.startswith(f"{request}: delivered on")
    assert command("passed", proven=False) == 0
    assert request not in capsys.readouterr().out
    assert command("settled", request, "--refused-because", "no reason") == 1
    assert "nothing of request" in capsys.readouterr().err
    assert command("list", proven=False) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if request in one]
    assert "delivered on" in line
    assert command("overdue", "--on", "2020-01-01", proven=False) == 0


@pytest.fixture(scope="module")
def others(company: Company) -> None:
    """Another company's people under the same keys."""
    generate(company.urls["dst"], rows=1_000, seed=8)
    run_sql(company.urls["dst"], OTHERS)


@pytest.fixture
def second(company: Company, others: None) -> Iterator[str]:
    """A second source, as long as a test needs it."""
    name = "sample-second"
    folder = company.home / "sources"
    text = (folder / f"{SOURCE}.yaml").read_text(encoding="utf-8").replace(SOURCE, name)
    (folder / f"{name}.yaml").write_text(
        text.replace("connection: sample_source", "connection: sample_target")
    )
    yield name
    (folder / f"{name}.yaml").unlink()


# Nobody there has a number that somebody has in the first source.
OTHERS = """
UPDATE lending.customers SET mobile = '199' || lpad(customer_id::text, 8, '0'),
  email = NULL, business_code = NULL;
UPDATE lending.bank_cards SET card_no = '62284800' || lpad(card_id::text, 11, '0');
UPDATE lending.identity_documents SET number = 'G' || lpad(document_id::text, 8, '0');
"""


def test_a_request_is_looked_for_in_all_sources(company: Company, requester: Requester, second: str) -> None:
    """A key that means two different people is refused; a number finds whom each source knows by it."""
    key = str(company.one("SELECT min(id) FROM public.told"))
    with pytest.raises(
        SubjectUnclear, match=f"different persons may be meant in {second}, {SOURCE}|{SOURCE}, "
    ):
        open_request(company.desk, CLERK, key, asked(), requester.pem, table="lending.customers")
    mobile = company.one(f"SELECT mobile FROM public.told WHERE id = {key}")
    run_sql(
        company.urls["dst"], f"UPDATE lending.complaints SET body = 'see {mobile}' WHERE complaint_id = 1"
    )
    made = open_request(company.desk, CLERK, mobile, asked(), requester.pem)
    assert (set(made.sources), set(made.subjects)) == ({SOURCE, second}, {SOURCE})
    data = json.loads(requester.answered(company.desk, made.id)["data.json"])
    there = {(one["table"], one["yours"]) for one in data["tables"] if one["source"] == second}
    assert there == {("lending.complaints", False)}
    assert all(len(company.desk.at(name, made.id).entries("request-answered")) == 1 for name in made.sources)


def test_a_request_that_was_changed_counts_no_more(
    company: Company, requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = open_request(company.desk, CLERK, "13900007777", asked(), requester.pem)
    entry = company.desk.at(SOURCE, made.id).entries("request-opened")[-1]
    other = replace(entry, body_text=entry.body_text.replace("access", "erasure"))
    monkeypatch.setattr(Ledger, "entries", lambda *_, **__: [other])
    with pytest.raises(LedgerRefused, match=f"entry {entry.seq} .* was changed"):
        find_request(company.desk, made.id)


def test_a_request_that_died_while_it_was_opened(
    company: Company, requester: Requester, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not answered; opened again, the new one takes its place."""
    long_ago = legal_day() - timedelta(days=50)

    def lost(context: Context, kind: str, body: Any, key: str = "") -> None:
        if (context.case.case, kind) == (SOURCE, "request-opened"):
            raise KeyboardInterrupt
        recorded(context, kind, body, key=key)

    recorded = Context.record
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Desk, "sources", (second, SOURCE))
        patch.setattr(Context, "record", lost)
        open_request(company.desk, CLERK, "13900006666", asked(received=long_ago), requester.pem)
    (half,) = [one for one in all_requests(company.desk) if one.missing]
    assert half.missing == (SOURCE,)
    assert half.state(legal_day()).startswith(f"incomplete: not recorded in {SOURCE}")
    with pytest.raises(NotReady, match=f"not recorded in {SOURCE}"):
        answer(company.desk, half.id)
    with pytest.raises(NotReady, match=f"not recorded in {SOURCE}"):
        company.erasure(half.id, "erase-half")
    with pytest.raises(VerificationFailed, match=rf"{half.id} .*, in {second}\n"):
        require_none_overdue(company.desk)
    again = open_request(company.desk, CLERK, "13900006666", asked(received=long_ago), requester.pem)
    assert [one.id for one in overdue_requests(company.desk, legal_day())] == [again.id]
    answer(company.desk, again.id)
    assert require_none_overdue(company.desk) == 0


def test_two_who_share_a_telephone_are_two(company: Company, requester: Requester, second: str) -> None:
    mobile = company.one("SELECT mobile FROM public.told ORDER BY id LIMIT 1")
    other = "SELECT max(customer_id) FROM lending.customers"
    run_sql(
        company.urls["dst"], f"UPDATE lending.customers SET mobile = '{mobile}' WHERE customer_id = ({other})"
    )
    with pytest.raises(SubjectUnclear, match="no number shows that they are one"):
        open_request(company.desk, CLERK, mobile, asked(), requester.pem)


def test_an_answer_may_take_longer_than_the_certificate(company: Company) -> None:
    short = Requester.make(datetime.now(UTC) + timedelta(seconds=2))
    made = open_request(company.desk, CLERK, "13900005555", asked(), short.pem)
    time.sleep(2)
    assert "letter.html" in short.answered(company.desk, made.id)


def test_what_goes_is_told_of_every_run_and_what_stays_of_the_last(
    company: Company, requester: Requester
) -> None:
    mobile = company.one("SELECT mobile FROM public.told ORDER BY id DESC LIMIT 1")
    made = open_request(company.desk, CLERK, mobile, asked("erasure"), requester.pem)

    def decided(run: str, **goes: bool) -> Context:
        context = replace(company.desk.at(SOURCE, made.id), run=f"{made.id}-{run}")
        each = [noted(Decided(SOURCE, name, 1, which, [])) for name, which in goes.items()]
        context.record("request-decided", {"request": made.id, "run": context.run, "decided": each})
        return context

    def waiting() -> str:
        return sources_waiting(company.desk, find_request(company.desk, made.id)).get(SOURCE, "")

    first = decided("first", views=True, loans=False)
    first.record("disposal-opened", {})
    second = decided("second", loans=False, cards=False)
    assert waiting() == f"run {first.run} is not complete", "a later run that erases nothing ends no wait"
    first.record("run-closed", {"status": "complete", "reasons": []})
    assert waiting() == ""
    third = decided("third", cards=True)
    assert waiting() == f"run {third.run} is not complete"
    assert third.run in answer_when_due(company.desk, made.id, "another source")
    third.record("run-aborted", {"removed": []})
    assert answer_when_due(company.desk, made.id, SOURCE).endswith(".p7m")
    (entry,) = second.ledger.entries(SOURCE, run_of(made.id), kinds=("request-answered",))
    told = [(one["row_class"], one["goes"]) for one in entry.body["decided"]]
    assert told == [("views", True), ("loans", False), ("cards", False)]
    other = open_request(company.desk, CLERK, mobile, asked("erasure"), requester.pem)
    made = other
    decided("aborted", views=True).record("run-aborted", {"removed": []})
    assert "taken back" in waiting()


def test_a_run_that_was_given_up_is_not_awaited(company: Company, requester: Requester) -> None:
    """A first run decided, and was refused before anything went; what a second one did is the answer."""
    mobile = company.one("SELECT mobile FROM public.told ORDER BY id DESC LIMIT 1")
    made = open_request(company.desk, CLERK, mobile, asked("erasure"), requester.pem)
    each = [noted(Decided(SOURCE, "views", 1, True, []))]
    runs = [replace(company.desk.at(SOURCE, made.id), run=f"{made.id}-{name}") for name in ("1", "2", "3")]

    def answered() -> str:
        return answer_when_due(company.desk, made.id, SOURCE)

    for context in runs[:2]:
        context.record("request-decided", {"request": made.id, "run": context.run, "decided": each})
        context.record("run-closed", {"status": "not complete", "reasons": ["refused"]})
        with pytest.raises(NotReady, match=f"run {context.run} is not complete"):
            answered()
    runs[2].record("request-decided", {"request": made.id, "run": runs[2].run, "decided": each})
    runs[2].record("disposal-opened", {})
    runs[2].record("run-closed", {"status": "complete", "reasons": []})
    assert answered().endswith(".p7m")


def test_the_paper_of_a_relative_is_not_learned(company: Company) -> None:
    """A document under the customer's key is theirs only where their own row says so."""
    relative = "110105194912310029"
    key = company.one("SELECT min(id) FROM public.told")
    mine = company.one(f"SELECT resident_id FROM lending.customers WHERE customer_id = {key}")
    run_sql(
        company.urls["src"],
        f"UPDATE lending.identity_documents SET number = '{relative}' WHERE customer_id = {key}",
    )
    desk, table = company.desk, TableName.model_validate("lending.customers")
    subject = Subject(table, {"customer_id": str(key)}, "")
    datamap = desk.datamap(SOURCE)

    def learned(datamap: DataMap) -> set[str]:
        with PersonCopy(desk.source(SOURCE), company.urls["src"], datamap, subject) as copy:
            assert "lending.identity_documents" in {one.label for one in copy.own(copy.known)}
            return copy.known.forms & {mine, relative}

    assert learned(datamap) == {mine}

    unnamed = _with_kinds(datamap, "lending.customers", resident_id="related")
    assert learned(unnamed) == {relative}, (
        "the own row has no paper: that of a table that names nobody counts"
    )
    assert learned(_with_kinds(unnamed, "lending.identity_documents", kind="person_name")) == set()


def test_the_account_of_a_payee_is_not_learned(company: Company) -> None:
    """A card under the customer's key is theirs unless its row has the name of another."""
    key = company.one("SELECT max(id) FROM public.told")
    name = company.one(f"SELECT name FROM lending.customers WHERE customer_id = {key}")
    run_sql(company.urls["src"], f"""
        CREATE TABLE lending.payees (customer_id bigint, payee text, account text);
        INSERT INTO lending.payees VALUES ({key}, '收款人', '6217000010000000001'),
        ({key}, '{name}', '6217000010000000002'), ({key}, NULL, '6217000010000000003')""")  # fmt: skip
    desk, table = company.desk, TableName.model_validate("lending.customers")
    levels = {"jrt0171": "C3", "pipl_sensitive": True, "gbt43697": 3, "gdpr": "personal"}
    kinds = {"customer_id": "internal_id", "payee": "person_name", "account": "account_no"}
    payees = {
        "table": "lending.payees", "purpose": "p", "origin": "o",
        "subject": [{"by": ["customer_id"], "to": "lending.customers"}],
        "columns": {column: levels | {"kind": kind} for column, kind in kinds.items()},
    }  # fmt: skip
    datamap = desk.datamap(SOURCE)
    datasets = (*datamap.datasets, DataSet.model_validate(payees))
    with PersonCopy(
        desk.source(SOURCE),
        company.urls["src"],
        datamap.model_copy(update={"datasets": datasets}),
        Subject(table, {"customer_id": str(key)}, ""),
    ) as copy:
        assert "lending.payees" in {one.label for one in copy.own(copy.known)}
        learned = {one for one in copy.known.forms if one.startswith("62170000")}
    run_sql(company.urls["src"], "DROP TABLE lending.payees")
    assert learned == {"6217000010000000002"}


def _with_kinds(datamap: DataMap, label: str, **kinds: str) -> DataMap:
    """Return a data map in which columns of a table are of other kinds."""

    def changed(one: DataSet) -> DataSet:
        entries = one.columns.items()
        columns = {
            name: entry.model_copy(update={"kind": kinds.get(name, entry.kind)}) for name, entry in entries
        }
        return one.model_copy(update={"columns": columns})

    datasets = tuple(changed(one) if one.table.label == label else one for one in datamap.datasets)
    return datamap.model_copy(update={"datasets": datasets})
