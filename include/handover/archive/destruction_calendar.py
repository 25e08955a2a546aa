"""The calendar of an archive: what may be destroyed when, as iCalendar (RFC 5545) and as JSON.

An entry is a reminder to appraise and decide, never an order: a hold beats every date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from uuid import NAMESPACE_URL, uuid5

from handover.model.archive import Archive, TermKeys

ICS_NAME, JSON_NAME = "calendar.ics", "calendar.json"
# RFC 5545 section 3.1: octets of a line, without its end.
_LONGEST_LINE = 75
_DUTY_ZH = "先鉴定并核查有无保全、争议等暂停事由，编制销毁清册并经批准后，销毁下列密钥"
_DUTY_EN = "appraise, look for holds, have the destruction list approved, then destroy these keys"


def calendar_files(archive: Archive) -> dict[str, bytes]:
    """Return both forms by their names."""
    return {ICS_NAME: calendar_ics(archive), JSON_NAME: calendar_json(archive)}


def calendar_json(archive: Archive) -> bytes:
    """Return every term with its date, its files and its keys, in the order of the dates; none comes last."""
    text = json.dumps(
        {
            "case": archive.terms.case,
            "made_on": archive.made_on.isoformat(),
            "before_destruction": {"zh": _DUTY_ZH, "en": _DUTY_EN},
            "terms": [_entry(archive, one) for one in in_order(archive)],
        },
        ensure_ascii=False,
        indent=1,
    )
    return f"{text}\n".encode()


def in_order(archive: Archive) -> list[TermKeys]:
    """Return the terms as they end, those without a date last."""
    return sorted(
        archive.terms.terms,
        key=lambda one: (one.term.destroy_from is None, str(one.term.destroy_from), one.number),
    )


def _entry(archive: Archive, one: TermKeys) -> dict[str, object]:
    labels = {table.number: table.label for table in archive.tables}
    parts = archive.of_term(one.number)
    return {
        "term": one.number,
        "class": one.term.row_class,
        "destroy_from": one.term.destroy_from.isoformat() if one.term.destroy_from else None,
        "keys": {"identifying": one.identifying, "other": one.other},
        "files": [{"table": labels[p.table], "rows": p.rows, "file": p.file} for p in parts],
    }


def calendar_ics(archive: Archive) -> bytes:
    """Return an all-day event for each term that has a date; the same archive gives the same bytes."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Handover//Archive calendar//ZH", "METHOD:PUBLISH"]
    for one in in_order(archive):
        if one.term.destroy_from is not None:
            lines += _event(archive, one)
    return b"".join(folded(line) for line in [*lines, "END:VCALENDAR"])


def _event(archive: Archive, one: TermKeys) -> Iterator[str]:
    day = one.term.destroy_from or archive.made_on
    parts = archive.of_term(one.number)
    rows, case = sum(part.rows for part in parts), archive.terms.case
    yield "BEGIN:VEVENT"
    yield f"UID:{uuid5(NAMESPACE_URL, f'handover:{case}:{one.model_dump_json()}')}"
    yield f"DTSTAMP:{archive.made_on:%Y%m%d}T000000Z"
    yield f"DTSTART;VALUE=DATE:{_day(day.isoformat())}"
    if day != day.max:  # the calendar's last day has no next one; an event without an end lasts its day
        yield f"DTEND;VALUE=DATE:{_day((day + timedelta(days=1)).isoformat())}"
    yield f"SUMMARY:{escaped(f'档案可销毁 {one.term.row_class} · archive may be destroyed ({case})')}"
    text = (
        f"案件 case: {case}\n类别 class: {one.term.row_class}\n文件 files: {len(parts)}，行 rows: {rows}\n"
        f"{_DUTY_ZH}。\n{_DUTY_EN}: {one.identifying}, {one.other}"
    )
    yield f"DESCRIPTION:{escaped(text)}"
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _day(day: str) -> str:
    return day.replace("-", "")


def escaped(text: str) -> str:
    """Write a text as RFC 5545 section 3.3.11 says; other control characters have no place in it."""
    known = {"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"}
    return "".join(known.get(sign, sign if sign.isprintable() else " ") for sign in text)


def folded(line: str) -> bytes:
    """Return a line with its end, folded between characters so that no line is longer than allowed."""
    whole, current = b"", b""
    for sign in line:
        octets = sign.encode()
        if len(current) + len(octets) > _LONGEST_LINE:
            whole, current = whole + current + b"\r\n", b" "
        current += octets
    return whole + current + b"\r\n"
