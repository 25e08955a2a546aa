"""What became of notices: results of senders read back, and how many persons of a run's scope were told.

The gates count persons of the plan whose own token was delivered, not letters; who was told about another
recipient was not told. A run without coverage of its own plan has nobody told.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from io import StringIO

from handover.errors import LedgerRefused, NotReady
from handover.evidence.ledger import Entry
from handover.evidence.notice_letters import RESULT_COLUMNS
from handover.law.facts import Facts
from handover.model.backup import ObjectRef
from handover.model.matter import Notices
from handover.model.plan import Plan
from handover.postgres.addressees import read_keys_of
from handover.stages.context import Context
from handover.stages.datamaps import planned_datamap
from handover.stages.facts import legal_day, person_tables
from handover.stages.notices import (
    MAILED,
    OF_RECIPIENTS,
    TOKEN_BYTES,
    TOKENS,
    key_of_persons,
    recipients,
    reference_of,
    scope_now,
)

DELIVERED, COVERAGE = "notice-delivered", "notice-coverage"
RESULTS = "notice-results"
DELIVERED_FACT = "delivered"
STATES = ("delivered", "returned", "unreachable", "substituted")
MOST_LINES = 20
# Which notice tells people of what happens, by what legally happens; of all else a notice of the rules does.
_ENDING = ("merger", "division", "dissolution", "bankruptcy", "deregistration")
_PROVIDING = ("asset_transfer", "loan_portfolio_transfer")
States = dict[bytes, str]


def record_results(context: Context, run: str, data: bytes) -> dict[str, int]:
    """Record a sheet of results of a mailing; returns how many of its persons are in which state by now.

    Raises LedgerRefused that names the lines of everything that is wrong; then nothing of it counts.
    """
    mailed = next((one for one in mailings(context) if one.run == run), None)
    if mailed is None:
        raise NotReady(
            f"case {context.case.case} has no mailing {run}",
            hint=f"`handover notice list {context.case.case}` lists them",
        )
    mailing_context = replace(context, run=run)
    known = _tokens(mailing_context, mailed)
    day = date.fromisoformat(mailed.body["on"])
    states = states_of(mailing_context) | dict(_read(data, known, day))
    digest = context.digest(hashlib.sha256(data).digest())
    number = len(mailing_context.entries(DELIVERED)) + 1
    packed = b"".join(who + bytes([STATES.index(state)]) for who, state in sorted(states.items()))
    stored = mailing_context.put(mailing_context.label(number, RESULTS), packed, RESULTS)
    counts = Counter(states.values())
    told = {state: counts[state] for state in STATES} | {"open": len(known) - len(states)}
    mailing_context.record(
        DELIVERED, {"counts": told, "file": digest, "number": number, "states": stored.document()}
    )
    return told


def mailings(context: Context) -> list[Entry]:
    """Return the entries of all mailings of the case."""
    return context.ledger.entries(context.case.case, kinds=(MAILED,))


def states_of(mailing: Context) -> States:
    """Return what is known of each person of a mailing, by token."""
    found = mailing.entries(DELIVERED)
    if not found:
        return {}
    body = found[-1].body
    label = mailing.label(int(body["number"]), RESULTS)
    data = mailing.get(label, ObjectRef.model_validate(body["states"]))
    size = TOKEN_BYTES + 1
    return {data[at : at + TOKEN_BYTES]: STATES[data[at + TOKEN_BYTES]] for at in range(0, len(data), size)}


def cover_notices(context: Context, plan: Plan) -> None:
    """Count who of the plan's scope was told, and record it; nothing happens where nothing was mailed."""
    results = _results(context)
    datamap = planned_datamap(context, plan)
    if not mailings(context) or datamap is None or _coverage(context, plan, results) is not None:
        return
    told = _told(context)
    counts: Counter[tuple[str, str]] = Counter()
    missing: Counter[str] = Counter()
    with scope_now(context) as scoping:
        for person in person_tables(datamap):
            label, key = person.table.label, key_of_persons(datamap, person.table)
            for row in read_keys_of(scoping.connection, person.table, key, scoping.inside(person.table)):
                who = bytes.fromhex(reference_of(context, label, row))
                found = {(fact, states[who]) for fact, states in told.items() if who in states}
                counts.update(found)
                missing[label] += (DELIVERED_FACT, "delivered") not in found
    facts = {fact: counts[fact, "delivered"] for fact in told}
    if DELIVERED_FACT in told:
        facts["publicly"] = counts[DELIVERED_FACT, "substituted"]
    body = {
        "plan_digest": plan.sha256_of_json(),
        "results": results,
        "facts": facts,
        "not_delivered": dict(missing) if DELIVERED_FACT in told else {},
    }
    context.record(COVERAGE, body)


