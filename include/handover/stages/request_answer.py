"""Answers a request: finds the person's data in all its sources, writes letter and copy, seals them.

Nothing of it lies anywhere in clear: the archive is made in memory and encrypted for the person's key. The
ledger has its SHA-256 and counts. An answer that was written is not written again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from cryptography import x509

from handover.errors import NotReady
from handover.evidence.answer import CopiedColumn, CopiedRows, Decided, Letter, NamedRows, package
from handover.evidence.notice_letters import seal_for
from handover.model.approval import Account
from handover.model.kinds import KINDS
from handover.model.policy import Text
from handover.model.request import ARTICLES, COPIES, KIND_WORDS, PersonRequest
from handover.stages.facts import legal_day
from handover.stages.person_copy import CopiedTable
from handover.stages.request_copies import NotSearched, copied, named
from handover.stages.request_decided import decided, named_then
from handover.stages.request_decision import noted
from handover.stages.request_owners import Passed, corrected
from handover.stages.request_subjects import (
    ANSWERED,
    DELIVERED,
    certificate_of,
)
from handover.stages.request_words import correction, limits, said
from handover.stages.requests import Desk, find_request, require_complete
from handover.stages.two_persons import words
from handover.vault.store import FolderStore

FOLDER = "answers"
# For these every table and text is searched.
SEARCHING = ("access", "erasure", "restriction")


@dataclass(frozen=True)
class Answered:
    """An answer that lies sealed in a file; ``rows`` by source and table."""

    file: str
    sha256: str
    rows: dict[str, dict[str, int]]


def answers_folder(desk: Desk) -> Path:
    """Return where sealed answers lie until they are delivered."""
    return desk.settings.home / FOLDER


def answer(desk: Desk, request: str) -> Answered:
    """Write the answer and seal it; safe to repeat. NotReady for what was not opened, or done, in a source.

    Whether the certificate is valid was asked when the request came; the answer may take longer than that.
    """
    one = find_request(desk, request)
    if made := answered(desk, one):
        return made
    require_complete(one)
    certificate = x509.load_pem_x509_certificate(certificate_of(desk.at(one.sources[0], one.id), one.id))
    results = corrected(desk, one)
    tables, unread = copied(desk, one) if one.kind in COPIES else ([], [])
    decisions = decided(desk, one) if one.kind == "erasure" else []
    elsewhere, unread_elsewhere = _named(desk, one)
    not_searched = unread + unread_elsewhere
    letter = _letter(desk, one, tables, decisions, elsewhere, not_searched, results)
    sealed = seal_for(certificate, package(letter, [_rows(table) for table in tables]))
    stored = FolderStore(answers_folder(desk)).put(f"{one.id}-{token_hex(2)}.zip.p7m", sealed)
    rows: dict[str, dict[str, int]] = {name: {} for name in one.sources}
    for table in tables:
        there = rows[table.source]
        there[table.label] = there.get(table.label, 0) + len(table.rows)
    for name in one.sources:
        body: dict[str, Any] = {
            "request": one.id,
            "file": stored.name,
            "size": stored.size,
            "sha256": stored.sha256,
            "rows": rows[name],
            "decided": [noted(each) for each in decisions if each.source == name],
            "named": [asdict(each) for each in elsewhere if each.source == name],
            "not_searched": [label for source, label in not_searched if source == name],
            "portability": _conditions(one),
        }
        context = desk.at(name, one.id)
        context.record(ANSWERED, body, key=f"{one.id}-{stored.sha256}")
    return Answered(stored.name, stored.sha256, rows)


def answered(desk: Desk, one: PersonRequest) -> Answered | None:
    """Return the answer that was written, if one was in each source."""
    entries = [desk.at(name, one.id).entries(ANSWERED) for name in one.sources]
    if not all(entries):
        return None
    bodies = {name: found[-1].body for name, found in zip(one.sources, entries, strict=True)}
    first = bodies[one.sources[0]]
    return Answered(first["file"], first["sha256"], {name: body["rows"] for name, body in bodies.items()})


def deliver(desk: Desk, who: Account, request: str, channel: str) -> PersonRequest:
    """Record that the sealed answer was given to the person, by whom and how."""
    one = find_request(desk, request)
    made = answered(desk, one)
    if made is None:
        raise NotReady(f"request {one.id} has no answer yet", hint=f"`handover request answer {one.id}`")
    body = {
        "request": one.id,
        "sha256": made.sha256,
        "channel": words("channel", channel),
        "by": who.name,
        "account_id": who.id,
    }
    for name in one.sources:
        context = desk.at(name, one.id)
        context.record(DELIVERED, body, key=f"{one.id}-delivered")
    return find_request(desk, one.id)


def _rows(table: CopiedTable) -> CopiedRows:
    dataset = table.dataset
    names = dict.fromkeys(name for row in table.rows for name in row)
    kinds = {name: KINDS[entry.kind] for name, entry in dataset.columns.items()} if dataset else {}
    columns = [
        CopiedColumn(
            name, Text(zh=kinds[name].chinese, en=kinds[name].english) if name in kinds else _UNKNOWN
        )
        for name in names
    ]
    words_ = (dataset.purpose, dataset.origin) if dataset else ("", "")
    return CopiedRows(table.source, table.label, table.theirs, *words_, columns, table.rows)


_UNKNOWN = Text(zh="未说明", en="not described")


def _letter(
    desk: Desk,
    one: PersonRequest,
    tables: list[CopiedTable],
    decisions: list[Decided],
    elsewhere: list[NamedRows],
    not_searched: NotSearched,
    results: list[Passed],
) -> Letter:
    sources = [desk.source(name) for name in one.sources]
    paragraphs = said(one, sources, bool(tables), {each.source for each in elsewhere})
    corrections = [correction(each.office, each.settled_at[:10], each.refused) for each in results]
    return Letter(
        request=one.id,
        kind=KIND_WORDS[one.kind],
        article=ARTICLES[one.kind],
        received=one.received,
        due=one.due,
        written=legal_day(),
        handlers=list(dict.fromkeys(source.handler.name for source in sources)),
        said=[*corrections, *paragraphs],
        decided=decisions,
        named=elsewhere,
        limits=limits(not_searched) if one.kind in SEARCHING else (),
    )


def _named(desk: Desk, one: PersonRequest) -> tuple[list[NamedRows], NotSearched]:
    """Return the rows that name the person and that an erasure, or a restriction, does not reach."""
    if one.kind == "erasure" and one.subjects:
        return named_then(desk, one)
    return named(desk, one) if one.kind in ("erasure", "restriction") else ([], [])


def _conditions(one: PersonRequest) -> dict[str, str]:
    """Return how the four conditions of NDSR 25 are met."""
    if one.kind != "portability":
        return {}
    return {
        "identity_verified": one.verified,
        "given_by": str(one.basis),
        "feasible": "JSON and CSV",
        "no_harm_to_others": "rows of the person alone; what names others is left out",
    }
