"""Which tables are of persons, and how rows of the others lead to one: by the shortest foreign keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from handover.classify.sampling import Name
from handover.model.datamap import SubjectPath
from handover.model.reconciliation import TableName
from handover.postgres.session import Connection, fetch

_FOREIGN_KEYS = """
SELECT cn.nspname, c.relname, pn.nspname, p.relname,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place)
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND cn.nspname = ANY(%s) AND k.conrelid <> k.confrelid
ORDER BY 1, 2, k.conname COLLATE "C"
"""
_PRIMARY_KEYS = """
SELECT n.nspname, c.relname,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'p' AND n.nspname = ANY(%s)
"""
# One of these names a person by itself; of the others a name with a way to reach her does.
_IDENTIFYING = frozenset(("resident_id", "passport", "residence_permit", "travel_permit"))
_NAMELESS_KEYS = frozenset(("id", "key", "code", "no", "name"))
_REACHING = frozenset(("mobile", "email", "phone", "address"))


@dataclass(frozen=True)
class ForeignKey:
    """Columns of a table that lead to a row of another."""

    child: Name
    columns: tuple[str, ...]
    parent: Name


@dataclass(frozen=True)
class Keys:
    """Foreign keys between the tables of a source, and their primary keys."""

    foreign: tuple[ForeignKey, ...]
    primary: dict[Name, tuple[str, ...]]


def read_keys(connection: Connection, schemas: list[str]) -> Keys:
    """Read them from the catalog."""
    foreign = tuple(
        ForeignKey(
            (str(child_schema), str(child)), tuple(map(str, _list(columns))), (str(schema), str(parent))
        )
        for child_schema, child, schema, parent, columns in fetch(connection, _FOREIGN_KEYS, schemas)
    )
    primary = {
        (str(schema), str(table)): tuple(map(str, _list(columns)))
        for schema, table, columns in fetch(connection, _PRIMARY_KEYS, schemas)
    }
    return Keys(foreign, primary)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def propose_paths(
    kinds: dict[Name, dict[str, str | None]], keys: Keys
) -> dict[Name, tuple[SubjectPath, ...]]:
    """Return the paths of every table that leads to a person; ``kinds`` are those of its columns."""
    ways = defaultdict(list)
    for key in (*keys.foreign, *_by_name(kinds, keys)):
        if key.child in kinds and key.parent in kinds:
            ways[key.child].append(key)
    identifying = {table for table, columns in kinds.items() if _identifies(columns.values())}
    persons = {
        table for table in identifying if not any(key.parent in identifying for key in ways[table])
    } or identifying
    distance = _distances(persons, ways)
    paths: dict[Name, tuple[SubjectPath, ...]] = {}
    for table in kinds:
        if table in persons:
            paths[table] = (SubjectPath(by=_own_key(table, kinds[table], keys)),)
        elif table in distance:
            paths[table] = tuple(
                SubjectPath(by=key.columns, to=TableName(schema_name=key.parent[0], name=key.parent[1]))
                for key in ways[table]
                if distance.get(key.parent) == distance[table] - 1
            )
    return paths


def _by_name(kinds: dict[Name, dict[str, str | None]], keys: Keys) -> Iterator[ForeignKey]:
    """Columns named like the one key column of another table, in tables that declare no foreign key."""
    owners: dict[str, list[Name]] = defaultdict(list)
    for table, columns in keys.primary.items():
        if len(columns) == 1 and columns[0].lower() not in _NAMELESS_KEYS:
            owners[columns[0]].append(table)
    declared = {key.child for key in keys.foreign}
    for table in kinds.keys() - declared:
        for column in kinds[table]:
            owner = owners.get(column, [])
            if len(owner) == 1 and owner[0] != table:
                yield ForeignKey(table, (column,), owner[0])


def _identifies(kinds: Iterable[str | None]) -> bool:
    present = set(kinds)
    return not present.isdisjoint(_IDENTIFYING) or (
        "person_name" in present and not present.isdisjoint(_REACHING)
    )


def _distances(persons: set[Name], ways: dict[Name, list[ForeignKey]]) -> dict[Name, int]:
    """Steps from each table to the nearest table of persons; tables that never reach one are not here."""
    distance = dict.fromkeys(persons, 0)
    reached, steps = set(persons), 0
    while reached:
        steps += 1
        parents = reached
        reached = {
            table
            for table, keys in ways.items()
            if table not in distance and any(key.parent in parents for key in keys)
        }
        distance |= dict.fromkeys(reached, steps)
    return distance


def _own_key(table: Name, kinds: dict[str, str | None], keys: Keys) -> tuple[str, ...]:
    identity = [name for name, kind in kinds.items() if kind in _IDENTIFYING]
    return keys.primary.get(table) or tuple(identity[:1]) or (next(iter(kinds)),)
