"""Page templates of the evidence: every value is escaped, and one that is missing is a fault."""

from __future__ import annotations

from pathlib import Path

import jinja2

FOLDER = Path(__file__).parent


def environment() -> jinja2.Environment:
    """Return what reads the templates beside this module."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
