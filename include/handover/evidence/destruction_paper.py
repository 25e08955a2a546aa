"""A paper to print and sign, apart from how it is written: what stands on it, in Chinese with English beside.

The page for a browser and the PDF are both made of it, so that they cannot say different things.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from handover.evidence.report_html import environment, own_text
from handover.model.policy import Text

Cell = str | int | Text
_TEMPLATE, _STYLE = "destruction.html.j2", "destruction.css"


@dataclass(frozen=True)
class Table:
    """A table with its caption; ``widths`` are shares of the page's width. Without rows it says ``none``."""

    caption: Text
    heads: tuple[Text, ...]
    rows: tuple[tuple[Cell, ...], ...]
    widths: tuple[int, ...]
    to_sign: bool = False


@dataclass(frozen=True)
class Lines:
    """Sentences under a caption."""

    caption: Text
    lines: tuple[Text, ...]


@dataclass(frozen=True)
class Paper:
    """A whole document. ``sha256`` is that of its machine-readable form, ``at`` the moment it is of."""

    title: Text
    number: str
    sha256: str
    at: datetime
    wide: bool
    banner: Text | None
    head: tuple[tuple[Text, Cell], ...]
    parts: tuple[Table | Lines, ...]


NONE = Text(zh="无", en="none")


def say(zh: str, en: str) -> Text:
    """Return the same in both languages."""
    return Text(zh=zh, en=en)


def shown(cell: Cell) -> str:
    """Return a cell as plain text; counts get separators."""
    if isinstance(cell, Text):
        return f"{cell.zh} {cell.en}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def page(paper: Paper) -> str:
    """Return the page to print; it needs no network, no fonts and no script, and forbids itself all three."""
    style = _style(paper)
    made = environment()
    made.filters |= {"shown": shown}
    made.tests |= {"text": lambda cell: isinstance(cell, Text), "count": lambda cell: isinstance(cell, int)}
    return made.get_template(_TEMPLATE).render(
        paper=paper,
        nothing=NONE,  # `none` is a word of the template language
        style=Markup(style),  # noqa: S704 (our own file, and strings that CSS takes for letters)
        policy=f"default-src 'none'; style-src '{_hashed(style)}'; base-uri 'none'; form-action 'none'",
    )


def _hashed(style: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}"


def _style(paper: Paper) -> str:
    """Return the style; the margin of every printed page names the document and the page."""
    size = "A4 landscape" if paper.wide else "A4"
    margins = f"""
@page {{ size: {size}; margin: 13mm 13mm 16mm 18mm; font-size: 7pt;
  @bottom-left {{ content: "{_letters(footer(paper))}"; }}
  @bottom-right {{ content: "第 " counter(page) " / " counter(pages) " 页 page"; }}
}}
"""
    return f"{own_text(_STYLE)}{margins}"


def footer(paper: Paper) -> str:
    """Return what names the document on each of its pages."""
    return f"{paper.number} · SHA-256 {paper.sha256}"


def _letters(text: str) -> str:
    """Write a text so that CSS takes every sign of it for a letter."""
    return "".join(sign if sign.isascii() and sign.isalnum() else f"\\{ord(sign):06x}" for sign in text)
