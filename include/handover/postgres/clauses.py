"""Clauses of a table's definition: says in which columns and constraints two definitions differ.

Definitions can hold personal data, so only names leave this module, and only such as stand where a name
must stand: a text that spans lines inside a default is never taken for a column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAME = r'"(?:[^"]|"")+"|[a-z_\u0080-\U0010ffff][\w$]*'
_PIECE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[(),;]|[^'"(),;]+""")
_CONSTRAINT = re.compile(rf"\s*CONSTRAINT ({_NAME})")
_COLUMN = re.compile(rf"\s*({_NAME})")
_ALTERED_COLUMN = re.compile(rf"ALTER COLUMN ({_NAME}) ")
_TABLE_ITSELF = "its options"
_ORDER = "the order of its columns"


def differing(left: str, right: str) -> list[str]:
    """Return the names of the columns and constraints in which two CREATE TABLE scripts of pg_dump differ."""
    one, other = dict(_named(left)), dict(_named(right))
    names = [name for name in [*one, *other] if one.get(name) != other.get(name)]
    return list(dict.fromkeys(names)) or ([_ORDER] if list(one) != list(other) else [])


def _named(script: str) -> Iterator[tuple[str, str]]:
    """Yield each name with everything that is said about it."""
    found: dict[str, str] = {}
    for inside, text in _items(script):
        name = _name(inside, text)
        found[name] = found.get(name, "") + "\n" + text.strip()
    yield from found.items()


def _name(inside: bool, text: str) -> str:
    if not inside:
        altered = _ALTERED_COLUMN.search(text)
        return altered[1] if altered else _TABLE_ITSELF
    if constraint := _CONSTRAINT.match(text):
        return f"constraint {constraint[1]}"
    column = _COLUMN.match(text)
    return column[1] if column else _TABLE_ITSELF


def _items(script: str) -> Iterator[tuple[bool, str]]:
    """Yield the parts of the first list in parentheses, and every statement without that list."""
    depth, listed, item, statement = 0, False, "", ""
    for piece in _PIECE.findall(script):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if listed or (depth == 0 and piece != ")"):
            statement += piece
            if piece == ";":
                yield False, statement
                statement = ""
        elif (depth, piece) in ((0, ")"), (1, ",")):
            yield True, item
            listed, item = depth == 0, ""
        elif (depth, piece) != (1, "("):
            item += piece
