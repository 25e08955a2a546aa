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
from handover.stages.person_graph import own_paths
from handover.stages.person_known import ANOTHER, Known, known_from, mentioned, theirs

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
    assert (named["on"], named["more"]) == ("2026-01-01", {"a": [ANOTHER, 1]})
    assert not Known().is_theirs("person_name", "张三")


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


def test_a_request_is_overdue_from_the_day_after() -> None:
    said: dict[str, Any] = {
        "id": "pr-1", "kind": "access", "channel": "c", "received": "2026-01-01", "verified": "v",
        "due": "2026-01-31", "clock": WORD, "sources": ["a"], "by": "clerk",
    }  # fmt: skip
    one = PersonRequest.model_validate(said)
    assert not one.is_overdue(date(2026, 1, 31))
    assert one.is_overdue(date(2026, 2, 1))
    assert one.state(date(2026, 2, 1)) == "overdue since 2026-01-31"
    answered = PersonRequest.model_validate(said | {"answered_at": "2026-02-03T00:00:00Z"})
    assert not answered.is_overdue(date(2026, 3, 1))
    assert answered.state(date(2026, 3, 1)) == "answered on 2026-02-03, not delivered"
