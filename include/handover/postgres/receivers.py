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
# What only superusers may create, whatever grants there are.
_SUPERUSERS_ONLY = """
SELECT pg_describe_object(o.class, o.oid, 0) FROM pg_namespace n JOIN (
  SELECT 'pg_opclass'::regclass, oid, opcnamespace FROM pg_opclass
  UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfnamespace FROM pg_opfamily
  UNION ALL SELECT 'pg_ts_parser'::regclass, oid, prsnamespace FROM pg_ts_parser
  UNION ALL SELECT 'pg_ts_template'::regclass, oid, tmplnamespace FROM pg_ts_template
  UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type WHERE typtype = 'b' AND typelem = 0
  UNION ALL SELECT 'pg_proc'::regclass, p.oid, pronamespace FROM pg_proc p
  JOIN pg_language l ON l.oid = p.prolang
  WHERE p.proleakproof OR NOT l.lanpltrusted AND l.lanname <> 'sql' AND p.prokind <> 'a'
) AS o(class, oid, schema) ON o.schema = n.oid
WHERE n.nspname = ANY(%s) AND NOT EXISTS (
  SELECT FROM pg_depend e WHERE (e.classid, e.objid) = (o.class, o.oid) AND e.deptype IN ('e', 'i'))
ORDER BY 1
"""
# Granting in another's name, as in restoring such a grant, is for superusers.
_GRANTED_BY_OTHERS = """
SELECT pg_describe_object(o.class, o.oid, o.part) FROM pg_namespace n JOIN (
  SELECT 'pg_class'::regclass, oid, 0, relnamespace, relowner, relacl FROM pg_class
  UNION ALL SELECT 'pg_class'::regclass, c.oid, a.attnum, c.relnamespace, c.relowner, a.attacl
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  UNION ALL SELECT 'pg_proc'::regclass, oid, 0, pronamespace, proowner, proacl FROM pg_proc
  UNION ALL SELECT 'pg_type'::regclass, oid, 0, typnamespace, typowner, typacl FROM pg_type
  UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, oid, nspowner, nspacl FROM pg_namespace
) AS o(class, oid, part, schema, owner, acl) ON o.schema = n.oid
WHERE n.nspname = ANY(%s) AND EXISTS (SELECT FROM aclexplode(o.acl) a WHERE a.grantor <> o.owner)
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE (e.classid, e.objid, e.deptype) = (o.class, o.oid, 'e'))
ORDER BY 1
"""
_DEFAULTS_OF = """
SELECT DISTINCT pg_get_userbyid(d.defaclrole) FROM pg_default_acl d
JOIN pg_namespace n ON n.oid = d.defaclnamespace WHERE n.nspname = ANY(%s) ORDER BY 1
"""
_NOT_A_MEMBER = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND NOT pg_has_role(oid, 'USAGE')"
_IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
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
    if not fetch(receiver, _IS_SUPERUSER)[0][0]:
        yield from _for_superusers(source, receiver, schemas, field)
    forced = [str(name) for (name,) in fetch(source, _FORCED, schemas)]
    if forced and not fetch(receiver, _SEES_ALL)[0][0]:
        yield Finding(
            id=f"rows-hidden-later:{field}",
            message=f"row-level security forced on {', '.join(forced)} would hide what was loaded from the "
            f"role of {field}.connection, so that it could not be compared",
            remedy="connect as a role with BYPASSRLS",
        )


def _for_superusers(
    source: Connection, receiver: Connection, schemas: list[str], field: str
) -> Iterator[Finding]:
    remedy = f"connect as a superuser, or take them out of the source; the role of {field}.connection is none"
    if found := [str(what) for (what,) in fetch(source, _SUPERUSERS_ONLY, schemas)]:
        yield Finding(
            id=f"superusers-only:{field}",
            message=f"only superusers may create {', '.join(found)}",
            remedy=remedy,
        )
    if found := [str(what) for (what,) in fetch(source, _GRANTED_BY_OTHERS, schemas)]:
        yield Finding(
            id=f"granted-by-others:{field}",
            message=f"only superusers may repeat grants made by others than the owner, on {', '.join(found)}",
            remedy=remedy,
        )
    owners = [str(role) for (role,) in fetch(source, _DEFAULTS_OF, schemas)]
    for (role,) in fetch(receiver, _NOT_A_MEMBER, owners):
        yield Finding(
            id=f"not-a-member:{field}:{role}",
            message=f"default privileges of role {role!r} can be set by its members only",
            remedy=f'GRANT "{role}" to the role of {field}.connection',
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
