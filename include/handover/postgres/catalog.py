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
    KeyOrder,
    MaterializedView,
    Sequence,
    Server,
    Table,
)
from handover.postgres.session import Connection, fetch, qualified

# Built-in types whose binary form is the same bytes in every cluster of one major version. Not here,
# and why: reg* and composites carry OIDs, money hangs on lc_monetary, arrays of user types carry OIDs,
# an empty tsquery is sent but refused on arrival.
BINARY_SAFE = frozenset(
    """bool int2 int4 int8 float4 float8 numeric text varchar bpchar bytea date time timetz timestamp
    timestamptz interval uuid json jsonb inet cidr macaddr macaddr8 bit varbit oid tsvector
    point lseg path box polygon line circle int4range int8range numrange daterange tsrange tstzrange
    int4multirange int8multirange nummultirange datemultirange tsmultirange tstzmultirange""".split()  # noqa: SIM905
)
NATURAL_ORDER = frozenset(
    """bool int2 int4 int8 oid numeric float4 float8 date time timestamp timestamptz uuid bytea inet
    cidr macaddr macaddr8 bit varbit money""".split()  # noqa: SIM905
)
BYTE_ORDER = frozenset(("text", "varchar", "bpchar"))
FIRST_USER_OID = 16384

_NOT_AN_EXTENSIONS = (
    "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
    " AND d.deptype = 'e')"
)
_TABLES = f"""
SELECT c.oid::bigint, n.nspname, c.relname, greatest(c.reltuples, 0)::bigint, pg_table_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname = ANY(%s) AND {_NOT_AN_EXTENSIONS}
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""  # noqa: S608 (a constant)
_COLUMNS = """
SELECT a.attrelid::bigint, a.attnum::int, a.attname, format_type(a.atttypid, a.atttypmod),
       a.atttypid::bigint, a.attgenerated::text <> '', a.attcollation::bigint, a.attnotnull
FROM pg_attribute a WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
_TYPES = """
SELECT oid::bigint, typname, typtype::text, typbasetype::bigint, typelem::bigint, typcategory::text
FROM pg_type
"""
_KEYS = """
SELECT DISTINCT ON (i.indrelid) i.indrelid::bigint, (i.indkey::int2[])[0:i.indnkeyatts - 1]
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = ANY(%s) AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND NOT a.attnotnull
                  AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]))
ORDER BY i.indrelid, i.indisprimary DESC, i.indnatts, x.relname
"""
# Deepest first: a view comes after every view that it reads, also through plain views.
_MATERIALIZED_VIEWS = f"""
WITH RECURSIVE edge(child, parent) AS (
  SELECT r.ev_class, d.refobjid FROM pg_rewrite r
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
), depth(oid, level, on_others) AS (
  SELECT c.oid, 0, false FROM pg_class c WHERE c.relkind IN ('v', 'm')
  UNION SELECT e.child, d.level + 1, d.on_others OR p.relkind = 'm'
  FROM edge e JOIN depth d ON d.oid = e.parent JOIN pg_class p ON p.oid = e.parent
)
SELECT n.nspname, c.relname, c.relispopulated,
       (SELECT bool_or(on_others) FROM depth WHERE depth.oid = c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND n.nspname = ANY(%s) AND {_NOT_AN_EXTENSIONS}
ORDER BY (SELECT max(level) FROM depth WHERE depth.oid = c.oid), n.nspname COLLATE "C", c.relname COLLATE "C"
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
_BYTEWISE = ("C", "POSIX")

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


def sorts_bytewise(server: Server) -> bool:
    """Say whether text without a collation of its own is ordered byte by byte there."""
    return server.collation in _BYTEWISE


class _Types:
    """Knows every type of the database by OID."""

    def __init__(self, connection: Connection) -> None:
        self._rows = {cast(int, row[0]): row[1:] for row in fetch(connection, _TYPES)}

    def base(self, oid: int) -> tuple[int, str]:
        """Return the type below all domains."""
        name, kind, below, *_ = self._rows[oid]
        return self.base(cast(int, below)) if kind == "d" else (oid, str(name))

    def is_enum(self, oid: int) -> bool:
        return self._rows[self.base(oid)[0]][1] == "e"

    def binary_safe(self, oid: int) -> bool:
        base, name = self.base(oid)
        _, kind, _, element, category = self._rows[base]
        if kind == "e":
            return True
        if base >= FIRST_USER_OID:
            return False
        if category == "A" and element:
            return self.binary_safe(cast(int, element))
        return name in BINARY_SAFE

    def order(self, oid: int, collation: int, bytewise: bool) -> KeyOrder:
        _, name = self.base(oid)
        if name in NATURAL_ORDER or self.is_enum(oid):
            return "natural"
        if name in BYTE_ORDER:
            default_collation = 100
            return "natural" if bytewise and collation == default_collation else "bytes"
        return "text"


def _read_tables(connection: Connection, schemas: Iterable[str], bytewise: bool) -> tuple[Table, ...]:
    rows = fetch(connection, _TABLES, list(schemas))
    oids = [row[0] for row in rows]
    types = _Types(connection)
    columns: dict[int, list[Row]] = defaultdict(list)
    for table_oid, *rest in fetch(connection, _COLUMNS, oids):
        columns[cast(int, table_oid)].append(tuple(rest))
    keys = {cast(int, oid): cast(list[int], numbers) for oid, numbers in fetch(connection, _KEYS, oids)}
    return tuple(
        Table(
            schema_name=str(schema),
            name=str(name),
            columns=tuple(_column(c, types) for c in columns[cast(int, oid)]),
            key=_key(columns[cast(int, oid)], keys.get(cast(int, oid), []), types, bytewise),
            rows_estimate=cast(int, estimate),
            bytes=cast(int, size),
        )
        for oid, schema, name, estimate, size in rows
    )


def _column(row: Row, types: _Types) -> Column:
    _, name, type_name, type_oid, generated, _, _ = row
    return Column(
        name=str(name),
        type=str(type_name),
        binary_safe=types.binary_safe(cast(int, type_oid)),
        generated=bool(generated),
    )


def _key(columns: list[Row], numbers: list[int], types: _Types, bytewise: bool) -> tuple[KeyColumn, ...]:
    by_number = {row[0]: row for row in columns}
    key = []
    for number in numbers:
        _, name, type_name, type_oid, _, collation, _ = by_number[number]
        order = types.order(cast(int, type_oid), cast(int, collation), bytewise)
        key.append(KeyColumn(name=str(name), type=str(type_name), order=order))
    return tuple(key)


def read_catalog(connection: Connection, schemas: Iterable[str], bytewise: bool) -> Catalog:
    """Return the inventory of the given schemas; ``bytewise`` as all servers concerned sort."""
    wanted = list(schemas)
    views = fetch(connection, _MATERIALIZED_VIEWS, wanted)
    extensions = fetch(connection, _EXTENSIONS)
    return Catalog(
        server=read_server(connection),
        tables=_read_tables(connection, wanted, bytewise),
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
