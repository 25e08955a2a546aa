"""Schema objects: dumped by pg_dump under the snapshot, taken apart by its table of contents, applied one
object in one transaction, compared object by object. Our archive is what is left of the dump: JSON.

Definitions can hold personal data (defaults, comments, enum values): they stay in memory and in the
vault; only digests and object names go further.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, replace

from psycopg import sql

from handover.errors import DataRefused
from handover.model.cutover import FREEZE_SCHEMA, QUARANTINE_POLICY
from handover.postgres.clauses import differing
from handover.postgres.loose import finding_id, left_behind
from handover.postgres.outside import keys_left_behind
from handover.postgres.scope import on_foreign_servers
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
_OTHER_SCHEMAS = """
SELECT nspname FROM pg_namespace
WHERE nspname <> ALL(%s) AND nspname !~ '^pg_(toast|temp)' AND nspname <> 'information_schema'
"""
_SECTIONS = ("pre-data", "post-data")
# Extensions are our own step. User mappings hold passwords. Default privileges that hold in no schema are
# listed by the preflight, as are grants on what every database has: built-in languages among them.
_NOT_OF_THE_SCHEMAS = ("EXTENSION", "USER MAPPING", "DEFAULT ACL")
_OF_SYSTEM_OBJECTS = (("COMMENT", "EXTENSION "), ("ACL", "LANGUAGE "))
# What goes with an object that stays behind.
_FOLLOWERS = ("COMMENT", "ACL", "SECURITY LABEL", "PUBLICATION TABLE")
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
    programs: ClientPrograms,
    url: str,
    schemas: Iterable[str],
    snapshot: str | None = None,
    acknowledged: Iterable[str] = (),
    *,
    foreign_keys: bool = True,
) -> bytes:
    """Return the definitions of the schemas and of what in no schema rests on them, as an archive of ours.

    Without rows, foreign tables, and objects whose findings were acknowledged; without ``foreign_keys`` where
    rows are to stand alone, whose parents are not there. Raises Busy when a table
    stays locked for LOCK_SECONDS, DataRefused when the dump cannot be taken apart safely.
    """
    wanted = list(schemas)
    with database_errors("looking for what stays behind"), closing(connect(url, read_only=True)) as session:
        # With --schema, pg_dump would leave out in silence whatever stands in no schema.
        excluded = [f"--exclude-schema={pattern(str(n))}" for (n,) in fetch(session, _OTHER_SCHEMAS, wanted)]
        for schema, name in on_foreign_servers(session, wanted):
            excluded.append(f"--exclude-table={pattern(schema)}.{pattern(name)}")
        accepted = tuple(acknowledged)
        left = left_behind(session, wanted, accepted)
        keys = keys_left_behind(session, wanted, accepted)
    options = ["--schema-only", "--no-tablespaces", "--no-subscriptions", "--encoding=UTF8", *excluded]
    options.append(f"--lock-wait-timeout={LOCK_SECONDS}s")
    if snapshot:
        options.append(f"--snapshot={snapshot}")
    dump = programs.run("pg_dump", url, "--format=custom", *options)
    sections = {section: _take_apart(programs, dump, section) for section in _SECTIONS}
    if not foreign_keys:
        sections = {s: [e for e in found if e.type != "FK CONSTRAINT"] for s, found in sections.items()}
    kept = {section: _without(entries, left, keys) for section, entries in sections.items()}
    return json.dumps({s: [_document(e) for e in found] for s, found in kept.items()}).encode()


def _without(entries: list[SchemaEntry], left: set[str], keys: set[tuple[str, str]]) -> list[SchemaEntry]:
    """Leave out what stays behind, and what is nothing without it."""
    names = {_in_header(name) for name in left}
    constraints = {(_in_header(schema), _in_header(name)) for schema, name in keys}
    gone = {
        e.id
        for e in entries
        if finding_id(e.type, e.name) in names
        or (e.type == "FK CONSTRAINT" and (e.schema, e.name) in constraints)
    }
    kept = (e for e in entries if e.id not in gone and not _goes_with(e, gone))
    return _without_quarantine([e for e in kept if not _is_of_the_system(e) and not _is_a_freeze(e)])


def _in_header(name: str) -> str:
    """Return a name as pg_dump writes it into its headers."""
    return " ".join(re.split("[\r\n]", name))


def _goes_with(entry: SchemaEntry, gone: set[int]) -> bool:
    return entry.type.startswith(_FOLLOWERS) and bool(entry.depends & gone)


def _is_of_the_system(entry: SchemaEntry) -> bool:
    if entry.schema != "-":
        return False
    return entry.type in _NOT_OF_THE_SCHEMAS or any(
        entry.type == kind and entry.name.startswith(prefix) for kind, prefix in _OF_SYSTEM_OBJECTS
    )


def _is_a_freeze(entry: SchemaEntry) -> bool:
    """Say whether it is a trigger that handover.postgres.freezing put there for a while."""
    return entry.type == "TRIGGER" and f"EXECUTE FUNCTION {FREEZE_SCHEMA}.{FREEZE_SCHEMA}_" in entry.sql


def _without_quarantine(entries: list[SchemaEntry]) -> list[SchemaEntry]:
    """Leave out the policies of handover.postgres.quarantining, and what puts them in force."""
    begin = f"CREATE POLICY {QUARANTINE_POLICY}"
    ours = [e.sql for e in entries if e.type == "POLICY" and e.sql.startswith(begin)]

    def switched_on(entry: SchemaEntry) -> bool:
        table = entry.sql.removeprefix("ALTER TABLE ").removesuffix(" ENABLE ROW LEVEL SECURITY;")
        return any(text.startswith(f"{begin} ON {table} USING (true)") for text in ours)

    return [e for e in entries if e.sql not in ours and not (e.type == "ROW SECURITY" and switched_on(e))]


def _document(entry: SchemaEntry) -> dict[str, object]:
    return asdict(entry) | {"depends": sorted(entry.depends)}


def pattern(name: str) -> str:
    """Return a pg_dump pattern that means exactly this name."""
    return '"' + name.replace('"', '""') + '"'


def read_entries(archive: bytes, section: str) -> list[SchemaEntry]:
    """Return one section (``pre-data`` or ``post-data``) of an archive, in the order of the dump."""
    found = json.loads(archive)[section]
    return [SchemaEntry(**document | {"depends": frozenset(document["depends"])}) for document in found]


def _take_apart(programs: ClientPrograms, archive: bytes, section: str) -> list[SchemaEntry]:
    """Parse a section of pg_dump's archive; it must be exactly what the table of contents lists."""
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
        f"{label} is defined otherwise{_where(label, left[label], right[label])}"
        for label in left.keys() & right.keys()
        if left[label] != right[label]
    ]
    return sorted(lines)


def _where(label: str, left: list[str], right: list[str]) -> str:
    """Name the columns and constraints of a table that are concerned."""
    if not label.startswith("TABLE ") or label.startswith("TABLE ATTACH "):
        return ""
    names = [name for one, other in zip(left, right, strict=False) for name in differing(one, other)]
    return f": {', '.join(names)}" if names else ""


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
