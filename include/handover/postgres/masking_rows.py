"""Masks rows where they lie: those that still equal their backup to the last byte, and no others.

Chunk by chunk, raw rows and what is to become of them are laid out beside the table, in the caller's
transaction. Rows are found by their key, without one as an exact multiset of whole rows. They are locked,
compared, updated, and read again after every trigger has had its say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from psycopg import sql

from handover.errors import DataRefused
from handover.model.catalog import KeyColumn
from handover.model.plan import TablePlan
from handover.postgres.copying import copy_into, read_rows
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, fetch, qualified

# What is laid out: rows as backed up and masked, each with its place in the chunk; and for such places where
# in the table their rows were found, first and after they were updated.
_ROWS = ("raw", "masked")
_SPOTS = ("found", "again")
_BESIDE = {name: sql.Identifier("pg_temp", f"handover_{name}") for name in (*_ROWS, *_SPOTS)}
_PLACE_NAME = "handover_place"
_PLACE = sql.Identifier(_PLACE_NAME)
# More rows than these nobody wants to see named.
_FEW = 200


@dataclass(frozen=True)
class Applied:
    """What became of a chunk's rows that were to be masked: ``differing`` and ``gone`` ones stay as they are.

    ``changed``: by column, in how many of the masked rows a trigger of the table set another value.
    ``digest``: SHA-256 of the masked rows as they stand, without those columns.
    """

    masked: int
    differing: int
    gone: int
    changed: dict[str, int]
    digest: bytes


@dataclass(frozen=True)
class Seen:
    """How many rows there should be, how many of them are there as they should, and those rows' SHA-256."""

    expected: int
    there: int
    digest: bytes


