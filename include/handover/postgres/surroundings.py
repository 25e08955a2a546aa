"""Looks for what belongs to the source's database around its schemas and is never moved: settings, grants,
comment, order of text, where tables lie, who owns them.

Each is listed unless the target has the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from handover.model.catalog import Finding
from handover.postgres.session import Connection, fetch

_SETTINGS = """
SELECT coalesce(r.rolname, ''), unnest(s.setconfig) FROM pg_db_role_setting s
LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
# The owner by what it is, not by its name, which may be another one in the target.
_GRANTS = """
SELECT CASE a.grantee WHEN 0 THEN '' WHEN d.datdba THEN NULL ELSE pg_get_userbyid(a.grantee) END,
       a.privilege_type, a.is_grantable
FROM pg_database d, LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
WHERE d.datname = current_database() AND (d.datacl IS NOT NULL OR NOT %s)
"""
_TEXT_ORDER = """
SELECT CASE to_jsonb(d) ->> 'datlocprovider' WHEN 'b' THEN 'C'
       WHEN 'i' THEN 'ICU ' || coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')
       ELSE CASE WHEN d.datcollate IN ('C', 'POSIX') THEN 'C' ELSE d.datcollate END END
FROM pg_database d WHERE d.datname = current_database()
"""
_GLOBAL_DEFAULTS = """
SELECT pg_get_userbyid(defaclrole), count(*) FROM pg_default_acl WHERE defaclnamespace = 0
GROUP BY 1 ORDER BY 1
"""
_SYSTEM_GRANTS = """
WITH object(class, oid, part, acl) AS (
  SELECT 'pg_class'::regclass, oid, 0, relacl FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace
  UNION ALL SELECT 'pg_class'::regclass, attrelid, attnum, attacl FROM pg_attribute WHERE attacl IS NOT NULL
  UNION ALL SELECT 'pg_proc'::regclass, oid, 0, proacl FROM pg_proc
  UNION ALL SELECT 'pg_type'::regclass, oid, 0, typacl FROM pg_type
  UNION ALL SELECT 'pg_language'::regclass, oid, 0, lanacl FROM pg_language
)
SELECT pg_describe_object(o.class, o.oid, o.part) FROM object o
LEFT JOIN pg_init_privs i ON (i.classoid, i.objoid, i.objsubid) = (o.class, o.oid, o.part)
WHERE o.oid < 16384 AND o.acl IS DISTINCT FROM i.initprivs ORDER BY 1
"""
_RELATION = " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
_TABLESPACES = (
    f"SELECT s.spcname, count(*){_RELATION} JOIN pg_tablespace s ON s.oid = c.reltablespace"
    " WHERE n.nspname = ANY(%s) GROUP BY 1 ORDER BY 1"
)
_TABLE_METHODS = (
    f"SELECT m.amname, count(*){_RELATION} JOIN pg_am m ON m.oid = c.relam"
    " WHERE n.nspname = ANY(%s) AND m.amtype = 't' AND m.amname <> 'heap' GROUP BY 1 ORDER BY 1"
)
_OWNERS = """
SELECT DISTINCT pg_get_userbyid(o.owner) FROM pg_namespace n JOIN (
  SELECT 'pg_namespace'::regclass, oid, oid, nspowner FROM pg_namespace
  UNION ALL SELECT 'pg_class'::regclass, oid, relnamespace, relowner FROM pg_class WHERE relkind <> 'f'
  UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace, proowner FROM pg_proc
  UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace, typowner FROM pg_type
  WHERE typelem = 0 AND typrelid = 0
) AS o(class, oid, schema, owner) ON o.schema = n.oid
WHERE n.nspname = ANY(%s) AND pg_get_userbyid(o.owner) <> 'pg_database_owner' AND NOT EXISTS (
  SELECT FROM pg_depend e WHERE (e.classid, e.objid) = (o.class, o.oid) AND e.deptype IN ('e', 'i'))
ORDER BY 1
"""
# Rows that an extension's author wants dumped, in the tables that it brought.
_EXTENSION_ROWS = """
SELECT e.extname FROM pg_extension e, unnest(e.extconfig) AS t(oid)
WHERE pg_relation_size(t.oid) > 0 GROUP BY 1 ORDER BY 1
"""
_ORDERED_BY_BYTES = """
SELECT n.nspname || '.' || c.relname || '.' || a.attname
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.atttypid IN ('jsonb'::regtype, 'tsvector'::regtype, 'jsonb[]'::regtype, 'tsvector[]'::regtype)
  AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r' AND n.nspname = ANY(%s) ORDER BY 1
"""
_ENCODING = "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"


