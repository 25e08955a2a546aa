"""Looks for everything that would make a transfer fail or fall short, before anything is touched.

Each check returns findings; nothing is raised here, so that a person sees all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from handover.model.case import RECEIPTS_SCHEMA
from handover.model.catalog import Extension, Finding, Server
from handover.postgres.outside import keys_outside, outside_id
from handover.postgres.receipts import runs_with_receipts
from handover.postgres.receivers import check_extensions
from handover.postgres.session import QUIET_LOG, Connection, fetch, quiet_log

_RELATION = (
    "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = ANY(%s) AND c.relpersistence <> 't' AND "
)
_UNREADABLE = _RELATION + (
    "((c.relkind IN ('r', 'p', 'm') AND NOT has_table_privilege(c.oid, 'SELECT'))"
    " OR (c.relkind = 'S' AND NOT has_sequence_privilege(c.oid, 'SELECT'))) ORDER BY 1, 2"
)
_HIDDEN = _RELATION + "c.relkind IN ('r', 'p') AND row_security_active(c.oid) ORDER BY 1, 2"
_FOREIGN_LOBS = """
SELECT count(*) FROM pg_largeobject_metadata m
WHERE NOT pg_has_role(m.lomowner, 'USAGE')
  AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
"""
_OCCUPIED = """
SELECT n.nspname, count(*) FROM pg_depend d JOIN pg_namespace n ON n.oid = d.refobjid
WHERE d.refclassid = 'pg_namespace'::regclass AND n.nspname = ANY(%s) AND d.deptype = 'n'
  AND d.classid <> 'pg_extension'::regclass
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE (e.classid, e.objid, e.deptype) = (d.classid, d.objid, 'e'))
GROUP BY 1 ORDER BY 1
"""
_MAY_CREATE = "SELECT has_database_privilege(current_database(), 'CREATE')"
_MAY_CREATE_IN = """
SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)
  AND NOT (has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')) ORDER BY 1
"""
_MAY_CREATE_DATABASES = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"


def _named(rows: Iterable[tuple[object, ...]]) -> str:
    return ", ".join(".".join(map(str, row)) for row in rows)


def check_source(connection: Connection, schemas: list[str], large_objects: bool) -> Iterator[Finding]:
    """Look at what the source's role can see."""
    present = {row[0] for row in fetch(connection, "SELECT nspname FROM pg_namespace")}
    for name in schemas:
        if name not in present:
            yield Finding(
                id=f"schema-absent:{name}",
                message=f"source.schemas: schema {name!r} does not exist in the source",
                remedy="correct its name in the case file (names are case-sensitive)",
            )
    yield from _privileges(connection, [name for name in schemas if name in present])
    yield from _keys_outside(connection, schemas)
    if large_objects and fetch(connection, _FOREIGN_LOBS)[0][0]:
        yield Finding(
            id="large-objects-of-others",
            message="large objects of other owners cannot be read",
            remedy="connect as their owner, or set source.large_objects: false in the case file",
        )


def _privileges(connection: Connection, schemas: list[str]) -> Iterator[Finding]:
    for name in schemas:
        if not fetch(connection, "SELECT has_schema_privilege(%s, 'USAGE')", name)[0][0]:
            yield Finding(
                id=f"no-usage:{name}",
                message=f"no USAGE privilege on schema {name!r} of the source",
                remedy=f'GRANT USAGE ON SCHEMA "{name}" to the role of source.connection',
            )
    if unreadable := fetch(connection, _UNREADABLE, schemas):
        yield Finding(
            id="no-select",
            message=f"no SELECT privilege in the source on {_named(unreadable)}",
            remedy="GRANT SELECT on them to the role of source.connection",
        )
    if hidden := fetch(connection, _HIDDEN, schemas):
        yield Finding(
            id="rows-hidden",
            message=f"row-level security hides rows from the source's role in {_named(hidden)}",
            remedy="connect as the tables' owner or as a role with BYPASSRLS",
        )


def _keys_outside(connection: Connection, schemas: list[str]) -> Iterator[Finding]:
    for (schema, table, key), other in keys_outside(connection, schemas).items():
        yield Finding.to_accept(
            outside_id(schema, table, key),
            f"foreign key {key} of {schema}.{table} leads outside, to {other}, and would stay behind",
            f"add the schema of {other} to source.schemas if its rows shall come along",
        )


def _loud_log(connection: Connection, field: str) -> Iterator[Finding]:
    """Only where rows are written can the server quote a row that it refuses."""
    if not quiet_log(connection):
        yield Finding(
            id=f"loud-log:{field}",
            message=f"the log of {field}.connection's server may quote values of rows that it refuses",
            remedy=f"GRANT SET ON PARAMETER {', '.join(QUIET_LOG)} to its role, "
            f"or list loud-log:{field} under acknowledge",
            acknowledgeable=True,
        )


def check_servers(source: Server, target: Server, scratch: Server, tools_major: int) -> Iterator[Finding]:
    """Look at whether the three servers, and our client programs, go together."""
    if (source.system, source.database) == (target.system, target.database):
        yield Finding(
            id="same-database",
            message=f"source and target are the same database ({source.database})",
            remedy="correct source.connection or target.connection",
        )
    if target.major < source.major:
        yield Finding(
            id="target-older",
            message=f"target is PostgreSQL {target.version}, older than the source's {source.version}",
            remedy="use a target of the same or a newer major version",
        )
    if scratch.major < source.major or (target.major > source.major and scratch.major != target.major):
        yield Finding(
            id="restore-test-version",
            message=f"restore_test is PostgreSQL {scratch.version}: it must be able to restore a backup of "
            f"the source's {source.version}, and show how the target's {target.version} writes definitions",
            remedy="name a connection under restore_test whose server has the target's major version",
        )
    majors = [server.major for server in (source, target, scratch)]
    if tools_major < max(majors):
        yield Finding(
            id="tools-older",
            message=f"pg_dump is of version {tools_major}, the servers of {', '.join(map(str, majors))}",
            remedy="set HANDOVER_PG_BIN to client programs at least as new as the servers",
        )
    if target.encoding not in ("UTF8", source.encoding):
        yield Finding(
            id="encodings-differ",
            message=f"target's encoding {target.encoding} cannot hold all of the source's {source.encoding}",
            remedy="create the target database WITH ENCODING 'UTF8'",
        )


def check_target(
    connection: Connection,
    schemas: list[str],
    extensions: tuple[Extension, ...],
    large_objects: bool,
    run: str,
) -> Iterator[Finding]:
    """Look at whether the target is empty where we write, and lets us write."""
    left = runs_with_receipts(connection)
    if left - {run}:
        yield Finding(
            id="receipts-left",
            message=f"target holds the receipts of another run ({', '.join(sorted(left - {run}))})",
            remedy=f"finish that run, or empty the target and DROP SCHEMA {RECEIPTS_SCHEMA} CASCADE there",
        )
    if run not in left:
        yield from _occupied(connection, schemas, large_objects)
    if not fetch(connection, _MAY_CREATE)[0][0]:
        yield Finding(
            id="no-create",
            message="the target's role has no CREATE privilege on its database",
            remedy="GRANT CREATE ON DATABASE to the role of target.connection",
        )
    yield from _uncreatable_in(connection, schemas)
    yield from check_extensions(connection, extensions, "target")
    yield from _loud_log(connection, "target")


def _uncreatable_in(connection: Connection, schemas: list[str]) -> Iterator[Finding]:
    for (schema,) in fetch(connection, _MAY_CREATE_IN, schemas):
        yield Finding(
            id=f"no-create:{schema}",
            message=f"the target's role may not create objects in schema {schema!r}, which is there already",
            remedy=f'GRANT CREATE, USAGE ON SCHEMA "{schema}" to the role of target.connection, or drop it',
        )


def _occupied(connection: Connection, schemas: list[str], large_objects: bool) -> Iterator[Finding]:
    for schema, count in fetch(connection, _OCCUPIED, schemas):
        yield Finding(
            id=f"target-not-empty:{schema}",
            message=f"schema {schema!r} of the target is not empty ({count} objects)",
            remedy="give an empty database as target, or drop that schema's objects yourself",
        )
    if large_objects and fetch(connection, "SELECT count(*) FROM pg_largeobject_metadata")[0][0]:
        yield Finding(
            id="target-has-large-objects",
            message="target holds large objects already; their numbers could collide",
            remedy="give an empty database as target, or set source.large_objects: false in the case file",
        )


def check_scratch(connection: Connection, extensions: tuple[Extension, ...]) -> Iterator[Finding]:
    """Look at whether a scratch database can be created for the restore test."""
    if not fetch(connection, _MAY_CREATE_DATABASES)[0][0]:
        yield Finding(
            id="no-createdb",
            message="the role of restore_test.connection may not create databases",
            remedy="ALTER ROLE … CREATEDB, or name another connection under restore_test",
        )
    yield from check_extensions(connection, extensions, "restore_test")
    yield from _loud_log(connection, "restore_test")
