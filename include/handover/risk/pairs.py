"""Finds persons by two of name, birth date and address of one in the same row, as whole buffers at a time.

What ``persons`` looks up one by one is a join of arrays here: a row in which anybody's name stands costs
little until the other thing stands there as well. What is found is the same.
"""

from __future__ import annotations

import hmac
import re
import secrets
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from handover.risk.buffers import cells_at, plain
from handover.risk.persons import HEAD, LONGEST, TOKEN_BYTES, Person, word_starts
from handover.risk.searching import Hit
from handover.risk.things import LINE_END, Index, Texts, Things, is_ascii, sieve_of, signs_of
from handover.risk.windows import Polynomials

_NAME, _BIRTH, _ADDRESS = "name", "birth_date", "address"
_PAIRS = ((_NAME, _BIRTH), (_NAME, _ADDRESS), (_ADDRESS, _BIRTH))
_PIECE = 1 << 20
# So many combinations of things in the same rows are looked at together.
_TOGETHER = 1 << 20
_BREAK = re.compile(r"[\t\n]")
_DAY = re.compile(r"[0-9]{8}")
_HALF = np.uint64(32)
# As in ``persons``, but its first sign is one of two, so that most of a text is passed over at once.
_DATE = re.compile(
    r"((?:1[89]|20)(?<!\d..)\d\d)"
    r"(?:[-/.年 ]{1,2}(\d{1,2})[-/.月 ]{1,2}(\d{1,2})(?!\d)|(\d\d)(\d\d)(?!\d))"
)


def _odd() -> np.uint64:
    return np.uint64(secrets.randbits(64) | 1)


