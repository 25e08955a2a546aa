"""Equivalence classes counted by the server: sizes alone for the test, their values for a proposal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from handover.errors import DataMapInvalid
from handover.postgres.copying import CHUNK_BYTES, cut_by_size, read_rows
from handover.postgres.session import Connection, database_errors, fetch

RECORDS = "records"
_NULL = "\\N"


@dataclass(frozen=True)
class Records:
    """What is tested: ``rows`` follows FROM, the columns are expressions over it by the names to show.

    ``person`` tells whose row it is: rows of one person in one class are one record. Without it, and where it
    is NULL, every row is a record; of a row that others are joined to, ``row`` tells which.
    """

    label: str
    rows: sql.Composable
    quasi: Mapping[str, sql.Composable]
    sensitive: Mapping[str, sql.Composable] = field(default_factory=dict)
    person: tuple[sql.Composable, ...] = ()
    row: tuple[sql.Composable, ...] = ()

    def __post_init__(self) -> None:
        if not self.quasi:
            raise DataMapInvalid(
                f"{self.label}: no quasi-identifier is named", hint="name the columns in the data map"
            )


def class_sizes(connection: Connection, records: Records) -> list[tuple[int, ...]]:
    """Return (records, distinct values of each sensitive column …, number of such classes); no value leaves.

    NULL counts as a value.
    """
    numbers = [sql.Identifier(f"n{place}") for place in range(len(records.sensitive) + 1)]
    counted = [sql.SQL("{} AS {}").format(_count(records), numbers[0])]
    for number, column in zip(numbers[1:], records.sensitive.values(), strict=True):
        form = "count(DISTINCT ({c})::text) + (count(*) > count({c}))::int AS {n}"
        counted.append(sql.SQL(form).format(c=column, n=number))
    query = sql.SQL("SELECT {numbers}, count(*) FROM ({classes}) AS c GROUP BY {numbers}").format(
        numbers=sql.SQL(", ").join(numbers), classes=_classes(records, counted)
    )
    with database_errors(f"counting classes of {records.label}"):
        return [cast(tuple[int, ...], row) for row in fetch(connection, query)]


def class_values(connection: Connection, records: Records) -> pa.Table:
    """Return the classes as texts (dictionaries) with the column ``records``; they stay in memory."""
    query = _classes(records, [_texts(records.quasi.values()), _count(records)])
    with database_errors(f"reading classes of {records.label}"):
        parts = [pa.Table.from_batches([batch]) for batch in _batches(connection, query, [*records.quasi])]
    return pa.concat_tables([_schema([*records.quasi]).empty_table(), *parts]).unify_dictionaries()


def _count(records: Records) -> sql.Composable:
    row = sql.SQL("DISTINCT ROW({})").format(_texts(records.row)) if records.row else sql.SQL("*")
    if not records.person:
        return sql.SQL("count({})").format(row)
    return sql.SQL(
        "count(DISTINCT ROW({person})) FILTER (WHERE pg_catalog.num_nonnulls({person}) > 0)"
        " + count({row}) FILTER (WHERE pg_catalog.num_nonnulls({person}) = 0)"
    ).format(person=_texts(records.person), row=row)


def _texts(columns: Iterable[sql.Composable]) -> sql.Composable:
    return sql.SQL(", ").join(sql.SQL("({})::text").format(column) for column in columns)


def _classes(records: Records, shown: Sequence[sql.Composable]) -> sql.Composed:
    # Grouped by text: json and the like have no equality of their own.
    return sql.SQL("SELECT {} FROM {} GROUP BY {}").format(
        sql.SQL(", ").join(shown), records.rows, _texts(records.quasi.values())
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
