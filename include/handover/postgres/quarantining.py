"""Quarantine: rows that are to go are out of reach of every role but the custodian's until they do, or stay.

A restrictive policy on each table hides them and refuses new ones like them; grants stay as they are: revoked
ones could not be put back as they were, for nobody grants in another role's name. Lifting drops what was made
and nothing else. What no policy keeps out is listed: superusers, roles that bypass policies, owners, and
views, which read with the rights of theirs. TRUNCATE asks no policy either; a freeze refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from psycopg import sql

from handover.errors import PreflightFailed
from handover.model.cutover import QUARANTINE_POLICY
from handover.postgres.session import LOCK_SECONDS, Connection, database_errors, fetch, qualified

Pair = tuple[str, str]
# Beside the restrictive ones: where no policy was in force, it lets through what they do not hide.
_OTHERS = sql.Identifier(QUARANTINE_POLICY)
_STANDING = """
SELECT n.nspname, c.relname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.polname = %(name)s AND NOT p.polpermissive AND p.polcmd = '*' AND p.polroles = '{0}'
  AND c.relrowsecurity ORDER BY 1, 2
"""
_OURS = """
SELECT n.nspname, c.relname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.polname = %s ORDER BY 1, 2
"""
_HAS_POLICIES = "SELECT relrowsecurity FROM pg_class WHERE oid = %s::regclass"
_OTHER_QUARANTINES = """
SELECT FROM pg_policy WHERE polrelid = %s::regclass AND starts_with(polname, %s) AND polname <> %s
"""
_WANTED = """
FROM pg_class w JOIN pg_namespace n ON n.oid = w.relnamespace
JOIN unnest(%s::text[], %s::text[]) AS a(schema, name) ON (a.schema, a.name) = (n.nspname, w.relname)
"""
_NOT_OURS = f"SELECT nspname, relname {_WANTED} WHERE NOT pg_has_role(relowner, 'USAGE') ORDER BY 1, 2"
_OWNERS = f"SELECT DISTINCT pg_get_userbyid(relowner) {_WANTED} ORDER BY 1"
_VIEWS = f"""
SELECT DISTINCT m.nspname || '.' || v.relname, v.relkind = 'm'
{_WANTED} JOIN pg_depend d ON (d.refclassid, d.refobjid) = ('pg_class'::regclass, w.oid)
JOIN pg_rewrite r ON (d.classid, d.objid) = ('pg_rewrite'::regclass, r.oid)
JOIN pg_class v ON v.oid = r.ev_class JOIN pg_namespace m ON m.oid = v.relnamespace
WHERE v.relkind IN ('v', 'm') ORDER BY 1
"""
_KNOWN = "SELECT FROM pg_roles WHERE rolname = %s"
_ROLES = "SELECT rolname, rolsuper FROM pg_roles WHERE rolsuper OR rolbypassrls ORDER BY 2 DESC, 1"


@dataclass(frozen=True)
class Barred:
    """A table, or partition, whose rows are locked away: those that meet a condition on the alias ``t``.

    ``columns``: all that the condition may name. Without a condition every row is.
    """

    schema: str
    name: str
    columns: tuple[str, ...] = ()
    condition: sql.Composable | None = None

    @property
    def label(self) -> str:
        """Return the name for people."""
        return f"{self.schema}.{self.name}"


def bar(connection: Connection, tables: Sequence[Barred], holder: str, custodian: str | None) -> None:
    """Lock rows away in the name of a holder; safe to repeat. ``custodian``: the role that may go on.

    Raises PreflightFailed when the session's role is not the tables' owner or there is no such custodian,
    Busy when a table stays locked.
    """
    _require_possible(connection, tables, custodian)
    with database_errors("locking rows of the source away"), connection.transaction():
        _wait_for_locks(connection)
        for table in tables:
            _bar(connection, table, policy_name(holder), custodian)


def _bar(connection: Connection, table: Barred, name: str, custodian: str | None) -> None:
    place = qualified(table.schema, table.name)
    _drop(connection, place, name)
    if not fetch(connection, _HAS_POLICIES, place.as_string(connection))[0][0]:
        connection.execute(sql.SQL("CREATE POLICY {} ON {} USING (true)").format(_OTHERS, place))
        connection.execute(sql.SQL("ALTER TABLE ONLY {} ENABLE ROW LEVEL SECURITY").format(place))
    connection.execute(
        sql.SQL("CREATE POLICY {} ON {} AS RESTRICTIVE USING ({})").format(
            sql.Identifier(name), place, _visible(table, custodian)
        )
    )


def _visible(table: Barred, custodian: str | None) -> sql.Composable:
    """Return which rows may be seen; a role that is gone by then is an error, so that nobody sees any."""
    tests: list[sql.Composable] = []
    if custodian:
        test = sql.SQL("pg_has_role(current_user, {}, 'USAGE')")
        tests.append(test.format(sql.Literal(custodian)))
    if table.condition:
        names = [sql.SQL("{}").format(sql.Identifier(table.name, column)) for column in table.columns]
        tests.append(
            sql.SQL("NOT EXISTS (SELECT FROM (SELECT {}) AS t WHERE {})").format(
                sql.SQL(", ").join(names), table.condition
            )
        )
    return sql.SQL(" OR ").join(tests or [sql.SQL("false")])


def lift(connection: Connection, holder: str) -> bool:
    """Let everybody see again what a holder locked away; returns whether anything was. Safe to repeat."""
    name = policy_name(holder)
    with database_errors("lifting the quarantine of the source"):
        tables = fetch(connection, _OURS, name)
        with connection.transaction():
            _wait_for_locks(connection)
            for schema, table in tables:
                _drop(connection, qualified(str(schema), str(table)), name)
    return bool(tables)


def _drop(connection: Connection, place: sql.Composable, name: str) -> None:
    """Drop a holder's policy, and with the last one what let other rows through."""
    where = place.as_string(connection)
    connection.execute(sql.SQL("DROP POLICY IF EXISTS {} ON {}").format(sql.Identifier(name), place))
    others = fetch(connection, _OTHER_QUARANTINES, where, QUARANTINE_POLICY, QUARANTINE_POLICY)
    made = connection.execute(
        "SELECT FROM pg_policy WHERE polrelid = %s::regclass AND polname = %s", [where, QUARANTINE_POLICY]
    ).fetchall()
    if made and not others:
        connection.execute(sql.SQL("DROP POLICY {} ON {}").format(_OTHERS, place))
        connection.execute(sql.SQL("ALTER TABLE ONLY {} DISABLE ROW LEVEL SECURITY").format(place))


