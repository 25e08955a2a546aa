"""Notices: letters to the persons of a case, encrypted for who sends them; the ledger gets hashes and counts.

A mailing is a run of its own in the ledger, with a key of its own: it comes before the run that it lets
happen, and outlives it. Who was written to lies in the vault as keyed tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from secrets import token_hex

from cryptography.hazmat.primitives import hashes
from psycopg import sql

from handover.errors import CaseInvalid, NotReady
from handover.evidence.digest import token
from handover.evidence.notice_letters import Person, package, seal_for, sender_of
from handover.model.datamap import DataMap, DataSet, load_datamap
from handover.model.notice import CHANNEL_KINDS, Addressee, Elsewhere, Notice, NoticeKind, parse_notice
from handover.model.reconciliation import TableName
from handover.postgres.addressees import read_addressees
from handover.postgres.session import Connection, connect
from handover.postgres.types import ALIKE
from handover.stages.context import Context
from handover.stages.documents import read_document
from handover.stages.facts import legal_day
from handover.stages.reading import begin_snapshot
from handover.stages.scoping import Scoping, prepare
from handover.vault.files import make_private_folders
from handover.vault.store import FolderStore

MAILED = "notice-mailed"
TOKENS = "notice-tokens"
TOKEN_BYTES = 16
# People in one file; a letter takes some 15 kB of memory while it is made.
PART = 2000
OF_RECIPIENTS = ("P22", "P23", "P39")


@dataclass(frozen=True)
class Mailing:
    """What was made: the files for the sender, and how many persons no letter can reach."""

    run: str
    files: tuple[str, ...]
    persons: int
    unreachable: int


def make_notices(
    context: Context, kind: NoticeKind, sender: bytes, out: Path, name: str | None = None
) -> Mailing:
    """Write the mailing files of a notice into a folder, and record them.

    ``name``: the notice's file among the case's documents. It goes to everybody whom the case is about: who
    is in scope, and whom a root names whether or not they consent.
    """
    now, on = datetime.now(UTC), legal_day()
    certificate = sender_of(sender, now)
    text, notice = _notice(context, kind, name or f"{kind}.yaml")
    datamap = load_datamap(context.settings.datamaps, context.case.mapped_as)
    _require_reachable(notice, datamap)
    mailing_context = replace(context, run=f"notice-{kind.lower()}-{now:%Y%m%d-%H%M%S}-{token_hex(2)}")
    make_private_folders(out)
    store, tokens, files = FolderStore(out), bytearray(), list[dict[str, object]]()
    unreachable: dict[str, int] = {}
    persons: dict[str, int] = {}
    with scope_now(context) as scoping:
        everybody = _people(mailing_context, scoping, notice, datamap)
        for number, part in enumerate(iter(lambda: list(islice(everybody, PART)), []), 1):
            for label, one in part:
                tokens += bytes.fromhex(one.reference)
                persons[label] = persons.get(label, 0) + 1
                unreachable[label] = unreachable.get(label, 0) + (not one.reachable)
            data = seal_for(certificate, package(notice, [one for _, one in part], on))
            stored = store.put(f"{mailing_context.run}-{number:04}.zip.p7m", data)
            files.append({"name": stored.name, "size": stored.size, "sha256": stored.sha256})
    if not files:
        raise NotReady(f"nobody is to get a notice {kind}", hint="see scope and addressees")
    audience = mailing_context.put(mailing_context.label(0, TOKENS), bytes(tokens), "tokens")
    body = {
        "kind": kind,
        "on": on.isoformat(),
        "template_sha256": hashlib.sha256(text).hexdigest(),
        "recipients": recipients(context),
        "assignment": "claim" in notice.fields,
        "sender_sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "persons": persons,
        "unreachable": unreachable,
        "files": files,
        "tokens": audience.document(),
    }
    mailing_context.record(MAILED, body)
    names = tuple(str(one["name"]) for one in files)
    return Mailing(mailing_context.run, names, sum(persons.values()), sum(unreachable.values()))


def recipients(context: Context) -> list[str]:
    """Return the names of those who receive data, as the case has them."""
    return sorted(one.name for one in context.case.matter.recipients or ())


@contextmanager
def scope_now(context: Context) -> Iterator[Scoping]:
    """Open a session at the source with the case's scope closed in one snapshot of now."""
    with closing(connect(context.source, read_only=True)) as connection:
        scoping = prepare(context, connection, ALIKE)
        begin_snapshot(connection)
        if scoping.closure:
            scoping.closure.compute(lambda rows: None)
        yield scoping


