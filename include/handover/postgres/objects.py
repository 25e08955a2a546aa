"""What a schema dump does not carry: extensions, sequence values, large objects, filled views."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from handover.model.catalog import Extension, Sequence
from handover.postgres.copying import copy_into
from handover.postgres.session import Connection, database_errors, qualified


def create_extensions(connection: Connection, extensions: Iterable[Extension]) -> None:
    """Create the source's extensions in schemas of the same name, in the version the server prefers."""
    for extension in extensions:
        with database_errors(f"creating extension {extension.name}"):
            schema = sql.Identifier(extension.schema_name)
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
            connection.execute(
                sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {} CASCADE").format(
                    sql.Identifier(extension.name), schema
                )
            )


def set_sequences(connection: Connection, sequences: Iterable[Sequence]) -> None:
    """Put sequences where the source's stood; safe to repeat."""
    for sequence in sequences:
        with database_errors(f"setting sequence {sequence.schema_name}.{sequence.name}"):
            connection.execute(
                "SELECT setval(%s::regclass, %s, %s)",
                (
                    qualified(sequence.schema_name, sequence.name).as_string(connection),
                    sequence.last_value,
                    sequence.is_called,
                ),
            )


def load_large_objects(connection: Connection, data: bytes) -> int:
    """Write pages of large objects inside the caller's transaction and return how many pages there were."""
    connection.execute(
        "CREATE TEMPORARY TABLE IF NOT EXISTS handover_page (oid oid, at bigint, data bytea) ON COMMIT DROP"
    )
    pages = copy_into(connection, sql.SQL("pg_temp.handover_page"), ("oid", "at", "data"), "binary", data)
    connection.execute("SELECT lo_create(oid) FROM pg_temp.handover_page WHERE at = 0")
    connection.execute("SELECT lo_put(oid, at, data) FROM pg_temp.handover_page WHERE length(data) > 0")
    return pages


def refresh(connection: Connection, schema: str, name: str) -> None:
    """Fill a materialised view; safe to repeat."""
    with database_errors(f"refreshing {schema}.{name}"):
        connection.execute(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(qualified(schema, name)))


def view_rows(definition: sql.Composable) -> sql.Composed:
    """Return the query for the rows of a view or of its definition, in the order of their text."""
    return sql.SQL('SELECT t.* FROM {} AS t ORDER BY ROW(t.*)::text COLLATE "C"').format(definition)
