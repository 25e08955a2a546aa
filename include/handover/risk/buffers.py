"""Rows of COPY text brought to one writing, tabs and line ends where they were, and places turned to cells.

Full-width signs become ASCII, odd spaces and hyphens plain ones, invisible signs vanish, escapes of COPY,
JSON and arrays become what they stand for. Everything works on whole buffers: a row is never looked at alone.
"""

from __future__ import annotations

import re

import numpy as np

_ESCAPED_SPACE = re.compile(rb"\\+[nrtbfv]")
_ESCAPED_SIGN = re.compile(rb"\\+u([0-9a-fA-F]{4})")
_SPACES = re.compile(rb"\xe3\x80\x80|\xc2\xa0|\xe2\x80[\x80-\x8a\xaf]|\xe2\x81\x9f")
_HYPHENS = re.compile(rb"\xe2\x80[\x90-\x95]|\xe2\x88\x92|\xef\xb9\xa3")
_NOTHING = re.compile(rb"\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0\xa6-\xa9]|\xc2\xad|\xef\xbb\xbf")
# Each with what is quick to look for and must be there before its search pays.
_ODD = (
    (_SPACES, (b"\xe2", b"\xc2", b"\xe3\x80\x80"), b" "),
    (_HYPHENS, (b"\xe2", b"\xef\xb9"), b"-"),
    (_NOTHING, (b"\xe2", b"\xc2", b"\xef\xbb"), b""),
)


def plain(rows: bytes) -> bytes:
    """Return the rows in one writing; as many tabs and line ends as before, each where it was."""
    if b"\\" in rows:
        rows = _ESCAPED_SPACE.sub(b" ", rows)
        if b"\\u" in rows:
            rows = _ESCAPED_SIGN.sub(_sign, rows)
    if rows.isascii():
        return rows
    for form, signs, instead in _ODD:
        if any(sign in rows for sign in signs):
            rows = form.sub(instead, rows)
    if b"\xef\xbc" in rows or b"\xef\xbd" in rows:
        rows = _half_width(np.frombuffer(rows, np.uint8))
    return rows


def _sign(match: re.Match[bytes]) -> bytes:
    sign = chr(int(match[1], 16))
    return b" " if sign.isspace() else sign.encode("utf-8", "replace")


def _half_width(signs: np.ndarray) -> bytes:
    """Turn U+FF01 … U+FF5E, three bytes each, into the ASCII sign that they show."""
    first = np.flatnonzero(signs[:-2] == 0xEF)
    second, third = signs[first + 1], signs[first + 2]
    low = (second == 0xBC) & (third >= 0x81)
    high = (second == 0xBD) & (third <= 0x9E)
    chosen = low | high
    first = first[chosen]
    changed, kept = signs.copy(), np.ones(len(signs), bool)
    changed[first] = np.where(low, third - np.uint8(0x60), third - np.uint8(0x20))[chosen]
    kept[first + 1] = kept[first + 2] = False
    return changed[kept].tobytes()


def cells_at(signs: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column, both from 0, in which each place of a buffer of rows lies."""
    line_ends, tabs = np.flatnonzero(signs == 10), np.flatnonzero(signs == 9)
    rows = np.searchsorted(line_ends, places)
    begins = np.concatenate(([0], line_ends + 1))[rows]
    return rows, np.searchsorted(tabs, places) - np.searchsorted(tabs, begins)
