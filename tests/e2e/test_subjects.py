"""A person is found by key or number in real tables, and only when nobody else can be meant."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from fixtures.clusters import databases
from fixtures.contents import run_sql
from fixtures.lawful import DATED, IDENTIFIER, NONE, data_map
from handover.errors import DataMapInvalid, SubjectUnclear, SubjectUnknown
from handover.local.clusters import Cluster
from handover.model.datamap import DataMap
from handover.model.reconciliation import TableName
from handover.model.scope import VirtualKey
from handover.postgres.closure import Closure
from handover.postgres.keysets import read_keys
from handover.postgres.referring import read_graph
from handover.postgres.session import Connection, connect
from handover.stages.reading import begin_snapshot
from handover.stages.subjects import Subject, find_subject, find_subjects, subject_scope

KEY = b"k" * 32
ODD = 'o\'Neill "now"; --'
COMPANY = f"""
CREATE SCHEMA s;
CREATE TABLE s.branch (id int PRIMARY KEY, place text);
CREATE TABLE s.person (id int PRIMARY KEY, branch int REFERENCES s.branch, name text, born date,
  resident_id varchar(18), mobile text, mail text, tall numeric);
CREATE INDEX ON s.person (mobile);
CREATE TABLE s.card (no text PRIMARY KEY, person_id int REFERENCES s.person);
CREATE TABLE s.contact (person_id int, mobile text);
CREATE TABLE s.payee (person_id int, name text, account text);
CREATE TABLE s.transfer (payer int, payee int, account text);
CREATE TABLE s.staff (code text PRIMARY KEY, name text, mobile char(11), hired date);
CREATE TABLE s.member (club int, no uuid, name text, PRIMARY KEY (club, no)) PARTITION BY LIST (club);
CREATE TABLE s.member_1 PARTITION OF s.member FOR VALUES IN (1);
INSERT INTO s.branch VALUES (1, 'north'), (2, 'south');
INSERT INTO s.person SELECT n, 1 + n % 2, 'privat ' || n % 3, date '1980-01-01' + n,
  '1101011980010110' || n || 'X', '1380013800' || n, 'p' || n || '@example.com', n
  FROM generate_series(1, 6) AS n;
UPDATE s.person SET mobile = '138 0013 8005' WHERE id = 5;
INSERT INTO s.card SELECT '622848000000000000' || n, 1 + n % 3 FROM generate_series(1, 6) AS n;
INSERT INTO s.contact VALUES (1, '13900000001'), (2, '13800138003');
INSERT INTO s.payee VALUES (1, 'privat payee', '6217000000000000001');
INSERT INTO s.transfer VALUES (1, NULL, '6217000000000000002');
INSERT INTO s.staff VALUES ('7', 'privat 7', '13800138004', '2020-01-01'), ('2', 'privat 2', NULL, NULL),
  ($${ODD}$$, 'x', NULL, NULL), ('today', 'x', NULL, NULL);
INSERT INTO s.member VALUES (1, '00000000-0000-0000-0000-000000000001', 'privat 1'),
  (1, '00000000-0000-0000-0000-000000000002', 'privat 1');
