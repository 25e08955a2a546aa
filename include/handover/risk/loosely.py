"""Regular expressions of PostgreSQL that every usual writing of a value matches: a first sieve on the server.

They let pass more than the value; what is left is looked at by the search for raw values. One for the heads
of all values comes first: it is small, so that the server keeps all of it at hand for each row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FULL_WIDTH = 0xFEE0
_BETWEEN = "[- ._()　（）]*"
_NAME_BETWEEN = "[ ·•.　]*"
_SPECIAL = re.compile(r"([\\.^$*+?()\[\]{}|-])")
_HEAD, _HEAD_OF_NAME = 4, 2


@dataclass(frozen=True)
class Sieve:
    """A text that may hold a value matches ``head`` and one of ``whole``; without values there is none."""

    head: str
    whole: tuple[str, ...]

    @classmethod
    def of(cls, numbers: Iterable[str], names: Iterable[str] = ()) -> Sieve:
        """Return the sieve for numbers or addresses of mail, in the form that is searched, and for names."""
        found = [(_BETWEEN, one, _HEAD) if "@" not in one else ("", one, _HEAD) for one in sorted(numbers)]
        found += [(_NAME_BETWEEN, re.sub(r"\s", "", one), _HEAD_OF_NAME) for one in sorted(names)]
        heads = dict.fromkeys(_joined(between, text[:head]) for between, text, head in found if text)
        whole = dict.fromkeys(_joined(between, text) for between, text, _ in found if text)
        return cls("|".join(heads), tuple(whole))


def _joined(between: str, text: str) -> str:
    return between.join(map(_sign, text))


def _sign(sign: str) -> str:
    """Return what matches a sign in any width and case."""
    if sign.isascii() and sign.isalnum():
        forms = dict.fromkeys((sign, sign.upper(), sign.lower()))
        return "[" + "".join(one + chr(ord(one) + _FULL_WIDTH) for one in forms) + "]"
    return _SPECIAL.sub(r"\\\1", sign)
