"""Strategies that put one value for another: tokens, format-preserving forms, permutations, choices."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from handover.pseudonymise import forms
from handover.pseudonymise.cells import Bools, Bytes, Cells, Ints, Pieces, Words
from handover.pseudonymise.ff1 import FF1, SMALLEST_DOMAIN
from handover.pseudonymise.integers import Integers, shuffled
from handover.pseudonymise.keys import DomainKey
from handover.pseudonymise.names import invented_names
from handover.pseudonymise.prf import (
    LARGEST_MODULUS,
    LONGEST_TOKEN,
    remainder,
    token_bits,
    token_text,
    uuid_text,
    valid_rows,
)
from handover.pseudonymise.strategy import Keeps, Masked, Room, Strategy, counted, drawn
from handover.pseudonymise.wholes import BEYOND_WHOLES, put_wholes, wholes

_SHORTEST_TOKEN = 4
_UUID_LENGTH = 36
_LOWER = np.uint8(0x20)
TEXT, UUID, INTEGER = "token.text", "token.uuid", "token.integer"


def tokens(key: DomainKey, cells: Cells, rows: Ints, length: int) -> Bytes:
    """Return the text tokens of these rows: a shorter one is the beginning of a longer one."""
    return token_text(drawn(key, TEXT, cells, rows), length)


def small_tokens(key: DomainKey, cells: Cells, rows: Ints, length: int) -> Bytes:
    """Return them in small letters, which no form of numbers has: so a token is never taken for one."""
    signs = tokens(key, cells, rows, length)
    return np.where(signs >= ord("A"), signs | _LOWER, signs)


class Token(Strategy):
    """A keyed token, the same for equal values of a domain: nothing of the value's form is left.

    As a whole number it lies between ``low`` and ``high``.
    """

    KEEPS: ClassVar[Keeps] = "collision_bounded"
    strategy: Literal["token"] = "token"
    output: Literal["text", "uuid", "integer"] = "text"
    length: int = Field(default=LONGEST_TOKEN, ge=_SHORTEST_TOKEN, le=LONGEST_TOKEN)
    low: int = 0
    high: int = LARGEST_MODULUS - 1

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 < self.high - self.low < LARGEST_MODULUS or max(-self.low, self.high) >= BEYOND_WHOLES:
            raise ValueError(
                "low to high must be whole numbers of up to 18 digits, at most 2^56; bring them nearer"
            )
        return self

    def apply(self, column: pa.Array, key: DomainKey, person: pa.Array | None = None) -> Masked:
        """Return a token for each value."""
        cells = Cells.of(key.domain.normal(column))
        rows, into = valid_rows(cells), Pieces(len(cells))
        if self.output == "text":
            into.put(rows, tokens(key, cells, rows, self.length))
        elif self.output == "uuid":
            into.put(rows, uuid_text(drawn(key, UUID, cells, rows)))
        else:
            numbers = remainder(drawn(key, INTEGER, cells, rows), self.high - self.low + 1)
            put_wholes(rows, numbers.astype(np.int64) + self.low, into)
        return Masked(into.column(), counted(cells))

    def _refuses(self, room: Room) -> str | None:
        if self.output == "integer":
            return room.holds_integers(self.low, self.high) or room.keeps_apart(self.high - self.low + 1)
        if self.output == "uuid":
            return None if room.base == "uuid" else room.holds_text(_UUID_LENGTH)
        return room.holds_text(self.length) or room.keeps_apart(int(2 ** token_bits(self.length)))


_ALPHABETS = {"digits": b"0123456789", "alphanumeric": b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_MAIL_END = b"@example.invalid"  # RFC 2606: nobody's, for ever
_MAIL_SIGNS = 20
# Characters of a pseudonym that can be longer than its value: an identity number of 15 digits gets 18.
_GROWN = {"identity": 18, "email": _MAIL_SIGNS + len(_MAIL_END)}
# Characters of the longest number of a form: a token of that length fits wherever all numbers do.
_WIDTHS = {"identity": 18, "mobile": 11, "card": 19, "uscc": 18, "plate": 8}


class Fpe(Strategy):
    """Another valid value of the same form, one to one; FF1 under the domain's key.

    ``realistic``: pseudonyms may be numbers that somebody has; needed where no unassigned range is large
    enough. E-mail addresses get a token under a domain that is nobody's, as any text can be one. A value
    that is not of the form gets a token of ``fallback_length``, in small letters.
    """

    KEEPS: ClassVar[Keeps] = "bijective"
    strategy: Literal["fpe"] = "fpe"
    form: Literal[forms.Form, "email", "digits", "alphanumeric"]
    realistic: bool = False
    fallback_length: int | None = Field(default=None, ge=_SHORTEST_TOKEN, le=LONGEST_TOKEN)

    @property
    def keeps(self) -> Keeps:
        """Return how far different values stay different: addresses of mail become tokens."""
        return "collision_bounded" if self.form == "email" else self.KEEPS

    @property
    def _fallback(self) -> int:
        return self.fallback_length or _WIDTHS.get(self.form, LONGEST_TOKEN)

    def apply(self, column: pa.Array, key: DomainKey, person: pa.Array | None = None) -> Masked:
        """Return a value of the form for each value of the form, a token for any other."""
        normal = key.domain.normal(column)
        cells = Cells.of(normal)
        into = Pieces(len(cells))
        done = self._put(normal, cells, key, into)
        rest = valid_rows(cells, ~done)
        into.put(rest, small_tokens(key, cells, rest, self._fallback))
        return Masked(into.column(), counted(cells, len(rest)))

    def reveal(self, column: pa.Array, key: DomainKey) -> pa.Array:
        """Return the values behind pseudonyms, NULL for what is none (tokens cannot be turned back)."""
        cells = Cells.of(column)
        into = Pieces(len(cells))
        match self.form:
            case "email":
                pass
            case "digits" | "alphanumeric":
                self._put_signs(cells, key, into, forward=False)
            case form:
                forms.reveal(self._secret(key), form, self.realistic, cells, into)
        return into.column()

    def _secret(self, key: DomainKey) -> bytes:
        return key.secret(f"fpe.{self.form}.{'realistic' if self.realistic else 'unassigned'}")

    def _put(self, normal: pa.Array, cells: Cells, key: DomainKey, into: Pieces) -> Bools:
        match self.form:
            case "email":
                return self._put_mail(normal, cells, key, into)
            case "digits" | "alphanumeric":
                return self._put_signs(cells, key, into, forward=True)
            case form:
                return forms.disguise(self._secret(key), form, self.realistic, cells, into)

    def _put_mail(self, normal: pa.Array, cells: Cells, key: DomainKey, into: Pieces) -> Bools:
        is_mail = pc.match_substring_regex(normal, r"^[^@\s]+@[^@\s]+$").fill_null(False)
        done: Bools = is_mail.to_numpy(zero_copy_only=False)
        rows = valid_rows(cells, done)
        local = small_tokens(key, cells, rows, _MAIL_SIGNS)
        end = np.broadcast_to(np.frombuffer(_MAIL_END, np.uint8), (len(rows), len(_MAIL_END)))
        into.put(rows, np.concatenate([local, end], axis=1))
        return done

    def _put_signs(self, cells: Cells, key: DomainKey, into: Pieces, *, forward: bool) -> Bools:
        alphabet = np.frombuffer(_ALPHABETS[self.form], np.uint8)
        value = np.full(256, -1, np.int16)
        value[alphabet] = np.arange(len(alphabet))
        cipher = FF1(self._secret(key), len(alphabet))
        done = np.zeros(len(cells), np.bool_)
        for width in [w for w in cells.widths() if w >= cipher.shortest()]:
            rows = cells.rows_of(width)
            numerals = value[cells.matrix(rows, width)]
            good = (numerals >= 0).all(axis=1)
            turned = (cipher.encrypt if forward else cipher.decrypt)(numerals[good])
            into.put(rows[good], alphabet[turned])
            done[rows[good]] = True
        return done

    def _refuses(self, room: Room) -> str | None:
        if self.form in ("mobile", "plate") and not self.realistic:
            return (
                f"no unassigned range is large enough to keep every {self.form} apart: "
                "take token, or accept realistic pseudonyms by name"
            )
        too_narrow = room.holds_text(max(_GROWN.get(self.form, 0), self._fallback))
        if too_narrow or not room.unique:
            return too_narrow
        return room.keeps_apart(int(2 ** token_bits(self._fallback)))


class Permute(Strategy):
    """Another whole number between ``low`` and ``high``, one to one: a keyed table, from a million on FF1.

    ``width``: written with zeros in front. What is no such number gets one by its token, and is counted.
    """

    KEEPS: ClassVar[Keeps] = "bijective"
    strategy: Literal["permute"] = "permute"
    low: int = 0
    high: int
    width: int | None = Field(default=None, ge=1, le=18)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high or max(-self.low, self.high) >= BEYOND_WHOLES:
            raise ValueError("low to high must be whole numbers of up to 18 digits, in this order")
        if self.width and (self.low < 0 or len(str(self.high)) > self.width):
            raise ValueError("width is for numbers from 0 on that it holds; make it larger or take it out")
        return self

    @property
    def _size(self) -> int:
        return self.high - self.low + 1

    def apply(self, column: pa.Array, key: DomainKey, person: pa.Array | None = None) -> Masked:
        """Return another number for each."""
        cells = Cells.of(key.domain.normal(column))
        numbers, good = wholes(cells, self.width)
        good &= (numbers >= self.low) & (numbers <= self.high)
        rows, rest, into = valid_rows(cells, good), valid_rows(cells, ~good), Pieces(len(cells))
        self._write(rows, self._permuted(numbers[rows], key), into)
        away = remainder(drawn(key, INTEGER, cells, rest), min(self._size, LARGEST_MODULUS))
        self._write(rest, away, into)
        return Masked(into.column(), counted(cells, len(rest)))

    def reveal(self, column: pa.Array, key: DomainKey) -> pa.Array:
        """Return the numbers behind pseudonyms, NULL for what is none.

        What was no number of the domain got a pseudonym that stands for a number as well.
        """
        cells = Cells.of(column)
        numbers, good = wholes(cells, self.width)
        rows = valid_rows(cells, good & (numbers >= self.low) & (numbers <= self.high))
        into = Pieces(len(cells))
        self._write(rows, self._permuted(numbers[rows], key, forward=False), into)
        return into.column()

    def _permuted(self, numbers: Ints, key: DomainKey, *, forward: bool = True) -> Words:
        places = (numbers - self.low).astype(np.uint64)
        secret = key.secret(f"permute.{self.low}.{self.high}")
        if self._size < SMALLEST_DOMAIN:
            table = shuffled(secret, self._size)
            return (table if forward else np.argsort(table))[places.astype(np.int64)].astype(np.uint64)
        permutation = Integers(secret, self._size)
        return permutation.encrypt(places) if forward else permutation.decrypt(places)

    def _write(self, rows: Ints, places: Words, into: Pieces) -> None:
        put_wholes(rows, places.astype(np.int64) + self.low, into, self.width)

    def _refuses(self, room: Room) -> str | None:
        return room.holds_text(self.width) if self.width else room.holds_integers(self.low, self.high)


class Choice(Strategy):
    """One of some texts by key, without ``texts`` a made-up Chinese name. Two people may get the same."""

    KEEPS: ClassVar[Keeps] = "lossy"
    strategy: Literal["choice"] = "choice"
    texts: tuple[str, ...] = ()

    @property
    def _pool(self) -> pa.Array:
        return pa.array(self.texts) if self.texts else invented_names()

    def apply(self, column: pa.Array, key: DomainKey, person: pa.Array | None = None) -> Masked:
        """Return a text for each value, the same for equal values."""
        cells = Cells.of(key.domain.normal(column))
        rows = valid_rows(cells)
        chosen = np.zeros(len(cells), np.int64)
        chosen[rows] = remainder(drawn(key, "choice", cells, rows), len(self._pool))
        return Masked(self._pool.take(pa.array(chosen, mask=~cells.valid)), counted(cells))

    def _refuses(self, room: Room) -> str | None:
        longest = pc.max(pc.utf8_length(self._pool)).as_py()
        return room.holds_text(longest)
