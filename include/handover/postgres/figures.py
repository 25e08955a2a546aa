"""Figures of tables: rows, and the exact sum of every numeric column, one scan for each table.

Sums do not hang on the order of rows: floats are added as the decimals by which PostgreSQL names them.
Generated columns are left out of the backup's digests, so here their values are digested. What arrives
masked, or may be computed from what does, has no figure on either side.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

from psycopg import sql

from handover.model.figures import Amount, ColumnFigures, TableFigures
from handover.model.plan import TablePlan
from handover.postgres.copying import cut_by_size, read_rows
from handover.postgres.ordering import EVERY_ROW, ordered_rows
from handover.postgres.selection import Selection
from handover.postgres.session import Connection, database_errors, fetch, qualified

NUMERIC = frozenset(("int2", "int4", "int8", "numeric", "float4", "float8", "money"))
FLOATS = frozenset(("float4", "float8"))
# So many tables, or so many rows, are asked for in one query: few round trips, and a stop is soon heard.
BATCH_TABLES = 50
BATCH_ROWS = 2_000_000
# Three values of each column, side by side in the row that a parallel worker hands on: 1,664 is the most.
SCANNED_COLUMNS = 400
_COLUMNS = """
WITH RECURSIVE based(oid, base) AS (
  SELECT oid, oid FROM pg_type WHERE typtype <> 'd'
  UNION ALL SELECT d.oid, b.base FROM pg_type d JOIN based b ON b.oid = d.typbasetype WHERE d.typtype = 'd'
)
SELECT n.nspname, c.relname, c.relkind::text, a.attname, a.attgenerated::text <> '',
       CASE WHEN t.typtype = 'e' THEN 'enum'
            WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname::text ELSE '' END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN based b ON b.oid = a.atttypid LEFT JOIN pg_type t ON t.oid = b.base
WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') ORDER BY a.attrelid, a.attnum
"""
# What PostgreSQL writes for a sum that met a value without a finite one.
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
Place = tuple[str, str]
Between = Callable[[int], None]


@dataclass
class Relation:
    """A table as one side's catalog has it: the base type of each column, and which are generated.

    ``among``: the condition on the alias ``t`` for the rows that count.
    """

    partitioned: bool
    among: sql.Composable = field(default_factory=lambda: EVERY_ROW)
    types: dict[str, str] = field(default_factory=dict)
    generated: list[str] = field(default_factory=list)

    def numeric(self) -> list[str]:
        """Return the columns of numbers."""
        return [name for name, kind in self.types.items() if kind in NUMERIC]

    def summed(self, table: TablePlan) -> list[str]:
        """Return the columns of numbers that have one sum on both sides."""
        unlike = {one.column for one in table.masked} | {*(self.generated if table.masked else ())}
        return [name for name in self.numeric() if name not in unlike]


Tables = dict[Place, Relation]


def read_relations(
    connection: Connection, schemas: Iterable[str], selection: Selection | None = None
) -> Tables:
    """Return every table of the schemas with its columns, by schema and name."""
    chosen = selection or Selection()
    found: Tables = {}
    for schema, table, kind, column, generated, base in fetch(connection, _COLUMNS, list(schemas)):
        place = (str(schema), str(table))
        relation = found.setdefault(place, Relation(kind == "p", chosen.of(place)))
        if column is not None:
            relation.types[str(column)] = str(base)
            if generated:
                relation.generated.append(str(column))
    return found


def others_than_zero(value: sql.Composable) -> sql.Composed:
    """Return how many values a sum really rests on: a sum of one amount and many zeros tells that amount."""
    return sql.SQL("count(nullif({}, 0))").format(value)


def exact(column: sql.Composable, kind: str) -> sql.Composable:
    """Return an expression of a numeric column as exact numeric; what is not finite comes as NaN."""
    if kind in FLOATS:  # a cast alone would round to 15 digits (6 for real)
        form = "CASE WHEN {c} - {c} <> 0 THEN 'NaN'::numeric ELSE {c}::text::numeric END"
        return sql.SQL(form).format(c=column)
    return sql.SQL("{}::numeric" if kind == "money" else "{}").format(column)


def read_figures(
    connection: Connection, tables: Iterable[TablePlan], relations: Tables, between: Between
) -> Iterator[TableFigures]:
    """Yield the figures of each table that is there; ``between`` hears the rows read after each query."""
    present = [t for t in tables if (t.schema_name, t.name) in relations]
    for batch in _batches(present):
        with database_errors(f"summing {batch[0].label} and {len(batch) - 1} more tables"):
            found = _read_sums(connection, batch, relations)
            between(0)
            for number, table in enumerate(batch):
                relation = relations[table.schema_name, table.name]
                made = _figures(connection, table, relation, found[number])
                between(made.rows)
                yield made


def _batches(tables: list[TablePlan]) -> Iterator[list[TablePlan]]:
    batch: list[TablePlan] = []
    rows = 0
    for table in tables:
        if batch and (len(batch) == BATCH_TABLES or rows + table.rows_estimate > BATCH_ROWS):
            yield batch
            batch, rows = [], 0
        batch.append(table)
        rows += table.rows_estimate
    if batch:
        yield batch


def counted_rows(schema: str, table: str, relation: Relation, alias: str) -> sql.Composed:
    """Return a table's own rows that count; a partitioned one has them in its partitions."""
    only = sql.SQL("" if relation.partitioned else "ONLY ")
    rows = sql.SQL("{}{}").format(only, qualified(schema, table))
    if relation.among is not EVERY_ROW:
        rows = sql.SQL("(SELECT t.* FROM {} AS t WHERE {})").format(rows, relation.among)
    return sql.SQL("{} AS {}").format(rows, sql.SQL(alias))


