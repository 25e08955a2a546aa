"""Databases of different shapes, generated in SQL from a fixed seed; nothing of the sample company is used.

``even`` has five tables of about the same size, ``skewed`` the same five with most bytes in one of them.
``serial`` and ``uuid`` hold one table of the same rows under two kinds of key, ``narrow`` one of short rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

# Bytes of a row as COPY text, measured; sizes of tables are made from them.
WIDTHS = {"customer": 209, "loan": 90, "repayment": 73, "voucher": 180, "entry": 75}
SUBJECT_WIDTH = 212
PEOPLE_WIDTHS = {"customer": 240, "call": 110, "voucher": 220, "repayment": 50}
EVEN = dict.fromkeys(WIDTHS, 1.0)
SKEWED = EVEN | {"repayment": 30.0}
# The table under two kinds of key has this part of the size of the other shapes.
SUBJECT_PART = 0.25


@dataclass(frozen=True)
class Shape:
    """A database to be generated: its name and the SQL that fills it."""

    name: str
    script: str


def rows_for(weights: Mapping[str, float], size: float) -> dict[str, int]:
    """Return how many rows of each table make ``size`` bytes of COPY text in these proportions."""
    whole = sum(weights.values())
    return {name: max(1, round(size * weight / whole / WIDTHS[name])) for name, weight in weights.items()}


def company(name: str, weights: Mapping[str, float], size: float) -> Shape:
    """Return a database of five tables that refer to each other."""
    return Shape(name, _filled("company", rows_for(weights, size)))


def keyed(name: str, size: float) -> Shape:
    """Return one table under a key that is ``serial`` or (random) ``uuid``; the rows are the same."""
    key, value = {"serial": ("bigint", "i"), "uuid": ("uuid", "gen_random_uuid()")}[name]
    rows = max(1, round(size * SUBJECT_PART / SUBJECT_WIDTH))
    return Shape(name, _filled("subject", {"key": key, "value": value, "subject": rows}))


def people(size: float) -> Shape:
    """Return a database of people with names, numbers and remarks as they are written in Chinese."""
    rows = {name: max(1, round(size / len(PEOPLE_WIDTHS) / width)) for name, width in PEOPLE_WIDTHS.items()}
    return Shape("people", _filled("proving", rows))


def narrow(rows: int) -> Shape:
    """Return one table of that many short rows."""
    return Shape(f"narrow_{rows}", _filled("narrow", {"point": rows}))


def _filled(name: str, values: Mapping[str, object]) -> str:
    """Put numbers and our own words in place of their names in braces."""
    script = Path(__file__).with_name(f"{name}.sql").read_text()
    for name, value in values.items():
        script = script.replace(f"{{{name}}}", str(value))
    return script


def generate(url: str, shape: Shape) -> int:
    """Fill an empty database and return its size in bytes as COPY text."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in shape.script.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())
        # As a database that has been in use: hint bits, visibility map and statistics are there.
        connection.execute("VACUUM (ANALYZE, FREEZE)")
        return read_all(connection)


def read_all(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """Read every row of every table, and return the size in bytes as COPY text."""
    return sum(_text_bytes(connection, name) for name in _tables(connection))


def _tables(connection: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'bench' ORDER BY 1"
    return [str(name) for (name,) in connection.execute(query)]


def _text_bytes(connection: psycopg.Connection[tuple[object, ...]], table: str) -> int:
    query = psycopg.sql.SQL("COPY {} TO STDOUT").format(psycopg.sql.Identifier("bench", table))
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        return sum(len(block) for block in copy)
