"""Key sets: the keys of a table's rows in scope, in a temporary table of the session that reads them.

A row is named by the key that orders its table, ``k0``, ``k1`` …; in a table without a key by the SHA-256
of its whole text, which stands there as often as the row. ``owned`` tells the two marks of a scope apart.
Keys can identify a person: outside the server they may lie in the vault alone, encrypted.

Temporary tables are made before the read-only transaction; within it they may be filled, but not made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from psycopg import sql

from handover.errors import NotReady
from handover.model.catalog import KeyColumn, Table
from handover.postgres.copying import read_rows
from handover.postgres.ordering import order_by, rows_of
from handover.postgres.session import Connection, database_errors, fetch

Mark = Literal["owned", "needed"]


@dataclass(frozen=True)
class KeySet:
    """The key set of a table as the catalog reads it whole; ``name`` is that of the temporary table."""

    table: Table
    name: str

    @property
    def place(self) -> sql.Identifier:
        """Return the temporary table's quoted name."""
        return sql.Identifier("pg_temp", self.name)

    def columns(self) -> dict[str, sql.Composable]:
        """Return the columns that name a row, each with its expression over the alias ``t``."""
        if not self.table.key:
            return {"k0": _row_digest(self.table)}
        return {f"k{n}": sql.SQL("t.{}").format(sql.Identifier(c.name)) for n, c in enumerate(self.table.key)}

    def kept(self) -> list[str]:
        """Return what leaves the session: key and mark."""
        return [*self.columns(), "owned"]

    def indexed(self) -> list[str]:
        """Return what to index so that a row is found by its key; nothing finds one that is cast."""
        if not self.table.key:
            return ["k0"]
        return [f"k{n}" for n, c in enumerate(self.table.key) if c.order != "text"]

    def same(self) -> sql.Composable:
        """Return the condition that the alias ``k`` names the row of the alias ``t``."""
        orders = [column.order for column in self.table.key] or ["natural"]
        casts = [sql.SQL("::text" if order in ("text", "utf8") else "") for order in orders]
        tests = [
            sql.SQL("k.{}{} = {}{}").format(sql.Identifier(name), cast, expression, cast)
            for (name, expression), cast in zip(self.columns().items(), casts, strict=True)
        ]
        return sql.SQL(" AND ").join(tests)


def _row_digest(table: Table) -> sql.Composable:
    """Name a row by its text. The columns are listed: a partition may have them in another order."""
    columns = [sql.SQL("t.{}").format(sql.Identifier(c.name)) for c in table.columns if not c.generated]
    return sql.SQL("sha256(convert_to(ROW({})::text, getdatabaseencoding()))").format(
        sql.SQL(", ").join(columns)
    )


def create_key_sets(
    connection: Connection,
    key_sets: Iterable[KeySet],
    more: Mapping[str, Mapping[str, sql.Composable]] | None = None,
) -> None:
    """Make empty temporary tables; ``more`` gives further columns by the name of the key set.

    The session must be outside a transaction.
    """
    for key_set in key_sets:
        with writing(connection):
            _create(connection, key_set, (more or {}).get(key_set.name, {}))


@contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """Make a temporary table in a session that else only reads.

    Each has a transaction of its own: the locks of thousands at once would not find room in the server.
    """
    with database_errors("making a temporary table of the scope (the role needs TEMPORARY on the database)"):
        connection.execute("BEGIN READ WRITE")
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _create(connection: Connection, key_set: KeySet, more: Mapping[str, sql.Composable]) -> None:
    columns = {**key_set.columns(), **more, "owned": sql.SQL("false")}
    listed = [sql.SQL("{} AS {}").format(e, sql.Identifier(name)) for name, e in columns.items()]
    connection.execute(
        sql.SQL("CREATE TEMP TABLE {} AS SELECT {} FROM {} AS t WITH NO DATA").format(
            sql.Identifier(key_set.name), sql.SQL(", ").join(listed), rows_of(key_set.table)
        )
    )


def scoped_rows(key_set: KeySet, mark: Mark | None = None) -> sql.Composable:
    """Return the condition that a row of the alias ``t`` is in scope, by the given mark or by any.

    It stands beside ordering.within, for the table itself or any partition of it.
    """
    marked = {None: "", "owned": " AND k.owned", "needed": " AND NOT k.owned"}[mark]
    return sql.SQL("EXISTS (SELECT FROM {} AS k WHERE {}{})").format(
        key_set.place, key_set.same(), sql.SQL(marked)
    )


def read_keys(connection: Connection, key_set: KeySet) -> Iterator[memoryview | bytes]:
    """Yield the key set as COPY text in the order of the key, one row after the other."""
    columns = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in key_set.kept())
    query = sql.SQL("SELECT {} FROM {} AS t ORDER BY {}").format(columns, key_set.place, _order(key_set))
    yield from read_rows(connection, query, "text")


def _order(key_set: KeySet) -> sql.Composable:
    key = key_set.table.key or (KeyColumn(name="k0", type="bytea", order="natural"),)
    return order_by(tuple(c.model_copy(update={"name": f"k{n}"}) for n, c in enumerate(key)))


def keys_digest(connection: Connection, key_set: KeySet) -> bytes:
    """Return the SHA-256 of what read_keys yields; keep it inside the process, publish keyed ones."""
    digest, buffer = hashlib.sha256(), bytearray()
    with database_errors(f"digesting the keys of {key_set.table.label}"):
        for row in read_keys(connection, key_set):
            buffer += row
            if len(buffer) > 1 << 16:
                digest.update(buffer)
                buffer.clear()
    digest.update(buffer)
    return digest.digest()


def load_keys(connection: Connection, key_set: KeySet, data: Iterable[bytes]) -> int:
    """Fill a temporary table with what read_keys yielded, cut anyhow; returns its rows.

    The session may be in the read-only transaction whose rows the keys name.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, key_set.kept()))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT text)").format(key_set.place, names)
    with database_errors(f"loading the keys of {key_set.table.label}"), connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for piece in data:
                copy.write(piece)
        connection.execute(sql.SQL("ANALYZE {}").format(key_set.place))
        return cursor.rowcount


def require_snapshot(connection: Connection) -> None:
    """Raise NotReady unless the session is in a read-only transaction that sees one moment."""
    query = "SELECT current_setting('transaction_read_only'), current_setting('transaction_isolation')"
    if fetch(connection, query)[0] != ("on", "repeatable read"):
        raise NotReady(
            "rows in scope are looked for outside a snapshot",
            hint="open a transaction that is REPEATABLE READ and READ ONLY first",
        )
