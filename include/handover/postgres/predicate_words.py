"""The words of a predicate: cuts its text into tokens, and says which functions and types are known."""

from __future__ import annotations

import re
from dataclasses import dataclass

from handover.errors import CaseInvalid

# Of the server's own immutable functions those that a rule about rows may want; none looks at anything
# but its arguments, and none can make a small value huge.
FUNCTIONS = frozenset(
    """abs btrim ceil char_length date_part date_trunc floor jsonb_typeof left length lower ltrim make_date
    mod num_nonnulls num_nulls octet_length right round rtrim sign split_part starts_with strpos
    substr substring trunc upper""".split()  # noqa: SIM905
)
# Written like functions, but part of the grammar of SQL: they stand in no schema.
SPECIAL = frozenset(("coalesce", "nullif", "greatest", "least"))
TYPES = {
    "bigint": "int8", "boolean": "bool", "date": "date", "decimal": "numeric", "double precision": "float8",
    "int": "int4", "integer": "int4", "interval": "interval", "jsonb": "jsonb", "numeric": "numeric",
    "real": "float4", "smallint": "int2", "text": "text", "time": "time", "timestamp": "timestamp",
    "timestamptz": "timestamptz", "uuid": "uuid", "varchar": "varchar",
}  # fmt: skip
FIELDS = frozenset(
    ("year", "quarter", "month", "day", "hour", "minute", "second", "dow", "doy", "isodow", "week")
)
COMPARISONS = frozenset(("=", "<>", "!=", "<", "<=", ">", ">="))
OTHERS = frozenset(("||", "->", "->>", "@>", "<@", "&&", "~", "~*", "!~", "!~*"))
RESERVED = frozenset(
    """and or not is null true false unknown in between like ilike case when then else end cast as distinct
    from select table""".split()  # noqa: SIM905
)
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<text>'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")+")
    | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)
    | (?P<word>[^\W\d]\w*)
    | (?P<sign>::|<>|!=|<=|>=|->>|->|@>|<@|&&|\|\||!~\*|!~|~\*|~|[-+*/%=<>(),])""",
    re.VERBOSE,
)
_GLUED = re.compile(r"--|/\*|\w'|'\w|\w\"|\"\w")


@dataclass(frozen=True)
class Token:
    """A piece of the text. ``value``: a word in small letters, a name or text without its quotes."""

    kind: str
    value: str
    place: int


def refused(place: int, said: str, remedy: str) -> CaseInvalid:
    return CaseInvalid(f"the predicate cannot be read at character {place + 1}: {said}", hint=remedy)


def _folded(word: str) -> str:
    """Fold as the server folds a name without quotes: the letters A to Z alone."""
    return "".join(sign.lower() if sign.isascii() else sign for sign in word)


def tokens(text: str) -> list[Token]:
    found, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or _GLUED.match(text, match.end() - 1):
            raise refused(
                place,
                "there is something that no predicate may hold",
                "write names, plain literals and operators; no comments, parameters, dollar quotes, "
                "prefixed literals, semicolons or names of tables",
            )
        kind, value = str(match.lastgroup), match[0]
        if kind == "word":
            value = _folded(value)
        elif kind in ("name", "text"):
            value = value[1:-1].replace(value[0] * 2, value[0])
        if kind != "space":
            found.append(Token(kind, value, place))
        place = match.end()
    return [*found, Token("end", "the end", len(text))]
