"""The database's own foreign keys onto the tables that rows go from, and which rows they make stay.

Read from every schema: what lies outside the case can refer to it as well. A parent that a row refers to
which stays, stays too. A row that nobody approved and that refers to one that goes stops everything: the
server would refuse, or, by ON DELETE, take it along or change it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from psycopg import sql

from handover.postgres.references import Graph
from handover.postgres.session import Connection, fetch, qualified

# Keys with a period are left out: they have no ON DELETE action, and the server alone decides on them.
_FOREIGN_KEYS = """
SELECT k.conname, n.nspname, c.relname, c.relkind = 'p', m.nspname, p.relname, p.relkind = 'p',
  k.confdeltype IN ('c', 'n', 'd'),
  ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY AS x(no, place)
        JOIN pg_attribute ON attrelid = k.conrelid AND attnum = no ORDER BY place),
  ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY AS x(no, place)
        JOIN pg_attribute ON attrelid = k.confrelid AND attnum = no ORDER BY place),
  ARRAY(SELECT ARRAY[nspname::text, oprname::text] FROM unnest(k.conpfeqop) WITH ORDINALITY AS x(op, place)
        JOIN pg_operator o ON o.oid = op JOIN pg_namespace ON pg_namespace.oid = oprnamespace ORDER BY place)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace m ON m.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND NOT coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false)
ORDER BY n.nspname, c.relname, k.conname
"""


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key. ``child``: the number of its table in the graph, None for one outside the case.

    ``acts``: by ON DELETE the server deletes or changes the child; else it refuses.
    """

    name: str
    child: int | None
    child_label: str
    child_rows: sql.Composable
    parent: int
    parent_rows: sql.Composable
    acts: bool
    pairs: tuple[tuple[str, str, tuple[str, str]], ...]

    def refers(self, parent: str, child: str) -> sql.Composable:
        """Return the condition that the row of one alias refers to the row of another."""
        tests = [
            sql.SQL("{}.{} OPERATOR({}.{}) {}.{}").format(
                sql.Identifier(parent), sql.Identifier(there), sql.Identifier(schema), sql.SQL(operator),
                sql.Identifier(child), sql.Identifier(here),
            )
            for here, there, (schema, operator) in self.pairs
        ]  # fmt: skip
        return sql.SQL(" AND ").join(tests)


def read_foreign_keys(connection: Connection, graph: Graph, parents: Iterable[int]) -> tuple[ForeignKey, ...]:
    """Return all foreign keys onto some tables of a graph, by number, or onto their partitions."""
    wanted, found = set(parents), []
    for row in fetch(connection, _FOREIGN_KEYS):
        name, schema, table, parted, to_schema, to_table, to_parted, acts, *columns = row
        place = graph.places.get((str(to_schema), str(to_table)))
        if place is None or place[0] not in wanted:
            continue
        own = graph.places.get((str(schema), str(table)))
        here, there = (cast(list[str], names) for names in columns[:2])
        operators = [(s, o) for s, o in cast(list[list[str]], columns[2])]
        found.append(
            ForeignKey(
                name=str(name),
                child=own[0] if own else None,
                child_label=f"{schema}.{table}",
                child_rows=_rows(str(schema), str(table), bool(parted)),
                parent=place[0],
                parent_rows=_rows(str(to_schema), str(to_table), bool(to_parted)),
                acts=bool(acts),
                pairs=tuple(zip(here, there, operators, strict=True)),
            )
        )
    return tuple(found)


def _rows(schema: str, table: str, partitioned: bool) -> sql.Composable:
    return sql.SQL("{}{}").format(sql.SQL("" if partitioned else "ONLY "), qualified(schema, table))