@dataclass(frozen=True)
class RowsHere:
    """Rows of one table in one open transaction; ``condition`` says of alias ``t`` which are to be masked."""

    connection: Connection
    table: TablePlan
    condition: sql.Composable

    @property
    def has_key(self) -> bool:
        """Say whether rows are found by a key; one with a generated part is in no backup."""
        names = {column.name for column in self.table.key}
        return bool(names) and names <= set(self.table.columns)

    def lay_out(self, chunks: Iterable[bytes], mask: Callable[[bytes], bytes]) -> None:
        """Load chunks of a backup, in COPY text, and beside them what ``mask`` makes of their rows."""
        for name in _ROWS:
            self._do(
                "CREATE TEMPORARY TABLE {bare} (LIKE {like} INCLUDING GENERATED, {place} bigint)"
                " ON COMMIT DROP",
                bare=sql.Identifier(f"handover_{name}"),
                like=qualified(self.table.schema_name, self.table.name),
            )
        spots = "CREATE TEMPORARY TABLE {bare} ({place} bigint, part oid, spot tid, same bool) ON COMMIT DROP"
        for name in _SPOTS:
            self._do(spots, bare=sql.Identifier(f"handover_{name}"))
        after = 0
        for chunk in chunks:
            rows = _split(chunk)
            self._load("raw", rows, range(after, after + len(rows)))
            places = self._places_of_class(after)
            mine = b"".join(rows[place - after] for place in places)
            if mine:
                self._load("masked", _split(mask(mine)), places)
            after += len(rows)
        for name in _ROWS:
            self._do("ANALYZE {beside}", beside=_BESIDE[name])

    def _load(self, name: str, rows: Sequence[bytes], places: Sequence[int]) -> None:
        data = b"".join(b"%d\t%b" % pair for pair in zip(places, rows, strict=True))
        copy_into(self.connection, _BESIDE[name], (_PLACE_NAME, *self.table.columns), "text", data)

    def _places_of_class(self, start: int) -> list[int]:
        query = self._made(
            "SELECT t.{place} FROM {raw} AS t WHERE ({condition}) AND t.{place} >= {start}"
            " ORDER BY t.{place}",
            start=sql.Literal(start),
        )
        return [cast(int, place) for (place,) in fetch(self.connection, query)]

    def apply(self) -> Applied:
        """Mask the rows that still equal their backup; DataRefused when pseudonyms do not stay in them.

        Afterwards ``unlike`` and ``present`` give the rows that stayed, as backed up and as they are.
        """
        self._find(self._raw_of_class(), self.table.columns, lock=True)
        masked, differing = self._counts()
        wanted = self._count(self._raw_of_class())
        changed: dict[str, int] = {}
        if masked:
            self._update()
            changed = self._changed(masked)
        digest = self._digest("again", self._without(changed))
        return Applied(masked, differing, wanted - masked - differing, changed, digest)

    def look(self, *, masked: bool, without: Iterable[str] = ()) -> Seen:
        """Compare the table with what was laid out: with pseudonyms, or of the other classes as backed up.

        Columns in ``without`` are not looked at. Afterwards ``unlike`` and ``present`` name differences.
        """
        expected = _BESIDE["masked"] if masked else self._raw_of_others()
        columns = self._without(without)
        self._find(expected, columns, lock=False)
        there, _ = self._counts()
        return Seen(self._count(expected), there, self._digest("found", columns))

    def unlike(self, *, masked: bool | None = None, without: Iterable[str] = ()) -> list[bytes]:
        """Return the first expected rows that were not found as they should be; ``masked`` as in ``look``."""
        rows = {None: self._raw_of_class(), True: _BESIDE["masked"], False: self._raw_of_others()}
        query = self._made(
            "SELECT {columns} FROM {expected} AS t WHERE t.{place} NOT IN"
            " (SELECT f.{place} FROM {found} AS f WHERE f.same) ORDER BY t.{place} LIMIT {few}",
            columns=_listed(self._without(without), "t"),
            expected=rows[masked],
        )
        return [bytes(row) for row in read_rows(self.connection, query, "text")]

    def present(self, without: Iterable[str] = ()) -> list[bytes]:
        """Return the first rows of the table that have the key of an expected row, and differ from it."""
        query = self._made(
            "SELECT {columns} FROM {table} AS t JOIN {found} AS f"
            " ON (t.tableoid, t.ctid) = (f.part, f.spot) WHERE NOT f.same ORDER BY f.{place} LIMIT {few}",
            columns=_listed(self._without(without), "t"),
        )
        return [bytes(row) for row in read_rows(self.connection, query, "text")]

    def _raw_of_class(self) -> sql.Composable:
        return self._made("(SELECT t.* FROM {raw} AS t WHERE {condition})")

    def _raw_of_others(self) -> sql.Composable:
        return self._made("(SELECT t.* FROM {raw} AS t WHERE ({condition}) IS NOT TRUE)")

    def _find(self, expected: sql.Composable, columns: tuple[str, ...], *, lock: bool) -> None:
        """Find each expected row in the table, and whether it is the same in some columns."""
        self._do("TRUNCATE {found}")
        if self.has_key:
            query = (
                "INSERT INTO {found} SELECT e.{place}, t.tableoid, t.ctid, {mine} = {theirs}"
                " FROM {expected} AS e JOIN {table} AS t ON {same_key} {lock}"
            )
        else:
            # Which of several equal rows is taken must stay the same until it is updated.
            if lock:
                self._do("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            query = (
                "INSERT INTO {found} SELECT o.{place}, h.part, h.spot, true FROM"
                " (SELECT e.{place}, {mine} AS body, row_number() OVER (PARTITION BY {mine}) AS copy"
                " FROM {expected} AS e) AS o JOIN (SELECT t.tableoid AS part, t.ctid AS spot,"
                " {theirs} AS body, row_number() OVER (PARTITION BY {theirs}) AS copy FROM {table} AS t"
                " WHERE {theirs} IN (SELECT {mine} FROM {expected} AS e)) AS h USING (body, copy)"
            )
        self._do(
            query,
            expected=expected,
            same_key=self._same_key("e"),
            mine=_text(columns, "e"),
            theirs=_text(columns, "t"),
            lock=sql.SQL("FOR UPDATE OF t" if lock else ""),
        )
        self._do("ANALYZE {found}")

    def _update(self) -> None:
        """Give the found rows their pseudonyms, let every trigger act, and find them again."""
        values = sql.SQL(", ").join(
            sql.SQL("{0} = m.{0}").format(sql.Identifier(one.column)) for one in self.table.masked_here
        )
        self._do(
            "WITH done AS (UPDATE {table} AS t SET {values} FROM {found} AS f JOIN {masked} AS m"
            " USING ({place}) WHERE (t.tableoid, t.ctid) = (f.part, f.spot) AND f.same"
            " RETURNING m.{place}, t.tableoid, t.ctid) INSERT INTO {again} SELECT * FROM done",
            values=values,
        )
        self._do("SET CONSTRAINTS ALL IMMEDIATE")
        if self.has_key:  # a trigger may have updated the row once more, so that it lies elsewhere now
            self._do("TRUNCATE {again}")
            self._do(
                "INSERT INTO {again} SELECT m.{place}, t.tableoid, t.ctid FROM {masked} AS m"
                " JOIN {found} AS f USING ({place}) JOIN {table} AS t ON {same_key} WHERE f.same",
                same_key=self._same_key("m"),
            )
        self._do("ANALYZE {again}")

    def _changed(self, masked: int) -> dict[str, int]:
        """Read the updated rows again; returns how often each column is not as it was set."""
        found, unlike = self._unlike_again([self.table.columns])
        changed: dict[str, int] = {}
        if unlike:
            _, *counts = self._unlike_again([(name,) for name in self.table.columns])
            changed = {name: count for name, count in zip(self.table.columns, counts, strict=True) if count}
        undone = sorted(changed.keys() & {one.column for one in self.table.masked_here})
        if found != masked or undone:
            raise DataRefused(
                f"{self.table.label}: of {masked} rows {found} were found again with their pseudonyms"
                + (f", other values in {', '.join(undone)}" if undone else ""),
                hint="a trigger or rule of the table undoes the update; disable it, then clear the task",
            )
        return changed

    def _unlike_again(self, some: Iterable[tuple[str, ...]]) -> tuple[int, ...]:
        """Count the updated rows, and those in which such columns are not as they were set."""
        tests = sql.SQL(", ").join(
            sql.SQL("count(*) FILTER (WHERE {} <> {})").format(_text(names, "t"), _text(names, "m"))
            for names in some
        )
        query = self._made(
            "SELECT count(*), {tests} FROM {again} AS a JOIN {masked} AS m USING ({place})"
            " JOIN {table} AS t ON (t.tableoid, t.ctid) = (a.part, a.spot)",
            tests=tests,
        )
        return cast(tuple[int, ...], fetch(self.connection, query)[0])

    def _digest(self, places: str, columns: tuple[str, ...]) -> bytes:
        """Return the SHA-256 of the rows at some places, in the order of the backup."""
        digest = hashlib.sha256()
        query = self._made(
            "SELECT {columns} FROM {places} AS f JOIN {table} AS t"
            " ON (t.tableoid, t.ctid) = (f.part, f.spot) WHERE f.same IS NOT FALSE ORDER BY f.{place}",
            columns=_listed(columns, "t"),
            places=_BESIDE[places],
        )
        for row in read_rows(self.connection, query, "text"):
            digest.update(row)
        return digest.digest()

    def _counts(self) -> tuple[int, int]:
        counts = "SELECT count(*) FILTER (WHERE same), count(*) FILTER (WHERE NOT same) FROM {found}"
        query = self._made(counts)
        return cast(tuple[int, int], fetch(self.connection, query)[0])

    def _count(self, rows: sql.Composable) -> int:
        return cast(
            int, fetch(self.connection, self._made("SELECT count(*) FROM {rows} AS e", rows=rows))[0][0]
        )

    def _without(self, names: Iterable[str]) -> tuple[str, ...]:
        left_out = set(names)
        return tuple(name for name in self.table.columns if name not in left_out)

    def _same_key(self, alias: str) -> sql.Composable:
        return sql.SQL(" AND ").join(_equal(column, alias) for column in self.table.key)

    def _made(self, query: str, **parts: sql.Composable) -> sql.Composed:
        known = {"table": rows_of(self.table), "condition": self.condition, "place": _PLACE}
        known["few"] = sql.Literal(_FEW)
        return sql.SQL(query).format(**_BESIDE, **known, **parts)

    def _do(self, statement: str, **parts: sql.Composable) -> None:
        self.connection.execute(self._made(statement, **parts))


def _listed(columns: Iterable[str], alias: str) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(alias, name) for name in columns)


def _text(columns: Iterable[str], alias: str) -> sql.Composable:
    """The text of some columns: equal to the last byte, unlike ``=``, and there for types without ``=``."""
    return sql.SQL('ROW({})::text COLLATE "C"').format(_listed(columns, alias))


def _equal(column: KeyColumn, alias: str) -> sql.Composable:
    """The condition that two rows have one value of a key column, written so that its index can be used."""
    cast_to = "::text" if column.order in ("text", "utf8") else ""
    mine, theirs = sql.Identifier(alias, column.name), sql.Identifier("t", column.name)
    return sql.SQL("{}{} = {}{}").format(theirs, sql.SQL(cast_to), mine, sql.SQL(cast_to))


def _split(data: bytes) -> list[bytes]:
    """Take a chunk of COPY text apart into its rows."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]
