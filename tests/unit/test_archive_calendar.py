"""What an archive says of its end: its calendar and its page."""

import json
import re
from datetime import date
from html import unescape
from pathlib import Path

import pytest

from fixtures.archives import CUSTOMERS, HELD, LEDGER, LOANS, VOUCHERS, archive, term, write
from handover.archive.destruction_calendar import calendar_ics, calendar_json, escaped, folded
from handover.archive.page import index_html
from handover.model.archive import Archive, ArchiveTerms


@pytest.fixture
def made(tmp_path: Path) -> Archive:
    return archive(part for table in (CUSTOMERS, LEDGER) for part in write(tmp_path, table))


def parsed(data: bytes) -> list[list[tuple[str, str]]]:
    """The events of a calendar, read as RFC 5545 says: CRLF, folding, names, one nesting of components."""
    assert data.endswith(b"\r\n")
    assert all(len(line) <= 75 for line in data.split(b"\r\n"))
    assert not re.search(rb"[^\r]\n|\r[^\n]", data)
    lines = data.decode().replace("\r\n ", "").split("\r\n")[:-1]
    assert (lines[0], lines[-1]) == ("BEGIN:VCALENDAR", "END:VCALENDAR")
    assert {"VERSION:2.0"} < set(lines)
    assert any(line.startswith("PRODID:") for line in lines)
    events: list[list[tuple[str, str]]] = []
    for line in lines[1:-1]:
        name, value = re.fullmatch(r"([A-Z-]+(?:;[A-Z-]+=[^:;]+)*):(.*)", line, re.DOTALL).groups()
        if line == "BEGIN:VEVENT":
            events.append([])
        elif line != "END:VEVENT" and events:
            events[-1].append((name, value))
    return events


def test_the_calendar_has_an_event_for_each_date(made: Archive) -> None:
    events = [dict(event) for event in parsed(calendar_ics(made))]
    assert [event["DTSTART;VALUE=DATE"] for event in events] == ["20310701", "20560101"]
    assert [event["DTEND;VALUE=DATE"] for event in events] == ["20310702", "20560102"]
    assert events[0]["SUMMARY"].startswith("档案可销毁 贷款档案 loan files\\; old\\, new")
    assert "archive-i2" in events[0]["DESCRIPTION"]
    assert "行 rows: 4" in events[0]["DESCRIPTION"]
    assert len({event["UID"] for event in events}) == 2
    assert all(event["DTSTAMP"] == "20260131T000000Z" for event in events)
    assert calendar_ics(made) == calendar_ics(made)


def test_the_last_day_of_the_calendar_has_no_next_one(made: Archive) -> None:
    terms = ArchiveTerms(case="c", terms=(term(1, "x", date.max),))
    (event,) = parsed(calendar_ics(made.model_copy(update={"terms": terms, "parts": ()})))
    assert dict(event)["DTSTART;VALUE=DATE"] == "99991231"
    assert "DTEND;VALUE=DATE" not in dict(event)


def test_no_line_is_too_long_and_no_character_is_cut() -> None:
    for sign in "aä中😀":
        whole = sign * 200
        made = folded(whole)
        assert all(len(line) <= 75 for line in made.split(b"\r\n"))
        assert made.decode().replace("\r\n ", "").removesuffix("\r\n") == whole
    assert escaped("a\\b;c,d\ne\rf") == "a\\\\b\\;c\\,d\\ne f"


def test_the_json_calendar_names_every_term(made: Archive) -> None:
    found = json.loads(calendar_json(made))
    assert [entry["destroy_from"] for entry in found["terms"]] == ["2031-07-01", "2056-01-01", None]
    assert found["terms"][0]["keys"] == {"identifying": LOANS.identifying, "other": LOANS.other}
    assert [(one["table"], one["rows"]) for one in found["terms"][0]["files"]] == [
        (CUSTOMERS.label, 3),
        (LEDGER.label, 1),
    ]


def test_the_page_says_everything_and_loads_nothing(made: Archive) -> None:
    page = unescape(index_html(made))
    for said in (
        "2031-07-01",
        "2056-01-01",
        "尚无日期",
        VOUCHERS.identifying,
        HELD.other,
        "s.customers",
        "read.py",
    ):
        assert said in page
    assert "lines &lt;b&gt;" in index_html(made)
    assert "<b>" not in index_html(made)
    assert not re.search(r"https?:|<script|src=|@import|url\(", page.replace("default-src", ""))
    assert "default-src 'none'" in page
    assert made.uncommented() != made
    assert index_html(made.uncommented()) == index_html(made)
