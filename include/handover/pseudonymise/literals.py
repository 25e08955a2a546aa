"""The strings and numbers of a JSON document with their places and paths; the rest stays as written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[{}\[\],:]', re.DOTALL)


@dataclass(frozen=True)
class Literal:
    """A string or number: where it stands, what it says, and its path as in ``$.applicant.mobiles[*]``."""

    start: int
    end: int
    text: str
    path: str
    is_key: bool


def is_document(text: str) -> bool:
    """Say whether a text is JSON."""
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def literals(document: str) -> Iterator[Literal]:
    """Yield every string, key and number of valid JSON."""
    above: list[tuple[str, bool]] = []  # paths of the containers around, and whether each is an object
    path, in_object, key_next = "$", False, False
    for match in _TOKEN.finditer(document):
        sign = match[0]
        if sign in "{[":
            above.append((path, in_object))
            in_object = key_next = sign == "{"
            path += "" if in_object else "[*]"
        elif sign in "}]":
            path, in_object = above.pop()
            key_next = False
        elif sign == ",":
            key_next = in_object
            path = _outer(path, above, in_object)
        elif sign == ":":
            key_next = False
        else:
            text = str(json.loads(sign)) if sign[0] == '"' else sign
            yield Literal(match.start(), match.end(), text, path, key_next)
            if key_next:
                path = f"{_outer(path, above, True)}.{text}"


def _outer(path: str, above: list[tuple[str, bool]], in_object: bool) -> str:
    """The path of the container in which the next member stands."""
    return above[-1][0] if in_object and above else path


@lru_cache(maxsize=256)
def _pattern(declared: str) -> re.Pattern[str]:
    """A data map's path, in which ``*`` stands for any key."""
    return re.compile(re.sub(r"\\\.\\\*(?=\\\.|\\\[|$)", r"\\.[^.]*", re.escape(declared)))


def is_at(literal: Literal, declared: str) -> bool:
    """Say whether a value, not a key, stands at a path of the data map."""
    return not literal.is_key and _pattern(declared).fullmatch(literal.path) is not None