def not_barred(connection: Connection, tables: Iterable[Barred], holder: str) -> list[str]:
    """Return the labels of tables that the holder's quarantine does not protect now."""
    rows = connection.execute(_STANDING, {"name": policy_name(holder)})
    standing = {(str(schema), str(name)) for schema, name in rows}
    return [table.label for table in tables if (table.schema, table.name) not in standing]


def not_covered(connection: Connection, tables: Sequence[Barred]) -> list[str]:
    """Return a line for each way to the rows that no policy closes."""
    wanted = [[table.schema for table in tables], [table.name for table in tables]]
    lines = [
        f"role {name}: {'superuser' if superuser else 'bypasses policies'}"
        for name, superuser in fetch(connection, _ROLES)
    ]
    lines += [f"role {name}: owner" for (name,) in fetch(connection, _OWNERS, *wanted)]
    for name, stored in fetch(connection, _VIEWS, *wanted):
        how = "holds rows of its own" if stored else "reads with its owner's rights"
        lines.append(f"view {name}: {how}")
    return lines


def _require_possible(connection: Connection, tables: Sequence[Barred], custodian: str | None) -> None:
    with database_errors("looking whether rows can be locked away"):
        wanted = [[table.schema for table in tables], [table.name for table in tables]]
        lines = [
            f"{schema}.{name}: only its owner can lock rows away"
            for schema, name in fetch(connection, _NOT_OURS, *wanted)
        ]
        if custodian and not fetch(connection, _KNOWN, custodian):
            lines.append(f"custodian {custodian}: the source has no such role")
    if lines:
        raise PreflightFailed(
            "rows of the source cannot be locked away:\n  " + "\n  ".join(lines),
            hint="connect as the owner of the tables; name a role of the source under disposal.custodian",
            lacking=lines,
        )


def _wait_for_locks(connection: Connection) -> None:
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{LOCK_SECONDS}s")))


def policy_name(holder: str) -> str:
    """Return the name of a holder's policies."""
    return f"{QUARANTINE_POLICY}_{sha256(holder.encode()).hexdigest()[:16]}"
