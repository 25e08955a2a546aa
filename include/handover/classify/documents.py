"""JSON values taken apart: every scalar with its path, so that each path can be judged like a column."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from handover.classify.find import find
from handover.classify.shapes import plain

_DEEPEST = 20
# A key seen in fewer documents than this may itself be somebody's data: {"王…": 3}.
_DOCUMENTS = 3
_WORD = re.compile(r"[A-Za-z_\u3400-\u9fff][\w\u3400-\u9fff -]{0,40}")
_DIGITS = re.compile(r"\d{5}")
ANY_KEY = "*"

Path = tuple[str, ...]


def by_path(documents: Iterable[str]) -> dict[str, list[str]]:
    """Return the scalars of all documents by path, as in ``$.applicant.mobiles[*]``.

    A key that looks like data is written as ``*``; a text that is no JSON stands under ``$``.
    """
    found: dict[Path, list[str]] = defaultdict(list)
    keys: Counter[str] = Counter()
    for text in documents:
        try:
            document = json.loads(text, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            found[("$",)].append(text)
            continue
        seen: set[str] = set()
        for path, value in _scalars(document, ("$",), seen):
            found[path].append(value)
        keys.update(seen)
    merged: dict[str, list[str]] = defaultdict(list)
    for path, values in found.items():
        merged[_written(path, keys)] += values
    return dict(merged)


class _Pairs(list[tuple[str, object]]):
    """An object with all its pairs; JSON may hold a key twice."""


def _scalars(value: object, path: Path, seen: set[str]) -> Iterator[tuple[Path, str]]:
    if len(path) > _DEEPEST:
        yield path, json.dumps(value, ensure_ascii=False)
    elif isinstance(value, _Pairs):
        for key, below in value:
            seen.add(key)
            yield from _scalars(below, (*path, key), seen)
            yield (*path, ""), key  # a key may be data, and is then judged as such
    elif isinstance(value, list):
        for below in value:
            yield from _scalars(below, (*path, "[*]"), seen)
    elif value is not None and not isinstance(value, bool):
        yield path, str(value)


def _written(path: Path, keys: Counter[str]) -> str:
    parts = [path[0]]
    for part in path[1:]:
        if part == "[*]":
            parts.append(part)
        elif part == "":
            parts.append(".~keys")
        else:
            parts.append(f".{part if _is_word(part, keys[part]) else ANY_KEY}")
    return "".join(parts)


def _is_word(key: str, documents: int) -> bool:
    return (
        documents >= _DOCUMENTS
        and _WORD.fullmatch(key) is not None
        and _DIGITS.search(key) is None
        and not find(plain(key))
    )


def last_word(path: str) -> str:
    """Return the name by which a path is known, for the evidence of names."""
    return path.rstrip("[*]").rpartition(".")[2]
