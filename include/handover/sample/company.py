"""Makes the sample company in an empty database: schemas, data by COPY, then keys, views and the rest.

One transaction: a run that fails leaves nothing behind. The same seed and number of rows give the same
data on any day. Every value is invented; ``people`` says from which ranges the numbers come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import numpy as np
from psycopg import sql

from handover.errors import PreflightFailed
from handover.postgres.session import Connection, connect, database_errors, fetch
from handover.sample import people
from handover.sample.columns import Columns, csv
from handover.sample.company_rows import Company, without_email
from handover.sample.dice import Dice
from handover.sample.loads import LOADS, Load
from handover.sample.people import Role
from handover.sample.sizes import Sizes

SCHEMAS: tuple[str, ...] = ("lending", "账务", "Odd Values")
Progress = Callable[[str, int], None]

_TAKEN = """
    SELECT 'schema ' || quote_ident(nspname) FROM pg_namespace WHERE nspname = ANY(%s)
    UNION ALL SELECT 'large object ' || oid FROM pg_largeobject_metadata WHERE oid BETWEEN 918001 AND 918005
"""
_TABLES = """
    SELECT nspname, relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname = ANY(%s) AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY nspname, relname
"""
_PARTITIONED = "SELECT 1 FROM pg_class WHERE oid = %s::regclass AND relkind = 'p'"


def generate(url: str, *, rows: int, seed: int = 1, progress: Progress | None = None) -> dict[str, int]:
    """Create the company in the database and return the rows by table, ``schema.table`` without quotes.

    ``progress`` hears the table's name and the rows just written after each batch, and the begin of the
    work that follows the load, with no rows.
    """
    company = Company(Dice(seed), Sizes.for_rows(rows))
    report = progress or (lambda table, added: None)
    with database_errors("the sample company"), connect(url) as connection, connection.transaction():
        _refuse_used(connection)
        _script(connection, "schema.sql")
        for load in LOADS:
            _fill(connection, load, company, report)
        _script(connection, "oddities.sql")
        report("keys, indexes and views", 0)
        _script(connection, "objects.sql")
        return _counted(connection)


def planted_values(seed: int, rows: int, count: int = 60) -> list[str]:
    """Personal values that a company of that seed and size holds, spread over its customers.

    Names have three characters or more: a shorter one could stand in ordinary text by chance.
    """
    company = Company(Dice(seed), Sizes.for_rows(rows))
    wanted = min(-(-count // 3), company.sizes.customers)
    index = np.linspace(0, company.sizes.customers - 1, wanted).astype(np.int64)
    dice = company.dice
    columns = (
        people.names(dice, Role.CUSTOMER, index),
        people.identities(dice, Role.CUSTOMER, index).numbers,
        people.mobiles(dice, Role.CUSTOMER, index),
        people.card_numbers(dice, index),
        people.emails(dice, Role.CUSTOMER, index[~without_email(index)]),
        people.addresses(dice, "home", index).whole,
        people.mobiles(dice, Role.CONTACT, index * 3),
    )
    values = [value for row in _in_turn([column.to_pylist() for column in columns]) for value in row]
    return [value for value in dict.fromkeys(values) if len(value) > 2][:count]


def _in_turn(columns: list[list[str]]) -> Iterator[list[str]]:
    for place in range(max(map(len, columns))):
        yield [column[place] for column in columns if place < len(column)]


def _refuse_used(connection: Connection) -> None:
    taken = [str(name) for (name,) in fetch(connection, _TAKEN, list(SCHEMAS))]
    if taken:
        raise PreflightFailed(
            f"the database {connection.info.dbname} already has {', '.join(taken)}",
            hint="give a fresh database, or drop these first",
        )


def _script(connection: Connection, name: str) -> None:
    connection.execute((resources.files("handover.sample") / name).read_bytes())


def _fill(connection: Connection, load: Load, company: Company, report: Progress) -> None:
    """COPY a table; the next batch is made by a thread while the server takes the one before it."""
    batches = map(_rendered, load.batches(company))
    statement = _copy_statement(connection, load, list(load.build(company, np.arange(0))))
    with ThreadPoolExecutor(1) as maker, connection.cursor().copy(statement) as copy:
        batch = next(batches, None)
        while batch is not None:
            following = maker.submit(next, batches, None)
            copy.write(batch[0])
            report(f"{load.schema}.{load.table}", batch[1])
            batch = following.result()


def _rendered(columns: Columns) -> tuple[memoryview, int]:
    return csv(columns), len(next(iter(columns.values())))


def _copy_statement(connection: Connection, load: Load, columns: list[str]) -> sql.Composed:
    """FREEZE saves writing the rows a second time later; a partitioned table cannot have it."""
    table = sql.Identifier(load.schema, load.table)
    options = sql.SQL("FORMAT csv" if _is_partitioned(connection, table) else "FORMAT csv, FREEZE")
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) FROM STDIN WITH ({})").format(table, names, options)


def _is_partitioned(connection: Connection, table: sql.Identifier) -> bool:
    return bool(fetch(connection, _PARTITIONED, table.as_string(connection)))


def _counted(connection: Connection) -> dict[str, int]:
    """Rows by table as the database counts them, with fresh statistics for whoever plans next."""
    counts: dict[str, int] = {}
    for schema, table in fetch(connection, _TABLES, list(SCHEMAS)):
        name = sql.Identifier(str(schema), str(table))
        connection.execute(sql.SQL("ANALYZE {}").format(name))
        counts[f"{schema}.{table}"] = _rows(connection, name)
    return counts


def _rows(connection: Connection, table: sql.Identifier) -> int:
    """Of the table itself: an inheriting table's rows are its own."""
    only = sql.SQL("") if _is_partitioned(connection, table) else sql.SQL("ONLY ")
    return int(str(fetch(connection, sql.SQL("SELECT count(*) FROM {}{}").format(only, table))[0][0]))
