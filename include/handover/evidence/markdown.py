"""Markdown that others' words cannot change: names from a source or a case are shown as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable

# An underscore inside a word means nothing, so that names of tables stay readable in the raw text too.
_SIGNS = re.compile(r"[\\`*\[\]|<>~&]|(?<![^\W_])_|_(?![^\W_])")


def plain(text: str) -> str:
    """Return text whose signs mean nothing in Markdown, HTML or a terminal, in one line."""
    one_line = " ".join(text.split())
    visible = "".join(sign if sign.isprintable() else "\ufffd" for sign in one_line)
    return _SIGNS.sub(lambda sign: f"&#{ord(sign[0])};", visible)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table; the heads are ours, the cells are made plain."""
    lines = [head, tuple("---" for _ in head), *(tuple(plain(cell) for cell in row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
