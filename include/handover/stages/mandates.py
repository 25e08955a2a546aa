"""Standing mandates: asked for by one person, signed by two whom the source names, revoked by one of them.

What is signed is bound to the rules as they are; a mandate is never for accounting archives, and over in a
year at the latest.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from secrets import token_hex

from pydantic import ValidationError

from handover.errors import LedgerRefused, NotReady
from handover.law.dates import after
from handover.model.approval import Account
from handover.model.datamap import load_datamap
from handover.model.mandate import Mandate, Rules
from handover.model.policy import Period
from handover.model.registered import RegisteredSource, load_source
from handover.settings import Settings
from handover.stages.approval_standing import signed_entries
from handover.stages.context import Context, Resolver, open_case
from handover.stages.daily_cases import backup_case
from handover.stages.facts import legal_day
from handover.stages.mandate_standing import (
    DRAFTED,
    REVOKED,
    RUN,
    SIGNED,
    Issued,
    is_accounting,
    is_same,
    issued,
    packs_of,
    place_of,
)
from handover.stages.two_persons import words

LONGEST = Period(years=1)


def open_mandates(settings: Settings, name: str, resolve: Resolver) -> Context:
    """Open a registered source for its mandates."""
    return open_case(settings, backup_case(load_source(settings.sources, name)), RUN, resolve)


def draft(
    context: Context, who: Account, names: Sequence[str], *, rows: int, share: Decimal, until: date
) -> Mandate:
    """Write down what is to be signed: these classes as they are now, so much of each on a day."""
    source = _source(context)
    signers = source.mandate_signers
    if not any(not is_same(one, other) for one in signers for other in signers):
        raise NotReady(
            f"source {source.source} does not name two persons who may sign a mandate",
            hint="name them under mandate_signers",
        )
    _require_lawful(context, source, names, until)
    packs = packs_of(context, source, legal_day())
    datamap = load_datamap(context.settings.datamaps, source.datamap or source.source).sha256_of_json()
    policy = {pack.label: pack.digest for pack in packs}
    try:
        made = Mandate(
            id=f"md-{token_hex(6)}",
            source=source.source,
            rules=Rules.of(source, names, policy, place_of(context.source), datamap),
            rows=rows,
            share=share,
            until=until,
        )
    except ValidationError as problem:
        fields = ", ".join(str(error["loc"][0]) for error in problem.errors())
        raise LedgerRefused(
            f"this cannot be a mandate: {fields}", hint="rows from 1, a share above 0 and at most 1"
        ) from None
    context.record(DRAFTED, {"mandate": made.document(), **_person(who)}, key=made.id)
    return made


def _require_lawful(context: Context, source: RegisteredSource, names: Sequence[str], until: date) -> None:
    known = {one.name: one for one in source.retention}
    if unknown := [name for name in names if name not in known]:
        raise LedgerRefused(
            f"source {source.source} has no class {unknown[0]!r}", hint=f"one of {', '.join(known) or 'none'}"
        )
    if not names:
        raise LedgerRefused("a mandate for no class lets nothing go", hint="name classes of the source")
    packs = packs_of(context, source, legal_day())
    if archives := [name for name in names if is_accounting(known[name], packs)]:
        raise LedgerRefused(
            f"class {archives[0]} is of accounting archives, which go under no mandate",
            hint="they are destroyed by their destruction list, which people sign each time (销毁清册)",
        )
    today = legal_day()
    if not today < until <= (after(today, LONGEST) or today):
        raise LedgerRefused(
            f"a mandate until {until} is over already, or not within a year", hint=f"a day after {today}"
        )


def sign(context: Context, who: Account, name: str) -> Issued:
    """Sign a mandate as it was drafted; nobody signs twice."""
    one = find(context, name)
    if one.revoked_by or legal_day() >= one.mandate.until:
        raise LedgerRefused(f"mandate {name} is over: {one.lacks((), legal_day())}", hint="draft another one")
    if who not in _source(context).mandate_signers:
        raise LedgerRefused(
            f"mandate {name} cannot be signed by this account",
            hint="let those sign whom the source names, with this id, under mandate_signers",
        )
    if any(is_same(who, other) for other, _ in one.signed):
        raise LedgerRefused(f"mandate {name} was signed by this person", hint="let another person sign")
    body = {"id": name, "digest": one.mandate.sha256_of_json(), **_person(who)}
    context.record(SIGNED, body, key=f"{name}/{who.id}")
    return find(context, name)


def revoke(context: Context, who: Account, name: str, reason: str) -> Issued:
    """End a mandate now, alone: from here on people are asked."""
    one = find(context, name)
    if who not in _source(context).mandate_signers and not is_same(who, one.by):
        raise LedgerRefused(
            f"mandate {name} cannot be revoked by this account",
            hint="let one of those who may sign do it, or who asked for it",
        )
    if one.revoked_by:
        raise LedgerRefused(f"mandate {name} was revoked by {one.revoked_by}", hint="nothing is left to do")
    context.record(REVOKED, {"id": name, "reason": words("reason", reason), **_person(who)}, key=name)
    return find(context, name)


def mandates(context: Context) -> list[tuple[Issued, str]]:
    """Return all mandates of a source, oldest first, each with why it is not in force, empty when it is."""
    signers, today = _source(context).mandate_signers, legal_day()
    return [(one, one.lacks(signers, today)) for one in issued(signed_entries(context))]


def find(context: Context, name: str) -> Issued:
    """Return a mandate by its id; raises LedgerRefused for another."""
    for one in issued(signed_entries(context)):
        if one.mandate.id == name:
            return one
    raise LedgerRefused(
        f"source {context.case.case} has no mandate with this id",
        hint=f"`handover mandate list {context.case.case}` shows all",
    )


def _source(context: Context) -> RegisteredSource:
    return load_source(context.settings.sources, context.case.case)


def _person(who: Account) -> dict[str, str]:
    return {"by": who.name, "account_id": who.id}
