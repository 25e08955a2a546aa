"""The queries that count rows which fail: one expectation, or several of a table at once."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from handover.model.expectation import TableFacts
from handover.quality.kind import Kind, OfRow, only


def failing_rows(table: TableFacts, kind: Kind) -> sql.Composed:
    """Return the query for how many rows fail."""
    return sql.SQL("SELECT count(*) FROM ({}) AS t").format(kind.failing(table))


def fails_any(table: TableFacts, kinds: Sequence[Kind]) -> sql.Composed:
    """Return the query for a number that is 0 when no row fails any of these; at least one is needed.

    What can be said of a row by itself is asked in one scan. What joins has a query of its own: as one of
    several conditions it would be looked up again for each row.
    """
    conditions, counts = [], []
    for kind in kinds:
        if isinstance(kind, OfRow) and not kind.joins:
            conditions.append(sql.SQL("({})").format(kind.condition(table)))
        else:
            counts.append(failing_rows(table, kind))
    if conditions:
        scan = sql.SQL("SELECT count(*) FROM {} WHERE {}")
        counts.append(scan.format(only(table), sql.SQL(" OR ").join(conditions)))
    return sql.SQL("SELECT {}").format(sql.SQL(" + ").join(sql.SQL("({})").format(count) for count in counts))
