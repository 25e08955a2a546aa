"""What the session's role may not do although erasing needs it, found before anything begins."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from handover.errors import PreflightFailed
from handover.model.plan import TablePlan
from handover.postgres.session import Connection, database_errors, fetch, qualified

# Rows that others refer to are locked FOR UPDATE, which the server lets do who may update them.
NEEDED = ("SELECT", "UPDATE", "DELETE")
_TEMPORARY = "SELECT has_database_privilege(current_database(), 'TEMPORARY')"


def require_rights(connection: Connection, tables: Iterable[TablePlan]) -> None:
    """Raise PreflightFailed naming each table whose rows the role may not erase."""
    with database_errors("looking what the source's role may do"):
        lines = [line for table in tables for line in _lacking(connection, table)]
        if not fetch(connection, _TEMPORARY)[0][0]:
            lines.append("TEMPORARY on the database")
    if lines:
        raise PreflightFailed(
            "the source's role cannot erase; it lacks:\n  " + "\n  ".join(lines),
            hint="grant it what each line names, or connect as the owner of the tables; nothing was erased",
            lacking=lines,
        )


def _lacking(connection: Connection, table: TablePlan) -> list[str]:
    name = qualified(table.schema_name, table.name).as_string(connection)
    tests = sql.SQL(", ").join(
        sql.SQL("has_table_privilege({}, {})").format(sql.Literal(name), sql.Literal(right))
        for right in NEEDED
    )
    may = fetch(connection, sql.SQL("SELECT {}").format(tests))[0]
    lacking = [right for right, one in zip(NEEDED, may, strict=True) if not one]
    return [f"{', '.join(lacking)} on {table.label}"] if lacking else []
