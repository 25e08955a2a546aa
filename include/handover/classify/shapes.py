"""The form of a value: one writing of digits and signs for the detectors, and its shape for people.

A shape keeps nothing of the value: every digit becomes 9, every letter a, every Han character 汉. It cannot
be undone, however short the value.
"""

from __future__ import annotations

import re
import unicodedata

_SPACES = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63"
_NOTHING = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_PLAIN = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # full width
    | dict.fromkeys(_SPACES, " ")
    | dict.fromkeys(_HYPHENS, "-")
    | dict.fromkeys(_NOTHING, "")
)
_LONGEST_RUN = 24
_LONGEST_SHAPE = 60


def plain(text: str) -> str:
    """Return the text with full-width signs, spaces and hyphens in their ASCII form."""
    return text if text.isascii() else text.translate(_PLAIN)


def shape(text: str) -> str:
    """Return what may be shown of a value, as in 9{11} for a mobile number."""
    signs = "".join(_sign(character) for character in text)
    runs = re.sub(r"(.)\1+", lambda run: f"{run[1]}{{{_shown(len(run[0]))}}}", signs)
    return runs if len(runs) <= _LONGEST_SHAPE else runs[:_LONGEST_SHAPE] + "…"


def _shown(count: int) -> str:
    return str(count) if count <= _LONGEST_RUN else f"over {_LONGEST_RUN}"


def _sign(character: str) -> str:
    if character in "@.-/:":
        return character
    if "\u3400" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff":
        return "汉"
    group = unicodedata.category(character)
    return {"N": "9", "L": "a", "Z": " ", "M": "a"}.get(group[0], "·")
