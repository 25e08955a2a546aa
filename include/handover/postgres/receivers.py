"""Looks at whether a server that shall receive the source's objects has what they need: roles, extensions,
and a role of ours that may read everything back. Both the target and the restore test's server receive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from handover.model.catalog import Extension, Finding
from handover.postgres.session import Connection, fetch

_ROLES = """
WITH object(schema, owner, acl) AS (
  SELECT relnamespace, relowner, relacl FROM pg_class
  UNION ALL SELECT c.relnamespace, c.relowner, a.attacl
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  UNION ALL SELECT pronamespace, proowner, proacl FROM pg_proc
  UNION ALL SELECT typnamespace, typowner, typacl FROM pg_type
  UNION ALL SELECT oid, nspowner, nspacl FROM pg_namespace
  UNION ALL SELECT defaclnamespace, 0, defaclacl FROM pg_default_acl
), wanted AS (
  SELECT oid FROM pg_namespace WHERE nspname = ANY(%(schemas)s)
), named(role) AS (
  SELECT a.grantee FROM object o, LATERAL aclexplode(o.acl) a
  WHERE o.schema IN (SELECT oid FROM wanted) AND a.grantee <> o.owner
  UNION SELECT defaclrole FROM pg_default_acl WHERE defaclnamespace IN (SELECT oid FROM wanted)
  UNION SELECT a.grantee FROM pg_largeobject_metadata m, LATERAL aclexplode(m.lomacl) a
  WHERE %(large_objects)s AND a.grantee <> m.lomowner
  UNION SELECT unnest(p.polroles) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
  WHERE c.relnamespace IN (SELECT oid FROM wanted)
)
SELECT rolname FROM pg_roles WHERE oid IN (SELECT role FROM named)
"""
_FORCED = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY(%s) AND c.relrowsecurity AND c.relforcerowsecurity ORDER BY 1
"""
_SEES_ALL = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
_CREATABLE = """
SELECT v.name, bool_or(v.trusted OR NOT v.superuser OR r.rolsuper OR e.oid IS NOT NULL)
FROM pg_available_extension_versions v JOIN pg_roles r ON r.rolname = current_user
LEFT JOIN pg_extension e ON e.extname = v.name GROUP BY 1
"""


def check_receiver(
    source: Connection, receiver: Connection, schemas: list[str], large_objects: bool, field: str
) -> Iterator[Finding]:
    """Compare what the source's objects need with what is there; ``field`` names the connection."""
    yield from _missing_roles(source, receiver, schemas, large_objects, field)
    forced = [str(name) for (name,) in fetch(source, _FORCED, schemas)]
    if forced and not fetch(receiver, _SEES_ALL)[0][0]:
        yield Finding(
            id=f"rows-hidden-later:{field}",
            message=f"row-level security forced on {', '.join(forced)} would hide what was loaded from the "
            f"role of {field}.connection, so that it could not be compared",
            remedy="connect as a role with BYPASSRLS",
        )


def _missing_roles(
    source: Connection, receiver: Connection, schemas: list[str], large_objects: bool, field: str
) -> Iterator[Finding]:
    named = {"schemas": schemas, "large_objects": large_objects}
    wanted = {str(row[0]) for row in source.execute(_ROLES, named)}
    known = {str(row[0]) for row in fetch(receiver, "SELECT rolname FROM pg_roles")}
    for role in sorted(wanted - known):
        yield Finding(
            id=f"role-absent:{field}:{role}",
            message=f"role {role!r}, named in grants or policies of the source, does not exist on the server "
            f"of {field}.connection",
            remedy=f'CREATE ROLE "{role}" there',
        )


def check_extensions(receiver: Connection, extensions: Iterable[Extension], field: str) -> Iterator[Finding]:
    """Look at whether every extension of the source can be created there by our role."""
    creatable = {str(name): bool(allowed) for name, allowed in fetch(receiver, _CREATABLE)}
    for extension in extensions:
        if extension.name not in creatable:
            yield Finding(
                id=f"extension-absent:{field}:{extension.name}",
                message=f"extension {extension.name!r} of the source is not available on the server of "
                f"{field}.connection",
                remedy="install the extension's files there",
            )
        elif not creatable[extension.name]:
            yield Finding(
                id=f"extension-refused:{field}:{extension.name}",
                message=f"extension {extension.name!r} of the source can be created by superusers only, "
                f"which the role of {field}.connection is not",
                remedy="connect as a superuser, or in the target let one create the extension beforehand",
            )
