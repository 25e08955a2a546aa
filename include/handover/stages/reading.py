"""Reading the source: sessions that see one moment of it, and of each table only the rows in scope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

import psycopg
from psycopg import sql

from handover.errors import SnapshotLost
from handover.model.backup import KeptKeys, SnapshotState
from handover.model.plan import TablePlan
from handover.postgres.keysets import KeySet, create_key_sets, load_keys
from handover.postgres.selection import Selection, key_set_of, select
from handover.postgres.session import Connection, connect, stripped
from handover.stages.context import Context


@contextmanager
def snapshot_session(url: str, snapshot: str) -> Iterator[Connection]:
    """Open a read-only session that sees exactly the holder's snapshot."""
    with closing(connect(url, read_only=True)) as connection:
        join_snapshot(connection, snapshot)
        yield connection


def join_snapshot(connection: Connection, snapshot: str) -> None:
    """Open a transaction that sees exactly the holder's snapshot; raises SnapshotLost when it is gone."""
    try:
        begin_snapshot(connection)
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject):
        raise SnapshotLost(
            "the snapshot of this backup generation is gone",
            hint="the holder starts a new generation; this step then reads under it",
        ) from None
    except psycopg.Error as problem:
        raise stripped(problem, "joining the snapshot") from None


def begin_snapshot(connection: Connection) -> None:
    """Open the read-only transaction that sees one moment."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


@contextmanager
def scoped_session(
    context: Context, state: SnapshotState, tables: Iterable[TablePlan], *, now: bool = False
) -> Iterator[tuple[Connection, Selection]]:
    """Open a session at the source that reads the rows in scope of some tables.

    It sees the snapshot of the backup; with ``now`` the source as it is, by the keys of the backup.
    """
    wanted = {(table.schema_name, table.name) for table in tables}
    key_sets = [
        (key_set, kept)
        for number, kept in enumerate(state.keys)
        if (key_set := key_set_of(number, kept.scoped)) and wanted & _places(kept)
    ]
    with closing(connect(context.source, read_only=True)) as connection:
        create_key_sets(connection, [key_set for key_set, _ in key_sets])
        if now:
            begin_snapshot(connection)
        else:
            join_snapshot(connection, state.snapshot)
        for key_set, kept in key_sets:
            load_keys(connection, key_set, kept_keys(context, state, key_set, kept))
        yield connection, select([kept.scoped for kept in state.keys], context.case.classes)


def _places(kept: KeptKeys) -> set[tuple[str, str]]:
    table = kept.scoped.table
    return {(table.schema_name, table.name), *kept.scoped.parts}


def kept_keys(context: Context, state: SnapshotState, key_set: KeySet, kept: KeptKeys) -> Iterator[bytes]:
    """Yield the keys of a table's rows in scope under the snapshot, as read_keys gave them."""
    for place, reference in enumerate(kept.objects):
        yield context.get(context.label(state.generation, "keys", key_set.table.label, place), reference)
