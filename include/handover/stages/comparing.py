"""Comparing: a database is read back in the order of the backup and every chunk's digest compared.

Where chunks differ, both streams are read again side by side and the rows, keys and columns named. Rows
are matched by key, not by place, so that one missing row does not make all after it look changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property

from psycopg import sql

from handover.codec.rows import fields, split_rows, surrogate
from handover.errors import DataRefused
from handover.evidence.digest import token
from handover.evidence.progress import Meter
from handover.model.backup import BackupIndex, ViewReceipt
from handover.model.plan import Group, TablePlan
from handover.postgres.catalog import read_sequences
from handover.postgres.copying import cut_by_size, read_rows, take
from handover.postgres.objects import read_large_objects, view_definition, view_rows
from handover.postgres.ordering import ends, ordered_rows
from handover.postgres.session import connect, database_errors, fetch, qualified
from handover.stages.context import Context
from handover.stages.definitions import compare_definitions
from handover.stages.loading import Destination, read_chunk, read_descriptions
from handover.stages.rolling import rolling_digest

# After this many a person has seen enough of one group; the finding says that there are more.
MOST_DIFFERENCES = 50
Row = bytes


def compare_group(
    context: Context,
    index: BackupIndex,
    destination: Destination,
    group: Group,
    progress: Meter | None = None,
) -> list[str]:
    """Read one group back; returns a line for each difference, none when all digests agree."""
    table = index.plan.table(group.table)
    matches = True
    with (
        database_errors(f"{destination.step}: reading {table.label} back"),
        closing(connect(destination.url, read_only=True)) as connection,
    ):
        stream = iter(read_rows(connection, _query(index, table, group), table.format))
        for receipt in index.of(group):
            context.honour_stop()
            found = take(stream, receipt.rows)
            matches = found.rows == receipt.rows and context.digest(found.digest) == receipt.digest
            if not matches:
                break
            if progress:
                progress.add(receipt.rows, receipt.bytes)
        if matches and take(stream, 1).rows == 0:
            return []
    return _narrow(context, index, destination, group)


def _query(index: BackupIndex, table: TablePlan, group: Group) -> sql.Composable:
    bounds = [tuple(bound) for bound in index.bounds.get(table.label, ())]
    return ordered_rows(table, *ends(bounds, group.number))


@dataclass
class _Sides:
    """Rows of either side that have not met their like yet, by key."""

    table: TablePlan
    evidence_key: bytes
    expected: dict[tuple[bytes, ...], list[Row]] = field(default_factory=lambda: defaultdict(list))
    found: dict[tuple[bytes, ...], list[Row]] = field(default_factory=lambda: defaultdict(list))
    lines: list[str] = field(default_factory=list)
    waiting: int = 0

    @cached_property
    def places(self) -> list[int]:
        """Where the key's columns are in a row; none when there is no key, or a part of it is generated."""
        places = [self.table.columns.index(c.name) for c in self.table.key if c.name in self.table.columns]
        return places if len(places) == len(self.table.key) else []

    def key(self, row: Row) -> tuple[bytes, ...]:
        """Return the key fields; the whole row where there is no key to go by."""
        if not self.places:
            return (row,)
        parts = fields(row, self.table.format)
        return tuple(parts[place] or b"" for place in self.places)

    def put(self, row: Row, *, expected: bool) -> None:
        """Let a row meet a waiting one of the other side, or make it wait."""
        here, there = (self.expected, self.found) if expected else (self.found, self.expected)
        key = self.key(row)
        if key not in there:
            here[key].append(row)
            self.waiting += 1
            return
        self.waiting -= 1
        other = there[key].pop()
        if not there[key]:
            del there[key]
        if other != row:
            self.lines.append(f"{self.name(key)} differs in {', '.join(self._columns(row, other))}")

    def _columns(self, one: Row, other: Row) -> list[str]:
        left, right = fields(one, self.table.format), fields(other, self.table.format)
        return [c for c, a, b in zip(self.table.columns, left, right, strict=True) if a != b]

    def name(self, key: tuple[bytes, ...]) -> str:
        """Name a row: by its key where that is a bare number or uuid, else by a keyed token."""
        if not self.places:
            return f"{self.table.label}: row {token(self.evidence_key, *key)}"
        shown = [
            surrogate(part, c.type, self.table.format) for part, c in zip(key, self.table.key, strict=True)
        ]
        if None in shown:
            names = ", ".join(c.name for c in self.table.key)
            return f"{self.table.label}: row with ({names}) = token {token(self.evidence_key, *key)}"
        pairs = ", ".join(f"{c.name} = {text}" for c, text in zip(self.table.key, shown, strict=True))
        return f"{self.table.label}: row with {pairs}"

    def leftovers(self) -> list[str]:
        """Name what never met its like."""
        missing = [f"{self.name(k)} is missing" for k, rows in self.expected.items() for _ in rows]
        extra = [f"{self.name(k)} is not in the backup" for k, rows in self.found.items() for _ in rows]
        return missing + extra