def with_notices(context: Context, facts: Facts) -> Facts:
    """Return the facts with persons who were told, counted, in place of what the case states of them.

    What a mailing is about and nobody has counted for this plan is unknown, and closes the gates.
    """
    entries = mailings(context)
    if not entries:
        return facts
    counted: Mapping[str, int] = _coverage(context, context.plan()) or {}
    about = {fact for entry in entries for fact in _facts_of(context, entry)}
    changed: dict[str, object] = {fact: counted.get(fact) for fact in about}
    if DELIVERED_FACT in about:
        mine = [one for one in entries if DELIVERED_FACT in _facts_of(context, one)]
        changed |= {
            "publicly": counted.get("publicly"),
            "template_sha256": mine[-1].body["template_sha256"],
        }
    stated = facts.matter.notices or Notices()
    matter = facts.matter.model_copy(update={"notices": stated.model_copy(update=changed)})
    return facts.model_copy(update={"matter": matter})


def _told(context: Context) -> dict[str, States]:
    """Return for each fact that mailings are about who is in which state; delivered stays delivered."""
    found: dict[str, States] = {}
    for entry in mailings(context):
        is_current = entry.body["kind"] not in OF_RECIPIENTS or entry.body["recipients"] == recipients(
            context
        )
        for fact in _facts_of(context, entry):
            whom = found.setdefault(fact, {})
            states = states_of(replace(context, run=entry.run)) if is_current else {}
            whom |= {who: state for who, state in states.items() if whom.get(who) != "delivered"}
    return found


def _facts_of(context: Context, entry: Entry) -> list[str]:
    """Return the facts that a mailing is about."""
    kind, transaction = entry.body["kind"], context.case.transaction
    wanted = "P22" if transaction in _ENDING else "P23" if transaction in _PROVIDING else "P17"
    facts = [DELIVERED_FACT] if kind == wanted else []
    facts += ["export_delivered"] if kind == "P39" else []
    return facts + (["debtors_delivered"] if entry.body["assignment"] else [])


def _results(context: Context) -> list[str]:
    """Return the hashes of the entries that coverage rests on."""
    return [one.hash for one in context.ledger.entries(context.case.case, kinds=(MAILED, DELIVERED))]


def _coverage(context: Context, plan: Plan, results: list[str] | None = None) -> dict[str, int] | None:
    """Return what was counted for a plan, under these results when they are given."""
    found = context.entries(COVERAGE)
    if not found or found[-1].body["plan_digest"] != plan.sha256_of_json():
        return None
    if results is not None and list(found[-1].body["results"]) != results:
        return None
    return dict(found[-1].body["facts"])


def _tokens(mailing: Context, mailed: Entry) -> set[bytes]:
    reference = ObjectRef.model_validate(mailed.body["tokens"])
    data = mailing.get(mailing.label(0, TOKENS), reference)
    return {data[at : at + TOKEN_BYTES] for at in range(0, len(data), TOKEN_BYTES)}


def _read(data: bytes, known: set[bytes], mailed_on: date) -> Iterator[tuple[bytes, str]]:
    """Return person and state of each line with a result; what a wrong line says is not repeated."""
    try:
        rows = list(csv.reader(StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise LedgerRefused("the results are no CSV in UTF-8", hint="save the sheet as CSV UTF-8") from None
    if not rows or tuple(rows[0]) != RESULT_COLUMNS:
        raise LedgerRefused(
            "the results have other columns than those that were sent",
            hint=f"the first line must be {','.join(RESULT_COLUMNS)}",
        )
    found: States = {}
    wrong = []
    for line, row in enumerate(rows[1:], 2):
        if not row or (len(row) == len(RESULT_COLUMNS) and not row[1] and not row[2]):
            continue
        said = _problem(row, known, found, mailed_on)
        if said:
            wrong.append(f"line {line}: {said}")
        else:
            found[bytes.fromhex(row[0])] = row[1]
    if wrong:
        more = [f"and {len(wrong) - MOST_LINES} more"] if len(wrong) > MOST_LINES else []
        raise LedgerRefused(
            "the results are not those of this mailing:\n  " + "\n  ".join(wrong[:MOST_LINES] + more),
            hint="correct the lines named above; nothing was recorded",
        )
    return iter(found.items())


def _problem(row: list[str], known: set[bytes], found: States, mailed_on: date) -> str:
    if len(row) != len(RESULT_COLUMNS):
        return f"{len(row)} cells, expected {len(RESULT_COLUMNS)}"
    try:
        who = bytes.fromhex(row[0])
    except ValueError:
        return "no reference of this mailing"
    if who not in known:
        return "no reference of this mailing"
    if who in found:
        return "a reference that stands above already"
    if row[1] not in STATES:
        return f"no state; write one of {', '.join(STATES)}"
    try:
        day = date.fromisoformat(row[2])
    except ValueError:
        return "no date; write it as 2026-01-31"
    return "" if mailed_on <= day <= legal_day() else "a date before the mailing or after today"
