"""Equivalence classes counted by the server: sizes alone for the test, their values for a proposal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from handover.errors import DataMapInvalid
from handover.postgres.copying import CHUNK_BYTES, cut_by_size, read_rows
from handover.postgres.ordering import EVERY_ROW
from handover.postgres.session import Connection, database_errors, fetch, qualified

RECORDS = "records"
_NULL = "\\N"


def class_sizes(
    connection: Connection,
    schema: str,
    table: str,
    quasi: Sequence[str],
    sensitive: Sequence[str] = (),
    among: sql.Composable = EVERY_ROW,
) -> list[tuple[int, ...]]:
    """Return (records, distinct values of each sensitive column …, number of such classes); no value leaves.

    ``among``: the condition on the alias ``t`` for the rows that count. NULL counts as a value.
    """
    _some(quasi, schema, table)
    numbers = [sql.Identifier(f"n{place}") for place in range(len(sensitive) + 1)]
    counted: list[sql.Composable] = [sql.SQL("count(*) AS {}").format(numbers[0])]
    for number, column in zip(numbers[1:], sensitive, strict=True):
        form = "count(DISTINCT t.{c}::text) + (count(*) > count(t.{c}))::int AS {n}"
        counted.append(sql.SQL(form).format(c=sql.Identifier(column), n=number))
    query = sql.SQL("SELECT {numbers}, count(*) FROM ({classes}) AS c GROUP BY {numbers}").format(
        numbers=sql.SQL(", ").join(numbers),
        classes=_classes(schema, table, quasi, counted, among),
    )
    with database_errors(f"counting classes of {schema}.{table}"):
        return [cast(tuple[int, ...], row) for row in fetch(connection, query)]


def class_values(
    connection: Connection,
    schema: str,
    table: str,
    quasi: Sequence[str],
    among: sql.Composable = EVERY_ROW,
) -> pa.Table:
    """Return the classes as texts (dictionaries) with the column ``records``; they stay in memory."""
    _some(quasi, schema, table)
    counted: list[sql.Composable] = [sql.SQL("count(*)")]
    query = sql.SQL("SELECT {shown}, c.{records} FROM ({classes}) AS c({names})").format(
        shown=sql.SQL(", ").join(sql.SQL("c.{}::text").format(sql.Identifier(n)) for n in quasi),
        records=sql.Identifier(RECORDS),
        names=sql.SQL(", ").join(sql.Identifier(n) for n in [*quasi, RECORDS]),
        classes=_classes(schema, table, quasi, counted, among, with_values=True),
    )
    with database_errors(f"reading classes of {schema}.{table}"):
        parts = [pa.Table.from_batches([batch]) for batch in _batches(connection, query, quasi)]
    return pa.concat_tables([_schema(quasi).empty_table(), *parts]).unify_dictionaries()


def _some(quasi: Sequence[str], schema: str, table: str) -> None:
    if not quasi:
        raise DataMapInvalid(
            f"{schema}.{table}: no quasi-identifier is named", hint="name the columns in the data map"
        )


def _classes(
    schema: str,
    table: str,
    quasi: Sequence[str],
    counted: Sequence[sql.Composable],
    among: sql.Composable,
    with_values: bool = False,
) -> sql.Composed:
    # Grouped by text: json and the like have no equality of their own.
    names = [sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in quasi]
    return sql.SQL("SELECT {shown} FROM {table} AS t WHERE {among} GROUP BY {names}").format(
        shown=sql.SQL(", ").join([*(names if with_values else []), *counted]),
        table=qualified(schema, table),
        among=among,
        names=sql.SQL(", ").join(names),
    )


def _schema(quasi: Sequence[str]) -> pa.Schema:
    texts = [(name, pa.dictionary(pa.int32(), pa.string())) for name in quasi]
    return pa.schema([*texts, (RECORDS, pa.int64())])


def _batches(connection: Connection, query: sql.Composable, quasi: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Parse COPY text: tabs and newlines inside values are escaped there, so that each line is a row.

    The escapes stay: they keep values apart as well as the signs that they stand for.
    """
    wanted = _schema(quasi)
    for chunk in cut_by_size(read_rows(connection, query, "text"), CHUNK_BYTES):
        table = pa_csv.read_csv(
            pa.BufferReader(chunk.data),
            read_options=pa_csv.ReadOptions(column_names=wanted.names, use_threads=False),
            parse_options=pa_csv.ParseOptions(delimiter="\t", quote_char=False, escape_char=False),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict(zip(wanted.names, wanted.types, strict=True)),
                null_values=[_NULL],
                strings_can_be_null=True,
            ),
        )
        yield from table.combine_chunks().to_batches()
