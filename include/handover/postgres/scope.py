"""Looks at whether the schemas of a case can stand alone, and at what of them cannot move at all."""

from __future__ import annotations

from collections.abc import Iterator

from handover.model.catalog import Finding
from handover.model.cutover import FREEZE_SCHEMA
from handover.postgres.session import Connection, fetch

# Which object stands in which schema; parts of a relation stand where it does.
_PLACES = """
place(class, oid, namespace) AS (
  SELECT 'pg_class'::regclass, oid, relnamespace FROM pg_class
  UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc
  UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type
  UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace FROM pg_operator
  UNION ALL SELECT 'pg_opclass'::regclass, oid, opcnamespace FROM pg_opclass
  UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfnamespace FROM pg_opfamily
  UNION ALL SELECT 'pg_collation'::regclass, oid, collnamespace FROM pg_collation
  UNION ALL SELECT 'pg_conversion'::regclass, oid, connamespace FROM pg_conversion
  UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgnamespace FROM pg_ts_config
  UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictnamespace FROM pg_ts_dict
  UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxnamespace FROM pg_statistic_ext
  UNION ALL SELECT 'pg_constraint'::regclass, oid, connamespace FROM pg_constraint WHERE contype <> 'f'
  UNION ALL SELECT p.class, p.oid, c.relnamespace FROM pg_class c JOIN (
    SELECT 'pg_rewrite'::regclass, oid, ev_class FROM pg_rewrite
    UNION ALL SELECT 'pg_attrdef'::regclass, oid, adrelid FROM pg_attrdef
    UNION ALL SELECT 'pg_trigger'::regclass, oid, tgrelid FROM pg_trigger
    UNION ALL SELECT 'pg_policy'::regclass, oid, polrelid FROM pg_policy
  ) AS p(class, oid, relation) ON p.relation = c.oid
)"""
# Two sets that are looked up: joined with the places, thousands of tables would take a minute.
_LEAVING = f"""
WITH {_PLACES}, inside AS MATERIALIZED (
  SELECT p.class, p.oid FROM place p JOIN pg_namespace n ON n.oid = p.namespace WHERE n.nspname = ANY(%s)
), outside AS MATERIALIZED (
  SELECT p.class, p.oid FROM place p JOIN pg_namespace n ON n.oid = p.namespace
  WHERE n.nspname <> ALL(%s) AND n.nspname !~ '^pg_'
    AND n.nspname NOT IN ('information_schema', '{FREEZE_SCHEMA}')
)
SELECT pg_describe_object(d.classid, d.objid, 0),
       string_agg(DISTINCT pg_describe_object(d.refclassid, d.refobjid, 0), ', ')
FROM pg_depend d
WHERE (d.classid, d.objid) IN (SELECT class, oid FROM inside)
  AND (d.refclassid, d.refobjid) IN (SELECT class, oid FROM outside)
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.deptype = 'e'
                  AND (e.classid, e.objid) IN ((d.classid, d.objid), (d.refclassid, d.refobjid)))
GROUP BY 1 ORDER BY 1
"""  # noqa: S608 (constants)
_CHILDREN_OUTSIDE = """
SELECT m.nspname, f.relname, n.nspname, c.relname, f.relkind = 'p'
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class f ON f.oid = i.inhparent JOIN pg_namespace m ON m.oid = f.relnamespace
WHERE f.relkind IN ('r', 'p') AND m.nspname = ANY(%s) AND n.nspname <> ALL(%s) ORDER BY 1, 2, 3, 4
"""
# Relations that read others: which come to rest on a foreign table, which on a view that was never filled?
_READERS = """
WITH RECURSIVE edge(child, parent) AS (
  SELECT r.ev_class, d.refobjid FROM pg_rewrite r
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
), reader(oid) AS (
  SELECT oid FROM pg_class WHERE {lacking} UNION SELECT e.child FROM edge e JOIN reader r ON r.oid = e.parent
)
SELECT n.nspname, c.relname FROM reader r JOIN pg_class c ON c.oid = r.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY(%s) AND {wanted} ORDER BY 1, 2
"""
_ON_FOREIGN_SERVERS = _READERS.format(lacking="relkind = 'f'", wanted="true")
_ON_UNFILLED_VIEWS = _READERS.format(
    lacking="relkind = 'm' AND NOT relispopulated", wanted="c.relkind = 'm' AND c.relispopulated"
)

_FOREIGN = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'f' AND n.nspname = ANY(%s)
"""


def on_foreign_servers(connection: Connection, schemas: list[str]) -> list[tuple[str, str]]:
    """Return the foreign tables of the schemas and all views that read one: none of them can move."""
    return [(str(schema), str(name)) for schema, name in fetch(connection, _ON_FOREIGN_SERVERS, schemas)]


def on_unfilled_views(connection: Connection, schemas: list[str]) -> list[tuple[str, str]]:
    """Return the filled materialised views that read one which is not filled: no refresh can fill them."""
    return [(str(schema), str(name)) for schema, name in fetch(connection, _ON_UNFILLED_VIEWS, schemas)]


def check_scope(source: Connection, schemas: list[str]) -> Iterator[Finding]:
    """List what rests on something outside, and views that cannot be made or filled in the target."""
    for described, outside in fetch(source, _LEAVING, schemas, schemas):
        yield Finding(
            id=f"leaves-scope:{described}",
            message=f"{described} rests on what is in no schema of the case: {outside}",
            remedy="add that schema to source.schemas, or drop the object",
        )
    for schema, table, other, child, partitioned in fetch(source, _CHILDREN_OUTSIDE, schemas, schemas):
        kind = "partition" if partitioned else "inheritance child"
        yield Finding.to_accept(
            f"child-outside:{other}.{child}",
            f"{kind} {other}.{child} of {schema}.{table} is in no schema of the case: its rows do not move",
            f"add {other} to source.schemas",
        )
    foreign = {(s, n) for s, n in fetch(source, _FOREIGN, schemas)}
    for schema, name in on_foreign_servers(source, schemas):
        if (schema, name) in foreign:
            yield Finding.to_accept(
                f"foreign-table:{schema}.{name}",
                f"foreign table {schema}.{name} keeps its rows elsewhere: it does not move at all",
                "drop it",
            )
        else:
            yield Finding.to_accept(
                f"reads-foreign-table:{schema}.{name}",
                f"view {schema}.{name} reads a foreign table, which does not move: neither does the view",
                "drop it",
            )
    for schema, name in on_unfilled_views(source, schemas):
        yield Finding.to_accept(
            f"reads-unfilled-view:{schema}.{name}",
            f"materialised view {schema}.{name} reads one that is not filled: it would arrive without rows",
            "refresh in the source what it reads",
        )
