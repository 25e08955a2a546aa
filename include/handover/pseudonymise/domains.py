"""Domains: what a value identifies, and how it is written, so that differently written values are one.

Columns that share a domain share its key. A value is brought into one writing before it is replaced: spaces,
case, +86, full-width digits, an identity number of 15 digits beside the same person's of 18.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import StringConstraints
from stdnum.cn import ric

from handover.classify.numbers import is_old_resident_id
from handover.classify.shapes import plain
from handover.model.base import Frozen
from handover.pseudonymise.cells import Bools, Cells, Ints, with_texts

Writing = Literal["exact", "text", "identity", "mobile", "code", "email", "plate"]

_DIGITS = b"0123456789"
_CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SMALL = b"abcdefghijklmnopqrstuvwxyz"
# Only what people put between signs: whatever else differs makes two values.
_SEPARATORS = re.compile(r"[\s.·()-]")
# Han as names and addresses are written is in its one form already; without signs that another form has.
_ONE_FORM = r"^[\x{4e00}-\x{9fa5}0-9a-z]+(?: [\x{4e00}-\x{9fa5}0-9a-z]+)*$"
_ANY_MOBILE = re.compile(r"(?:\+|00)?(?:86)?(1\d{10})")


def _text(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", plain(text)).split()).casefold()


def _signs(text: str) -> str:
    return _SEPARATORS.sub("", plain(text)).upper()


def _identity(text: str) -> str:
    signs = _signs(text)
    if not is_old_resident_id(signs):
        return signs
    body = f"{signs[:6]}19{signs[6:]}"
    return body + ric.calc_check_digit(body + "0")


def _mobile(text: str) -> str:
    signs = _signs(text)
    known = _ANY_MOBILE.fullmatch(signs)
    return known[1] if known else signs


@dataclass(frozen=True)
class _Rule:
    """How one value is brought into the writing, and which values are known to be in it already."""

    one: Callable[[str], str]
    clean: bytes
    widths: tuple[int, ...] = ()
    one_form: str = ""

    @cached_property
    def _unclean(self) -> Bools:
        table = np.ones(256, np.bool_)
        table[np.frombuffer(self.clean, np.uint8)] = False
        return table

    def others(self, cells: Cells) -> Bools:
        """Say which rows may have to be written anew; what they hold is looked at in bulk."""
        first, last = int(cells.starts[0]), int(cells.starts[-1] + cells.lengths[-1])
        at = np.flatnonzero(self._unclean[cells.data[first:last]]) + first
        found = np.zeros(len(cells), np.bool_)
        found[np.searchsorted(cells.starts, at, side="right") - 1] = True
        if self.widths:
            found |= ~np.isin(cells.lengths, self.widths)
        return found & cells.valid

    def left(self, column: pa.Array, rows: Ints) -> Ints:
        """Return those of the rows whose text is not in the one form at a look."""
        if not self.one_form or len(rows) == 0:
            return rows
        known = pc.match_substring_regex(column.take(pa.array(rows)), self.one_form)
        left: Ints = rows[~known.to_numpy(zero_copy_only=False)]
        return left


_RULES: dict[str, _Rule] = {
    "text": _Rule(_text, _DIGITS + _SMALL, one_form=_ONE_FORM),
    "identity": _Rule(_identity, _DIGITS + b"X", (18,)),
    "mobile": _Rule(_mobile, _DIGITS, (11,)),
    "code": _Rule(_signs, _DIGITS + _CAPITALS),
    "email": _Rule(lambda text: "".join(_text(text).split()), _DIGITS + _SMALL + b"@._-+"),
    "plate": _Rule(_signs, _DIGITS + _CAPITALS),
}


class Domain(Frozen):
    """A named purpose of keys and the writing of its values; ``exact`` takes values as they stand."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]
    writing: Writing = "exact"

    def normal(self, column: pa.Array) -> pa.Array:
        """Return the column of text with every value in the domain's one writing."""
        rule = _RULES.get(self.writing)
        if rule is None or len(column) == 0:
            return column
        rows = rule.left(column, np.flatnonzero(rule.others(Cells.of(column))))
        written = [rule.one(text) for text in column.take(pa.array(rows)).to_pylist()]
        return with_texts(rows, pa.array(written, pa.string()), column)


# How the values of each kind of the data map are written; of any other kind as they stand.
WRITINGS: dict[str, Writing] = {
    "resident_id": "identity",
    "residence_permit": "identity",
    "mobile": "mobile",
    "phone": "mobile",
    "bank_card": "code",
    "account_no": "code",
    "passport": "code",
    "travel_permit": "code",
    "uscc": "code",
    "owner_uscc": "code",
    "device_id": "code",
    "mac_address": "code",
    "plate": "plate",
    "email": "email",
    "person_name": "text",
    "address": "text",
}
