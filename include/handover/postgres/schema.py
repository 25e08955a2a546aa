"""Schema objects: dumped by pg_dump under the snapshot, taken apart by its table of contents, applied one
object in one transaction, compared object by object.

Definitions can hold personal data (defaults, comments, enum values): they stay in memory and in the
vault; only digests and object names go further.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace

from psycopg import sql

from handover.errors import DataRefused
from handover.postgres.session import LOCK_SECONDS, Connection, connect, database_errors, fetch
from handover.postgres.tools import ClientPrograms

_HEADER = re.compile(
    r"^--\n-- TOC entry (?P<id>\d+) \(class \d+ OID \d+\)\n"
    r"(?:-- Dependencies: (?P<deps>[\d ]+)\n)?"
    r"-- Name: (?P<name>.*); Type: (?P<type>.*); Schema: (?P<schema>.*); Owner: .*\n"
    r"(?:-- Data Pos: \d+\n)?--\n",
    re.MULTILINE,
)
_TAIL = re.compile(r"^-- Completed on |^--\n-- PostgreSQL database dump complete", re.MULTILINE)
_FOREIGN = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'f' AND n.nspname = ANY(%s) ORDER BY 1, 2
"""
_RESTORE_OPTIONS = ("--no-owner", "--no-tablespaces", "--no-table-access-method", "--verbose", "--file=-")


@dataclass(frozen=True)
class SchemaEntry:
    """One object of a dump: its definition in SQL and the dump ids it rests on."""

    id: int
    type: str
    schema: str
    name: str
    depends: frozenset[int]
    sql: str

    @property
    def label(self) -> str:
        """Return the name for people, as in 'INDEX lending.loan_status'."""
        return f"{self.type} {self.schema}.{self.name}" if self.schema != "-" else f"{self.type} {self.name}"


def dump_schema(
    programs: ClientPrograms, url: str, schemas: Iterable[str], snapshot: str | None = None
) -> bytes:
    """Return a custom-format archive of the schemas' definitions, without rows and foreign tables.

    Raises Busy when a table stays locked for LOCK_SECONDS.
    """
    wanted = list(schemas)
    options = [f"--schema={pattern(name)}" for name in wanted]
    options += [f"--exclude-table={name}" for name in _foreign_tables(url, wanted)]
    if snapshot:
        options.append(f"--snapshot={snapshot}")
    options += ["--schema-only", "--no-tablespaces", f"--lock-wait-timeout={LOCK_SECONDS}s"]
    return programs.run("pg_dump", url, "--format=custom", *options)


def _foreign_tables(url: str, schemas: list[str]) -> list[str]:
    """Return patterns of the foreign tables: their servers, with passwords, belong to no schema."""
    with database_errors("looking for foreign tables"), closing(connect(url, read_only=True)) as connection:
        return [f"{pattern(str(s))}.{pattern(str(n))}" for s, n in fetch(connection, _FOREIGN, schemas)]


def pattern(name: str) -> str:
    """Return a pg_dump pattern that means exactly this name."""
    return '"' + name.replace('"', '""') + '"'


def read_entries(programs: ClientPrograms, archive: bytes, section: str) -> list[SchemaEntry]:
    """Take one section (``pre-data`` or ``post-data``) of an archive apart, in the order of the dump.

    Raises DataRefused when what was parsed is not exactly what the table of contents lists.
    """
    text = programs.run("pg_restore", None, *_RESTORE_OPTIONS, f"--section={section}", data=archive).decode()
    headers = list(_HEADER.finditer(text))
    tail = list(_TAIL.finditer(text))
    stops = [match.start() for match in headers[1:]]
    if headers:  # a schema without keys and indexes has no post-data at all
        stops.append(tail[-2].start() if len(tail) > 1 else len(text))
    entries = [
        SchemaEntry(
            id=int(match["id"]),
            type=match["type"],
            schema=match["schema"],
            name=match["name"],
            depends=frozenset(map(int, (match["deps"] or "").split())),
            sql=text[match.end() : stop].strip(),
        )
        for match, stop in zip(headers, stops, strict=True)
    ]
    if sorted(entry.id for entry in entries) != _listed(programs, archive, section):
        raise DataRefused(
            f"the {section} of the schema dump cannot be taken apart safely",
            hint="a definition imitates pg_dump's own headers; rename or drop that comment",
        )
    return entries


def _listed(programs: ClientPrograms, archive: bytes, section: str) -> list[int]:
    text = programs.run("pg_restore", None, "--list", f"--section={section}", data=archive).decode()
    return sorted(int(line.split(";", 1)[0]) for line in text.splitlines() if line[:1].isdigit())


def schema_digest(entries: Iterable[SchemaEntry]) -> bytes:
    """Return a SHA-256 over all definitions, independent of object ids and order."""
    digest = hashlib.sha256()
    for item in sorted(hashlib.sha256(f"{e.label}\0{e.sql}".encode()).digest() for e in entries):
        digest.update(item)
    return digest.digest()


def apply_entry(connection: Connection, entry: SchemaEntry, doing: str) -> None:
    """Create one object. The session is pinned as pg_dump expects it (empty search path)."""
    text = entry.sql
    if entry.type == "SCHEMA":  # "public" is in every new database, and an extension may have brought one
        text = text.replace("CREATE SCHEMA ", "CREATE SCHEMA IF NOT EXISTS ", 1)
    with database_errors(f"{doing}: {entry.label}"):
        connection.execute(sql.SQL(text))


def compare_entries(expected: Iterable[SchemaEntry], found: Iterable[SchemaEntry]) -> list[str]:
    """Return one line for each object that is missing, too many or different; never a definition."""
    left, right = _by_label(expected), _by_label(found)
    lines = [f"{label} is missing" for label in left.keys() - right.keys()]
    lines += [f"{label} is not in the source" for label in right.keys() - left.keys()]
    lines += [
        f"{label} is defined otherwise" for label in left.keys() & right.keys() if left[label] != right[label]
    ]
    return sorted(lines)


def compare_names(expected: Iterable[SchemaEntry], found: Iterable[SchemaEntry]) -> list[str]:
    """Return one line for each object that is missing or too many, however it is defined."""
    left, right = ([replace(e, sql="") for e in entries] for entries in (expected, found))
    return compare_entries(left, right)


def _by_label(entries: Iterable[SchemaEntry]) -> dict[str, list[str]]:
    """Group definitions by label; a label can come twice (two comments cut to one name)."""
    grouped: dict[str, list[str]] = {}
    for entry in entries:
        grouped.setdefault(entry.label, []).append(entry.sql)
    return {label: sorted(texts) for label, texts in grouped.items()}
