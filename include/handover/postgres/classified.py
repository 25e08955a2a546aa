"""Which class each backed-up row is of, asked of the server that knows the types and the predicates."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from handover.model.catalog import Table
from handover.model.disposition import RowClass
from handover.model.plan import TablePlan
from handover.postgres.copying import copy_into, cut_by_size, read_rows
from handover.postgres.selection import class_condition
from handover.postgres.session import Connection, qualified

_ROWS = sql.SQL("pg_temp.handover_classified")


def rows_by_class(
    connection: Connection, plan: TablePlan, table: Table, classes: Sequence[RowClass], data: bytes
) -> dict[str, bytes]:
    """Return the rows of a chunk of COPY text by the name of their class, in their order.

    ``table`` is the one whose classes these are, of which ``plan`` may be a partition. Needs a transaction
    that may write; nothing stays of what it makes.
    """
    if len(classes) == 1 and classes[0].where is None:
        return {classes[0].name: data}
    # With generated columns, for a predicate may name one.
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE handover_classified (LIKE {} INCLUDING GENERATED) ON COMMIT DROP"
        ).format(qualified(plan.schema_name, plan.name))
    )
    connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN handover_place bigserial").format(_ROWS))
    copy_into(connection, _ROWS, plan.columns, "text", data)
    names = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in plan.columns)
    found = {}
    for one in classes:
        query = sql.SQL("SELECT {} FROM {} AS t WHERE {} ORDER BY handover_place").format(
            names, _ROWS, class_condition(one, table)
        )
        rows = b"".join(chunk.data for chunk in cut_by_size(read_rows(connection, query, "text")))
        if rows:
            found[one.name] = rows
    connection.execute(sql.SQL("DROP TABLE {}").format(_ROWS))
    return found
