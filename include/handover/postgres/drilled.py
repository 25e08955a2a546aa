"""Tables that show that archived rows can be had in a database again, whatever types their source had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from psycopg import sql

from handover.postgres.copying import Chunk, copy_into, cut_by_size, read_rows
from handover.postgres.session import Connection, database_errors, fetch

# Types of the server's own; others are not here, and names of objects would be looked up.
_OWN = """
SELECT t.typname FROM pg_type t WHERE t.oid = to_regtype(%s) AND t.typnamespace = 'pg_catalog'::regnamespace
AND t.typname NOT LIKE 'reg%%' AND t.typname NOT LIKE '\\_reg%%'
"""
_TEXT = "text"


def create_part(connection: Connection, name: str, types: Sequence[str]) -> None:
    """Create a table for rows of these types, as far as the server has them; else it takes their text."""
    with database_errors(f"creating {name}"):
        found = [fetch(connection, _OWN, kind) for kind in types]
        own = [str(rows[0][0]) if rows else _TEXT for rows in found]
        # Quoted, a name means the type without a length: those of the source stand in the rows.
        columns = [
            sql.SQL("{} {}").format(sql.Identifier(column), sql.Identifier("pg_catalog", kind))
            for column, kind in zip(_columns(len(own)), own, strict=True)
        ]
        connection.execute(
            sql.SQL("CREATE TABLE {} (place bigserial, {})").format(
                sql.Identifier("public", name), sql.SQL(", ").join(columns)
            )
        )


def fill_part(connection: Connection, name: str, width: int, rows: Iterable[bytes]) -> None:
    """Fill such a table with rows of COPY text, in their order."""
    with database_errors(f"loading {name}"):
        for data in rows:
            copy_into(connection, sql.Identifier("public", name), _columns(width), "text", data)


def read_part(connection: Connection, name: str, width: int) -> Iterator[Chunk]:
    """Yield the rows as they were filled in."""
    columns = sql.SQL(", ").join(map(sql.Identifier, _columns(width)))
    query = sql.SQL("SELECT {} FROM {} ORDER BY place").format(columns, sql.Identifier("public", name))
    with database_errors(f"reading {name} back"):
        yield from cut_by_size(read_rows(connection, query, "text"))


def _columns(width: int) -> list[str]:
    return [f"c{number}" for number in range(width)]
