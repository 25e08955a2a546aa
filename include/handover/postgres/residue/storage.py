"""The files in which rows of some tables lie, and what is made from these tables: views, statistics above."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from psycopg import sql

from handover.model.reconciliation import TableName
from handover.model.residue import Begun, StorageFile
from handover.postgres.session import Connection, database_errors, fetch, qualified

# Their old row versions hold values as well: rewritten after everything that writes to them.
CATALOGS = tuple(
    TableName(schema_name="pg_catalog", name=name)
    for name in ("pg_statistic", "pg_statistic_ext_data", "pg_largeobject")
)
_NAMED = """
named(oid) AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN unnest(%(schemas)s::text[], %(names)s::text[]) AS w(schema, name)
    ON (n.nspname, c.relname) = (w.schema, w.name))
"""
_LEAVES = f"""
WITH {_NAMED}
SELECT DISTINCT n.nspname, c.relname FROM named, LATERAL (
  SELECT named.oid UNION SELECT relid FROM pg_partition_tree(named.oid)) AS leaf(oid)
JOIN pg_class c ON c.oid = leaf.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') ORDER BY 1, 2
"""  # noqa: S608 (a constant)
# Partitioned and inherited-from tables have statistics over the rows below them.
_ABOVE = f"""
WITH RECURSIVE {_NAMED}, line(oid) AS (
  SELECT oid FROM named UNION SELECT i.inhparent FROM pg_inherits i JOIN line ON line.oid = i.inhrelid
), below AS (SELECT relid AS oid FROM named, pg_partition_tree(named.oid) WHERE NOT isleaf)
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (c.oid IN (SELECT oid FROM line) OR c.oid IN (SELECT oid FROM below)) AND c.relkind IN ('r', 'p', 'f')
  AND (c.relkind = 'p' OR c.oid NOT IN (SELECT oid FROM named)) ORDER BY 1, 2
"""  # noqa: S608 (a constant)
# Views over the tables, and views that call functions, which may read anything; deepest first.
_VIEWS = f"""
WITH RECURSIVE {_NAMED}, edge(child, class, parent) AS (
  SELECT r.ev_class, d.refclassid, d.refobjid FROM pg_rewrite r
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
  WHERE d.refobjid <> r.ev_class
), reach(oid, level) AS (
  SELECT oid, 0 FROM named
  UNION SELECT child, 1 FROM edge WHERE class = 'pg_proc'::regclass AND parent >= 16384
  UNION SELECT e.child, r.level + 1 FROM edge e JOIN reach r ON e.parent = r.oid
  WHERE e.class = 'pg_class'::regclass
)
SELECT n.nspname, c.relname FROM reach JOIN pg_class c ON c.oid = reach.oid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND c.relispopulated
GROUP BY c.oid, n.nspname, c.relname ORDER BY max(level), 1, 2
"""  # noqa: S608 (a constant)
_FILES = f"""
WITH {_NAMED}, part(owner, part, oid) AS (
  SELECT oid, 'heap', oid FROM named
  UNION ALL SELECT c.oid, 'toast', c.reltoastrelid FROM named JOIN pg_class c USING (oid)
  WHERE c.reltoastrelid <> 0
  UNION ALL SELECT c.oid, 'toast', i.indexrelid FROM named JOIN pg_class c USING (oid)
  JOIN pg_index i ON i.indrelid = c.reltoastrelid
  UNION ALL SELECT i.indrelid, 'index', i.indexrelid FROM named JOIN pg_index i ON i.indrelid = named.oid
)
SELECT n.nspname, o.relname, p.part, c.relname, pg_relation_filenode(c.oid)::bigint
FROM part p JOIN pg_class o ON o.oid = p.owner JOIN pg_namespace n ON n.oid = o.relnamespace
JOIN pg_class c ON c.oid = p.oid WHERE pg_relation_filenode(c.oid) IS NOT NULL ORDER BY 1, 2, 3, 4
"""  # noqa: S608 (a constant)
# All that erased have ended before this transaction begins: its number parts what they left from the rest.
_NOW = "SELECT clock_timestamp(), txid_current() & 4294967295"


def tables_named(tables: Iterable[TableName]) -> dict[str, list[str]]:
    """Return names as the queries of this package take them."""
    found = list(tables)
    return {"schemas": [t.schema_name for t in found], "names": [t.name for t in found]}


def _relations(connection: Connection, query: str, tables: Iterable[TableName]) -> tuple[TableName, ...]:
    rows = connection.execute(sql.SQL(query), tables_named(tables))
    return tuple(TableName(schema_name=str(schema), name=str(name)) for schema, name in rows)


def files_of(connection: Connection, tables: Iterable[TableName]) -> tuple[StorageFile, ...]:
    """Return the files of tables as they are now."""
    rows = connection.execute(sql.SQL(_FILES), tables_named(tables))
    return tuple(
        StorageFile.model_validate(
            {
                "table": {"schema_name": schema, "name": owner},
                "part": part,
                "name": name,
                "file": file,
            }
        )
        for schema, owner, part, name, file in rows
    )


def begin(connection: Connection, tables: Iterable[TableName]) -> Begun:
    """Return the state before cleaning; call it once, when the last row is erased, and keep what it says.

    ``tables``: all from which rows were erased or in which values were replaced; partitions are found.
    """
    with database_errors("looking at where erased rows lay"):
        leaves = _relations(connection, _LEAVES, tables)
        above = _relations(connection, _ABOVE, [*tables, *leaves])
        views = _relations(connection, _VIEWS, [*leaves, *above])
        at, transaction = fetch(connection, _NOW)[0]
        return Begun.model_validate(
            {
                "at": at,
                "transaction": transaction,
                "tables": leaves,
                "views": views,
                "above": above,
                "files": files_of(connection, [*leaves, *views, *CATALOGS]),
            }
        )


def size_of(connection: Connection, table: TableName) -> int:
    """Return the bytes of a table with its TOAST and indexes; 0 when it is not there any more."""
    query = sql.SQL("SELECT coalesce(pg_total_relation_size(to_regclass({})), 0)")
    name = sql.Literal(qualified(table.schema_name, table.name).as_string(connection))
    return cast(int, connection.execute(query.format(name)).fetchall()[0][0])
