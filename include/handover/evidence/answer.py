"""The answer to a person's request: a letter and the copy of their data, in one ZIP archive.

The copy is there twice for programs (JSON, CSV for each table) and once for people (HTML), with the words of
the data map. Nothing here is encrypted: the caller seals it for the person.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from handover.evidence.templates import environment
from handover.model.policy import Text

_FOLDER = Path(__file__).parent
_TEMPLATE = "answer.html.j2"
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class CopiedColumn:
    """A column in the words of the data map."""

    name: str
    kind: Text


@dataclass(frozen=True)
class CopiedRows:
    """Rows of a table for a person; ``theirs``: not only named in them."""

    source: str
    table: str
    theirs: bool
    purpose: str
    origin: str
    columns: Sequence[CopiedColumn]
    rows: Sequence[Mapping[str, Any]]

    @property
    def stem(self) -> str:
        """Return the name of its file without ending; names of tables may hold anything."""
        plain = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in self.table)
        return f"{self.source}/{plain}" + ("" if self.theirs else ".mentions")


@dataclass(frozen=True)
class Decided:
    """What becomes of a class of rows, and why."""

    source: str
    row_class: str
    rows: int
    goes: bool
    why: Sequence[Text]
    until: date | None = None


@dataclass(frozen=True)
class NamedRows:
    """How many rows of a table name a person in a column, and are not theirs by the data map."""

    source: str
    table: str
    column: str
    rows: int


@dataclass(frozen=True)
class Letter:
    """The letter. ``said``: paragraphs; ``decided``: what goes and stays, of an erasure.

    ``named``: rows that name the person and that what was asked for does not reach.
    """

    request: str
    kind: Text
    article: str
    received: date
    due: date
    written: date
    handlers: Sequence[str]
    said: Sequence[Text]
    decided: Sequence[Decided] = ()
    named: Sequence[NamedRows] = ()
    limits: Sequence[Text] = field(default=())


def package(letter: Letter, tables: Sequence[CopiedRows]) -> bytes:
    """Return letter and copy as one ZIP archive."""
    files = {"letter.html": letter_html(letter, tables).encode()}
    if tables:
        files["data.json"] = data_json(letter, tables)
    names: dict[str, int] = {}
    for one in tables:
        names[one.stem] = names.get(one.stem, 0) + 1
        number = "" if names[one.stem] == 1 else f"-{names[one.stem]}"
        files[f"{one.stem}{number}.csv"] = table_csv(one)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def data_json(letter: Letter, tables: Sequence[CopiedRows]) -> bytes:
    """Return the copy for programs, each table with the words of the data map."""
    document = {
        "request": letter.request,
        "written": letter.written.isoformat(),
        "tables": [
            {
                "source": one.source,
                "table": one.table,
                "yours": one.theirs,
                "purpose": one.purpose,
                "origin": one.origin,
                "columns": {column.name: column.kind.document() for column in one.columns},
                "rows": list(one.rows),
            }
            for one in tables
        ],
    }
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def table_csv(one: CopiedRows) -> bytes:
    """Return a table with its words above it, for spreadsheets of either language."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\r\n")
    writer.writerow([column.name for column in one.columns])
    writer.writerow([f"{column.kind.zh} / {column.kind.en}" for column in one.columns])
    for row in one.rows:
        writer.writerow([_cell(row.get(column.name)) for column in one.columns])
    return made.getvalue().encode("utf-8-sig")


def letter_html(letter: Letter, tables: Sequence[CopiedRows]) -> str:
    """Return letter and copy as a page that needs no network, no fonts and no script."""
    return _template().render(letter=letter, tables=tables, shown=_shown)


def _cell(value: Any) -> str:
    text = _shown(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@cache
def _template() -> jinja2.Template:
    return environment().get_template(_TEMPLATE)
