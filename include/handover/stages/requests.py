"""Requests of persons: recorded in each registered source with a clock, and read back from the ledger.

Who asks is found before anything is written; two who could be meant are refused. What was said of the person,
who it is and for whom the answer is sealed are encrypted in the ledger; Airflow and reports see the id alone.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import combinations
from secrets import token_hex
from typing import Any

from handover.errors import CaseInvalid, LedgerRefused, NotReady, SubjectUnclear, SubjectUnknown
from handover.evidence.ledger import Entry
from handover.evidence.notice_letters import sender_of
from handover.law.packs import load_packs, select
from handover.law.working_days import load_working_days
from handover.model.approval import Account
from handover.model.datamap import DataMap, load_datamap, require_confirmed
from handover.model.policy import Basis, Clock, Text
from handover.model.registered import RegisteredSource, known_sources, load_source
from handover.model.request import COPIES, HOLDING, Asked, PersonRequest
from handover.postgres.session import connect
from handover.settings import Settings
from handover.stages.context import Context, Resolver
from handover.stages.facts import legal_day
from handover.stages.holding import Laid, Matter, hold_subject, open_holder
from handover.stages.holds import possible_sources, sealed
from handover.stages.person_copy import PersonCopy
from handover.stages.person_known import one_person
from handover.stages.request_subjects import ANSWERED, DELIVERED, OPENED, entries_of, run_of
from handover.stages.subjects import Subject, find_subject
from handover.stages.two_persons import words

# PIPL 50 says "in time" and no number; a pack or the source may say another clock.
RECEIVED = "request_received"
DEFAULT = Clock(
    basis=Basis(
        source="GB/T 35273-2020 8.7; 个人信息保护法 50 / PIPL 50: 及时 / in time",
        status="K-high",
        verified=date(2026, 11, 22),
    ),
    label=Text(zh="答复个人请求", en="answer to a person's request"),
    amount=30,
    unit="days",
    after=RECEIVED,
)


@dataclass(frozen=True)
class Desk:
    """Where requests come in: the registered sources of an installation, and how to reach them."""

    settings: Settings
    resolve: Resolver

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the names of all registered sources."""
        return tuple(known_sources(self.settings.sources))

    def source(self, name: str) -> RegisteredSource:
        """Return a registered source."""
        return load_source(self.settings.sources, name)

    def at(self, name: str, request: str = "") -> Context:
        """Open a source for a request, or for its holds."""
        context = open_holder(self.settings, name, self.resolve)
        return replace(context, run=run_of(request)) if request else context

    def datamap(self, name: str) -> DataMap:
        """Return the confirmed data map of a source."""
        source = self.source(name)
        return require_confirmed(load_datamap(self.settings.datamaps, source.datamap or source.source))


def open_request(
    desk: Desk,
    who: Account,
    said: str,
    asked: Asked,
    certificate: bytes,
    at: str | None = None,
    table: str | None = None,
) -> PersonRequest:
    """Record a request of the person of whom this was said, in one source or in all.

    Raises SubjectUnclear when two can be meant, ConfigurationMissing for a certificate that cannot be used;
    then nothing is recorded. Who is in no source gets an answer as well.
    """
    sender_of(certificate, datetime.now(UTC))
    _require(asked)
    names = (at,) if at else desk.sources
    if not names:
        raise CaseInvalid("no source is registered", hint="write include/sources/NAME.yaml")
    found = {name: _find(desk, name, said, table) for name in names}
    _require_one(desk, {name: one for name, one in found.items() if one}, said)
    id_ = f"pr-{token_hex(6)}"
    due = _due(desk, names, asked.received)
    body: dict[str, Any] = {
        **asked.document(),
        "matter": words("matter", asked.matter) if asked.matter else "",
        "channel": words("channel", asked.channel),
        "verified": words("verified", asked.verified),
        **due,
        "sources": list(names),
        "by": who.name,
        "account_id": who.id,
    }
    holds = _held(desk, who, said, asked, found, id_)
    for name, subject in found.items():
        context = desk.at(name, id_)
        mine = {
            "request": id_,
            "subject": subject.label if subject else "",
            "table": [subject.table.schema_name, subject.table.name] if subject else [],
            "sealed": sealed(context, f"{id_}-who", json.dumps(subject.key)) if subject else "",
            "sealed_said": sealed(context, f"{id_}-said", said),
            "sealed_to": sealed(context, f"{id_}-to", certificate.decode()),
            "hold": holds[name].id if name in holds else "",
            "late": name in holds and set(holds[name].moments.values()) != {"before"},
        }
        context.record(OPENED, body | mine, key=id_)
    return find_request(desk, id_)


def _require(asked: Asked) -> None:
    if asked.received > legal_day():
        raise CaseInvalid(
            f"the request was received on {asked.received}, which is to come", hint="correct the day"
        )
    if (asked.kind == "portability") != (asked.basis is not None):
        raise CaseInvalid(
            "the basis on which data was given belongs to portability, and only there",
            hint="--basis consent or --basis contract (NDSR 25); nothing else is carried over",
        )
    if asked.kind not in ("erasure", *COPIES) and not asked.matter:
        raise CaseInvalid(f"nobody said what the {asked.kind} is about", hint="say it with --matter")


def _find(desk: Desk, name: str, said: str, table: str | None) -> Subject | None:
    context = desk.at(name)
    with closing(connect(context.source, read_only=True)) as connection:
        try:
            return find_subject(connection, desk.datamap(name), said, context.evidence_key, table)
        except SubjectUnknown:
            return None


