"""Reads the catalog: tables with their keys and types, materialised views, extensions, the server itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import cast

from psycopg import sql

from handover.model.catalog import (
    Catalog,
    Column,
    Extension,
    KeyColumn,
    MaterializedView,
    Sequence,
    Server,
    Table,
)
from handover.postgres.session import Connection, fetch, qualified
from handover.postgres.types import ALIKE, Servers, Types

_NOT_AN_EXTENSIONS = (
    "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
    " AND d.deptype = 'e')"
)
# Plain tables and leaf partitions; but partitions below certain roots, which are then read through them.
# Before version 14 catalogs have no primary keys, so that everything shown must be grouped by.
_TABLES = f"""
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind = 'p',
       greatest(sum(p.reltuples), 0)::bigint, sum(pg_table_size(p.oid))::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN LATERAL (SELECT c.oid UNION SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf) AS leaf(oid) ON true
JOIN pg_class p ON p.oid = leaf.oid
WHERE c.relpersistence <> 't' AND n.nspname = ANY(%(schemas)s) AND {_NOT_AN_EXTENSIONS}
  AND (c.relkind = 'p' AND c.oid = ANY(%(roots)s::oid[])
       OR c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_partition_ancestors(c.oid) AS a(oid)
                                          WHERE a.oid = ANY(%(roots)s::oid[])))
GROUP BY c.oid, c.relkind, n.nspname, c.relname ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""  # noqa: S608 (a constant)
# Partitioned tables that are no part of another one in these schemas.
_TOPMOST = """
SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'p' AND n.nspname = ANY(%s) AND NOT EXISTS (
  SELECT FROM pg_partition_ancestors(c.oid) AS above(oid) JOIN pg_class a ON a.oid = above.oid
  JOIN pg_namespace m ON m.oid = a.relnamespace WHERE a.oid <> c.oid AND m.nspname = ANY(%s))
"""
# One row for each column of a partition key; an expression has no column, hence no type.
_PARTITION_KEYS = """
SELECT p.partrelid::bigint, p.partstrat::text, a.atttypid::bigint, coalesce(l.collisdeterministic, true),
       ARRAY(SELECT relid::oid::bigint FROM pg_partition_ancestors(p.partrelid) AS above(relid))
FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL unnest(p.partattrs::int2[], p.partcollation::oid[]) AS k(number, locale)
LEFT JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = k.number AND k.number > 0
LEFT JOIN pg_collation l ON l.oid = k.locale
WHERE n.nspname = ANY(%s)
"""
_COLUMNS = """
SELECT a.attrelid::bigint, a.attnum::int, a.attname, format_type(a.atttypid, a.atttypmod),
       a.atttypid::bigint, a.attgenerated::text <> '', a.attcollation::bigint, a.attnotnull
FROM pg_attribute a WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
# A NOT NULL that was not validated lets rows with NULL be: they may tie.
_KEYS = """
SELECT DISTINCT ON (i.indrelid) i.indrelid::bigint, (i.indkey::int2[])[0:i.indnkeyatts - 1]
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = ANY(%s) AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND NOT a.attnotnull
                  AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]))
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = i.indrelid AND k.contype = 'n'
                  AND NOT k.convalidated AND k.conkey && (i.indkey::int2[])[0:i.indnkeyatts - 1])
ORDER BY i.indrelid, i.indisprimary DESC, i.indnatts, x.relname
"""
# Deepest first: a view comes after every view that it reads, also through plain views.
# One that reads a foreign table is left out: it cannot be made.
_MATERIALIZED_VIEWS = f"""
WITH RECURSIVE edge(child, parent) AS (
  SELECT r.ev_class, d.refobjid FROM pg_rewrite r
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
), depth(oid, level, on_others, on_unfilled, on_foreign) AS (
  SELECT c.oid, 0, false, c.relkind = 'm' AND NOT c.relispopulated, c.relkind = 'f'
  FROM pg_class c WHERE c.relkind IN ('v', 'm', 'f')
  UNION SELECT e.child, d.level + 1, d.on_others OR p.relkind = 'm', d.on_unfilled, d.on_foreign
  FROM edge e JOIN depth d ON d.oid = e.parent JOIN pg_class p ON p.oid = e.parent
)
SELECT n.nspname, c.relname, NOT bool_or(d.on_unfilled), bool_or(d.on_others)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN depth d ON d.oid = c.oid
WHERE c.relkind = 'm' AND n.nspname = ANY(%s) AND {_NOT_AN_EXTENSIONS}
GROUP BY c.oid, n.nspname, c.relname HAVING NOT bool_or(d.on_foreign)
ORDER BY max(d.level), n.nspname COLLATE "C", c.relname COLLATE "C"
"""  # noqa: S608 (a constant)
_SEQUENCES = f"""
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND n.nspname = ANY(%s) AND {_NOT_AN_EXTENSIONS}
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""  # noqa: S608 (a constant)
_EXTENSIONS = """
SELECT e.extname, n.nspname, e.extversion FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname <> 'plpgsql' ORDER BY e.extname COLLATE "C"
"""
_SERVER = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       (SELECT system_identifier::text FROM pg_control_system()), d.datname, current_user,
       pg_encoding_to_char(d.encoding),
       CASE to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN 'ICU' ELSE d.datcollate END
