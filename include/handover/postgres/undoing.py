"""Takes back what a run created in a database, from its receipts; nothing that was there before is touched.

The schemas of a case were empty or absent when the run began (the preflight saw to that), so whatever is in
them now is the run's own.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from handover.model.case import RECEIPTS_SCHEMA
from handover.model.plan import LARGE_OBJECTS
from handover.postgres.receipts import drop_receipts, once, receipts, runs_with_receipts
from handover.postgres.session import Connection, database_errors, fetch

_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s) ORDER BY 1"
_EXTENSIONS = "SELECT extname FROM pg_extension ORDER BY 1"
_PUBLICATIONS = "SELECT pubname FROM pg_publication ORDER BY 1"
# Those that publish nothing but tables of the schemas, or nothing yet, as we make them.
_OUR_PUBLICATIONS = """
SELECT p.pubname FROM pg_publication p LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid
LEFT JOIN pg_class c ON c.oid = r.prrelid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT p.puballtables GROUP BY 1 HAVING coalesce(bool_and(n.nspname = ANY(%s)), true) ORDER BY 1
"""
# What stands directly in a schema, as DROP wants to hear it; parts of other objects go with them.
_CONTENTS = """
SELECT upper(CASE o.type WHEN 'composite type' THEN 'type' ELSE o.type END), o.identity
FROM pg_depend d JOIN pg_namespace n ON n.oid = d.refobjid,
LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS o
WHERE d.refclassid = 'pg_namespace'::regclass AND n.nspname = %s AND d.deptype = 'n'
  AND d.classid <> 'pg_extension'::regclass
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE (e.classid, e.objid) = (d.classid, d.objid)
                  AND e.deptype IN ('e', 'i') AND e.refobjid <> d.objid)  -- part of something else
ORDER BY 1, 2
"""


def remember(connection: Connection, run: str, step: str, schemas: Iterable[str]) -> None:
    """Write down, once, which schemas, extensions and publications are there before a run creates any."""
    there = [f"schema {name}" for (name,) in fetch(connection, _SCHEMAS, list(schemas))]
    there += [f"extension {name}" for (name,) in fetch(connection, _EXTENSIONS)]
    there += [f"publication {name}" for (name,) in fetch(connection, _PUBLICATIONS)]
    with (
        database_errors("remembering what the target holds"),
        once(connection, run, f"{step}/before", "all") as todo,  # one transaction with those below
    ):
        for unit in there if todo else ():
            with once(connection, run, f"{step}/before", unit):
                pass


def undo(connection: Connection, run: str, step: str, schemas: Iterable[str]) -> list[str]:
    """Drop everything that the run's receipts say it created; returns what was dropped, safe to repeat."""
    if run not in runs_with_receipts(connection):
        return []
    before = set(receipts(connection, run, f"{step}/before"))
    if "all" not in before:
        return _without_receipts(connection, run)
    wanted, dropped = list(schemas), []
    with database_errors("taking back what the run created"):
        # Casts, transforms and event triggers go with the functions and types that they rest on.
        for (name,) in fetch(connection, _OUR_PUBLICATIONS, wanted):
            if f"publication {name}" not in before:
                connection.execute(sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(str(name))))
                dropped.append(f"publication {name}")
        for (name,) in fetch(connection, _SCHEMAS, wanted):
            dropped += _undo_schema(connection, str(name), f"schema {name}" in before)
        for (name,) in fetch(connection, _EXTENSIONS):
            if f"extension {name}" not in before:
                connection.execute(sql.SQL("DROP EXTENSION {}").format(sql.Identifier(str(name))))
                dropped.append(f"extension {name}")
        if any(unit.startswith(f"{LARGE_OBJECTS}/") for unit in receipts(connection, run, step)):
            connection.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
            dropped.append("large objects")
    return [*dropped, *_without_receipts(connection, run)]


def _without_receipts(connection: Connection, run: str) -> list[str]:
    dropped = drop_receipts(connection, run)
    return [f"schema {RECEIPTS_SCHEMA}" if dropped else f"receipts in schema {RECEIPTS_SCHEMA}"]


def _undo_schema(connection: Connection, name: str, keep: bool) -> list[str]:
    if not keep:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
        return [f"schema {name}"]
    dropped = []
    while contents := fetch(connection, _CONTENTS, name):
        # Type and identity come quoted from the server.
        kind, identity = map(str, contents[0])
        connection.execute(sql.SQL(f"DROP {kind} {identity} CASCADE"))
        dropped.append(f"{kind.lower()} {identity}")
    return dropped