def _from(table: TablePlan, relation: Relation) -> sql.Composed:
    return sql.SQL("FROM {}").format(counted_rows(table.schema_name, table.name, relation, "t"))


def _name(column: str) -> sql.Composed:
    return sql.SQL("t.{}").format(sql.Identifier(column))


def _sums(place: int, table: TablePlan, relation: Relation) -> Iterator[sql.Composed]:
    """Yield queries of (place, part, values): the number of rows, then three values for each column."""
    summed = relation.summed(table)
    for first in range(0, max(len(summed), 1), SCANNED_COLUMNS):
        values: list[sql.Composable] = [] if first else [sql.SQL("count(*)::text")]
        for column in summed[first : first + SCANNED_COLUMNS]:
            name = _name(column)
            number = exact(name, relation.types[column])
            values.append(sql.SQL("count({})::text").format(name))
            values.append(sql.SQL("{}::text").format(others_than_zero(number)))
            values.append(sql.SQL("sum({})::text").format(number))
        yield sql.SQL("SELECT {}, {}, ARRAY[{}] {}").format(
            sql.Literal(place), sql.Literal(first), sql.SQL(", ").join(values), _from(table, relation)
        )


def _read_sums(
    connection: Connection, batch: list[TablePlan], relations: Tables
) -> dict[int, list[str | None]]:
    """Return what was counted and summed of each table, by its place in the batch."""
    queries = [
        query
        for place, table in enumerate(batch)
        for query in _sums(place, table, relations[table.schema_name, table.name])
    ]
    found: dict[int, list[str | None]] = defaultdict(list)
    rows = connection.execute(sql.SQL(" UNION ALL ").join(queries)).fetchall()
    for place, _, values in sorted(rows, key=lambda row: (row[0], row[1])):
        found[cast(int, place)] += cast(list[str | None], values)
    return found


def _figures(
    connection: Connection, table: TablePlan, relation: Relation, values: list[str | None]
) -> TableFigures:
    rows, *found = values
    columns, summed = [], relation.summed(table)
    for place, column in enumerate(summed):
        count, others, total = found[3 * place : 3 * place + 3]
        if total in _NOT_FINITE:
            columns.append(_with_specials(connection, table, relation, column))
        else:
            amount = Amount(total=total, others=int(others or 0))
            columns.append(ColumnFigures(column=column, values=int(count or 0), amount=amount))
    return TableFigures(
        schema_name=table.schema_name,
        name=table.name,
        rows=int(rows or 0),
        columns=tuple(columns),
        generated=tuple(relation.generated),
        generated_digest=_generated_digest(connection, table, relation),
        unsummed=tuple(name for name in relation.numeric() if name not in summed),
    )


def _with_specials(
    connection: Connection, table: TablePlan, relation: Relation, column: str
) -> ColumnFigures:
    """Sum a column whose plain sum is not finite: its finite values, and how many are which special one."""
    name = _name(column)
    # Of all numbers only a finite one, less itself, is 0; servers before 14 know no other test for numeric.
    query = sql.SQL(
        "SELECT count({c}), count(*) FILTER (WHERE {c}::text = 'NaN'),"
        " count(*) FILTER (WHERE {c}::text = 'Infinity'), count(*) FILTER (WHERE {c}::text = '-Infinity'),"
        " count(*) FILTER (WHERE {c} - {c} = 0 AND {c} <> 0),"
        " (sum({exact}) FILTER (WHERE {c} - {c} = 0))::text {source}"
    ).format(c=name, exact=exact(name, relation.types[column]), source=_from(table, relation))
    values, nan, above, below, others, total = fetch(connection, query)[0]
    return ColumnFigures(
        column=column,
        values=int(str(values)),
        amount=Amount(total=None if total is None else str(total), others=int(str(others))),
        nan=int(str(nan)),
        infinite=int(str(above)),
        minus_infinite=int(str(below)),
    )


def _generated_digest(connection: Connection, table: TablePlan, relation: Relation) -> str:
    if not relation.generated or table.masked:
        return ""
    generated = table.model_copy(update={"columns": tuple(relation.generated)})
    query = ordered_rows(generated, among=relation.among)
    digest = hashlib.sha256()
    for chunk in cut_by_size(read_rows(connection, query, "text")):
        digest.update(chunk.data)
    return digest.hexdigest()
