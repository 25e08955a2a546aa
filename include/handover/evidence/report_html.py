"""The report for people: one HTML file that needs no network, no fonts and no script to be read.

The page forbids itself everything but its own style and its own script, by their hashes, so that even a
name that got past escaping could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from handover.evidence.charts import figure_bars, largest_tables
from handover.evidence.expected import FAULTS, OWN

_FOLDER = Path(__file__).parent
STYLE = "report.css"
_TEMPLATE, _SCRIPT = "report.html.j2", "report.js"
# A page with more lines than this in one list is slow to open; verification.json has them all.
MOST_LINES = 3_000
# So many tables are shown at once; more wait behind a line to be opened.
MOST_OPEN = 80
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def verification_html(document: Mapping[str, Any]) -> str:
    """Return the page for a verification document; the same document gives the same text."""
    expected = document["expectations"]
    return (
        environment()
        .get_template(_TEMPLATE)
        .render(
            document=document,
            policy=content_policy(),
            style=own_text(STYLE),
            script=own_text(_SCRIPT),
            bars=largest_tables(document["tables"]),
            faults=[r for r in expected.get("results", ()) if r["standing"] in FAULTS],
            own=[r for r in expected.get("results", ()) if r["standing"] == OWN],
            repeated=[c for c in document["comparisons"] if c["attempts"] > 1],
            most_lines=MOST_LINES,
            most_open=MOST_OPEN,
        )
    )


def content_policy() -> str:
    """Return the Content-Security-Policy of the page."""
    return (
        f"default-src 'none'; style-src '{source(STYLE)}'; script-src '{source(_SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def source(name: str) -> str:
    """Return how a Content-Security-Policy names one of our own files."""
    digest = hashlib.sha256(own_text(name).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def own_text(name: str) -> Markup:
    """Return one of our own files, to be put into a page as it is."""
    return Markup((_FOLDER / name).read_text(encoding="utf-8"))  # noqa: S704


def environment() -> jinja2.Environment:
    """Return what all pages are made with: everything is escaped, and nothing may be undefined."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"grouped": grouped, "size": size, "moment": moment, "first": first, "share": share}
    made.globals |= {"figure_bars": figure_bars}
    return made


def grouped(number: int) -> str:
    """Write a count with separators, as 1,234,567."""
    return f"{number:,}"


def size(count: int) -> str:
    """Write a number of bytes in decimal units, rounded down to one place."""
    power = min((len(str(count)) - 1) // 3, len(_UNITS) - 1)
    tenths = count * 10 // 1000**power
    return f"{count} B" if power == 0 else f"{tenths // 10:,}.{tenths % 10} {_UNITS[power]}"


def share(part: int, whole: int) -> str:
    """Write a part of a whole in percent, as the plan does."""
    return f"{100 * part / whole:.1f}%" if whole else "–"


def moment(at: str) -> str:
    """Write a ledger's time to the second, as 2026-01-31 23:59:59."""
    return at[:19].replace("T", " ")


def first(items: Sequence[Any], most: int) -> Sequence[Any]:
    """Return the first ``most`` items."""
    return items[:most]
