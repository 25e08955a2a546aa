"""The hand-over list of accounting archives as files: JSON to be bound to, CSV to work with, a page to sign.

Each is made of the list alone: the same list gives the same bytes.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from markupsafe import Markup

from handover.evidence.templates import environment
from handover.model.handover_list import ROLES, TESTS, Control, HandoverList, Volume

JSON_NAME, CSV_NAME, HTML_NAME = "handover-list.json", "handover-list.csv", "handover-list.html"
_FOLDER = Path(__file__).parent
_TEMPLATE, _STYLE = "handover_list.html.j2", "handover_list.css"
# Lines of print that fit on a page of A4 across, below its headings, and columns of Latin letters in a cell
# for a name; a Chinese character takes two.
PAGE_LINES, NAME_COLUMNS = 24, 28
_HEADINGS = (
    "序号 No.",
    "档案名称 Archive",
    "卷号 Volume no.",
    "卷数 Volumes",
    "起始年度 From",
    "终止年度 To",
    "档号 Archive code",
    "应保管期限 Period required",
    "已保管期限 Period kept",
    "保管至 Keep until",
    "依据 Rule",
    "表 Table",
    "行数 Rows",
    "金额列 Amount of",
    "控制总数 Control total",
    "载体与格式 Medium and format",
    "读取平台 Reader",
    "元数据 Metadata",
)
_Item = TypeVar("_Item")
METADATA = "plan.json, manifest.dsse.json"


def list_files(made: HandoverList) -> dict[str, bytes]:
    """Return all forms of a list by the names of their files in the evidence folder."""
    return {
        JSON_NAME: made.json_bytes,
        CSV_NAME: list_csv(made),
        HTML_NAME: list_html(made).encode(),
    }


def list_csv(made: HandoverList) -> bytes:
    """Return one line for each volume, table and amount; spreadsheets need the mark at its beginning."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_HEADINGS)
    for number, volume in enumerate(made.volumes, 1):
        for control in volume.controls:
            for of, shown in [(one.of, one.shown) for one in control.amounts] or [("", "")]:
                writer.writerow(
                    [_inert(str(cell)) for cell in _cells(made, number, volume, control, of, shown)]
                )
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _cells(
    made: HandoverList, number: int, volume: Volume, control: Control, of: str, shown: str
) -> Iterator[object]:
    yield from (number, volume.archive, volume.number, volume.volumes, volume.first_year, volume.last_year)
    yield from (volume.code, required(volume), kept(volume), volume.keep_until or "", volume.rule)
    yield from (control.table, control.rows, of, shown, made.medium, made.reader, METADATA)


def _inert(cell: str) -> str:
    """Keep a spreadsheet from taking a name for a formula; an amount may be negative."""
    is_number = cell.removeprefix("-").replace(".", "", 1).isdigit()
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t") and not is_number else cell


def required(volume: Volume) -> str:
    """Return how long a volume must be kept."""
    if volume.required_years is None:
        return "永久 permanent"
    return f"{volume.required_years} 年 years"


def kept(volume: Volume) -> str:
    """Return how long a volume has been kept since its last fiscal year ended."""
    return f"{volume.kept.years} 年 {volume.kept.months} 月 {volume.kept.years}y {volume.kept.months}m"


def list_html(made: HandoverList) -> str:
    """Return the page to print and sign; it needs no network, no fonts and no script."""
    pages = environment()
    pages.filters |= {"required": required, "grouped": grouped}
    sheets = list(_parted([*enumerate(made.volumes, 1)], lambda line: _volume_lines(line[1])))
    tables = list(_parted(made.tables, lambda table: 1 + _lines(table.archive)))
    return pages.get_template(_TEMPLATE).render(
        list=made,
        sheets=sheets,
        tables=tables,
        pages=len(sheets) + len(tables) + 1,
        roles=ROLES,
        tests=TESTS,
        metadata=METADATA,
        policy=_policy(),
        style=Markup(_style()),  # noqa: S704 (our own file)
    )


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _style() -> str:
    return (_FOLDER / _STYLE).read_text(encoding="utf-8")


def grouped(amount: str) -> str:
    """Write an amount with separators, as 1,234.50; a token stays as it is."""
    whole, point, places = amount.removeprefix("-").partition(".")
    sign = "-" if amount.startswith("-") else ""
    return f"{sign}{int(whole):,}{point}{places}" if whole.isdecimal() else amount


def _parted(items: Iterable[_Item], height: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """Part items into pages by their lines of print; what is higher than a page has one of its own."""
    page: list[_Item] = []
    lines = 0
    for item in items:
        if page and lines + height(item) > PAGE_LINES:
            yield page
            page, lines = [], 0
        page.append(item)
        lines += height(item)
    if page:
        yield page


def _volume_lines(volume: Volume) -> int:
    controls = sum(max(_lines(one.table), len(one.amounts)) for one in volume.controls)
    return max(2, _lines(volume.archive), controls)


def _lines(name: str) -> int:
    """Return how many lines a name takes in a cell."""
    columns = sum(
        1 if unicodedata.east_asian_width(character) in ("N", "Na", "H", "A") else 2 for character in name
    )
    return -(-columns // NAME_COLUMNS)
