"""Finds persons by what is ambiguous alone: two of name, birth date and address of one in the same row.

Names and addresses are looked for at every place of a row's text, also inside words, with spaces and
punctuation left out; birth dates in the usual writings. A name that many share is no hit without the rest.
"""

from __future__ import annotations

import hmac
import re
import secrets
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from handover.risk.buffers import cells_at, plain
from handover.risk.searching import Hit
from handover.risk.windows import Polynomials, Sieve

TOKEN_BYTES = 16
# Signs by which a search starts, and so the fewest of a value: less would stand in any text.
HEAD = {"name": 2, "address": 6}
LONGEST = 80
_TAB, _LINE_END = 9, 10
_DATE = re.compile(
    r"(?<!\d)((?:18|19|20)\d\d)(?:[-/.年 ]{1,2}(\d{1,2})[-/.月 ]{1,2}(\d{1,2})(?!\d)|(\d\d)(\d\d)(?!\d))"
)


@dataclass(frozen=True)
class Person:
    """What is known of one person; None where it is not."""

    name: str | None
    born_on: str | None  # as in 1985-06-12
    address: str | None


@dataclass
class _Texts:
    """The names, or the addresses, of all persons: sieves for candidates, tokens with whose they are."""

    head: int
    polynomials: Polynomials = field(default_factory=Polynomials)
    owners: dict[bytes, list[int]] = field(default_factory=dict)
    lengths: dict[int, Sieve] = field(default_factory=dict)
    heads: Sieve | None = None

    def seal(self, by_length: dict[int, list[np.ndarray]]) -> None:
        heads = []
        for length, values in sorted(by_length.items()):
            signs = np.stack(values)
            self.lengths[length] = Sieve(self.polynomials.of_values(signs))
            heads.append(self.polynomials.of_values(signs[:, : self.head]))
        self.heads = Sieve(np.concatenate(heads)) if heads else None

    def candidates(self, signs: np.ndarray, starts: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield start and length of what is probably one of the values."""
        if self.heads is None:
            return
        sums = self.polynomials.sums(signs)
        starts = starts[starts + self.head <= len(signs)]
        starts = starts[self.heads.passes(self.polynomials.of_windows(sums, starts, self.head))]
        for length, sieve in self.lengths.items():
            begins = starts[starts + length <= len(signs)]
            passed = begins[sieve.passes(self.polynomials.of_windows(sums, begins, length))]
            yield from ((start, length) for start in passed.tolist())


class Persons:
    """A search over rows for persons; the key of its tokens lives as long as this object."""

    def __init__(self, persons: Iterable[Person], key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._births: list[bytes | None] = []
        self._texts = {kind: _Texts(head) for kind, head in HEAD.items()}
        waiting: dict[str, dict[int, list[np.ndarray]]] = {kind: defaultdict(list) for kind in HEAD}
        for number, person in enumerate(persons):
            self._births.append(
                self._token(person.born_on.replace("-", "").encode()) if person.born_on else None
            )
            for kind, value in (("name", person.name), ("address", person.address)):
                signs = letters_of(_points(value))[0] if value else np.zeros(0, np.uint32)
                if self._texts[kind].head <= len(signs) <= LONGEST:
                    owners = self._texts[kind].owners.setdefault(self._token(signs.tobytes()), [])
                    if not owners:
                        waiting[kind][len(signs)].append(signs)
                    owners.append(number)
        for kind, by_length in waiting.items():
            self._texts[kind].seal(by_length)

    def __call__(self, rows: bytes) -> list[Hit]:
        """Return for each row with two things of one person a hit at every cell with a name or an address."""
        text = plain(rows).decode("utf-8", "replace")
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        signs, places = letters_of(points, breaks=True)
        starts = word_starts(signs, places)
        found = [
            (int(places[start]), kind, owners)
            for kind, texts in self._texts.items()
            for start, length in texts.candidates(signs, starts)
            if (owners := texts.owners.get(self._token(signs[start : start + length].tobytes())))
        ]
        if not found:
            return []
        at_rows, at_columns = cells_at(points, np.array([place for place, _, _ in found], np.int64))
        by_row: dict[int, list[tuple[int, str, list[int]]]] = defaultdict(list)
        for row, column, (_, kind, owners) in zip(at_rows.tolist(), at_columns.tolist(), found, strict=True):
            by_row[row].append((column, kind, owners))
        lines = text.split("\n")
        return [hit for row, seen in sorted(by_row.items()) for hit in self._together(row, seen, lines[row])]

    def _together(self, row: int, seen: list[tuple[int, str, list[int]]], line: str) -> list[Hit]:
        """Return hits for all persons who have two of the three in the row, one for each cell."""
        kinds: dict[int, set[str]] = defaultdict(set)
        columns: dict[int, set[int]] = defaultdict(set)
        for column, kind, owners in seen:
            for person in owners:
                kinds[person].add(kind)
                columns[person].add(column)
        dates = {self._token("".join(parts).encode()) for parts in _dates_in(line)}
        hits: dict[int, Hit] = {}
        for person, known in kinds.items():
            birth = self._births[person]
            if birth is not None and birth in dates:
                known.add("birth_date")
            for column in sorted(columns[person]) if len(known) > 1 else ():
                hits.setdefault(column, Hit(row, column, " + ".join(sorted(known))))
        return list(hits.values())

    def _token(self, form: bytes) -> bytes:
        return hmac.digest(self._key, form, "sha256")[:TOKEN_BYTES]


def _points(value: str) -> np.ndarray:
    text = plain(unicodedata.normalize("NFC", value).encode()).decode("utf-8", "replace")
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def letters_of(points: np.ndarray, breaks: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return letters and digits in lower case, and where each stood; ``breaks`` keeps tabs and line ends."""
    lower = np.where((points >= 65) & (points <= 90), points + np.uint32(32), points)
    ascii_ = ((lower >= 48) & (lower <= 57)) | ((lower >= 97) & (lower <= 122))
    punctuation = ((lower >= 0x2000) & (lower < 0x3040)) | ((lower >= 0xFE00) & (lower <= 0xFFFF))
    kept = ascii_ | ((lower >= 0xC0) & ~punctuation)
    if breaks:
        kept |= (lower == _TAB) | (lower == _LINE_END)
    places = np.flatnonzero(kept)
    return lower[places], places


def word_starts(signs: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return where a value may start: at any sign of a script without spaces, else where a word does."""
    wide = signs > 0x2FF
    before = np.ones(len(signs), bool)
    before[1:] = wide[:-1] | (signs[:-1] <= _LINE_END) | (places[1:] != places[:-1] + 1)
    return np.flatnonzero(wide | before)


def _dates_in(line: str) -> Iterator[tuple[str, str, str]]:
    for year, month, day, short_month, short_day in _DATE.findall(line):
        yield year, (month or short_month).zfill(2), (day or short_day).zfill(2)