class Pairs:
    """A search over rows for persons: add them, then search. Its key lives as long as this object.

    Held of a person are keyed tokens of each two things, and keyed hashes for the sieves.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self.polynomials = Polynomials()
        self._mixers = {pair: (_odd(), _odd()) for pair in _PAIRS}
        self._texts = {kind: Texts(head) for kind, head in HEAD.items()}
        self._tokens = bytearray()
        self._whose: list[np.ndarray] = []
        self._hashes: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
        self._ascii = False
        self._count = 0
        self._sealed: Index | None = None

    def __len__(self) -> int:
        return self._count

    def add(self, persons: Sequence[Person]) -> None:
        """Take persons."""
        first, self._count, self._sealed = self._count, self._count + len(persons), None
        known: dict[str, tuple[np.ndarray, list[bytes]]] = {
            _NAME: self._learn(_NAME, [one.name for one in persons]),
            _ADDRESS: self._learn(_ADDRESS, [one.address for one in persons]),
            _BIRTH: self._births([one.born_on for one in persons]),
        }
        for pair in _PAIRS:
            (left, left_forms), (right, right_forms) = (known[kind] for kind in pair)
            both = [n for n, (a, b) in enumerate(zip(left_forms, right_forms, strict=True)) if a and b]
            self._hashes[pair].append(self.mixed(pair, left[both], right[both]))
            self._whose.append(np.array(both, np.int64) + first)
            for n in both:
                self._tokens += self.token(pair, left_forms[n], right_forms[n])

    def _learn(self, kind: str, values: Sequence[str | None]) -> tuple[np.ndarray, list[bytes]]:
        """Return the hash and the form of each value, the form empty where there is none to look for."""
        joined = "".join(_BREAK.sub(" ", value or "") + "\n" for value in values)
        text = plain(unicodedata.normalize("NFC", joined).encode()).decode("utf-8", "replace")
        signs, _ = signs_of(np.frombuffer(text.encode("utf-32-le"), np.uint32))
        ends = np.flatnonzero(signs == LINE_END)
        begins = np.concatenate((np.zeros(1, np.int64), ends + 1))[: len(values)]
        lengths, texts = ends - begins, self._texts[kind]
        good = (lengths >= texts.head) & (lengths <= LONGEST)
        sums = self.polynomials.sums(signs)
        hashes = np.zeros(len(values), np.uint64)
        hashes[good] = self.polynomials.of_windows(sums, begins[good], lengths[good])
        texts.heads.append(np.unique(self.polynomials.of_windows(sums, begins[good], texts.head)))
        for length in np.unique(lengths[good]).tolist():
            texts.hashes[length].append(np.unique(hashes[good & (lengths == length)]))
        forms = [
            signs[begin:end].tobytes() if yes else b""
            for begin, end, yes in zip(begins.tolist(), ends.tolist(), good.tolist(), strict=True)
        ]
        self._ascii = self._ascii or any(is_ascii(form) for form in forms if form)
        return hashes, forms

    def _births(self, values: Sequence[str | None]) -> tuple[np.ndarray, list[bytes]]:
        days = [(value or "").replace("-", "") for value in values]
        forms = [day.encode() if _DAY.fullmatch(day) else b"" for day in days]
        return np.array([int(form or 0) for form in forms], np.uint64), forms

    def mixed(self, pair: tuple[str, str], left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return one hash for each two things."""
        spread, other = self._mixers[pair]
        mixed: np.ndarray = (left ^ (left >> _HALF)) * spread + (right ^ (right >> _HALF)) * other
        mixed ^= mixed >> _HALF
        return mixed

    def token(self, pair: tuple[str, str], left: bytes, right: bytes) -> bytes:
        """Return the keyed token of two things."""
        form = b"%d %d %b%b" % (_PAIRS.index(pair), len(left), left, right)
        return hmac.digest(self._key, form, "sha256")[:TOKEN_BYTES]

    def __call__(self, rows: bytes) -> list[Hit]:
        """Return for each row with two things of one person a hit at every cell with a name or an address."""
        if not self._count:
            return []
        text = plain(rows)
        if text.isascii() and not self._ascii:
            return []
        hits: list[Hit] = []
        first = start = 0
        while start < len(text):
            # Whole rows, and few at a time: the arrays are many times as large as the text.
            end = text.find(b"\n", start + _PIECE) + 1 or len(text)
            piece = text[start:end]
            found = _Buffer(piece.decode("utf-8", "replace"), self, self._seal()).hits()
            hits += [Hit(first + hit.row, hit.column, hit.kind) for hit in found]
            first, start = first + piece.count(b"\n"), end
        return hits

    def _seal(self) -> Index:
        if self._sealed is None:
            tokens = np.frombuffer(bytes(self._tokens), np.dtype(">u8")).reshape(-1, 2)
            order = np.argsort(tokens[:, 0], kind="stable")
            self._sealed = Index(
                texts={kind: texts.sealed() for kind, texts in self._texts.items()},
                pairs={pair: sieve_of(self._hashes[pair]) for pair in _PAIRS},
                firsts=tokens[order, 0].astype(np.uint64),
                seconds=tokens[order, 1].astype(np.uint64),
                whose=np.concatenate([np.zeros(0, np.int64), *self._whose])[order],
            )
        return self._sealed


