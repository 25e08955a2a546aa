"""Freezing: nobody writes to the tables of some schemas until their freeze is lifted, superusers included.

A trigger on each table refuses every statement that writes. Other than revoked grants it holds for owners and
superusers too, waits for transactions that are writing already, and leaves the grants, which are handed over,
as they are. Each freeze is one function and its triggers: dropping it lifts this freeze and no other. What it
cannot keep out: large objects, the workers of logical replication, and who drops a trigger; the source is
read again for their sake.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

import psycopg
from psycopg import sql

from handover.model.catalog import Finding
from handover.model.cutover import FREEZE_SCHEMA
from handover.postgres.session import LOCK_SECONDS, Connection, database_errors, fetch, qualified

_SCHEMA = sql.Identifier(FREEZE_SCHEMA)
# BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE, for each statement, as pg_trigger.tgtype has it.
_EVERY_WRITE = 2 + 4 + 8 + 16 + 32
_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE (e.classid, e.objid, e.deptype) = ('pg_class'::regclass, c.oid, 'e'))
"""
_THAWED = (
    _TABLES
    + """
  AND NOT EXISTS (
    SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace f ON f.oid = p.pronamespace
    WHERE t.tgrelid = c.oid AND t.tgenabled = 'A' AND t.tgtype = %(every_write)s AND t.tgqual IS NULL
      AND (f.nspname, p.proname) = (%(schema)s, %(name)s))
ORDER BY 1, 2
"""
)
_NOT_OURS = _TABLES + "AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1, 2"
_MAY_CREATE = "SELECT has_database_privilege(current_database(), 'CREATE')"
_LET_THROUGH = "BEGIN RETURN NULL; END"
_REFUSE = """
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
    MESSAGE = pg_catalog.format('table %I.%I is frozen by %s', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]),
    HINT = 'It is being handed over; aborting that run lifts the freeze.';
END
"""


def freeze(connection: Connection, schemas: Iterable[str], holder: str) -> None:
    """Freeze all tables of the schemas at one moment, in the name of a holder; safe to repeat.

    Raises Busy when a transaction that writes does not end within LOCK_SECONDS.
    """
    wanted = list(schemas)
    with database_errors("freezing the source"), connection.transaction():
        _wait_for_locks(connection)
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(_SCHEMA))
        _define(connection, holder, _REFUSE)
        for schema, table in thawed(connection, wanted, holder):
            _freeze_table(connection, qualified(schema, table), holder)


def _define(connection: Connection, holder: str, body: str) -> None:
    connection.execute(
        sql.SQL("CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}").format(
            qualified(FREEZE_SCHEMA, _name(holder)), sql.Literal(body)
        )
    )


@contextmanager
def passing_freeze(connection: Connection, holder: str) -> Iterator[None]:
    """Let the open transaction, and no other, write to what a holder has frozen.

    The freeze's function is another one until the block ends, which nobody else can see, for it is never
    committed. No setting or role lets through that somebody else could take on. Triggers of the tables that
    write to other frozen ones get through too; a rollback or a killed process leaves the freeze as it was.
    """
    lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
    connection.execute(lock, [_name(holder)])  # two would wait for the function, and the second fail
    _define(connection, holder, _LET_THROUGH)
    yield
    _define(connection, holder, _REFUSE)


def _wait_for_locks(connection: Connection) -> None:
    """Give up in time: who waits for a lock keeps all out who come after."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{LOCK_SECONDS}s")))


def _freeze_table(connection: Connection, table: sql.Composable, holder: str) -> None:
    names = {"table": table, "trigger": sql.Identifier(_name(holder)), "holder": sql.Literal(holder)}
    names["function"] = qualified(FREEZE_SCHEMA, _name(holder))
    for statement in (
        "DROP TRIGGER IF EXISTS {trigger} ON {table}",
        "CREATE TRIGGER {trigger} BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION {function}({holder})",
        # Else a session that replicates, or says it does, is let through.
        "ALTER TABLE ONLY {table} ENABLE ALWAYS TRIGGER {trigger}",
    ):
        connection.execute(sql.SQL(statement).format(**names))


def thawed(connection: Connection, schemas: Iterable[str], holder: str) -> list[tuple[str, str]]:
    """Return the tables of the schemas that this holder's freeze does not protect, or not fully."""
    values = {"schemas": list(schemas), "every_write": _EVERY_WRITE, "schema": FREEZE_SCHEMA}
    rows = connection.execute(_THAWED, values | {"name": _name(holder)})
    return [(str(schema), str(name)) for schema, name in rows]


def thaw(connection: Connection, holder: str) -> bool:
    """Lift a holder's freeze; returns whether there was one. Safe to repeat."""
    function = qualified(FREEZE_SCHEMA, _name(holder))
    there = fetch(connection, "SELECT to_regprocedure(%s) IS NOT NULL", f"{FREEZE_SCHEMA}.{_name(holder)}()")
    if not there[0][0]:
        return False
    with database_errors("lifting the freeze of the source"), connection.transaction():
        _wait_for_locks(connection)
        connection.execute(sql.SQL("DROP FUNCTION {}() CASCADE").format(function))
        with suppress(psycopg.errors.DependentObjectsStillExist), connection.transaction():  # another's
            connection.execute(sql.SQL("DROP SCHEMA {}").format(_SCHEMA))
    return True


def check_freezing(connection: Connection, schemas: Iterable[str]) -> Iterator[Finding]:
    """List what keeps the role of a connection from freezing the schemas."""
    rows = connection.execute(_NOT_OURS, {"schemas": list(schemas)})
    if tables := [f"{schema}.{name}" for schema, name in rows]:
        yield Finding(
            id="freeze-owner",
            message=f"only their owners can freeze tables; the source's role owns not: {', '.join(tables)}",
            remedy="connect as their owner, or leave cutover.freeze out and stop what writes to them",
        )
    if not fetch(connection, _MAY_CREATE)[0][0]:
        yield Finding(
            id="freeze-schema",
            message=f"a freeze needs a schema {FREEZE_SCHEMA} in the source, which its role may not create",
            remedy="GRANT CREATE ON DATABASE to that role, or leave cutover.freeze out",
        )


def _name(holder: str) -> str:
    """Return the name of a holder's function and triggers."""
    return f"{FREEZE_SCHEMA}_{sha256(holder.encode()).hexdigest()[:16]}"
