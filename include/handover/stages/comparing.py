"""Comparing: a database is read back in the order of the backup and every chunk's digest compared.

Where chunks differ, both streams are read again side by side and the rows, keys and columns named.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from psycopg import sql

from handover.codec.rows import split_rows
from handover.errors import DataRefused
from handover.evidence.progress import Meter
from handover.model.backup import BackupIndex, ViewReceipt
from handover.model.plan import Group, TablePlan
from handover.postgres.catalog import read_sequences
from handover.postgres.copying import cut_by_size, read_rows, take
from handover.postgres.objects import adopt, read_large_objects, view_definition, view_rows
from handover.postgres.ordering import EVERY_ROW, ends, ordered_rows
from handover.postgres.scope import on_foreign_servers
from handover.postgres.session import Connection, connect, database_errors, fetch, qualified
from handover.stages.context import Context
from handover.stages.definitions import compare_definitions
from handover.stages.loading import Destination, read_chunk, read_descriptions
from handover.stages.masking import Masking
from handover.stages.narrowing import Narrowing
from handover.stages.rekeyed import compare_rekeyed, masked_rows
from handover.stages.rolling import rolling_digest

_EXTENSIONS = "SELECT e.extname, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
# Foreign keys and deferrable constraints are kept by triggers of the server's own, which a superuser may
# disable together with all others of a table.
_DISABLED_CONSTRAINTS = """
SELECT DISTINCT n.nspname, c.relname, k.conname FROM pg_trigger t
JOIN pg_constraint k ON k.oid = t.tgconstraint JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.tgisinternal AND t.tgenabled <> 'O' AND n.nspname = ANY(%s) ORDER BY 1, 2, 3
"""
_FILLED_VIEWS = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated AND n.nspname = ANY(%s)
"""


@dataclass
class Reader:
    """The session in which a lane reads back, opened at need: after a COPY that was broken off, a new one.

    ``masking``: of a database in which masked tables hold pseudonyms.
    """

    destination: Destination
    masking: Masking | None = None
    _session: Connection | None = None

    def session(self) -> Connection:
        """Return the session."""
        if self._session is None or self._session.closed:
            self._session = connect(self.destination.url, read_only=True)
        return self._session

    def among(self, table: TablePlan) -> sql.Composable:
        """Return which rows count; in a database that was filled from the backup, all."""
        return EVERY_ROW

    def close(self) -> None:
        """Close the session if one is open."""
        if self._session is not None:
            self._session.close()


def compare_group(
    context: Context, index: BackupIndex, reader: Reader, group: Group, progress: Meter | None = None
) -> list[str]:
    """Read one group back; returns a line for each difference, none when all digests agree."""
    table = index.plan.table(group.table)
    masking = reader.masking if table.masked else None
    if masking and table.rekeyed:
        return compare_rekeyed(context, masking, reader.destination.url, group, progress)
    matches = True
    with database_errors(f"{reader.destination.step}: reading {table.label} back"):
        stream = iter(read_rows(reader.session(), _query(index, reader, group), table.format))
        for receipt in index.of(group):
            context.honour_stop()
            found = take(stream, receipt.rows)
            expected = masking.digest(receipt) if masking else receipt.digest
            matches = found.rows == receipt.rows and context.digest(found.digest) == expected
            if not matches:
                break
            if progress:
                progress.add(receipt.rows, receipt.bytes)
        if matches and take(stream, 1).rows == 0:
            return []
        reader.close()  # in the middle of a COPY a session is of no further use
    return _narrow(context, index, reader, group)


def _query(index: BackupIndex, reader: Reader, group: Group) -> sql.Composable:
    table = index.plan.table(group.table)
    bounds = [tuple(bound) for bound in index.bounds.get(table.label, ())]
    return ordered_rows(table, *ends(bounds, group.number), reader.among(table))


def _narrow(context: Context, index: BackupIndex, reader: Reader, group: Group) -> list[str]:
    """Read both streams side by side and name what differs."""
    table = index.plan.table(group.table)
    with (
        database_errors(f"{reader.destination.step}: narrowing a difference in {table.label}"),
        closing(reader),
    ):
        found = map(bytes, read_rows(reader.session(), _query(index, reader, group), table.format))
        expected = _expected_rows(context, index, reader, group)
        lines = Narrowing(table, context.evidence_key).lines(expected, found)
    return lines or [
        f"{table.label}: differed when first read and not when read again; something writes to it"
    ]


def _expected_rows(context: Context, index: BackupIndex, reader: Reader, group: Group) -> Iterator[bytes]:
    table = index.plan.table(group.table)
    if reader.masking and table.masked:
        yield from masked_rows(context, reader.masking, reader.destination.url, group)
        return
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
        *_compare_undumped(context, index, destination),
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
            equal = _view_is_right(context, index, destination, view)
        except DataRefused as refused:
            lines.append(refused.message)
            continue
        if not equal:
            lines.append(f"materialised view {view.schema_name}.{view.name} holds other rows")
    return lines


def _view_is_right(context: Context, index: BackupIndex, destination: Destination, view: ViewReceipt) -> bool:
    """Compare a view's rows with the backup, or over other views with what its definition gives there."""
    name = qualified(view.schema_name, view.name)
    with (
        database_errors(f"reading {view.schema_name}.{view.name} back"),
        closing(connect(destination.url, read_only=True)) as connection,
    ):
        query = view_rows(view_definition(connection, view.schema_name, view.name))
        adopt(connection, index.state.view_settings)
        rows, digest = rolling_digest(cut_by_size(read_rows(connection, view_rows(name), "text")))
        if view.digest:
            return (rows, context.digest(digest)) == (view.rows, view.digest)
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
    with database_errors("reading extensions back"), closing(connect(destination.url)) as connection:
        found = {str(name): str(schema) for name, schema in fetch(connection, _EXTENSIONS)}
    lines = [f"extension {e.name} is missing" for e in index.state.extensions if e.name not in found]
    return lines + [
        f"extension {e.name} stands in schema {found[e.name]}, in the source in {e.schema_name}"
        for e in index.state.extensions
        if found.get(e.name, e.schema_name) != e.schema_name
    ]


def _compare_undumped(context: Context, index: BackupIndex, destination: Destination) -> list[str]:
    """Look for what pg_dump is silent about, or was told to be: none of it came from us."""
    schemas = list(context.case.source.schemas)
    empty = {(view.schema_name, view.name) for view in index.state.views if not view.populated}
    with database_errors("looking at the target's catalog"), closing(connect(destination.url)) as connection:
        disabled = fetch(connection, _DISABLED_CONSTRAINTS, schemas)
        filled = {(str(schema), str(name)) for schema, name in fetch(connection, _FILLED_VIEWS, schemas)}
        foreign = on_foreign_servers(connection, schemas)
    return [
        *(f"CONSTRAINT {s}.{t} {name} is not enforced: its triggers are disabled" for s, t, name in disabled),
        *(f"materialised view {s}.{n} holds rows, the source's none" for s, n in sorted(empty & filled)),
        *(f"{schema}.{name} reads a foreign server and is not in the source" for schema, name in foreign),
    ]
