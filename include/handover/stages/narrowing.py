"""Narrowing: two streams of one table that differ are walked side by side, and rows and columns named.

Rows are matched by key, not by place, so that one missing row does not make all after it look changed.
Both streams are in the same order. So once two rows have met, whatever came before either of them and
still waits will never meet its like: it is missing, or too many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from handover.codec.rows import fields, surrogate
from handover.evidence.digest import token
from handover.model.plan import TablePlan

# After this many a person has seen enough of one group; the finding says that there are more.
MOST_DIFFERENCES = 50
# What may wait at once, in bytes; where more than this is missing in one place, only the place is named.
MOST_WAITING = 64 * 1024 * 1024
# However large rows are, so many may wait: two that were swapped, and their neighbours.
FEW = 4
# What Python needs for a waiting row beside its bytes.
_OVERHEAD = 500
Row = bytes
Key = tuple[bytes | None, ...]


@dataclass
class _Waiting:
    """Rows of one side that have not met their like yet, in the order of the stream."""

    said: str
    rows: dict[Key, list[Row]] = field(default_factory=dict)
    count: int = 0
    weight: int = 0

    def add(self, key: Key, row: Row) -> None:
        self.rows.setdefault(key, []).append(row)
        self._weigh([row], 1)

    def take(self, key: Key) -> Row:
        row = self.rows[key].pop()
        self._weigh([row], -1)
        if not self.rows[key]:
            del self.rows[key]
        return row

    def before(self, key: Key | None = None) -> Iterator[tuple[Key, int]]:
        """Take out what waits since before a key (default: everything), with how often each key came."""
        while self.rows and (first := next(iter(self.rows))) != key:
            rows = self.rows.pop(first)
            self._weigh(rows, -1)
            yield first, len(rows)

    def _weigh(self, rows: list[Row], sign: int) -> None:
        self.count += sign * len(rows)
        self.weight += sign * sum(len(row) + _OVERHEAD for row in rows)


@dataclass
class Narrowing:
    """What is known so far of two streams of one table; ``evidence_key`` makes the tokens."""

    table: TablePlan
    evidence_key: bytes
    expected: _Waiting = field(default_factory=lambda: _Waiting("is missing"))
    found: _Waiting = field(default_factory=lambda: _Waiting("is not in the backup"))
    counts: dict[str, int] = field(default_factory=dict)

    def lines(self, expected: Iterator[Row], found: Iterator[Row]) -> list[str]:
        """Walk both streams; returns a line for each difference, at most MOST_DIFFERENCES and one more."""
        while len(self.counts) <= MOST_DIFFERENCES and not self._too_many_wait():
            mine, theirs = next(expected, None), next(found, None)
            self._meet(mine, theirs)
            if mine is None and theirs is None:
                break
        told = [f"{line} {times} times" if times > 1 else line for line, times in self.counts.items()]
        if len(told) > MOST_DIFFERENCES:
            return [*told[:MOST_DIFFERENCES], f"{self.table.label}: and more"]
        if self._too_many_wait():
            first = next(iter([*self.expected.rows, *self.found.rows]))
            return [*told, f"{self.name(first)} and many rows from there on are missing or too many"]
        return told

    def _too_many_wait(self) -> bool:
        waiting = self.expected.count + self.found.count
        return waiting > FEW and self.expected.weight + self.found.weight > MOST_WAITING

    def _meet(self, mine: Row | None, theirs: Row | None) -> None:
        if mine is not None and mine == theirs:
            if self.expected.rows or self.found.rows:
                key = self._key(mine)  # an equal row that waits may still meet another one
                self._settle(self.expected, key)
                self._settle(self.found, key)
            return
        if mine is not None:
            self._put(mine, self.expected, self.found)
        if theirs is not None:
            self._put(theirs, self.found, self.expected)
        if theirs is None:  # nothing comes any more that could meet those that wait
            self._settle(self.expected)
        if mine is None:
            self._settle(self.found)

    def _put(self, row: Row, here: _Waiting, there: _Waiting) -> None:
        """Let a row meet a waiting one of the other side, or make it wait."""
        key = self._key(row)
        if key not in there.rows:
            here.add(key, row)
            return
        self._settle(here)
        self._settle(there, key)
        other = there.take(key)
        if other != row:
            self._count(f"{self.name(key)} differs in {', '.join(self._columns(row, other))}")

    def _settle(self, side: _Waiting, key: Key | None = None) -> None:
        for gone, times in side.before(key):
            self._count(f"{self.name(gone)} {side.said}", times)

    def _count(self, line: str, times: int = 1) -> None:
        self.counts[line] = self.counts.get(line, 0) + times

    @cached_property
    def _places(self) -> list[int]:
        """Where the key's columns are in a row; none when there is no key, or a part of it is generated."""
        places = [self.table.columns.index(c.name) for c in self.table.key if c.name in self.table.columns]
        return places if len(places) == len(self.table.key) else []

    def _key(self, row: Row) -> Key:
        """Return the key fields; the whole row where there is no key to go by."""
        if not self._places:
            return (row,)
        parts = fields(row, self.table.format)
        return tuple(parts[place] for place in self._places)

    def _columns(self, one: Row, other: Row) -> list[str]:
        left, right = fields(one, self.table.format), fields(other, self.table.format)
        return [c for c, a, b in zip(self.table.columns, left, right, strict=True) if a != b]

    def name(self, key: Key) -> str:
        """Name a row: by its key where that is a bare number or uuid, else by a keyed token."""
        parts = [part or b"" for part in key]
        if not self._places:
            return f"{self.table.label}: row {token(self.evidence_key, *parts)}"
        shown = [
            "NULL" if part is None else surrogate(part, c.type, self.table.format)
            for part, c in zip(key, self.table.key, strict=True)
        ]
        if None in shown:
            names = ", ".join(c.name for c in self.table.key)
            return f"{self.table.label}: row with ({names}) = token {token(self.evidence_key, *parts)}"
        pairs = ", ".join(f"{c.name} = {text}" for c, text in zip(self.table.key, shown, strict=True))
        return f"{self.table.label}: row with {pairs}"