"""


def entry(kind: str) -> dict[str, Any]:
    return {**DATED, "kind": kind}


def company_map(**changes: Any) -> DataMap:
    """The map of the company; ``changes``: further columns of a person."""

    def dataset(table: str, *subject: dict[str, Any], **columns: Any) -> dict[str, Any]:
        return {"table": table, "purpose": "loans", "origin": "applications", "subject": list(subject),
                "columns": columns}  # fmt: skip

    person = {"by": ["person_id"], "to": "s.person"}
    found = data_map() | {
        "datasets": [
            dataset("s.branch", id=NONE, place=NONE),
            dataset("s.person", {"by": ["id"]}, id=IDENTIFIER, branch=NONE, name=entry("person_name"),
                    born=entry("birth_date"), resident_id=entry("resident_id"), mobile=entry("mobile"),
                    mail=entry("email"), tall=NONE, **changes),
            dataset("s.card", person, no=entry("bank_card"), person_id=IDENTIFIER),
            dataset("s.contact", person, mobile=entry("mobile"), person_id=IDENTIFIER),
            dataset("s.payee", person, name=entry("person_name"), account=entry("account_no"),
                    person_id=IDENTIFIER),
            dataset("s.transfer", {"by": ["payer"], "to": "s.person"}, {"by": ["payee"], "to": "s.person"},
                    account=entry("account_no"), payer=IDENTIFIER, payee=IDENTIFIER),
            dataset("s.staff", {"by": ["code"]}, code=IDENTIFIER, name=entry("person_name"),
                    mobile=entry("mobile"), hired=NONE),
            {**dataset("s.member", {"by": ["club", "no"], "when": {"club": 1}}, club=IDENTIFIER,
                       no=IDENTIFIER, name=entry("person_name")), "partitions": ["s.member_1"]},
        ]
    }  # fmt: skip
    return DataMap.model_validate(found)


@pytest.fixture(scope="module")
def company(cluster: Cluster) -> Iterator[str]:
    """A database with the company."""
    with databases(cluster) as make:
        url = make("source")
        run_sql(url, COMPANY)
        yield url


@pytest.fixture
def session(company: str) -> Iterator[Connection]:
    """A session that only reads."""
    with closing(connect(company, read_only=True)) as made:
        yield made


def found(session: Connection, said: str, table: str | None = None) -> list[tuple[str, dict[str, str]]]:
    subjects = find_subjects(session, company_map(), said, KEY, table)
    return [(one.table.label, one.key) for one in subjects]


ONE = {
    "by key": "3",
    "by number": "13800138003",
    "dialled from abroad": "+86 138-0013-8003",
    "in full-width digits": "１３８００１３８００３",
    "by mail": "P3@example.com",
    "by identity in small letters": "11010119800101103x",
    "by card": "6228480000000000002",
    "by card in groups": "6228 4800 0000 0000 002",
    "by name and birthday": "privat 0\n1980-01-04",
}


@pytest.mark.parametrize("said", ONE.values(), ids=ONE)
def test_one_person_is_found(session: Connection, said: str) -> None:
    assert found(session, said) == [("s.person", {"id": "3"})]


def test_as_the_company_has_written_it(session: Connection) -> None:
    assert found(session, "13800138005") == [("s.person", {"id": "5"})]


def test_who_is_not_meant_is_not_found(session: Connection) -> None:
    for said in ("13900000001", "privat 1", "1980-01-02", "99", "99999999999999999999", "'", "", "%"):
        assert found(session, said) == []
    assert found(session, "3\nprivat 1") == [], "each line has to hold"
    with pytest.raises(SubjectUnknown) as raised:
        find_subject(session, company_map(), "13900000001", KEY)
    assert raised.value.data["tables"] == ["s.person", "s.staff", "s.member"]
    assert "139" not in str(raised.value)
    for said in ("a\0b", "x" * 501, "1\n2\n3\n4\n5\n6"):
        with pytest.raises(SubjectUnknown, match="cannot be looked for"):
            find_subjects(session, company_map(), said, KEY)


@pytest.mark.parametrize("account", ["6217000000000000001", "6217 0000 0000 0000 002"])
def test_the_account_of_a_payee_is_not_that_of_who_pays(session: Connection, account: str) -> None:
    """The row leads to the customer and has the account of somebody else, who may be no customer at all."""
    assert found(session, account) == []
    assert found(session, f"{account}\nprivat 1") == []


def test_two_who_are_meant_are_counted_not_named(session: Connection) -> None:
    with pytest.raises(SubjectUnclear) as raised:
        find_subject(session, company_map(), "13800138004", KEY)
    assert raised.value.message == "several persons are meant: 1 in s.person, 1 in s.staff"
    assert raised.value.data["counts"] == {"s.person": 1, "s.staff": 1}
    assert find_subject(session, company_map(), "13800138004", KEY, "s.staff").key == {"code": "7"}
    assert find_subject(session, company_map(), "13800138004\nprivat 1", KEY).key == {"id": "4"}
    with pytest.raises(SubjectUnclear, match=r"1 in s\.person, 1 in s\.staff"):
        find_subject(session, company_map(), "2", KEY)
    both = "privat 1\n1"
    assert len(find_subjects(session, company_map(), both, KEY, "s.member")) == 2


def test_a_key_of_several_columns_takes_a_line_for_each(session: Connection) -> None:
    number = "00000000-0000-0000-0000-000000000002"
    assert found(session, number) == []
    assert found(session, f"1\n{number}") == [("s.member", {"club": "1", "no": number})]


def test_a_column_that_is_gone_is_named(session: Connection) -> None:
    datamap = company_map(passport=entry("passport"))
    with pytest.raises(DataMapInvalid, match=r"names s\.person\.passport"):
        find_subjects(session, datamap, "13800138003", KEY)


def test_a_value_never_makes_the_server_complain(session: Connection) -> None:
    """What it refuses it may write into its log."""
    for said in ("now", "infinity", "NaN", "1e400", "{}", "\\", "32768", "2026-13-40", "-0", "1" * 400):
        find_subjects(session, company_map(), said, KEY)
        find_subjects(session, company_map(), f"{said}\nx", KEY)


def test_a_person_is_named_by_a_token(session: Connection) -> None:
    one = find_subject(session, company_map(), "3", KEY)
    assert one == find_subject(session, company_map(), "13800138003", KEY)
    assert one.token != find_subject(session, company_map(), "3", b"x" * 32).token
    assert one.label == f"s.person#{one.token}"
    assert "'3'" not in repr(one)


def in_scope(session: Connection, *subjects: Subject, **declared: Any) -> dict[str, set[str]]:
    scope = subject_scope(subjects, **declared)
    graph = read_graph(session, ["s"], scope)
    assert graph.problems == []
    closure = Closure(session, graph, scope, prefix=f"of_{len(subjects)}_{subjects[0].token}")
    begin_snapshot(session)
    closure.compute(lambda rows: None)
    rows = {
        graph.tables[number].label: {bytes(row).decode().split("\t")[0] for row in read_keys(session, keys)}
        for number, keys in closure.key_sets.items()
    }
    session.execute("ROLLBACK")
    return {label: keys for label, keys in rows.items() if keys}


def test_the_rows_of_a_person_are_children_and_what_they_need(session: Connection) -> None:
    one = find_subject(session, company_map(), "13800138003", KEY)
    cards = {"6228480000000000002", "6228480000000000005"}
    assert in_scope(session, one) == {"s.person": {"3"}, "s.card": cards, "s.branch": {"2"}}
    key = VirtualKey.model_validate(
        {"table": "s.contact", "columns": ["person_id"], "references": "s.person", "to_columns": ["id"]}
    )
    two = find_subject(session, company_map(), "2", KEY, "s.person")
    assert set(in_scope(session, one, two, virtual_keys=[key])) == {
        "s.person",
        "s.card",
        "s.branch",
        "s.contact",
    }


def test_a_key_of_any_signs_is_found_again(session: Connection) -> None:
    staff = TableName.model_validate("s.staff")
    for code in (ODD, "today"):
        one = find_subject(session, company_map(), code, KEY)
        assert (one.table, one.key) == (staff, {"code": code})
        assert len(in_scope(session, one)["s.staff"]) == 1
