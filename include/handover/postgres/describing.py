"""What a reader of rows needs beside them: foreign keys and comments of a table, as its catalog has them."""

from __future__ import annotations

from typing import Any

from handover.model.archive import ForeignKey
from handover.postgres.session import Connection, fetch

# A partition's own keys and those of its root alike: a partition's rows stand alone in an archive.
_FOREIGN_KEYS = """
SELECT ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY AS x(no, place)
         JOIN pg_attribute ON attrelid = k.conrelid AND attnum = no ORDER BY place),
  m.nspname, p.relname,
  ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY AS x(no, place)
         JOIN pg_attribute ON attrelid = k.confrelid AND attnum = no ORDER BY place)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace m ON m.oid = p.relnamespace
WHERE k.contype = 'f' AND n.nspname = %s AND c.relname = %s ORDER BY k.conname
"""
# Without a column's name it is the table's own.
_COMMENTS = """
SELECT coalesce(a.attname::text, ''), d.description
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE n.nspname = %s AND c.relname = %s
"""


def foreign_keys_of(connection: Connection, schema: str, name: str) -> tuple[ForeignKey, ...]:
    """Return what columns of a table refer to."""
    found: list[Any] = fetch(connection, _FOREIGN_KEYS, schema, name)
    return tuple(
        ForeignKey(columns=tuple(here), schema_name=other, table=table, references=tuple(there))
        for here, other, table, there in found
    )


def comments_of(connection: Connection, schema: str, name: str) -> dict[str, str]:
    """Return the comments by column; the table's own by the empty name."""
    return {str(column): str(said) for column, said in fetch(connection, _COMMENTS, schema, name)}
