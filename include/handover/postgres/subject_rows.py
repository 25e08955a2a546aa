"""Looks for the rows of a person: one query, in which every place that can use an index does.

Values are compared as their column's type has them; what is no value of that type is in no row. So the server
never refuses a value, and has no reason to write it into its log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import cast

from psycopg import sql

from handover.errors import DataMapInvalid
from handover.model.reconciliation import TableName
from handover.postgres.session import Connection, database_errors, fetch, qualified

# Nobody means so many; whoever asks is told that they are several.
MOST = 100
_COLUMNS = """
SELECT a.attname::text, y.typname::text, c.relkind::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type x ON x.oid = a.atttypid
JOIN pg_type y ON y.oid = CASE WHEN x.typtype = 'd' THEN x.typbasetype ELSE x.oid END
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
"""
_TEXTS = ("text", "varchar", "bpchar")
_BITS = {"int2": 15, "int4": 31, "int8": 63}
Values = Mapping[str, str | int | bool]
# What one thing that was said may be: columns, and how each may write it.
Said = Sequence[tuple["Place", Sequence[str]]]


@dataclass(frozen=True)
class Place:
    """A column of the person's table, or, with ``by``, of one whose rows lead to the person by these."""

    table: TableName
    column: str
    kind: str
    by: tuple[str, ...] = ()
    when: Values = field(default_factory=dict)


class SubjectRows:
    """Finds persons in the tables of one session."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._types: dict[str, tuple[dict[str, str], sql.Composable]] = {}

    def find(
        self, table: TableName, key: Sequence[str], when: Values, asked: Sequence[Said]
    ) -> list[tuple[str, ...]]:
        """Return the keys, as text, of the persons in a table of whom everything holds that was asked."""
        every = [
            [part for place, writings in said for part in self._part(table, key, when, place, writings)]
            for said in asked
        ]
        if not every or not all(every):
            return []
        union = [sql.SQL("({})").format(sql.SQL(" UNION ").join(parts)) for parts in every]
        query = sql.SQL("{} LIMIT {}").format(sql.SQL(" INTERSECT ").join(union), sql.Literal(MOST))
        with database_errors(f"looking for a person in {table.label}"):
            return [cast(tuple[str, ...], row) for row in fetch(self._connection, query)]

    def _part(
        self, table: TableName, key: Sequence[str], when: Values, place: Place, writings: Sequence[str]
    ) -> Iterator[sql.Composable]:
        """Yield the query for one column, unless no row can have any of these values there."""
        alias = "v" if place.by else "t"
        test = self._equal(place.table, place.column, alias, writings)
        if test is None:
            return
        tests = [test, *self._met(table, when, "t"), *self._met(place.table, place.when, alias)]
        tests += [sql.SQL("{} IS NOT NULL").format(_of("t", one)) for one in key]
        source = sql.SQL("{} AS t").format(self._rows(table))
        if place.by:
            source = sql.SQL("{}, {} AS v").format(source, self._rows(place.table))
            tests += self._joined(table, key, place)
        yield sql.SQL("SELECT {} FROM {} WHERE {}").format(
            sql.SQL(", ").join(sql.SQL("{}::text").format(_of("t", one)) for one in key),
            source,
            sql.SQL(" AND ").join(tests),
        )

    def _joined(self, table: TableName, key: Sequence[str], place: Place) -> Iterator[sql.Composable]:
        for here, there in zip(place.by, key, strict=True):
            same = self._type(place.table, here) == self._type(table, there)
            cast_ = sql.SQL("" if same else "::text")
            yield sql.SQL("{}{} = {}{}").format(_of("v", here), cast_, _of("t", there), cast_)

    def _met(self, table: TableName, when: Values, alias: str) -> Iterator[sql.Composable]:
        for name, value in when.items():
            self._type(table, name)
            said = str(value).lower() if isinstance(value, bool) else str(value)
            yield sql.SQL("{}::text = {}").format(_of(alias, name), sql.Literal(said))

    def _equal(
        self, table: TableName, name: str, alias: str, writings: Sequence[str]
    ) -> sql.Composable | None:
        kind, column = self._type(table, name), _of(alias, name)
        values = [one for one in writings if _is_value(kind, one)]
        if not values:
            return None
        if kind in (*_TEXTS, *_BITS, "uuid", "date", "numeric"):
            return sql.SQL("{} = ANY({}::text[]::pg_catalog.{}[])").format(
                column, sql.Literal(values), sql.Identifier(kind)
            )
        return sql.SQL("{}::text = ANY({}::text[])").format(column, sql.Literal(values))

    def _type(self, table: TableName, name: str) -> str:
        """Return the name of the type below all domains."""
        types, _ = self._looked_at(table)
        if name not in types:
            raise DataMapInvalid(
                f"the data map names {table.label}.{name}, which the source does not have",
                hint="`handover classify` compares map and source; correct the map and have it confirmed",
                columns=[f"{table.label}.{name}"],
            )
        return types[name]

    def _rows(self, table: TableName) -> sql.Composable:
        return self._looked_at(table)[1]

    def _looked_at(self, table: TableName) -> tuple[dict[str, str], sql.Composable]:
        if table.label not in self._types:
            with database_errors(f"looking at {table.label}"):
                found = fetch(self._connection, _COLUMNS, table.schema_name, table.name)
            types = {str(name): str(kind) for name, kind, _ in found}
            only = sql.SQL("ONLY " if found and found[0][2] == "r" else "")
            rows = sql.SQL("{}{}").format(only, qualified(table.schema_name, table.name))
            self._types[table.label] = types, rows
        return self._types[table.label]


def _of(alias: str, column: str) -> sql.Composable:
    return sql.SQL("{}.{}").format(sql.SQL(alias), sql.Identifier(column))


def _is_value(kind: str, text: str) -> bool:
    """Say whether a text is surely a value of a type; of types unknown here every text may be."""
    if kind in _BITS:
        return bool(re.fullmatch(r"-?[0-9]{1,19}", text)) and abs(int(text)) < 1 << _BITS[kind]
    if kind == "numeric":
        return bool(re.fullmatch(r"-?[0-9]{1,100}(\.[0-9]{1,100})?", text))
    if kind == "uuid":
        return bool(re.fullmatch(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}", text))
    if kind == "date":
        try:
            return date.fromisoformat(text).isoformat() == text
        except ValueError:
            return False
    return True
