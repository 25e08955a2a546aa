"""Planner statistics: most common values, histograms; taken away first, then gathered anew from what is left.

ANALYZE alone is not enough: of a table that has become empty, and of a column that is not to be analysed, it
leaves the old entries, values and all.
"""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg import sql

from handover.model.reconciliation import TableName
from handover.model.residue import Statistics
from handover.postgres.residue.late import reported
from handover.postgres.residue.storage import tables_named
from handover.postgres.session import Connection, database_errors, fetch, qualified

_NAMED = """
FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN unnest(%(schemas)s::text[], %(names)s::text[]) AS w(schema, name)
  ON (n.nspname, t.relname) = (w.schema, w.name)
"""
_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
# An index on an expression has statistics of its own.
_RELATIONS = f"SELECT t.oid {_NAMED} UNION SELECT i.indexrelid {_NAMED} JOIN pg_index i ON i.indrelid = t.oid"
_DELETE = f"DELETE FROM pg_statistic WHERE starelid IN ({_RELATIONS})"  # noqa: S608 (a constant)
# Emptied, not deleted: before version 15 the server cannot plan a query without the row.
_EMPTY_EXTENDED = f"""
UPDATE pg_statistic_ext_data SET stxdndistinct = NULL, stxddependencies = NULL, stxdmcv = NULL {{}}
WHERE stxoid IN (SELECT e.oid {_NAMED} JOIN pg_statistic_ext e ON e.stxrelid = t.oid)
"""  # noqa: S608 (a constant)
_EXPRESSIONS_SINCE = 140000
# For owners, from version 18 on.
_CAN_CLEAR = "SELECT to_regprocedure('pg_clear_attribute_stats(text,text,text,boolean)') IS NOT NULL"
_CLEAR = f"""
SELECT pg_clear_attribute_stats(m.nspname, c.relname, a.attname, inherited)
FROM ({_RELATIONS}) AS r JOIN pg_class c ON c.oid = r.oid JOIN pg_namespace m ON m.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN unnest(ARRAY[false, true]) AS inherited ON NOT inherited OR c.relkind IN ('r', 'p', 'f')
WHERE c.relkind <> 'I' AND NOT (c.relkind = 'p' AND NOT inherited)
"""  # noqa: S608 (a constant)
# ANALYZE passes a table by, with a warning only, when the role may not; older servers keep no time of a
# partitioned one.
_ANALYZED = """
SELECT coalesce(bool_and(pg_stat_get_last_analyze_time(oid) >= %s
  OR relkind = 'p' AND current_setting('server_version_num')::int < 140000), false)
FROM pg_class WHERE oid = to_regclass(%s)
"""
# Entries that ANALYZE has left as they were: none of the present rows stands behind them.
_STALE = {
    "columns": "SELECT EXISTS (SELECT FROM pg_stats WHERE (schemaname, tablename) = (%s, %s)) AND "
    "(NOT EXISTS (SELECT FROM {table}) OR EXISTS (SELECT FROM pg_attribute"
    " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND attstattarget = 0))",
    "extended": "SELECT EXISTS (SELECT FROM pg_stats_ext WHERE (schemaname, tablename) = (%s, %s)"
    " AND most_common_vals IS NOT NULL AND %s <> '') AND NOT EXISTS (SELECT FROM {table})",
}


def renew_statistics(connection: Connection, tables: Iterable[TableName]) -> Statistics:
    """Take the statistics of tables and views away and gather them anew; says where that was not possible."""
    wanted = list(tables)
    with database_errors("renewing planner statistics"):
        superuser = bool(fetch(connection, _SUPERUSER)[0][0])
        taken = superuser and _run(connection, _DELETE, wanted)
        newer = connection.info.server_version >= _EXPRESSIONS_SINCE
        empty = _EMPTY_EXTENDED.format(", stxdexpr = NULL" if newer else "")
        taken_extended = superuser and _run(connection, empty, wanted)
        can_clear = bool(fetch(connection, _CAN_CLEAR)[0][0])
        taken = taken or (can_clear and all(_run(connection, _CLEAR, [one]) for one in wanted))
        not_analyzed = tuple(one for one in wanted if not _analyze(connection, one))
        return Statistics(
            left=() if taken else _stale(connection, wanted, "columns"),
            left_extended=() if taken_extended else _stale(connection, wanted, "extended"),
            not_analyzed=not_analyzed,
        )


def _run(connection: Connection, query: str, tables: list[TableName]) -> bool:
    """Run it; says whether the role might."""
    try:
        connection.execute(sql.SQL(query), tables_named(tables))
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def _analyze(connection: Connection, table: TableName) -> bool:
    name = qualified(table.schema_name, table.name)
    before = fetch(connection, "SELECT clock_timestamp()")[0][0]
    connection.execute(sql.SQL("ANALYZE {}").format(name))
    text = name.as_string(connection)
    done = reported(connection, lambda: fetch(connection, _ANALYZED, before, text)[0][0] or None)
    return done is not None


def _stale(connection: Connection, tables: list[TableName], kind: str) -> tuple[TableName, ...]:
    """Return the tables of which old entries are still there; what cannot be read is not judged here."""
    found = []
    for table in tables:
        name = qualified(table.schema_name, table.name)
        query = sql.SQL(_STALE[kind]).format(table=name)
        values = (table.schema_name, table.name, name.as_string(connection))
        if _may_read(connection, name) and fetch(connection, query, *values)[0][0]:
            found.append(table)
    return tuple(found)


def _may_read(connection: Connection, name: sql.Composable) -> bool:
    query = (
        "SELECT has_table_privilege(oid, 'SELECT') AND NOT row_security_active(oid)"
        " FROM pg_class WHERE oid = to_regclass(%s)"
    )
    return fetch(connection, query, name.as_string(connection)) == [(True,)]
