"""Reads the references between the tables of a case, and says what its scope names that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import psycopg
from psycopg import sql

from handover.model.reconciliation import TableName
from handover.model.scope import ForeignKey, Scope, ScopeProblem
from handover.postgres.catalog import read_whole_tables
from handover.postgres.references import Equality, Graph, Pair, Part, Reference, Side
from handover.postgres.session import Connection, fetch
from handover.postgres.types import ALIKE, BYTE_ORDER, FIRST_USER_OID, Servers, Types

# Every table of the schemas with the topmost partitioned table that it is a part of, and its leaves.
_RELATIONS = """
SELECT c.oid::bigint, n.nspname, c.relname,
       coalesce(top.nspname, n.nspname), coalesce(top.relname, c.relname),
       ARRAY(SELECT relid::oid::bigint FROM pg_partition_tree(c.oid) WHERE isleaf)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN LATERAL (
  SELECT m.nspname, a.relname FROM pg_partition_ancestors(c.oid) WITH ORDINALITY AS line(oid, place)
  JOIN pg_class a ON a.oid = line.oid JOIN pg_namespace m ON m.oid = a.relnamespace
  WHERE m.nspname = ANY(%s) ORDER BY place DESC LIMIT 1) AS top ON true
WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(%s)
"""
_COLUMNS = """
SELECT a.attrelid::bigint, a.attname, a.atttypid::bigint, m.nspname, l.collname
FROM pg_attribute a LEFT JOIN (pg_collation l JOIN pg_namespace m ON m.oid = l.collnamespace)
  ON l.oid = a.attcollation
WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
# What a partition has from its root is left out, and the other way round. The operators are those by which
# the server itself compares parent and child. With a period several parents together may hold a child.
_FOREIGN_KEYS = """
SELECT k.conname, k.conrelid::bigint, k.confrelid::bigint, n.nspname || '.' || c.relname,
  ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY AS x(no, place)
        JOIN pg_attribute ON attrelid = k.conrelid AND attnum = no ORDER BY place),
  ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY AS x(no, place)
        JOIN pg_attribute ON attrelid = k.confrelid AND attnum = no ORDER BY place),
  ARRAY(SELECT ARRAY[nspname::text, oprname::text] FROM unnest(k.conpfeqop) WITH ORDINALITY AS x(op, place)
        JOIN pg_operator o ON o.oid = op JOIN pg_namespace ON pg_namespace.oid = oprnamespace ORDER BY place),
  coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY(%s) ORDER BY k.conrelid, k.conname
"""
# Equality of two base types; a type of the server's own comes before one of an extension.
_EQUALITY = """
SELECT n.nspname FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE o.oprname = '=' AND o.oprleft = %s AND o.oprright = %s ORDER BY o.oid LIMIT 1
"""
_CASE_SENSITIVE = "correct the name (names are case-sensitive)"
Path = tuple[int | str, ...]


@dataclass(frozen=True)
class _Column:
    type: int
    collation: Pair | None