def reference_of(context: Context, person: str, key: Sequence[str | None]) -> str:
    """Return the keyed token of a person, the same in every run of the case."""
    parts = [b"-" if one is None else b"+" + one.encode() for one in key]
    return token(context.evidence_key, b"notice", person.encode(), *parts)


def key_of_persons(datamap: DataMap, table: TableName) -> tuple[str, ...]:
    """Return the columns that identify a person in a table; raises CaseInvalid for a table of nobody."""
    dataset = _dataset(datamap, table)
    found = next((path.by for path in dataset.subject if path.to is None), None)
    if found is None:
        raise CaseInvalid(
            f"addressees: {table.label} is no table of persons in the data map",
            hint="name a table whose rows are persons",
        )
    return found


def _notice(context: Context, kind: NoticeKind, name: str) -> tuple[bytes, Notice]:
    pieces = read_document(context, name)
    if pieces is None:
        raise CaseInvalid(
            f"there is no notice {name} among the documents of {context.case.case}",
            hint=f"copy include/notices/{kind}.yaml there and write your own words",
        )
    data = b"".join(pieces)
    try:
        notice = parse_notice(data.decode(), name)
    except UnicodeDecodeError:
        raise CaseInvalid(f"notice {name} is not UTF-8", hint="save it as UTF-8") from None
    if (notice.notice, notice.case) != (kind, context.case.case):
        raise CaseInvalid(
            f"notice {name} is a {notice.notice} of case {notice.case}, not a {kind} of {context.case.case}",
            hint="name another file with --text, or correct notice and case in this one",
        )
    if kind in OF_RECIPIENTS and notice.fields["recipient"].zh not in recipients(context):
        raise CaseInvalid(
            f"notice {name}: fields.recipient.zh is no recipient of the case",
            hint=f"matter.recipients names {', '.join(recipients(context)) or 'nobody'}",
        )
    return data, notice


def _require_reachable(notice: Notice, datamap: DataMap) -> None:
    """Raise CaseInvalid for a column by which nobody is reached, whatever its name says."""
    for one in notice.addressees:
        key = key_of_persons(datamap, one.person)
        for field, kinds in CHANNEL_KINDS.items():
            where: str | Elsewhere | None = getattr(one, field)
            table, column = (
                (where.table, where.column) if isinstance(where, Elsewhere) else (one.person, where)
            )
            if column is None:
                continue
            entry = _dataset(datamap, table).columns.get(column)
            if entry is None or entry.kind not in kinds:
                raise CaseInvalid(
                    f"addressees: {table.label}.{column} is no {field} in the data map",
                    hint=f"name a column of kind {' or '.join(kinds)}",
                )
            if isinstance(where, Elsewhere) and len(where.matches) != len(key):
                raise CaseInvalid(
                    f"addressees: matches of {table.label} and the key of {one.person.label} differ",
                    hint=f"one column for each of {', '.join(key)}",
                )


def _dataset(datamap: DataMap, table: TableName) -> DataSet:
    found = next((one for one in datamap.datasets if one.table == table), None)
    if found is None:
        raise CaseInvalid(
            f"addressees: the data map has no table {table.label}", hint="correct the table's name"
        )
    return found


def _people(
    context: Context, scoping: Scoping, notice: Notice, datamap: DataMap
) -> Iterator[tuple[str, Person]]:
    considered = scoping.closure.considered() if scoping.closure else {}
    for one in notice.addressees:
        inside = scoping.inside(one.person)
        named = considered.get(one.person.label)
        condition = sql.SQL("({}) OR ({})").format(inside, named) if named else inside
        yield from _of_table(context, scoping.connection, one, datamap, condition)


def _of_table(
    context: Context, connection: Connection, one: Addressee, datamap: DataMap, condition: sql.Composable
) -> Iterator[tuple[str, Person]]:
    key, label = key_of_persons(datamap, one.person), one.person.label
    for row in read_addressees(connection, one, key, sql.SQL("({})").format(condition)):
        said = [text.strip() or None if text else None for text in row[len(key) :]]
        yield label, Person(reference_of(context, label, row[: len(key)]), *said)
