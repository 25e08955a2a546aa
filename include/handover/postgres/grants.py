"""Who may do what with tables: grants on them and their columns, memberships, superusers (E02)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handover.postgres.session import Connection, database_errors, fetch

PUBLIC = "PUBLIC"
# A table's owner has every right without a grant. A right on a column counts as one on the table, one on a
# partition as one of its own.
_GRANTS = """
WITH relation AS (
  SELECT c.oid, n.nspname, c.relname, c.relowner, c.relacl, c.relkind, c.relispartition
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
), granted AS (
  SELECT r.oid, r.nspname, r.relname, r.relowner, r.relkind, r.relispartition, a.grantee, a.privilege_type
  FROM relation r, LATERAL aclexplode(r.relacl) a
  UNION
  SELECT r.oid, r.nspname, r.relname, r.relowner, r.relkind, r.relispartition, a.grantee, a.privilege_type
  FROM relation r JOIN pg_attribute c ON c.attrelid = r.oid, LATERAL aclexplode(c.attacl) a
)
SELECT g.nspname, g.relname, coalesce(r.rolname, 'PUBLIC'), g.privilege_type
FROM granted g LEFT JOIN pg_roles r ON r.oid = g.grantee
WHERE g.grantee <> g.relowner ORDER BY 1, 2, 3, 4
"""
_TABLES = """
SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1, 2
"""
# Whose rights a role has besides its own: directly or through others.
_MEMBERS = """
WITH RECURSIVE belongs(member, role) AS (
  SELECT member, roleid FROM pg_auth_members
  UNION SELECT b.member, m.roleid FROM belongs b JOIN pg_auth_members m ON m.member = b.role
)
SELECT DISTINCT m.rolname, r.rolname FROM belongs b
JOIN pg_roles m ON m.oid = b.member JOIN pg_roles r ON r.oid = b.role
WHERE m.rolcanlogin AND NOT m.rolsuper ORDER BY 1, 2
"""
# The first superuser is the server's own, and ours is the one that looks.
_SUPERUSERS = """
SELECT rolname FROM pg_roles
WHERE (rolsuper OR rolbypassrls) AND rolcanlogin AND oid <> 10 AND rolname <> current_user ORDER BY 1
"""


@dataclass(frozen=True, order=True)
class Held:
    """A right of a role on a table."""

    schema: str
    table: str
    role: str
    right: str


@dataclass(frozen=True)
class Access:
    """All that was found. ``members``: accounts and the roles whose rights they have besides their own."""

    held: tuple[Held, ...]
    tables: tuple[tuple[str, str], ...]
    owners: frozenset[str]
    members: tuple[tuple[str, str], ...]
    superusers: tuple[str, ...]


def access(connection: Connection, schemas: Sequence[str]) -> Access:
    """Return who may do what with the tables of the schemas."""
    asked = {"schemas": list(schemas)}
    with database_errors("reading the grants"):
        held = tuple(Held(*map(str, row)) for row in connection.execute(_GRANTS, asked).fetchall())
        tables = [tuple(map(str, row)) for row in connection.execute(_TABLES, asked).fetchall()]
        members = tuple((str(one), str(role)) for one, role in fetch(connection, _MEMBERS))
        superusers = tuple(str(row[0]) for row in fetch(connection, _SUPERUSERS))
    return Access(
        held=held,
        tables=tuple((schema, table) for schema, table, _ in tables),
        owners=frozenset(owner for _, _, owner in tables),
        members=members,
        superusers=superusers,
    )
