"""Comparing tables whose order changed by masking: what must be there is loaded beside them and joined.

A table with a key is read chunk by chunk, each row found by its masked key; that there are no more rows is
counted once. Without a key both sides are ordered by the text of whole rows, so that nothing but the exact
multiset passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice

from psycopg import sql

from handover.codec.columns import columns_of, text_of
from handover.codec.rows import split_rows
from handover.evidence.progress import Meter
from handover.model.backup import ChunkReceipt
from handover.model.plan import Group, TablePlan
from handover.postgres.copying import copy_into, cut_by_size, read_rows
from handover.postgres.ordering import ordered_rows, rows_of
from handover.postgres.session import Connection, connect, database_errors, fetch
from handover.stages.context import Context
from handover.stages.loading import read_chunk
from handover.stages.masking import Masking
from handover.stages.narrowing import MOST_DIFFERENCES, Narrowing
from handover.stages.rolling import rolling_digest

_EXPECTED = sql.SQL("pg_temp.handover_expected")
_NAME = "handover_expected"
_PLACE = "handover_place"


def masked_rows(context: Context, masking: Masking, url: str, group: Group) -> Iterator[bytes]:
    """Yield the rows of a group as they must be at the target, in the order of the backup."""
    for chunk in masked_group(context, masking, url, group):
        yield from split_rows(chunk, "text")


def masked_group(context: Context, masking: Masking, url: str, group: Group) -> Iterator[bytes]:
    """Yield the chunks of a group as they must be at the target."""
    table = masking.index.plan.table(group.table)
    for receipt in masking.index.of(group):
        yield _masked(context, masking, url, table, receipt)


def masked_chunks(context: Context, masking: Masking, url: str, table: TablePlan) -> Iterator[bytes]:
    """Yield all chunks of a table as they must be at the target."""
    for group in masking.index.plan.groups():
        if group.table == table.id:
            yield from masked_group(context, masking, url, group)


def _masked(context: Context, masking: Masking, url: str, table: TablePlan, receipt: ChunkReceipt) -> bytes:
    raw = read_chunk(context, masking.index, receipt)
    with closing(connect(url)) as connection, connection.transaction():
        return masking.arriving(connection, table, raw).data


def compare_rekeyed(
    context: Context, masking: Masking, url: str, group: Group, progress: Meter | None
) -> list[str]:
    """Read one group back; returns a line for each difference, none when every row is there and no other."""
    table = masking.index.plan.table(group.table)
    comparing = _Comparing(context, masking, url, table)
    with database_errors(f"reading {table.label} back"):
        if not table.key or {column.name for column in table.key} - set(table.columns):
            lines = comparing.multiset() if group.number == 0 else []
        else:
            lines = comparing.by_key(group, progress)
            if group.number == 0 or lines:
                lines += comparing.too_many(sure=bool(lines))
    if progress and not table.key:
        progress.add(*masking.index.rows([group]))
    return lines


class _Comparing:
    """One table at the target beside what it must hold."""

    def __init__(self, context: Context, masking: Masking, url: str, table: TablePlan) -> None:
        self.context, self.masking, self.url, self.table = context, masking, url, table
        self.keys = tuple(column.name for column in table.key)

    def by_key(self, group: Group, progress: Meter | None) -> list[str]:
        """Compare the chunks of a group, each row found by its masked key."""
        lines: list[str] = []
        with closing(connect(self.url)) as connection:
            for receipt in self.masking.index.of(group):
                self.context.honour_stop()
                lines += self._chunk(connection, receipt)
                if progress:
                    progress.add(receipt.rows, receipt.bytes)
        return lines

    def _chunk(self, connection: Connection, receipt: ChunkReceipt) -> list[str]:
        expected = _masked(self.context, self.masking, self.url, self.table, receipt)
        with connection.transaction():
            self._load_keys(connection, [expected])
            found = list(cut_by_size(read_rows(connection, self._joined(), "text")))
        same = sum(chunk.rows for chunk in found) == receipt.rows
        if same and self.context.digest(rolling_digest(found)[1]) == self.masking.digest(receipt):
            return []
        rows = (row for chunk in found for row in split_rows(chunk.data, "text"))
        return Narrowing(self.table, self.context.evidence_key).lines(split_rows(expected, "text"), rows)

    def _load_keys(self, connection: Connection, chunks: Iterable[bytes]) -> None:
        """Load the keys of masked rows, each with its place."""
        names = sql.SQL(", ").join(map(sql.Identifier, self.keys))
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
                sql.Identifier(_NAME), names, rows_of(self.table)
            )
        )
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN {} bigserial").format(_EXPECTED, sql.Identifier(_PLACE))
        )
        for chunk in chunks:
            keys = text_of(columns_of(chunk, self.table.columns).select(list(self.keys)))
            copy_into(connection, _EXPECTED, self.keys, "text", keys)
        connection.execute(sql.SQL("ANALYZE {}").format(_EXPECTED))

    def _same_key(self) -> sql.Composable:
        tests = [sql.SQL("t.{0} = e.{0}").format(sql.Identifier(name)) for name in self.keys]
        return sql.SQL(" AND ").join(tests)

    def _joined(self) -> sql.Composable:
        columns = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(c)) for c in self.table.columns)
        return sql.SQL("SELECT {} FROM {} AS e JOIN {} AS t ON {} ORDER BY e.{}").format(
            columns, _EXPECTED, rows_of(self.table), self._same_key(), sql.Identifier(_PLACE)
        )

    def too_many(self, *, sure: bool) -> list[str]:
        """Return a line for each row that has no masked key of the backup.

        They are looked for where the table holds more rows than it should, or is known to differ.
        """
        wanted = sum(r.rows for r in self.masking.index.chunks if r.table == self.table.id)
        with closing(connect(self.url)) as connection:
            count = sql.SQL("SELECT count(*) FROM {}").format(rows_of(self.table))
            more = int(str(fetch(connection, count)[0][0])) > wanted
            if not (more or sure):
                return []
            with connection.transaction():
                chunks = masked_chunks(self.context, self.masking, self.url, self.table)
                self._load_keys(connection, chunks)
                return self._name(self._others(connection), more)

    def _others(self, connection: Connection) -> Iterator[bytes]:
        columns = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(c)) for c in self.table.columns)
        query = sql.SQL("SELECT {} FROM {} AS t WHERE NOT EXISTS (SELECT FROM {} AS e WHERE {})").format(
            columns, rows_of(self.table), _EXPECTED, self._same_key()
        )
        return iter(
            [bytes(row) for row in islice(read_rows(connection, query, "text"), MOST_DIFFERENCES + 1)]
        )

    def _name(self, others: Iterator[bytes], more: bool) -> list[str]:
        lines = Narrowing(self.table, self.context.evidence_key).lines(iter(()), others)
        return lines or ([f"{self.table.label} holds a row twice"] if more else [])

    def multiset(self) -> list[str]:
        """Compare all rows of a table, ordered by their text on either side."""
        whole = self.table.model_copy(update={"key": ()})
        with closing(connect(self.url)) as connection, connection.transaction():
            names = sql.SQL(", ").join(map(sql.Identifier, whole.columns))
            connection.execute(
                sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
                    sql.Identifier(_NAME), names, rows_of(whole)
                )
            )
            for chunk in masked_chunks(self.context, self.masking, self.url, whole):
                self.context.honour_stop()
                copy_into(connection, _EXPECTED, whole.columns, "text", chunk)
            expected, found = self._expected_in_order(whole), self._found_in_order(whole)
            if self._digest(connection, expected) == self._digest(connection, found):
                return []
            with closing(connect(self.url, read_only=True)) as other:
                return Narrowing(whole, self.context.evidence_key).lines(
                    map(bytes, read_rows(connection, expected, "text")),
                    map(bytes, read_rows(other, found, "text")),
                )

    def _expected_in_order(self, whole: TablePlan) -> sql.Composable:
        beside = whole.model_copy(update={"schema_name": "pg_temp", "name": _NAME, "partitioned": True})
        return ordered_rows(beside)

    def _found_in_order(self, whole: TablePlan) -> sql.Composable:
        """The rows without generated columns, whose text would be in the order else."""
        columns = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(c)) for c in whole.columns)
        order = sql.SQL("convert_to({}, 'UTF8')" if whole.row_order == "utf8" else '{} COLLATE "C"')
        return sql.SQL("SELECT {} FROM {} AS t ORDER BY {}").format(
            columns, rows_of(whole), order.format(sql.SQL("ROW({})::text").format(columns))
        )

    def _digest(self, connection: Connection, query: sql.Composable) -> tuple[int, bytes]:
        return rolling_digest(cut_by_size(read_rows(connection, query, "text")))
