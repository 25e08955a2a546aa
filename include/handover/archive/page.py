"""The index page of an archive: what is in it, until when, how to read it; needs no network."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup

from handover.archive.destruction_calendar import in_order
from handover.model.archive import Archive

_FOLDER = Path(__file__).parent
_TEMPLATE, _STYLE = "index.html.j2", "index.css"


def index_html(archive: Archive) -> str:
    """Return the page; the same archive gives the same text."""
    style = (_FOLDER / _STYLE).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(
        archive=archive,
        terms=in_order(archive),
        total=sum(part.rows for part in archive.parts),
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704 (our own file)
    )
