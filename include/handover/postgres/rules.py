"""Reads what a schema declares about its rows: keys, foreign keys, mandatory columns and checks.

Rows are looked at whatever the schema says of them: a key can be NOT VALID, an index damaged, a trigger
switched off while rows came in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import cast

from handover.model.expectation import ColumnFact, ForeignKey, TableFacts, TableName
from handover.postgres.session import Connection, fetch

_TABLES = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind = 'p'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname = ANY(%s)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND d.deptype = 'e')
"""
# A domain's NOT NULL binds like the column's own. Below a domain, and domains of it, lies a type.
_COLUMNS = """
WITH RECURSIVE below(domain, type, modifier) AS (
  SELECT oid, typbasetype, typtypmod FROM pg_type WHERE typtype = 'd'
  UNION ALL SELECT b.domain, d.typbasetype, CASE WHEN d.typtypmod >= 0 THEN d.typtypmod ELSE b.modifier END
    FROM below b JOIN pg_type d ON d.oid = b.type AND d.typtype = 'd'
)
SELECT a.attrelid::bigint, a.attname, format_type(a.atttypid, a.atttypmod), t.typtype = 'e',
  a.attnotnull OR t.typnotnull,
  coalesce(format_type(b.type, b.modifier), format_type(a.atttypid, a.atttypmod))
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN below b ON b.domain = t.oid
  AND NOT EXISTS (SELECT FROM pg_type d WHERE d.oid = b.type AND d.typtype = 'd')
WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum
"""
_UNIQUE = """
SELECT DISTINCT i.indrelid::bigint, ARRAY(
  SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) AS place
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[place] ORDER BY place)
FROM pg_index i WHERE i.indrelid = ANY(%s) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
  AND i.indexprs IS NULL ORDER BY 1, 2
"""
# A key that refers to a partitioned table has shadows, one for each partition of it; they are no keys of
# their own. Keys WITHOUT OVERLAPS (conperiod, since 18) do not compare for equality.
_FOREIGN_KEYS = """
SELECT k.conrelid::bigint, k.conname, n.nspname, r.relname, r.relkind <> 'p', k.confmatchtype = 'f',
  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY place),
  ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(number, place)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY place),
  ARRAY(SELECT quote_ident(s.nspname) || '.' || o.oprname
        FROM unnest(k.conpfeqop) WITH ORDINALITY AS u(number, place)
        JOIN pg_operator o ON o.oid = u.number JOIN pg_namespace s ON s.oid = o.oprnamespace ORDER BY place)
FROM pg_constraint k JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace n ON n.oid = r.relnamespace
LEFT JOIN pg_constraint above ON above.oid = k.conparentid
WHERE k.contype = 'f' AND k.conrelid = ANY(%s) AND (above.oid IS NULL OR above.confrelid = k.confrelid)
  AND NOT coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false)
ORDER BY 1, 2
"""
_CHECKS = """
SELECT conrelid::bigint, conname, pg_get_expr(conbin, conrelid) FROM pg_constraint
WHERE contype = 'c' AND conrelid = ANY(%s) ORDER BY 1, 2
"""
_ANCESTORS = """
SELECT leaf.oid::bigint, n.nspname, c.relname
FROM unnest(%s::bigint[]) AS leaf(oid), pg_partition_ancestors(leaf.oid::regclass) AS a(oid)
JOIN pg_class c ON c.oid = a.oid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid <> leaf.oid
"""

Row = tuple[object, ...]


def read_facts(connection: Connection, schemas: Iterable[str]) -> dict[TableName, TableFacts]:
    """Return what every table of the schemas declares about its rows, by schema and name."""
    tables = fetch(connection, _TABLES, list(schemas))
    oids = [row[0] for row in tables]
    columns, unique, keys, checks, ancestors = (
        _by_table(fetch(connection, query, oids))
        for query in (_COLUMNS, _UNIQUE, _FOREIGN_KEYS, _CHECKS, _ANCESTORS)
    )
    found = {}
    for oid, schema, name, partitioned in tables:
        found[str(schema), str(name)] = TableFacts(
            schema_name=str(schema),
            name=str(name),
            columns=tuple(
                ColumnFact(
                    name=str(column),
                    type=str(kind),
                    enum=bool(enum),
                    not_null=bool(not_null),
                    plain_type=str(plain),
                )
                for column, kind, enum, not_null, plain in columns[oid]
            ),
            unique=tuple(tuple(cast(list[str], names)) for (names,) in unique[oid]),
            foreign_keys=tuple(map(_foreign_key, keys[oid])),
            checks={str(check): str(expression) for check, expression in checks[oid]},
            partitioned=bool(partitioned),
            ancestors=tuple((str(above), str(parent)) for above, parent in ancestors[oid]),
        )
    return found


def _by_table(rows: Iterable[Row]) -> dict[object, list[Row]]:
    found: dict[object, list[Row]] = defaultdict(list)
    for oid, *rest in rows:
        found[oid].append(tuple(rest))
    return found


def _foreign_key(row: Row) -> ForeignKey:
    name, schema, parent, alone, full, columns, parent_columns, operators = row
    return ForeignKey(
        name=str(name),
        columns=tuple(cast(list[str], columns)),
        parent=(str(schema), str(parent)),
        parent_columns=tuple(cast(list[str], parent_columns)),
        operators=tuple(cast(list[str], operators)),
        alone=bool(alone),
        full=bool(full),
    )