def _require_one(desk: Desk, found: dict[str, Subject], said: str) -> None:
    """Refuse what means somebody else in another source."""
    if len(found) < 2:
        return
    known = []
    for name, subject in found.items():
        with PersonCopy(desk.source(name), desk.at(name).source, desk.datamap(name), subject) as copy:
            known.append(copy.known)
    if not all(one_person(first, second, said) for first, second in combinations(known, 2)):
        raise SubjectUnclear(
            f"different persons may be meant in {', '.join(found)}: no number shows that they are one",
            hint="say the number of an identity document, or open a request in each source with --source",
            counts=dict.fromkeys(found, 1),
        )


def _due(desk: Desk, names: tuple[str, ...], received: date) -> dict[str, Any]:
    """Return the earliest day by which any of the sources has to answer, and whose clock it is."""
    calendar = load_working_days(desk.settings.policies)
    packs, clocks = load_packs(desk.settings.policies), list[tuple[Clock, str]]()
    for name in names:
        source = desk.source(name)
        if source.requests.days:
            said = DEFAULT.model_copy(update={"amount": source.requests.days})
            clocks.append((said, f"include/sources/{name}.yaml, requests.days"))
            continue
        of_packs = [
            (clock, f"{rule} ({pack.label}): {clock.basis.source}")
            for pack in select(packs, source.policy, legal_day())
            for rule, clock in pack.clocks.items()
            if clock.after == RECEIVED
        ]
        clocks += of_packs or [(DEFAULT, DEFAULT.basis.source)]
    clock, origin = min(clocks, key=lambda one: calendar.due(one[0], received).day)
    end = calendar.due(clock, received)
    unit = {"hours": "小时", "days": "日", "working_days": "个工作日", "months": "个月"}[clock.unit]
    text = Text(
        zh=f"自收到之日起 {clock.amount} {unit}（{origin}）",
        en=f"{clock.amount} {clock.unit.replace('_', ' ')} from receipt ({origin})",
    )
    doubt = end.said.document() if end.said else None
    return {"due": end.day.isoformat(), "clock": text.document(), "doubt": doubt}


def _held(
    desk: Desk, who: Account, said: str, asked: Asked, found: dict[str, Subject | None], id_: str
) -> dict[str, Laid]:
    """Lay the hold that an objection, a complaint or a restriction is, before it is recorded."""
    kind = HOLDING.get(asked.kind)
    if kind is None:
        return {}
    why = Matter(kind, f"{asked.kind} {id_}", asked.channel)
    return {
        name: hold_subject(desk.at(name), who, said, subject.table.label, why)
        for name, subject in found.items()
        if subject
    }


def all_requests(desk: Desk) -> list[PersonRequest]:
    """Return every request, oldest first; LedgerRefused when a ledger does not verify."""
    entries: dict[str, list[Entry]] = defaultdict(list)
    for name in desk.sources:
        for entry in entries_of(desk.at(name)):
            entries[entry.body["request"]].append(entry)
    return sorted((_request(found) for found in entries.values()), key=lambda one: (one.received, one.id))


def find_request(desk: Desk, request: str) -> PersonRequest:
    """Return a request by its id."""
    for one in all_requests(desk):
        if one.id == request:
            return one
    raise LedgerRefused("there is no request with this id", hint="`handover request list` shows all")


def _request(entries: list[Entry]) -> PersonRequest:
    """Make a request of its entries in all sources: it is answered when it is answered in each of them."""
    opened = [one for one in entries if one.kind == OPENED]
    body = opened[0].body
    known = {name: body[name] for name in PersonRequest.model_fields if name in body and name != "by"}
    places = {
        name: {one.case: one.at for one in entries if one.kind == name} for name in (ANSWERED, DELIVERED)
    }

    def done(kind: str) -> str:
        there = places[kind]
        return max(there.values()) if there.keys() >= set(body["sources"]) else ""

    return PersonRequest.model_validate(
        known
        | {
            "id": body["request"],
            "by": body["by"],
            "subjects": {one.case: one.body["subject"] for one in opened if one.body["subject"]},
            "holds": {one.case: one.body["hold"] for one in opened if one.body["hold"]},
            "late": [one.case for one in opened if one.body.get("late")],
            "missing": sorted(set(body["sources"]) - {one.case for one in opened}),
            "answered_at": done(ANSWERED),
            "delivered_at": done(DELIVERED),
        }
    )


def require_complete(one: PersonRequest) -> None:
    """Raise NotReady for a request that died while it was opened: in some source nobody is known to it."""
    if one.missing:
        raise NotReady(
            f"request {one.id} was not recorded in {', '.join(one.missing)}: it ended while it was opened",
            hint="open it again with `handover request open`; the new id takes its place",
        )


def overdue_requests(desk: Desk, on: date) -> list[PersonRequest]:
    """Return the requests that should have been answered before a day, but for those opened again."""
    everything = all_requests(desk)
    return [
        one
        for one in everything
        if one.is_overdue(on) and not any(_took_place(other, one) for other in everything)
    ]


def _took_place(other: PersonRequest, one: PersonRequest) -> bool:
    """Say whether an incomplete request was opened again: what was asked, when, and by whom is the same."""
    same = (one.kind, one.received) == (other.kind, other.received)
    return bool(one.missing) and not other.missing and same and one.subjects.items() <= other.subjects.items()


def request_faults(context: Context) -> list[str]:
    """Return a line for each overdue request about the data of a case, its own aside (J04)."""
    if context.case.kind == "backup":
        return []
    desk = Desk(context.settings, lambda name: "")  # only ledgers are read
    asked = possible_sources(context, lambda one: bool(context.ledger.entries(one.source, kinds=(OPENED,))))
    names = {one.source for one in asked}
    late = overdue_requests(desk, legal_day()) if names else []
    return [
        f"request {one.id} ({one.kind}) should have been answered by {one.due}"
        for one in late
        if one.id != context.case.request and names & one.subjects.keys()
    ]