def _narrow(context: Context, index: BackupIndex, destination: Destination, group: Group) -> list[str]:
    """Walk both streams side by side and name what differs."""
    table = index.plan.table(group.table)
    sides = _Sides(table, context.evidence_key)
    with (
        database_errors(f"{destination.step}: narrowing a difference in {table.label}"),
        closing(connect(destination.url, read_only=True)) as connection,
    ):
        theirs = iter(read_rows(connection, _query(index, table, group), table.format))
        ours = _expected_rows(context, index, group, table)
        while len(sides.lines) + sides.waiting <= MOST_DIFFERENCES:
            expected, found = next(ours, None), next(theirs, None)
            if expected is None and found is None:
                break
            if expected is not None and found is not None and expected == bytes(found):
                continue
            if expected is not None:
                sides.put(expected, expected=True)
            if found is not None:
                sides.put(bytes(found), expected=False)
        else:
            some = [*sides.lines, *sides.leftovers()][:MOST_DIFFERENCES]
            return [*some, f"{table.label}: and more"]
    lines = [*sides.lines, *sides.leftovers()]
    return lines or [
        f"{table.label}: differed when first read and not when read again; something writes to it"
    ]


def _expected_rows(context: Context, index: BackupIndex, group: Group, table: TablePlan) -> Iterator[Row]:
    for receipt in index.of(group):
        yield from split_rows(read_chunk(context, index, receipt), table.format)


def compare_objects(context: Context, index: BackupIndex, destination: Destination) -> list[str]:
    """Compare everything that is not rows of tables: definitions, sequences, views, extensions."""
    return [
        *compare_definitions(context, index, destination.url),
        *_compare_sequences(context, index, destination),
        *_compare_views(context, index, destination),
        *_compare_large_objects(context, index, destination),
        *_compare_extensions(index, destination),
    ]


def _compare_sequences(context: Context, index: BackupIndex, destination: Destination) -> list[str]:
    with database_errors("reading sequences back"), closing(connect(destination.url)) as connection:
        found = set(read_sequences(connection, context.case.source.schemas))
    return [
        f"sequence {s.schema_name}.{s.name} does not stand where the source's stood"
        for s in index.state.sequences
        if s not in found
    ]


def _compare_views(context: Context, index: BackupIndex, destination: Destination) -> list[str]:
    lines = []
    for view in index.state.views:
        if not view.populated:
            continue
        try:
            equal = _view_is_right(context, destination, view)
        except DataRefused as refused:
            lines.append(refused.message)
            continue
        if not equal:
            lines.append(f"materialised view {view.schema_name}.{view.name} holds other rows")
    return lines


def _view_is_right(context: Context, destination: Destination, view: ViewReceipt) -> bool:
    """Compare a view's rows with the backup, or over other views with what its definition gives there."""
    name = qualified(view.schema_name, view.name)
    with (
        database_errors(f"reading {view.schema_name}.{view.name} back"),
        closing(connect(destination.url, read_only=True)) as connection,
    ):
        rows, digest = rolling_digest(cut_by_size(read_rows(connection, view_rows(name), "text")))
        if view.digest:
            return (rows, context.digest(digest)) == (view.rows, view.digest)
        query = view_rows(view_definition(connection, view.schema_name, view.name))
        return (rows, digest) == rolling_digest(cut_by_size(read_rows(connection, query, "text")))


def _compare_large_objects(context: Context, index: BackupIndex, destination: Destination) -> list[str]:
    """Compare comments and grants; the bytes are compared as chunks."""
    with database_errors("reading large objects back"), closing(connect(destination.url)) as connection:
        found = {item.oid: item for item in read_large_objects(connection)}
    return [
        f"large object {item.oid} has another comment or other grants"
        for item in read_descriptions(context, index)
        if found.get(item.oid) != item
    ]


def _compare_extensions(index: BackupIndex, destination: Destination) -> list[str]:
    with closing(connect(destination.url)) as connection:
        found = {str(name) for (name,) in fetch(connection, "SELECT extname FROM pg_extension")}
    return [f"extension {e.name} is missing" for e in index.state.extensions if e.name not in found]
