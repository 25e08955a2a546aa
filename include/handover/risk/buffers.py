"""Rows of COPY text brought to one writing, tabs and line ends where they were, and places turned to cells.

Full-width signs become ASCII, odd spaces and hyphens plain ones, invisible signs vanish, escapes of COPY,
JSON and arrays become what they stand for. Everything works on whole buffers: a row is never looked at alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

import numpy as np

_ESCAPED_SIGN = re.compile(rb"\\+u([0-9a-fA-F]{4})")
_QUICKLY = re.compile(rb"\\u[0-9a-fA-F]{4}")  # begins with what never varies
_BACKSLASH, _SPACE, _HYPHEN = 0x5C, 0x20, 0x2D
_SPACE_LETTERS = np.isin(np.arange(256), list(b"nrtbfv"))
# First and last code of signs that are written otherwise, their UTF-8 read as one number.
_SPACES = (
    (0xC2A0, 0xC2A0),
    (0xE28080, 0xE2808A),
    (0xE280AF, 0xE280AF),
    (0xE2819F, 0xE2819F),
    (0xE38080, 0xE38080),
)
_HYPHENS = ((0xE28090, 0xE28095), (0xE28892, 0xE28892), (0xEFB9A3, 0xEFB9A3))
_NOTHING = (
    *((0xC2AD, 0xC2AD), (0xE2808B, 0xE2808F), (0xE280AA, 0xE280AE), (0xE281A0, 0xE281A0)),
    *((0xE281A6, 0xE281A9), (0xEFBBBF, 0xEFBBBF)),
)
_LEADS = {2: (0xC2,), 3: (0xE2, 0xE3, 0xEF)}


def plain(rows: bytes) -> bytes:
    """Return the rows in one writing; as many tabs and line ends as before, each where it was."""
    if b"\\" in rows:
        rows = _without_escaped_spaces(np.frombuffer(rows, np.uint8))
        if _QUICKLY.search(rows):
            rows = _ESCAPED_SIGN.sub(_sign, rows)
    if rows.isascii():
        return rows
    rows = _without_odd_signs(np.frombuffer(rows, np.uint8))
    if b"\xef\xbc" in rows or b"\xef\xbd" in rows:
        rows = _half_width(np.frombuffer(rows, np.uint8))
    return rows


def _without_escaped_spaces(signs: np.ndarray) -> bytes:
    """Turn a letter that stands for a space, with all backslashes before it, into one space."""
    escapes = signs == _BACKSLASH
    letters = np.flatnonzero(escapes[:-1] & _SPACE_LETTERS[signs[1:]]) + 1
    if not len(letters):
        return signs.tobytes()
    begins = np.flatnonzero(escapes & ~np.concatenate(([False], escapes[:-1])))
    firsts = begins[np.searchsorted(begins, letters) - 1]
    changed, kept = signs.copy(), np.ones(len(signs), bool)
    changed[firsts] = _SPACE
    lengths = letters - firsts
    steps = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    kept[np.repeat(firsts + 1, lengths) + steps] = False
    return changed[kept].tobytes()


def _without_odd_signs(signs: np.ndarray) -> bytes:
    """Turn odd spaces and hyphens into plain ones, and invisible signs into nothing."""
    changed, kept = signs.copy(), np.ones(len(signs), bool)
    for length, leads in _LEADS.items():
        first = np.flatnonzero(_leads_of(leads)[signs[: 1 - length]])
        codes = np.zeros(len(first), np.uint32)
        for place in range(length):
            codes = codes << np.uint32(8) | signs[first + place]
        spaces, hyphens, nothing = (_among(codes, of) for of in (_SPACES, _HYPHENS, _NOTHING))
        changed[first[spaces]], changed[first[hyphens]] = _SPACE, _HYPHEN
        kept[first[nothing]] = False
        for place in range(1, length):
            kept[first[spaces | hyphens | nothing] + place] = False
    return changed[kept].tobytes()


@cache
def _leads_of(leads: tuple[int, ...]) -> np.ndarray:
    return np.isin(np.arange(256), leads)


def _among(codes: np.ndarray, ranges: Iterable[tuple[int, int]]) -> np.ndarray:
    found = np.zeros(len(codes), bool)
    for low, high in ranges:
        found |= (codes >= low) & (codes <= high)
    return found


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
