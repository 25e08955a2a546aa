"""Which columns of a database could hold a value as text, and how each is read; by type, from the catalog."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from psycopg import sql

from handover.model.base import Frozen
from handover.postgres.catalog import read_catalog
from handover.postgres.session import Connection, fetch, qualified

# "text": the type's output shows it; "bytes": bytea, "bytes[]": an array of it; "none": there is no room for
# eleven digits or an address; "unknown": the output may hide it.
Reading = Literal["text", "bytes", "bytes[]", "none", "date", "unknown"]

_NO_ROOM = frozenset(
    """bool int2 int4 oid float4 time timetz interval uuid inet cidr macaddr macaddr8 bit varbit money char
    point line lseg box path polygon circle int2vector oidvector xid xid8 cid tid pg_lsn pg_snapshot
    txid_snapshot regclass regcollation regconfig regdictionary regnamespace regoper regoperator regproc
    regprocedure regrole regtype""".split()  # noqa: SIM905
)
_DATES = frozenset(("date", "timestamp", "timestamptz"))
# Types of extensions whose output writes text as it is.
_OUTPUT_IS_TEXT = frozenset(("citext", "hstore", "ltree", "lquery", "ltxtquery", "isbn", "ean13"))
_TYPES = """
SELECT t.oid::bigint, t.typname, n.nspname = 'pg_catalog', t.typtype::text, t.typbasetype::bigint,
       CASE WHEN t.typcategory = 'A' THEN t.typelem::bigint ELSE 0 END, coalesce(r.rngsubtype, 0)::bigint,
       ARRAY(SELECT a.atttypid::bigint FROM pg_attribute a
             WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_range r ON t.oid IN (r.rngtypid{})
"""
_COLUMNS = """
SELECT n.nspname, c.relname, c.relkind::text, a.attname, a.atttypid::bigint,
       format_type(a.atttypid, a.atttypmod)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE (c.relkind IN ('r', 'f') OR c.relkind = 'm' AND c.relispopulated) AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", a.attnum
"""
_ANY_LARGE_OBJECT = "SELECT EXISTS (SELECT FROM pg_largeobject_metadata)"
_JOINED = "(SELECT pg_catalog.string_agg(e, '\\x20'::bytea) FROM pg_catalog.unnest({}) AS e)"
_MULTIRANGES_SINCE = 140000


class NotSearched(Frozen):
    """A column that could not be searched, and why."""

    schema_name: str
    table: str
    column: str
    why: str


@dataclass(frozen=True)
class Holder:
    """A relation to read: its rows, what names a row, and the columns that could hold a value."""

    schema: str
    table: str
    rows: sql.Composable
    key: tuple[sql.Composable, ...]
    texts: list[str] = field(default_factory=list)
    binaries: dict[str, sql.Composable] = field(default_factory=dict)


@dataclass(frozen=True)
class Holders:
    """Everything that could hold a value, and what is left out."""

    holders: tuple[Holder, ...]
    not_searched: tuple[NotSearched, ...]
    cannot_hold: tuple[str, ...]


class _Readings:
    """How each type is read, worked out from the types that it is made of."""

    def __init__(self, connection: Connection) -> None:
        multirange = ", r.rngmultitypid" if connection.info.server_version >= _MULTIRANGES_SINCE else ""
        rows = fetch(connection, _TYPES.format(multirange))
        self._types = {cast(int, row[0]): row[1:] for row in rows}

    def of(self, oid: int) -> Reading:
        name, builtin, kind, base, element, subtype, parts = self._types[oid]
        if kind == "d":
            return self.of(cast(int, base))
        if element:
            inside = self.of(cast(int, element))
            return {"bytes": "bytes[]", "bytes[]": "unknown"}.get(inside, inside)  # type: ignore[return-value]
        if kind in ("r", "m"):
            return self.of(cast(int, subtype))
        if kind == "c":
            return _composite({self.of(part) for part in cast(list[int], parts)})
        if kind == "e" or (not builtin and name in _OUTPUT_IS_TEXT):
            return "text"
        return _builtin(str(name)) if builtin else "unknown"


def _builtin(name: str) -> Reading:
    if name == "bytea":
        return "bytes"
    return "none" if name in _NO_ROOM else "date" if name in _DATES else "text"


def _composite(parts: set[Reading]) -> Reading:
    """Bytes inside a composite are written in hexadecimal digits, which no text search sees through."""
    if parts & {"bytes", "bytes[]", "unknown"}:
        return "unknown"
    return "text" if "text" in parts else "date" if "date" in parts else "none"


def read_holders(connection: Connection, with_dates: bool) -> Holders:
    """Return what to search in the whole database: all schemas but the server's own."""
    rows = fetch(connection, _COLUMNS)
    readings = _Readings(connection)
    keys = _keys(connection, sorted({str(row[0]) for row in rows}))
    holders: dict[tuple[str, str], Holder] = {}
    not_searched, cannot_hold = [], []
    for schema, table, kind, column, oid, type_name in rows:
        schema, table, column = str(schema), str(table), str(column)
        reading = readings.of(cast(int, oid))
        if kind == "f" or reading == "unknown":
            why = "a foreign table, its rows lie elsewhere" if kind == "f" else _unread(str(type_name))
            not_searched.append(NotSearched(schema_name=schema, table=table, column=column, why=why))
        elif reading == "none" or (reading == "date" and not with_dates):
            cannot_hold.append(f"{schema}.{table}.{column}")
        else:
            holder = holders.setdefault((schema, table), _holder(schema, table, keys))
            _put(holder, column, reading)
    found = [*holders.values(), *_large_objects(connection)]
    return Holders(tuple(found), tuple(not_searched), tuple(cannot_hold))


def _unread(type_name: str) -> str:
    return f"how values of the type {type_name} are written is not known, or holds bytea inside"


def _put(holder: Holder, column: str, reading: Reading) -> None:
    if reading in ("text", "date"):
        holder.texts.append(column)
    else:
        name = sql.Identifier(column)
        holder.binaries[column] = sql.SQL(_JOINED).format(name) if reading == "bytes[]" else name


def _keys(connection: Connection, schemas: Sequence[str]) -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = defaultdict(tuple)
    for table in read_catalog(connection, schemas).tables:
        found[table.schema_name, table.name] = tuple(column.name for column in table.key)
    return found


def _holder(schema: str, table: str, keys: dict[tuple[str, str], tuple[str, ...]]) -> Holder:
    """A row without a key is named by where it lies, which holds as long as nobody writes."""
    key = tuple(sql.Identifier(name) for name in keys[schema, table] or ("ctid",))
    return Holder(schema, table, sql.SQL("ONLY {}").format(qualified(schema, table)), key)


def _large_objects(connection: Connection) -> list[Holder]:
    if not fetch(connection, _ANY_LARGE_OBJECT)[0][0]:
        return []
    name = qualified("pg_catalog", "pg_largeobject_metadata")
    content = sql.SQL("pg_catalog.lo_get(oid)")
    return [Holder("pg_catalog", "pg_largeobject", name, (sql.Identifier("oid"),), [], {"data": content})]
