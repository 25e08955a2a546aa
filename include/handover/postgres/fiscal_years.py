"""Asks a table whether its rows are of the fiscal years that a class is said to be of."""

from __future__ import annotations

from typing import cast

from psycopg import sql

from handover.model.catalog import Table
from handover.model.ledger_list import year_in
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, database_errors, fetch


def years_there(
    connection: Connection, table: Table, condition: sql.Composable, column: str, *, of_date: bool
) -> dict[int | None, int]:
    """Return how many rows of the alias ``t`` that meet the condition are of which year, None of no known.

    ``column`` holds the year, or with ``of_date`` a day or moment of it, which counts in UTC.
    """
    value = sql.SQL("t.{}").format(sql.Identifier(column))
    if of_date:
        form = sql.SQL("CASE WHEN isfinite({value}) THEN extract(year FROM {value})::int END")
        value = form.format(value=value)
    query = sql.SQL("SELECT ({})::text, count(*) FROM {} AS t WHERE {} GROUP BY 1").format(
        value, rows_of(table), condition
    )
    found: dict[int | None, int] = {}
    with database_errors(f"reading the fiscal years of {table.label}"):
        for label, rows in fetch(connection, query):
            year = year_in(cast(str | None, label))
            found[year] = found.get(year, 0) + cast(int, rows)
    return found
