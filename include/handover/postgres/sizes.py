"""Sizes of databases and relations, as the server counts them; no row is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from handover.model.estimate import Footprint
from handover.postgres.session import Connection, fetch

_FOOTPRINT = """
SELECT count(*) FILTER (WHERE c.relkind = 'r'),
       coalesce(sum(pg_table_size(c.oid)) FILTER (WHERE c.relkind = 'r'), 0)::bigint,
       coalesce(sum(pg_indexes_size(c.oid)) FILTER (WHERE c.relkind = 'r'), 0)::bigint,
       coalesce(sum(pg_total_relation_size(c.oid)) FILTER (WHERE c.relkind = 'm'), 0)::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname = ANY(%s)
"""
_LARGE_OBJECTS = "SELECT pg_table_size('pg_largeobject')"
_DATABASE = "SELECT pg_database_size(current_database())"


def read_footprint(connection: Connection, schemas: Iterable[str], large_objects: bool) -> Footprint:
    """Return what the schemas, and the large objects if they are wanted, take on the server's disk."""
    tables, rows, indexes, views = fetch(connection, _FOOTPRINT, list(schemas))[0]
    return Footprint(
        tables=cast(int, tables),
        rows=cast(int, rows),
        indexes=cast(int, indexes),
        views=cast(int, views),
        large_objects=cast(int, fetch(connection, _LARGE_OBJECTS)[0][0]) if large_objects else 0,
    )


def database_size(connection: Connection) -> int:
    """Return the bytes of the connected database."""
    return cast(int, fetch(connection, _DATABASE)[0][0])
