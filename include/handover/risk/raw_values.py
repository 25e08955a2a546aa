"""Raw values of persons held as keyed tokens: they can be recognised, and neither listed nor stored.

A value is brought to one form first, so that a number with +86 or in full-width digits is the same. What is
too short or too formless to stand for one person alone cannot be searched for; it is counted and said.
"""

from __future__ import annotations

import hmac
import re
import secrets
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from handover.risk.windows import Polynomials, Sieve

TOKEN_BYTES = 16
# Kinds of which a value is one person's, or one company's.
KINDS = (
    *("resident_id", "residence_permit", "bank_card", "mobile", "email", "uscc", "owner_uscc", "phone"),
    *("account_no", "passport", "travel_permit", "plate", "device_id"),
)
_DIALLED_KINDS = ("mobile", "phone")
# Shorter numbers occur by chance; a longer one has no kind.
SHORTEST_NUMBER, LONGEST_NUMBER = 11, 19
SHORTEST_WORD, LONGEST_WORD = 12, 24
# A shorter word has to be a letter and as many digits as a passport's at the least.
SHORTEST_LETTERED, FEWEST_DIGITS = 8, 7
MOBILE_DIGITS = 11
_EMAIL = re.compile(r"[a-z0-9._%+'-]{1,64}@[a-z0-9\u0080-\U0010ffff.-]{1,250}")
_NUMBER = re.compile(rf"\d{{{SHORTEST_NUMBER},{LONGEST_NUMBER}}}|\d{{17}}X")
_WORD = re.compile(
    rf"(?=.*\d)[0-9A-Z]{{{SHORTEST_WORD},{LONGEST_WORD}}}"
    rf"|(?=.*[A-Z])(?=(?:.*\d){{{FEWEST_DIGITS}}})[0-9A-Z]{{{SHORTEST_LETTERED},{SHORTEST_WORD - 1}}}"
)
_DIALLED = re.compile(rf"(?:0086|86|0)(1\d{{{MOBILE_DIGITS - 1}}})")
_NO_SIGN = re.compile(r"[^0-9A-Za-z]")


def canonical(kind: str, value: str) -> bytes | None:
    """Return the form in which a value is recognised, or None when it cannot be."""
    text = value if value.isascii() else unicodedata.normalize("NFKC", value)
    if kind == "email":
        text = text.strip().lower()
        return text.encode() if _EMAIL.fullmatch(text) else None
    text = _NO_SIGN.sub("", text).upper()
    if kind in _DIALLED_KINDS and (dialled := _DIALLED.fullmatch(text)):
        text = dialled[1]
    return text.encode() if _NUMBER.fullmatch(text) or _WORD.fullmatch(text) else None


class RawValues:
    """The values of a search: add them, then ask for tokens. The key lives as long as this object.

    ``part``: the values are dealt out by their tokens, and this object keeps those of its number of so many.
    """

    def __init__(self, key: bytes | None = None, part: tuple[int, int] = (0, 1)) -> None:
        self._key = key or secrets.token_bytes(32)
        self._part = part
        self.polynomials = Polynomials()
        self.unsearchable: Counter[str] = Counter()
        self.lengths: set[int] = set()  # of numbers
        self.word_lengths: set[int] = set()
        self.emails = False
        self._joined = bytearray()
        self._kinds = bytearray()
        self._hashes: list[np.ndarray] = []
        self._sealed: tuple[np.ndarray, np.ndarray, np.ndarray, Sieve] | None = None

    def add(self, kind: str, values: Iterable[str | None]) -> None:
        """Take values of a kind; NULL and empty ones are none."""
        place = KINDS.index(kind)
        by_length: dict[int, list[bytes]] = {}
        for value in values:
            form = canonical(kind, value) if value else None
            if form is None:
                self.unsearchable[kind] += bool(value)
                continue
            token = self.token(form)
            if token[-1] % self._part[1] != self._part[0]:
                continue
            self._joined += token
            self._kinds.append(place)
            if kind == "email":
                self.emails = True
                continue
            self._learn_length(form)
            signs = form.removesuffix(b"X") if len(form) == 18 and form[:17].isdigit() else form
            by_length.setdefault(len(signs), []).append(signs)
        for length, forms in by_length.items():
            table = np.frombuffer(b"".join(forms), np.uint8).reshape(-1, length)
            self._hashes.append(self.polynomials.of_values(table))
        self._sealed = None

    def _learn_length(self, form: bytes) -> None:
        if _NUMBER.fullmatch(form.decode()):
            self.lengths.add(len(form) - form.endswith(b"X"))
        else:
            self.word_lengths.add(len(form))

    def token(self, form: bytes) -> bytes:
        """Return the keyed token of a canonical form."""
        return hmac.digest(self._key, form, "sha256")[:TOKEN_BYTES]

    def kinds_of(self, forms: Sequence[bytes]) -> list[str | None]:
        """Return the kind of each form that is one of the values, else None."""
        firsts, seconds, kinds, _ = self._seal()
        if not forms or not len(firsts):
            return [None] * len(forms)
        asked = np.frombuffer(b"".join(map(self.token, forms)), np.dtype(">u8")).reshape(-1, 2)
        # Two of a billion tokens with the same first half are all but impossible; the second half confirms.
        place = np.minimum(np.searchsorted(firsts, asked[:, 0]), len(firsts) - 1)
        same = (firsts[place] == asked[:, 0]) & (seconds[place] == asked[:, 1])
        return [KINDS[kinds[at]] if yes else None for at, yes in zip(place, same, strict=True)]

    @property
    def counts(self) -> dict[str, int]:
        """Return how many different values of each kind there are."""
        found = np.bincount(self._seal()[2], minlength=len(KINDS))
        return {kind: int(count) for kind, count in zip(KINDS, found, strict=True) if count}

    @property
    def sieve(self) -> Sieve:
        """Return the first sieve for candidates."""
        return self._seal()[3]

    def _seal(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, Sieve]:
        if self._sealed is None:
            tokens = np.frombuffer(bytes(self._joined), np.dtype(">u8")).reshape(-1, 2)
            # Many rows may hold one value: it is kept once.
            _, order = np.unique(tokens[:, 0], return_index=True)
            sieve = Sieve(np.concatenate([np.zeros(0, np.uint64), *self._hashes]))
            kinds = np.frombuffer(bytes(self._kinds), np.uint8)[order]
            self._sealed = tokens[order, 0].astype("u8"), tokens[order, 1].astype("u8"), kinds, sieve
        return self._sealed
