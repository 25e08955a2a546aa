"""What requests of persons rest on that needs no database: clocks, sieves, whose a row is, the files."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from datetime import date
from typing import Any

import pytest

from handover.evidence.answer import CopiedColumn, CopiedRows, Letter, package
from handover.model.datamap import DataSet
from handover.model.policy import Text
from handover.model.request import PersonRequest
from handover.risk.loosely import Sieve
from handover.risk.persons import Person
from handover.stages.person_graph import own_paths
from handover.stages.person_known import ANOTHER, Known, known_from, mentioned, one_person, theirs
from handover.stages.request_words import correction, said

WORD = Text(zh="字", en="word")


def passes(sieve: Sieve, text: str) -> bool:
    return bool(re.search(sieve.head, text)) and any(re.search(one, text) for one in sieve.whole)


@pytest.mark.parametrize(
    "text",
    ["13800138000", "138 0013 8000", "(138)0013-8000", "１３８００１３８０００", "x13800138000y", "张 三 说"],
)
def test_every_usual_writing_passes_the_sieve(text: str) -> None:
    assert passes(Sieve.of({"13800138000", "a.b@example.com"}, {"张三"}), text)


@pytest.mark.parametrize("text", ["13800138001", "138x00138000", "aXb@example.com", "张", ""])
def test_other_values_do_not(text: str) -> None:
    assert not passes(Sieve.of({"13800138000", "a.b@example.com"}, {"张三"}), text)
    assert not passes(Sieve.of({"13800138000"}), "张三")
    assert Sieve.of(()) == Sieve("", ())


def dataset(*subject: dict[str, Any], **kinds: str) -> DataSet:
    levels = {"jrt0171": "C1", "pipl_sensitive": False, "gbt43697": 2, "gdpr": "personal"}
    columns = {name: {**levels, "kind": kind} for name, kind in kinds.items()}
    return DataSet.model_validate(
        {"table": "s.t", "purpose": "p", "origin": "o", "subject": list(subject), "columns": columns}
    )


def test_a_row_is_that_of_the_first_whom_it_names() -> None:
    borrower, officer = {"by": ["a"], "to": "s.borrower"}, {"by": ["b"], "to": "s.officer"}
    kinds = {"a": "internal_id", "b": "internal_id", "k": "related"}

    def ways(*subject: dict[str, Any]) -> list[tuple[str, ...]]:
        return [path.by for path in own_paths(dataset(*subject, **kinds))]

    assert ways(borrower, officer) == [("a",)]
    either = [borrower | {"when": {"k": "x"}}, officer | {"when": {"k": "y"}}]
    assert ways(*either) == [("a",), ("b",)]
    assert ways({"by": ["a"]}, officer) == [("a",)]


def test_others_are_left_out() -> None:
    known = known_from("13800138000\n张三")
    kinds = {"name": "person_name", "mobile": "mobile", "note": "free_text", "pay": "amount", "on": "related"}
    row = {
        "name": "李四",
        "mobile": "138 0013 8000",
        "note": "致电 13912345678",
        "pay": 5,
        "on": "2026-01-01",
    }
    found = theirs(row, dataset(**kinds), known)
    assert found == row | {"name": ANOTHER, "note": f"致电 {ANOTHER}"}
    named = mentioned(row | {"more": {"a": ["13912345678", 1]}}, dataset(**kinds), known, {"mobile", "more"})
    assert (named["mobile"], named["name"], named["pay"], named["note"]) == (row["mobile"], *[ANOTHER] * 3)
    assert (named["on"], named["more"]) == (ANOTHER, {"a": [ANOTHER, 1]}), "data about another person"
    assert not Known().is_theirs("person_name", "张三")


def test_a_number_that_is_no_text_and_what_stands_beside_a_name() -> None:
    known = known_from("13800138000")
    known.persons = {Person("张三", "1990-01-02", "示例路1号")}
    numbers = {"mobile": "mobile", "others": "mobile", "list": "mobile"}
    row: dict[str, Any] = {"mobile": 13800138000, "others": 13912345678, "list": [13800138000, 13912345678]}
    shown = theirs(row, dataset(**numbers), known, own=True)
    assert shown == {"mobile": 13800138000, "others": ANOTHER, "list": [13800138000, ANOTHER]}
    kinds = {"name": "person_name", "born": "birth_date", "home": "address"}
    spouse = {"name": "李四", "born": "1991-01-02", "home": "示例路2号"}
    assert set(theirs(spouse, dataset(**kinds), known).values()) == {ANOTHER}
    mine = {"name": "张三", "born": "1990-01-02", "home": "示例路3号"}
    assert theirs(mine, dataset(**kinds), known) == mine
    assert theirs(spouse, dataset(**kinds), known, own=True) == spouse | {"name": ANOTHER}
    bare = {"born": "1991-01-02", "home": "示例路2号"}
    assert theirs(bare, dataset(born="birth_date", home="address"), known) == bare | {"born": ANOTHER}


def knows(**numbers: str) -> Known:
    return Known({kind: {value} for kind, value in numbers.items()})


def test_a_telephone_that_two_share_does_not_make_them_one() -> None:
    mobile, paper, other = "13800138000", "11010519491231002X", "440308199001010012"
    first = knows(mobile=mobile, resident_id=paper)
    assert not one_person(first, knows(mobile=mobile, resident_id=other), mobile)
    assert one_person(first, knows(mobile="13900139000", resident_id=paper.lower()), mobile)
    assert not one_person(knows(mobile=mobile), knows(mobile=mobile), "138-0013-8000")
    assert not one_person(first, knows(mobile=mobile), mobile)
    assert one_person(knows(mobile=mobile), knows(mobile=mobile), "17")
    card = {"bank_card": "6228480000000000017"}
    assert one_person(knows(mobile=mobile, **card), knows(mobile=mobile, **card), mobile)
    assert not one_person(knows(mobile=mobile), knows(email="a@example.com"), "17")


def test_the_files_of_an_answer() -> None:
    columns = [CopiedColumn("a", WORD), CopiedColumn("b", WORD)]
    rows = [{"a": "=1+1", "b": {"x": [1]}}, {"a": None, "b": "<b>"}]
    table = CopiedRows("src", "s.a/b", True, "purpose", "origin", columns, rows)
    day = date(2026, 11, 22)
    letter = Letter("pr-1", WORD, "PIPL 45", day, day, day, ["示例"], [WORD])
    with zipfile.ZipFile(io.BytesIO(package(letter, [table, table]))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert set(files) == {"letter.html", "data.json", "src/s.a_b.csv", "src/s.a_b-2.csv"}
    lines = list(csv.reader(io.StringIO(files["src/s.a_b.csv"].decode("utf-8-sig"))))
    assert lines == [["a", "b"], ["字 / word"] * 2, ["'=1+1", '{"x": [1]}'], ["", "<b>"]]
    (one, _) = json.loads(files["data.json"])["tables"]
    assert one["rows"] == rows
    assert "&lt;b&gt;" in files["letter.html"].decode()


def test_a_letter_promises_nothing_that_came_too_late() -> None:
    body: dict[str, Any] = {
        "id": "pr-1", "kind": "complaint", "channel": "c", "received": "2026-01-01", "verified": "v",
        "due": "2026-01-31", "clock": WORD, "sources": ["a"], "subjects": {"a": "s#1"}, "by": "clerk",
    }  # fmt: skip
    in_time, late = (
        said(PersonRequest.model_validate(body | {"late": each}), [], False) for each in ([], ["a"])
    )
    assert "none of your data is erased" in in_time[0].en
    assert "some of your data may be gone" in late[0].en
    assert "数据可能已不存在" in late[0].zh


def test_a_letter_says_that_data_was_corrected_only_when_it_was() -> None:
    assert "corrected your data as you asked" in correction("IT", "2026-01-05", "").en
    assert "not to correct your data as you asked, because: w." in correction("IT", "2026-01-05", "w").en
    assert "未予更正，理由：w。" in correction("IT", "2026-01-05", "w").zh


def test_a_request_is_overdue_from_the_day_after() -> None:
    body: dict[str, Any] = {
        "id": "pr-1", "kind": "access", "channel": "c", "received": "2026-01-01", "verified": "v",
        "due": "2026-01-31", "clock": WORD, "sources": ["a"], "by": "clerk",
    }  # fmt: skip
    one = PersonRequest.model_validate(body)
    assert not one.is_overdue(date(2026, 1, 31))
    assert one.is_overdue(date(2026, 2, 1))
    assert one.state(date(2026, 2, 1)) == "overdue since 2026-01-31"
    answered = PersonRequest.model_validate(body | {"answered_at": "2026-02-03T00:00:00Z"})
    assert not answered.is_overdue(date(2026, 3, 1))
    assert answered.state(date(2026, 3, 1)) == "answered on 2026-02-03, not delivered"