class _Reader:
    """Reads the catalog once and resolves what the scope names."""

    def __init__(self, connection: Connection, schemas: list[str], servers: Servers) -> None:
        self._connection = connection
        self._types = Types(connection)
        tables = read_whole_tables(connection, schemas, servers)
        numbers = {(t.schema_name, t.name): number for number, t in enumerate(tables)}
        self.graph = Graph(tables, {})
        self._oids: dict[Pair, int] = {}
        for oid, schema, name, *of, leaves in fetch(connection, _RELATIONS, schemas, schemas):
            top = (str(of[0]), str(of[1]))
            number = numbers.get(top)
            if number is not None:
                # A partition that has no partitions yet has no rows: 0 is no table.
                part = Part(tuple(cast(list[int], leaves)) or (0,)) if (schema, name) != top else Part()
                self.graph.places[str(schema), str(name)] = (number, part)
                self._oids[str(schema), str(name)] = cast(int, oid)
        self._names = {oid: name for name, oid in self._oids.items()}
        self._columns: dict[int, dict[str, _Column]] = {oid: {} for oid in self._names}
        for oid, name, kind, schema, collation in fetch(connection, _COLUMNS, list(self._names)):
            locale = (str(schema), str(collation)) if collation else None
            self._columns[cast(int, oid)][str(name)] = _Column(cast(int, kind), locale)

    def problem(self, at: Path, said: str, remedy: str) -> None:
        self.graph.problems.append(ScopeProblem(at, said, remedy))

    def knows(self, at: Path, table: TableName, columns: Iterable[tuple[Path, str]]) -> bool:
        """Say whether table and columns are there; note each that is not."""
        oid = self._oids.get((table.schema_name, table.name))
        if oid is None:
            self.problem(at, f"{table.label} is no table of source.schemas", _CASE_SENSITIVE)
            return False
        absent = [(where, name) for where, name in columns if name not in self._columns[oid]]
        for where, name in absent:
            self.problem(where, f"{table.label} has no column {name!r}", _CASE_SENSITIVE)
        return not absent

    def foreign_keys(self, options: tuple[ForeignKey, ...]) -> None:
        """Add the database's foreign keys, and say which options name none."""
        unfollowed = {(_name(o.table), o.columns) for o in options if not o.follow}
        found: set[tuple[Pair, tuple[str, ...]]] = set()
        for name, child, parent, parent_name, columns, to_columns, operators, period in fetch(
            self._connection, _FOREIGN_KEYS, list(self._names)
        ):
            of, to = self._names[cast(int, child)], self._names.get(cast(int, parent))
            here, there = tuple(cast(list[str], columns)), tuple(cast(list[str], to_columns))
            label = f"foreign key {name} of {of[0]}.{of[1]}"
            found.add((of, here))
            if to is None:
                self.problem(
                    (),
                    f"{label} refers to {parent_name}, which is in no schema of the case",
                    "add its schema",
                )
                continue
            pairs = [(str(s), str(o)) for s, o in cast(list[list[str]], operators)]
            collations = self._collations(of, here, to, there)
            self.graph.references.append(
                Reference(
                    label,
                    Side(self.graph.places[of][0], here, self.graph.places[of][1]),
                    Side(self.graph.places[to][0], there, self.graph.places[to][1]),
                    tuple(map(Equality, pairs, collations)),
                    (of, here) not in unfollowed,
                    not period,
                )
            )
        for number, option in enumerate(options):
            at: Path = ("foreign_keys", number)
            columns_at = [((*at, "columns"), column) for column in option.columns]
            known = self.knows((*at, "table"), option.table, columns_at)
            if known and (_name(option.table), option.columns) not in found:
                self.problem(
                    (*at, "columns"),
                    f"{option.table.label} has no foreign key on these columns",
                    "name the columns in the order of the foreign key, or take the entry out",
                )

    def declare(
        self, at: Path, child: TableName, columns: tuple[str, ...], parent: TableName,
        to_columns: tuple[str, ...], *, follow: bool, typed: Pair = ("", ""),
    ) -> None:  # fmt: skip
        """Add a reference whose tables and columns are known to be there."""
        of, to = _name(child), _name(parent)
        kinds = [
            (self._columns[self._oids[to]][theirs].type, self._columns[self._oids[of]][ours].type)
            for ours, theirs in zip(columns, to_columns, strict=True)
        ]
        operators = [self._equality(*pair) for pair in kinds]
        if None in operators:
            place = operators.index(None)
            self.problem(
                at,
                f"column {columns[place]!r} of {child.label} cannot be compared with column "
                f"{to_columns[place]!r} of {parent.label}: their types differ",
                "name columns of one type",
            )
            return
        number, part = self.graph.places[of]
        self.graph.references.append(
            Reference(
                f"{'.'.join(map(str, at))} of {child.label}",
                Side(number, columns, Part(part.leaves, *typed)),
                Side(self.graph.places[to][0], to_columns, self.graph.places[to][1]),
                tuple(
                    map(Equality, [o for o in operators if o], self._collations(of, columns, to, to_columns))
                ),
                follow,
                one_parent=False,
            )
        )

    def _equality(self, parent: int, child: int) -> Pair | None:
        (left, left_name), (right, right_name) = self._types.base(parent), self._types.base(child)
        if found := fetch(self._connection, _EQUALITY, left, right):
            return str(found[0][0]), "="
        texts = {left_name, right_name} <= BYTE_ORDER and max(left, right) < FIRST_USER_OID
        if texts or left == right:
            return "pg_catalog", "="  # by way of text, or of the family: enum, array, range, composite
        return None

    def _collations(
        self, child: Pair, columns: tuple[str, ...], parent: Pair, to_columns: tuple[str, ...]
    ) -> list[Pair | None]:
        """Return the parent's collation where the child's is another: by it the server compares."""
        ours, theirs = self._columns[self._oids[child]], self._columns[self._oids[parent]]
        pairs = [(ours[c].collation, theirs[p].collation) for c, p in zip(columns, to_columns, strict=True)]
        return [there if here and here != there else None for here, there in pairs]

    def accepts(self, table: TableName, part: Part) -> bool:
        """Say whether the type column can have the value that a target stands for."""
        schema, name = _name(table)
        query = sql.SQL("EXPLAIN SELECT FROM {} AS t WHERE {}").format(
            sql.Identifier(schema, name), part.condition() or sql.SQL("true")
        )
        try:
            with self._connection.transaction():
                self._connection.execute(query)
        except (psycopg.DataError, psycopg.ProgrammingError):
            return False
        return True


