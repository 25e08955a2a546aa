"""What the server says of the days by which rows are kept: are their columns there, how do they stand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from psycopg import sql

from handover.model.catalog import Table
from handover.postgres.ordering import rows_of
from handover.postgres.row_classes import reading
from handover.postgres.session import Connection, database_errors, fetch

# Reading a smaller table whole takes no time.
WORTH_AN_INDEX = 100_000
_COLUMNS = """
SELECT n.nspname, c.relname, json_object_agg(a.attname::text, format_type(
    CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, NULL))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(%s) GROUP BY n.nspname, c.relname
"""


def columns_of(connection: Connection, schemas: Sequence[str]) -> dict[tuple[str, str], dict[str, str]]:
    """Return the columns of every table of the schemas with their types, of domains what they rest on."""
    with database_errors("reading the columns of tables"):
        found = fetch(connection, _COLUMNS, list(schemas))
    return {(str(schema), str(table)): cast(dict[str, str], types) for schema, table, types in found}


def count_each(
    connection: Connection, table: Table, conditions: Mapping[str, sql.Composable], within: sql.Composable
) -> dict[str, int]:
    """Count the rows that meet each condition in one pass over those ``within``; all on the alias ``t``."""
    if not conditions:
        return {}
    counted = [sql.SQL("count(*) FILTER (WHERE {})").format(one) for one in conditions.values()]
    query = sql.SQL("SELECT {} FROM {} AS t WHERE {}").format(
        sql.SQL(", ").join(counted), rows_of(table), within
    )
    with database_errors(f"counting rows of {table.label} by their days"), reading(connection):
        (row,) = fetch(connection, query)
    return dict(zip(conditions, (int(str(rows)) for rows in row), strict=True))


def no_index_serves(connection: Connection, table: Table, condition: sql.Composable) -> bool:
    """Say whether rows of a table can be found only by reading it whole."""
    query = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} AS t WHERE {}").format(rows_of(table), condition)
    with database_errors(f"asking how rows of {table.label} are found"), reading(connection):
        connection.execute("SET LOCAL enable_seqscan = off")
        (found,) = fetch(connection, query)[0]
        connection.execute("RESET enable_seqscan")
    return "Seq Scan" in json.dumps(found)
