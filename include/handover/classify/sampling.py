"""Draws rows from all over a table: random pages of it, then random rows of these, repeatable by a seed.

A table of up to ``PAGES`` pages (16 MB) is read whole before rows are chosen. Values stay in memory; they
are cut at ``TEXT_LIMIT`` characters, and binary values are never read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from psycopg import sql

from handover.classify.columns import READ, Form
from handover.model.catalog import Table
from handover.postgres.session import Connection, database_errors, fetch, qualified

DEFAULT_ROWS = 2_000
PAGES = 2_000
TEXT_LIMIT = 4_000
# Columns read at once: 2,000 rows of eight long texts are 64 MB at most.
_COLUMNS_AT_ONCE = 8

_FORMS = """
WITH RECURSIVE below(top, oid) AS (
  SELECT oid, oid FROM pg_type
  UNION ALL SELECT b.top, t.typbasetype FROM below b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd'
)
SELECT n.nspname, c.relname, c.relkind = 'p', a.attname, t.typname, t.typtype::text, t.typcategory::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN below ON below.top = a.atttypid JOIN pg_type t ON t.oid = below.oid AND t.typtype <> 'd'
WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.oid, a.attnum
"""
_ROOTS = """
SELECT n.nspname, c.relname, rn.nspname, r.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = pg_partition_root(c.oid) JOIN pg_namespace rn ON rn.oid = r.relnamespace
WHERE c.relispartition AND c.relkind = 'r' AND n.nspname = ANY(%s)
"""
_NUMBERS = frozenset(("int8", "numeric"))
_READ_AS = {
    "inet": "inet",
    "cidr": "other",
    "macaddr": "mac",
    "macaddr8": "mac",
    "bytea": "bytes",
    "oid": "bytes",
}

Name = tuple[str, str]


@dataclass(frozen=True)
class Layout:
    """How the columns of all tables are read, and which partitioned table a partition belongs to."""

    forms: dict[Name, dict[str, Form]]
    partitioned: frozenset[Name]
    roots: dict[Name, Name]


def read_layout(connection: Connection, schemas: list[str]) -> Layout:
    """Read the form of every column, domains looked through."""
    forms: dict[Name, dict[str, Form]] = defaultdict(dict)
    partitioned: set[Name] = set()
    for schema, table, is_partitioned, column, *kind in fetch(connection, _FORMS, schemas):
        forms[str(schema), str(table)][str(column)] = _form(*map(str, kind))
        if is_partitioned:
            partitioned.add((str(schema), str(table)))
    roots = {
        (str(schema), str(table)): (str(root_schema), str(root))
        for schema, table, root_schema, root in fetch(connection, _ROOTS, schemas)
    }
    return Layout(dict(forms), frozenset(partitioned), roots)


def _form(name: str, kind: str, category: str) -> Form:
    if name in _READ_AS:
        return cast(Form, _READ_AS[name])
    if name in ("json", "jsonb") or kind == "c":
        return "json"
    if category == "A":
        return "array"
    if category == "D":
        return "date"
    if category == "S" or name in ("tsvector", "xml"):
        return "text"
    return "number" if name in _NUMBERS or category == "N" else "other"


def sample(
    connection: Connection, table: Name, partitioned: bool, forms: dict[str, Form], rows: int, seed: int
) -> Iterator[tuple[str, list[str]]]:
    """Yield each column with its sampled values that are not NULL, as text; none for unread forms."""
    read = [name for name, form in forms.items() if form in READ]
    yield from ((name, []) for name in forms if name not in read)
    for start in range(0, len(read), _COLUMNS_AT_ONCE):
        names = read[start : start + _COLUMNS_AT_ONCE]
        query = _query(connection, table, partitioned, {name: forms[name] for name in names}, rows, seed)
        with database_errors(f"sampling {table[0]}.{table[1]}"):
            found = connection.execute(query).fetchall()
        for place, name in enumerate(names):
            yield name, [str(row[place]) for row in found if row[place] is not None]


def _query(
    connection: Connection, table: Name, partitioned: bool, forms: dict[str, Form], rows: int, seed: int
) -> sql.Composed:
    """Rows are chosen before their values are cut, so that only the chosen ones are fetched whole."""
    source = sql.SQL("{} AS t TABLESAMPLE SYSTEM ({}) REPEATABLE ({})").format(
        qualified(*table) if partitioned else sql.SQL("ONLY {}").format(qualified(*table)),
        sql.Literal(_percent(connection, table, partitioned)),
        sql.Literal(seed),
    )
    return sql.SQL(
        "SELECT {} FROM (SELECT * FROM {} ORDER BY hashtextextended(t.tableoid::text || t.ctid::text, {})"
        " LIMIT {}) AS chosen"
    ).format(
        sql.SQL(", ").join(_text(name, form) for name, form in forms.items()),
        source,
        sql.Literal(seed),
        sql.Literal(rows),
    )


def _text(name: str, form: Form) -> sql.Composed:
    value = sql.SQL("chosen.{}").format(sql.Identifier(name))
    if form == "array":
        value = sql.SQL("to_jsonb({})").format(value)
    elif form == "json":
        value = sql.SQL("to_json({})").format(value)
    return sql.SQL("left(({})::text, {})").format(value, sql.Literal(TEXT_LIMIT))


def _percent(connection: Connection, table: Name, partitioned: bool) -> float:
    """The share of pages to read. A partitioned table has none itself; those of its leaves count."""
    size = (
        "SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree({}) WHERE isleaf"
        if partitioned
        else "SELECT pg_relation_size({})"
    )
    name = sql.SQL("{}::regclass").format(sql.Literal(qualified(*table).as_string(connection)))
    pages = int(str(fetch(connection, sql.SQL(size).format(name))[0][0] or 0)) // 8192
    return min(100.0, 100.0 * PAGES / max(1, pages))


def tables_to_sample(tables: tuple[Table, ...], layout: Layout) -> dict[Name, list[Name]]:
    """Return each table, or partitioned table with its partitions, in the catalog's order."""
    found: dict[Name, list[Name]] = defaultdict(list)
    for table in tables:
        name = (table.schema_name, table.name)
        root = layout.roots.get(name)
        if root is None:
            found[name] = found[name]
        else:
            found[root].append(name)
    return dict(found)