def _name(table: TableName) -> Pair:
    return table.schema_name, table.name


def read_graph(
    connection: Connection, schemas: Iterable[str], scope: Scope, servers: Servers = ALIKE
) -> Graph:
    """Return the tables of the schemas and all references between them.

    ``servers`` decide, as for the catalog, how keys are ordered. What the scope names that is not there or
    cannot be is in ``problems``; the graph is then not complete.
    """
    reader = _Reader(connection, list(schemas), servers)
    for number, root in enumerate(scope.roots):
        reader.knows(("roots", number, "table"), root.table, ())
    reader.foreign_keys(scope.foreign_keys)
    for number, key in enumerate(scope.virtual_keys):
        at: Path = ("virtual_keys", number)
        here = reader.knows((*at, "table"), key.table, [((*at, "columns"), c) for c in key.columns])
        there = [((*at, "to_columns"), c) for c in key.to_columns]
        if reader.knows((*at, "references"), key.references, there) and here:
            reader.declare(at, key.table, key.columns, key.references, key.to_columns, follow=key.follow)
    _polymorphic(reader, scope)
    for number, decision in enumerate(scope.decided):
        at = ("decided", number, "table")
        if reader.knows(at, decision.table, ()) and reader.graph.place(decision.table)[1] != Part():
            reader.problem(at, f"{decision.table.label} is a partition", "decide on the partitioned table")
    return reader.graph


def _polymorphic(reader: _Reader, scope: Scope) -> None:
    for number, link in enumerate(scope.polymorphic):
        at: Path = ("polymorphic", number)
        columns = [((*at, name), getattr(link, name)) for name in ("type_column", "id_column")]
        here = reader.knows((*at, "table"), link.table, columns)
        for value, target in link.targets.items():
            to: Path = (*at, "targets", value)
            there = reader.knows((*to, "table"), target.table, [((*to, "column"), target.column)])
            if not (here and there):
                continue
            if not reader.accepts(link.table, Part((), link.type_column, value)):
                reader.problem(to, f"{link.type_column} cannot have this value", "correct the value")
                continue
            reader.declare(
                to,
                link.table,
                (link.id_column,),
                target.table,
                (target.column,),
                follow=link.follow,
                typed=(link.type_column, value),
            )
