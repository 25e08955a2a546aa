"""Consents on record, as conditions on the rows of persons: who gave one, and who took it back.

A person without a record, or whose columns are NULL, never counts as consenting.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from handover.errors import CaseInvalid
from handover.model.consent import ConsentRecords
from handover.model.reconciliation import TableName
from handover.postgres.keysets import writing
from handover.postgres.row_classes import checked_predicate
from handover.postgres.session import Connection, database_errors, fetch, qualified, stripped

Reader = Callable[[str], Iterable[bytes] | None]
# The predicates of records that give a consent, each with the fact that counts the persons without it.
WITHOUT = {
    "separate": "without_separate_consent",
    "sensitive": "without_sensitive_consent",
    "guardian": "without_guardian_consent",
    "export": "without_export_consent",
}
# A header longer than this is no header: somebody registered another kind of file.
LONGEST_HEADER = 64 * 1024
_KIND = """
SELECT c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')
"""
_TEMPORARY = "SELECT nspname::text FROM pg_namespace WHERE oid = pg_my_temp_schema()"
# A column or operator that is not there, or a comparison of types that do not fit.
_MISFITS = ("42703", "42883", "42804", "42725", "42P01")


@dataclass(frozen=True)
class ConsentTests:
    """Conditions on the alias ``t`` of the person's table; what has no predicate is not known.

    ``given``: has a separate consent. ``consenting``: by the fact that counts those of whom it is not true.
    """

    person: TableName
    given: sql.Composable | None
    consenting: dict[str, sql.Composable]
    withdrawn: sql.Composable | None


def prepare_consents(connection: Connection, records: ConsentRecords, read_file: Reader) -> ConsentTests:
    """Return the conditions, proven by the server; a file is loaded for as long as the session lasts.

    The session must be outside a transaction. Raises CaseInvalid; its data say which ``field`` of the
    records is wrong.
    """
    if records.table:
        schema, name = records.table.schema_name, records.table.name
    else:
        schema, name = _load(connection, records, read_file)
    place = "table" if records.table else "file"
    rows = rows_named(connection, schema, name, place)

    def meeting(field: str) -> sql.Composable | None:
        """Return the condition that a record meets the predicate of this name."""
        text = getattr(records, field)
        if text is None:
            return None
        try:
            predicate = checked_predicate(connection, schema, name, text)
        except CaseInvalid as error:
            raise CaseInvalid(error.message, hint=error.hint, field=field) from None
        return _on_record(records, rows, predicate)

    withdrawn = meeting("withdrawn")
    kept = {fact: _kept(found, withdrawn) for field, fact in WITHOUT.items() if (found := meeting(field))}
    tests = ConsentTests(records.person, kept.get(WITHOUT["separate"]), kept, withdrawn)
    _prove_matching(connection, records, rows)
    return tests


def rows_named(connection: Connection, schema: str, name: str, field: str) -> sql.Composable:
    """Return a table as a query names it: its own rows, with partitions those of all of them."""
    with database_errors(f"looking for {schema}.{name}"):
        found = fetch(connection, _KIND, schema, name)
    if not found:
        raise CaseInvalid(f"table {schema}.{name} is not in the source", hint="correct its name", field=field)
    return sql.SQL("{}{}").format(sql.SQL("ONLY " if found[0][0] == "r" else ""), qualified(schema, name))


def _kept(given: sql.Composable, withdrawn: sql.Composable | None) -> sql.Composable:
    return sql.SQL("({} AND NOT {})").format(given, withdrawn) if withdrawn else given


def _on_record(records: ConsentRecords, rows: sql.Composable, predicate: sql.Composable) -> sql.Composable:
    """Return the condition that a record of the person ``t`` meets the predicate, whose alias is ``t`` too.

    Written with EXISTS the server may join; a list of millions, looked through for each person, it may not.
    """
    cast = sql.SQL("" if records.table else "::text")
    keys = [sql.Identifier(f"k{number}") for number in range(len(records.matches))]
    kept = [
        sql.SQL("t.{} AS {}").format(sql.Identifier(column), key)
        for column, key in zip(records.matches, keys, strict=True)
    ]
    same = [
        sql.SQL("k.{} = t.{}{}").format(key, sql.Identifier(column), cast)
        for column, key in zip(records.columns, keys, strict=True)
    ]
    return sql.SQL("EXISTS (SELECT FROM (SELECT {} FROM {} AS t WHERE {}) AS k WHERE {})").format(
        sql.SQL(", ").join(kept), rows, predicate, sql.SQL(" AND ").join(same)
    )


def _prove_matching(connection: Connection, records: ConsentRecords, rows: sql.Composable) -> None:
    """Let the server plan the comparison; raises CaseInvalid when it cannot be made."""
    person = rows_named(connection, records.person.schema_name, records.person.name, "person")
    condition = _on_record(records, rows, sql.SQL("true"))
    query = sql.SQL("EXPLAIN SELECT FROM {} AS t WHERE {}").format(person, condition)
    doing = f"matching consents with {records.person.label}"
    try:
        connection.execute(query)
    except psycopg.Error as problem:
        if problem.sqlstate not in _MISFITS:
            raise stripped(problem, doing) from None
        raise CaseInvalid(
            f"consents of {records.person.label} cannot be matched: a column of columns or matches is not "
            "there, or their types cannot be compared",
            hint="columns are of the person's table, matches of the records; each pair has one type",
            field="matches",
        ) from None


def _load(connection: Connection, records: ConsentRecords, read_file: Reader) -> tuple[str, str]:
    """Load a CSV file into a temporary table of text columns; returns its schema and name."""
    pieces = read_file(str(records.file))
    if pieces is None:
        raise CaseInvalid(
            f"file {records.file} is missing", hint="put it beside the case's documents", field="file"
        )
    name = f"consents_{records.sha256_of_json()[:16]}"
    table = sql.Identifier("pg_temp", name)
    header, stream = _header(records, iter(pieces))
    columns = [sql.Identifier(column) for column in header]
    listed = sql.SQL(", ").join(columns)
    made = sql.SQL(", ").join([sql.SQL("{} text").format(column) for column in columns])
    with writing(connection):
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        connection.execute(sql.SQL("CREATE TEMP TABLE {} ({})").format(sql.Identifier(name), made))
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER)").format(table, listed)
        try:
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                for piece in stream:
                    copy.write(piece)
        except psycopg.errors.DataError as problem:
            raise _no_csv(records, f"SQLSTATE {problem.sqlstate}") from None
        connection.execute(sql.SQL("ANALYZE {}").format(table))
        return str(fetch(connection, _TEMPORARY)[0][0]), name


def _header(records: ConsentRecords, pieces: Iterator[bytes]) -> tuple[list[str], Iterator[bytes]]:
    """Return the names in the first line, and the whole file again."""
    start = b""
    for piece in pieces:
        start += piece
        if b"\n" in start or len(start) > LONGEST_HEADER:
            break
    start = start.removeprefix(codecs.BOM_UTF8)
    try:
        line = start.split(b"\n", 1)[0].decode("utf-8").rstrip("\r")
        names = next(csv.reader([line], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        names = []
    if not names or not all(names) or len(set(names)) < len(names):
        raise _no_csv(records, "its first line does not name each column once")

    def whole() -> Iterator[bytes]:
        yield start
        yield from pieces

    return names, whole()


def _no_csv(records: ConsentRecords, why: str) -> CaseInvalid:
    return CaseInvalid(
        f"file {records.file} cannot be read as CSV in UTF-8 with a line of names: {why}",
        hint="write it as CSV with commas, a first line of column names, and as many fields in each line",
        field="file",
    )