def check_surroundings(source: Connection, target: Connection, schemas: list[str]) -> Iterator[Finding]:
    """List what the target lacks of the source's database."""
    yield from _of_the_database(source, target)
    yield from _of_text(source, target, schemas)
    for role, count in fetch(source, _GLOBAL_DEFAULTS):
        yield Finding.to_accept(
            f"default-privileges:{role}",
            f"{count} default privileges of role {role} hold in no schema of their own: they do not move",
            "repeat ALTER DEFAULT PRIVILEGES in the target yourself",
        )
    for space, count in fetch(source, _TABLESPACES, schemas):
        yield Finding.to_accept(
            f"tablespace:{space}",
            f"{count} relations lie in tablespace {space}; in the target all lie in the database's own",
            "move them in the target afterwards",
        )
    for method, count in fetch(source, _TABLE_METHODS, schemas):
        yield Finding.to_accept(
            f"table-access-method:{method}",
            f"{count} tables are stored by access method {method}; in the target all are of its default",
            "rewrite them in the target afterwards",
        )
    owners = [str(name) for (name,) in fetch(source, _OWNERS, schemas)]
    if len(owners) > 1:
        yield Finding.to_accept(
            "owners",
            f"the objects have several owners ({', '.join(owners)}); in the target all belong to its role",
            "change the owners in the target afterwards",
        )
    for (extension,) in fetch(source, _EXTENSION_ROWS):
        yield Finding.to_accept(
            f"extension-rows:{extension}",
            f"tables that extension {extension} brought hold rows; what was added to them does not move",
            "add it in the target yourself",
        )


def _of_the_database(source: Connection, target: Connection) -> Iterator[Finding]:
    settings = set(fetch(source, _SETTINGS)) - set(fetch(target, _SETTINGS))
    if settings:
        names = sorted({f"{role}{': ' if role else ''}{str(s).split('=')[0]}" for role, s in settings})
        yield Finding.to_accept(
            "database-settings",
            f"settings of the source's database are not those of the target: {', '.join(names)}",
            "repeat ALTER DATABASE … SET and ALTER ROLE … IN DATABASE … SET in the target",
        )
    comment = fetch(source, _COMMENT)
    if comment[0][0] is not None and comment != fetch(target, _COMMENT):
        yield Finding.to_accept(
            "database-comment", "the comment on the source's database does not move", "COMMENT ON DATABASE"
        )
    grants = set(fetch(source, _GRANTS, True))
    if grants and grants != set(fetch(target, _GRANTS, False)):
        yield Finding.to_accept(
            "database-grants",
            "privileges on the source's database itself were changed and are not those of the target",
            "GRANT and REVOKE ON DATABASE in the target",
        )
    if system := [str(what) for (what,) in fetch(source, _SYSTEM_GRANTS)]:
        yield Finding.to_accept(
            "system-grants",
            f"privileges on objects of the system were changed, which does not move: {', '.join(system)}",
            "repeat it in the target",
        )


def _of_text(source: Connection, target: Connection, schemas: list[str]) -> Iterator[Finding]:
    here, there = (str(fetch(side, _TEXT_ORDER)[0][0]) for side in (source, target))
    if here != there:
        yield Finding.to_accept(
            "text-order",
            f"text is ordered by {here} in the source's database and by {there} in the target's",
            "create the target database with the source's locale",
        )
    encoding, other = (fetch(side, _ENCODING)[0][0] for side in (source, target))
    if encoding == "SQL_ASCII":
        yield Finding.to_accept(
            "encoding-unknown",
            "the source's encoding SQL_ASCII says nothing of its text: it is read as UTF-8, and the backup "
            "fails on text that is none",
            "convert the source to UTF-8",
        )
    columns = [str(name) for (name,) in fetch(source, _ORDERED_BY_BYTES, schemas)]
    if columns and (encoding, other) != ("UTF8", "UTF8"):
        yield Finding.to_accept(
            "order-by-encoding",
            f"parts of jsonb and tsvector are ordered by bytes of the encoding, {encoding} here and {other} "
            f"there: where they are not ASCII, values of {', '.join(columns)} may compare as different",
            "use databases in UTF-8",
        )