FROM pg_database d WHERE d.datname = %s
"""

Row = tuple[object, ...]


def read_server(connection: Connection, database: str | None = None) -> Server:
    """Return facts of the server and of one of its databases (default: the connected one)."""
    name = database or connection.info.dbname
    version, major, system, found, role, encoding, collation = fetch(connection, _SERVER, name)[0]
    return Server(
        version=str(version),
        major=cast(int, major),
        system=str(system),
        database=str(found),
        role=str(role),
        encoding=str(encoding),
        collation=str(collation),
    )


def read_whole_tables(
    connection: Connection, schemas: list[str], servers: Servers = ALIKE
) -> tuple[Table, ...]:
    """Return the tables of the schemas; every partitioned one counts as one, whatever its partitions."""
    roots = [cast(int, oid) for (oid,) in fetch(connection, _TOPMOST, schemas, schemas)]
    return _read_tables(connection, schemas, Types(connection), servers, roots)


def _read_tables(
    connection: Connection, schemas: list[str], types: Types, servers: Servers, roots: list[int]
) -> tuple[Table, ...]:
    named = {"schemas": schemas, "roots": roots}
    rows = connection.execute(_TABLES, named).fetchall()
    oids = [row[0] for row in rows]
    columns: dict[int, list[Row]] = defaultdict(list)
    for table_oid, *rest in fetch(connection, _COLUMNS, oids):
        columns[cast(int, table_oid)].append(tuple(rest))
    keys = {cast(int, oid): cast(list[int], numbers) for oid, numbers in fetch(connection, _KEYS, oids)}
    return tuple(
        Table(
            schema_name=str(schema),
            name=str(name),
            columns=tuple(_column(c, types) for c in columns[cast(int, oid)]),
            key=_key(columns[cast(int, oid)], keys.get(cast(int, oid), []), types, servers),
            rows_estimate=cast(int, estimate),
            bytes=cast(int, size),
            partitioned=bool(partitioned),
            row_order="bytes" if servers.one_encoding else "utf8",
        )
        for oid, schema, name, partitioned, estimate, size in rows
    )


def _roots(connection: Connection, schemas: list[str], types: Types, servers: Servers) -> list[int]:
    """Return the topmost partitioned tables whose rows other servers may part otherwise."""
    mixed: dict[int, set[int]] = {}
    for oid, strategy, type_oid, deterministic, line in fetch(connection, _PARTITION_KEYS, schemas):
        known = cast(int | None, type_oid)
        if not types.stays_in_its_partition(str(strategy), known, bool(deterministic), servers):
            mixed[cast(int, oid)] = set(cast(list[int], line)) - {cast(int, oid)}
    return [oid for oid, above in mixed.items() if not above & mixed.keys()]


def _column(row: Row, types: Types) -> Column:
    _, name, type_name, type_oid, generated, _, _ = row
    return Column(
        name=str(name),
        type=str(type_name),
        binary_safe=types.binary_safe(cast(int, type_oid)),
        generated=bool(generated),
    )


def _key(columns: list[Row], numbers: list[int], types: Types, servers: Servers) -> tuple[KeyColumn, ...]:
    by_number = {row[0]: row for row in columns}
    key = []
    for number in numbers:
        _, name, type_name, type_oid, _, collation, _ = by_number[number]
        order = types.order(cast(int, type_oid), cast(int, collation), servers)
        key.append(KeyColumn(name=str(name), type=str(type_name), order=order))
    return tuple(key)


def read_catalog(connection: Connection, schemas: Iterable[str], servers: Servers = ALIKE) -> Catalog:
    """Return the inventory of the given schemas, ordered as ``servers`` allow."""
    wanted, types = list(schemas), Types(connection)
    views = fetch(connection, _MATERIALIZED_VIEWS, wanted)
    extensions = fetch(connection, _EXTENSIONS)
    return Catalog(
        server=read_server(connection),
        tables=_read_tables(connection, wanted, types, servers, _roots(connection, wanted, types, servers)),
        materialized_views=tuple(
            MaterializedView(schema_name=str(s), name=str(n), populated=bool(p), on_others=bool(o))
            for s, n, p, o in views
        ),
        extensions=tuple(
            Extension(name=str(n), schema_name=str(s), version=str(v)) for n, s, v in extensions
        ),
        large_objects=cast(int, fetch(connection, "SELECT count(*) FROM pg_largeobject_metadata")[0][0]),
    )


def read_sequences(connection: Connection, schemas: Iterable[str]) -> tuple[Sequence, ...]:
    """Return where every sequence of the schemas stands now."""
    found = []
    for schema, name in fetch(connection, _SEQUENCES, list(schemas)):
        query = sql.SQL("SELECT last_value, is_called FROM {}").format(qualified(str(schema), str(name)))
        last_value, is_called = fetch(connection, query)[0]
        found.append(
            Sequence(
                schema_name=str(schema),
                name=str(name),
                last_value=cast(int, last_value),
                is_called=bool(is_called),
            )
        )
    return tuple(found)
