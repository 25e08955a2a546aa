"""Foreign keys that lead out of the schemas of a case: acknowledged, the key stays and its columns move."""

from __future__ import annotations

from collections.abc import Iterable

from handover.postgres.session import Connection, fetch

# What a partition has from its root goes with the root's.
_OUTSIDE = """
SELECT n.nspname, c.relname, k.conname, fn.nspname || '.' || f.relname
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = ANY(%s) AND fn.nspname <> ALL(%s)
ORDER BY 1, 2, 3
"""


def keys_outside(connection: Connection, schemas: Iterable[str]) -> dict[tuple[str, str, str], str]:
    """Return the table that each such key refers to, by the key's schema, table and name."""
    wanted = list(schemas)
    found = fetch(connection, _OUTSIDE, wanted, wanted)
    return {(str(schema), str(table), str(key)): str(other) for schema, table, key, other in found}


def outside_id(schema: str, table: str, key: str) -> str:
    """Return the id of the finding about a key, under which a case acknowledges it."""
    return f"key-leaves-scope:{schema}.{table}.{key}"


def keys_left_behind(
    connection: Connection, schemas: Iterable[str], acknowledged: Iterable[str]
) -> set[tuple[str, str]]:
    """Return schema and name, as pg_dump names a constraint, of the keys that a dump has to leave out."""
    accepted = set(acknowledged)
    return {
        (key[0], f"{key[1]} {key[2]}")
        for key in keys_outside(connection, schemas)
        if outside_id(*key) in accepted
    }
