"""Predicates of a case: one boolean expression over a table's own columns, read by a grammar of our own.

What a case file says never reaches the server as it stands: it is cut into tokens, parsed, and written
anew with every name quoted, every literal escaped and every part in parentheses. There is no way to say a
subquery, a parameter, a comment, another table or a function that is not listed. That the result is
boolean, immutable and made of the server's own operators, the server itself then proves (row_classes).

Allowed: AND OR NOT, = <> < <= > >=, IS [NOT] NULL/TRUE/FALSE/UNKNOWN/DISTINCT FROM, [NOT] IN, BETWEEN, LIKE,
ILIKE, + - * / % ||, ~ and its kin, -> ->> @> <@ &&, CASE WHEN, extract(), CAST and ``::`` to plain types, and
the functions below.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

from psycopg import sql

from handover.errors import CaseInvalid
from handover.postgres.predicate_words import (
    COMPARISONS,
    FIELDS,
    FUNCTIONS,
    OTHERS,
    RESERVED,
    SPECIAL,
    TYPES,
    Token,
    refused,
    tokens,
)

# As a date or time the server reads these words as of now.
_OF_NOW = re.compile(r"(?<![a-z])(now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
_DEEPEST = 30
_NO_COLUMN = "only the table's own columns can stand here"


def parse_predicate(text: str, columns: Iterable[str]) -> sql.Composable:
    """Return the predicate as a condition on the alias ``t``; raises CaseInvalid with the place.

    No literal is ever repeated in an error: it may be what a row holds.
    """
    return _Parser(tokens(text), frozenset(columns)).whole()


class _Parser:
    """Recursive descent, with the server's own precedence; what it returns is in parentheses throughout."""

    def __init__(self, tokens: list[Token], columns: frozenset[str]) -> None:
        self._tokens, self._columns = tokens, columns
        self._at = self._depth = 0

    def whole(self) -> sql.Composable:
        made = self._any_of()
        if self._now.kind != "end":
            raise self._unexpected("the end, or AND, OR or an operator")
        return made

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _unexpected(self, wanted: str) -> CaseInvalid:
        token = self._now
        what = {"text": "a literal", "number": "a number", "end": "the end"}.get(
            token.kind, repr(token.value)
        )
        return refused(token.place, f"expected {wanted}, got {what}", "write one boolean expression")

    def _is(self, *values: str) -> bool:
        return self._now.kind in ("word", "sign") and self._now.value in values

    def _take(self, *values: str) -> str | None:
        """Take the next token if it is one of these words or signs, and return which."""
        if not self._is(*values):
            return None
        self._at += 1
        return self._tokens[self._at - 1].value

    def _need(self, *values: str) -> str:
        taken = self._take(*values)
        if taken is None:
            raise self._unexpected(" or ".join(value.upper() for value in values))
        return taken

    def _chain(self, signs: Iterable[str], below: Callable[[], sql.Composable]) -> sql.Composable:
        """Read operators of one rank; all of them bind from the left."""
        parts = [below()]
        while taken := self._take(*signs):
            parts += [sql.SQL(taken.upper()), below()]
        return sql.SQL("({})").format(sql.SQL(" ").join(parts)) if len(parts) > 1 else parts[0]

    def _any_of(self) -> sql.Composable:
        self._deeper()
        made = self._chain(["or"], lambda: self._chain(["and"], self._not))
        self._depth -= 1
        return made

    def _not(self) -> sql.Composable:
        negated = False
        while self._take("not"):
            negated = not negated
        made = self._tested()
        return sql.SQL("(NOT {})").format(made) if negated else made

    def _tested(self) -> sql.Composable:
        made = self._compared()
        if self._take("is"):
            no = "NOT " if self._take("not") else ""
            if self._take("distinct"):
                self._need("from")
                return sql.SQL("({} IS {}DISTINCT FROM {})").format(made, sql.SQL(no), self._other())
            what = self._need("null", "true", "false", "unknown").upper()
            made = sql.SQL("({} IS {})").format(made, sql.SQL(no + what))
        return made

    def _compared(self) -> sql.Composable:
        left = self._other()
        if sign := self._take(*COMPARISONS):
            return sql.SQL("({} {} {})").format(left, sql.SQL(sign), self._other())
        no = sql.SQL("NOT " if self._take("not") else "")
        if no.as_string() and not self._is("in", "between", "like", "ilike"):
            raise self._unexpected("IN, BETWEEN, LIKE or ILIKE")
        if self._take("between"):
            low = self._other()
            self._need("and")
            return sql.SQL("({} {}BETWEEN {} AND {})").format(left, no, low, self._other())
        if self._take("in"):
            return sql.SQL("({} {}IN {})").format(left, no, self._list(self._other))
        if like := self._take("like", "ilike"):
            return sql.SQL("({} {}{} {})").format(left, no, sql.SQL(like.upper()), self._other())
        return left

    def _other(self) -> sql.Composable:
        return self._chain(OTHERS, lambda: self._chain("+-", lambda: self._chain("*/%", self._signed)))

    def _signed(self) -> sql.Composable:
        if sign := self._take("-", "+"):
            self._deeper()
            signed = sql.SQL("({} {})").format(sql.SQL(sign), self._signed())
            self._depth -= 1
            return signed
        made, casts = self._primary(), []
        while self._take("::"):
            casts.append(sql.SQL("::{}").format(self._type()))
        return sql.SQL("(({}){})").format(made, sql.SQL("").join(casts)) if casts else made

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise refused(self._now.place, f"it is nested deeper than {_DEEPEST}", "write it flatter")

    def _list(self, item: Callable[[], sql.Composable]) -> sql.Composable:
        self._need("(")
        items = [item()]
        while self._take(","):
            items.append(item())
        self._need(")")
        return sql.SQL("({})").format(sql.SQL(", ").join(items))

    def _primary(self) -> sql.Composable:
        token = self._now
        if token.kind in ("text", "number"):
            return self._literal()
        if self._take("("):
            made = self._any_of()
            self._need(")")
            return sql.SQL("({})").format(made)
        if token.kind == "word":
            special = {"case": self._case, "cast": self._cast, "extract": self._extract}.get(token.value)
            if special and (token.value == "case" or self._calls()):
                self._at += 1
                return special()
            if constant := self._take("null", "true", "false"):
                return sql.SQL(constant.upper())
            if self._calls():
                return self._call()
            if token.value in RESERVED:
                raise self._unexpected("a column, literal or function")
        if token.kind in ("word", "name"):
            return self._column()
        raise self._unexpected("a column, literal or function")

    def _calls(self) -> bool:
        following = self._tokens[self._at + 1]
        return (following.kind, following.value) == ("sign", "(")

    def _literal(self) -> sql.Composable:
        token = self._now
        self._at += 1
        if token.kind == "number":
            return sql.SQL(token.value)  # digits, a point, an exponent: as it stands, for 2. is not 2
        if _OF_NOW.search(token.value) and not self._is_text_cast():
            raise refused(
                token.place,
                "the literal may mean another moment each day",
                "write the date itself, or add ::text if the word itself is meant",
            )
        return sql.Literal(token.value)

    def _is_text_cast(self) -> bool:
        following = self._tokens[self._at + 1] if self._is("::") else None
        return following is not None and following.value in ("text", "varchar")

    def _column(self) -> sql.Composable:
        token = self._now
        if token.value not in self._columns:
            near = difflib.get_close_matches(token.value, self._columns, 1, 0.6)
            same = [name for name in sorted(self._columns) if name.lower() == token.value.lower()]
            hint = f'; did you mean "{(same or near)[0]}"?' if same or near else ""
            raise refused(
                token.place,
                f"the table has no column {token.value!r}",
                f"{_NO_COLUMN}, in double quotes if they are not all small letters{hint}",
            )
        self._at += 1
        return sql.SQL("t.{}").format(sql.Identifier(token.value))

    def _call(self) -> sql.Composable:
        token = self._now
        if token.value not in FUNCTIONS | SPECIAL:
            raise refused(
                token.place,
                f"the function {token.value} is not allowed",
                f"allowed are {', '.join(sorted(FUNCTIONS | SPECIAL))}",
            )
        self._at += 1
        name = sql.SQL(token.value.upper() if token.value in SPECIAL else f"pg_catalog.{token.value}")
        return sql.SQL("{}{}").format(name, self._list(self._any_of))

    def _case(self) -> sql.Composable:
        parts: list[sql.Composable] = []
        while self._take("when"):
            condition = self._any_of()
            self._need("then")
            parts.append(sql.SQL("WHEN {} THEN {}").format(condition, self._any_of()))
        if not parts:
            raise self._unexpected("WHEN")
        if self._take("else"):
            parts.append(sql.SQL("ELSE {}").format(self._any_of()))
        self._need("end")
        return sql.SQL("(CASE {} END)").format(sql.SQL(" ").join(parts))

    def _cast(self) -> sql.Composable:
        self._need("(")
        made = self._any_of()
        self._need("as")
        kind = self._type()
        self._need(")")
        return sql.SQL("({})::{}").format(made, kind)

    def _extract(self) -> sql.Composable:
        self._need("(")
        field = self._need(*sorted(FIELDS))
        self._need("from")
        made = self._any_of()
        self._need(")")
        return sql.SQL("pg_catalog.date_part({}, {})").format(sql.Literal(field), made)

    def _type(self) -> sql.Composable:
        name = self._now.value
        if name == "double":
            self._at += 1
            name = f"double {self._now.value}"
        if self._now.kind != "word" or name not in TYPES:
            raise refused(
                self._now.place, "the type is not allowed in a cast", f"allowed are {', '.join(TYPES)}"
            )
        self._at += 1
        return sql.SQL(f"pg_catalog.{TYPES[name]}")