class _Buffer:
    """The things that stand in a buffer of rows, and the persons who have two of them."""

    def __init__(self, text: str, pairs: Pairs, index: Index) -> None:
        self._text, self._pairs, self._index = text, pairs, index
        self._points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        self._signs, self._places = signs_of(self._points)
        self._breaks = np.flatnonzero(self._signs == LINE_END)

    def hits(self) -> list[Hit]:
        """Return the hits, row by row."""
        sums = self._pairs.polynomials.sums(self._signs)
        starts = word_starts(self._signs, self._places)
        things = {kind: self._standing(kind, sums, starts) for kind in (_NAME, _ADDRESS)}
        if not any(len(one.rows) for one in things.values()):
            return []
        things[_BIRTH], days = self._dates()
        # By row and person: the things of theirs that are there.
        there: dict[tuple[int, int], set[tuple[str, int]]] = defaultdict(set)
        for pair in _PAIRS:
            left, right = (things[kind] for kind in pair)
            for one, other in self._together(pair, left, right):
                right_form = days[other] if pair[1] == _BIRTH else right.form(self._signs, other)
                token = self._pairs.token(pair, left.form(self._signs, one), right_form)
                for person in self._index.owners(token):
                    found = there[int(left.rows[one]), person]
                    found |= {(pair[0], int(left.hashes[one])), (pair[1], int(right.hashes[other]))}
        return self._told(things, there) if there else []

    def _standing(self, kind: str, sums: np.ndarray, starts: np.ndarray) -> Things:
        head, heads, lengths = self._index.texts[kind]
        hash_of, most = self._pairs.polynomials.of_windows, len(self._signs)
        starts = starts[starts + head <= most]
        starts = starts[heads.passes(hash_of(sums, starts, head))]
        begins, hashes = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
        for length, sieve in lengths.items():
            inside = starts[starts + length <= most]
            found = hash_of(sums, inside, length)
            passed = sieve.passes(found)
            begins.append(inside[passed])
            hashes.append(found[passed])
        sizes = np.repeat([0, *lengths], [len(one) for one in begins])
        begun = np.concatenate(begins)
        return Things(np.searchsorted(self._breaks, begun), np.concatenate(hashes), begun, sizes)

    def _dates(self) -> tuple[Things, list[bytes]]:
        days, places = [], []
        for match in _DATE.finditer(self._text):
            year, month, day, short_month, short_day = match.groups()
            days.append((year + (month or short_month).zfill(2) + (day or short_day).zfill(2)).encode())
            places.append(match.start())
        rows = np.searchsorted(self._places[self._breaks], np.array(places, np.int64))
        hashes = np.array([int(day) for day in days], np.uint64)
        return Things(rows, hashes, np.zeros(len(days), np.int64), np.zeros(len(days), np.int64)), days

    def _together(self, pair: tuple[str, str], left: Things, right: Things) -> Iterator[tuple[int, int]]:
        """Yield numbers of two things in one row that are probably one person's."""
        lefts, rights = left.different(), right.different()
        first = np.searchsorted(right.rows[rights], left.rows[lefts], "left")
        counts = np.searchsorted(right.rows[rights], left.rows[lefts], "right") - first
        part = np.cumsum(counts) // _TOGETHER
        for number in np.unique(part).tolist():
            mine = np.flatnonzero(part == number)
            many = counts[mine]
            ones = lefts[np.repeat(mine, many)]
            others = rights[np.arange(len(ones)) + np.repeat(first[mine] - np.cumsum(many) + many, many)]
            hashes = self._pairs.mixed(pair, left.hashes[ones], right.hashes[others])
            passed = self._index.pairs[pair].passes(hashes)
            yield from zip(ones[passed].tolist(), others[passed].tolist(), strict=True)

    def _told(
        self, things: dict[str, Things], there: dict[tuple[int, int], set[tuple[str, int]]]
    ) -> list[Hit]:
        """Return hits; a cell with things of several persons is told for the first of them."""
        wanted = np.array(sorted({row for row, _ in there}))
        cells: dict[tuple[int, str, int], list[tuple[int, int]]] = defaultdict(list)
        for turn, kind in enumerate((_NAME, _ADDRESS)):
            one = things[kind]
            at = np.flatnonzero(np.isin(one.rows, wanted))
            _, columns = cells_at(self._points, self._places[one.begins[at]])
            for number, column in zip(at.tolist(), columns.tolist(), strict=True):
                place = (turn * len(self._signs) + number, column)
                cells[int(one.rows[number]), kind, int(one.hashes[number])].append(place)
        ordered = []
        for (row, person), found in there.items():
            places = [place for kind, value in found for place in cells.get((row, kind, value), ())]
            label = " + ".join(sorted({kind for kind, _ in found}))
            ordered.append((row, min(places)[0], person, sorted({column for _, column in places}), label))
        hits: dict[tuple[int, int], Hit] = {}
        for row, _, _, columns_of, label in sorted(ordered):
            for column in columns_of:
                hits.setdefault((row, column), Hit(row, column, label))
        return list(hits.values())
