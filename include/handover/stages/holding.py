"""Laying a legal hold on rows, and having it released by two persons; each step is signed in the ledger.

A hold is written down while nothing is erased in any case that it binds, and says of each whether it came in
time. It may be laid by one person alone. Releasing lets nothing go by itself: whatever goes asks again.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import date
from secrets import token_hex

from handover.errors import CaseInvalid, LedgerRefused, NotReady
from handover.model.approval import Account
from handover.model.datamap import load_datamap
from handover.model.hold import DataHold, What
from handover.model.reconciliation import TableName
from handover.model.registered import load_source
from handover.postgres.row_classes import checked_predicate
from handover.postgres.session import connect
from handover.settings import Settings
from handover.stages.context import Context, Resolver, open_case, open_context
from handover.stages.daily_cases import backup_case
from handover.stages.facts import legal_day
from handover.stages.held_rows import kinds_of_holds
from handover.stages.hold_epoch import Moment, raise_epoch
from handover.stages.hold_reach import bound, require_source
from handover.stages.holds import ADDED, EVERY_ROW, RELEASED, RUN, all_holds, sealed, unsealed
from handover.stages.subjects import Subject, find_subject
from handover.stages.two_persons import Request, TwoPersons, words

NAMED = "hold-subject-named"


@dataclass(frozen=True)
class Matter:
    """Why rows are held: a kind of the policy packs, reason, the authority that wants it, until when."""

    kind: str
    reason: str
    authority: str
    until: date | None = None


@dataclass(frozen=True)
class Laid:
    """A hold that stands, and for each case that it binds whether it came in time."""

    id: str
    over: str
    moments: dict[str, Moment]


def open_holder(settings: Settings, name: str, resolve: Resolver) -> Context:
    """Open a case, or a registered source of this name, for its holds."""
    if not (settings.sources / f"{name}.yaml").is_file():
        return open_context(settings, name, RUN, resolve)
    source = load_source(settings.sources, name)
    case = backup_case(source).model_copy(update={"approvals": source.approvals})
    return open_case(settings, case, RUN, resolve)


def account_named(context: Context, name: str | None) -> Account:
    """Return who sent a form, with the id under which the case or source knows this account."""
    if not name:
        raise NotReady(
            "Airflow names nobody who started this run",
            hint="start it in the UI or through the REST API, with an account of your own",
        )
    approvals = context.case.approvals
    known = approvals.execute.approvers if approvals else ()
    return next((one for one in known if one.name == name), Account(name=name, id=name))


def hold_subject(context: Context, who: Account, said: str, table: str | None, why: Matter) -> Laid:
    """Hold the rows of the person of whom this was said; raises SubjectUnknown or SubjectUnclear."""
    subject = _find(context, said, table)
    return _lay(context, who, why, "subject", subject.table, subject.where, subject.label)


def name_subject(context: Context, said: str, table: str | None = None) -> str:
    """Find a person and write down, sealed, who it is; returns a name for forms that keep what they get."""
    subject = _find(context, said, table)
    if not _named(context, subject.label):
        id_ = f"sn-{token_hex(6)}"
        body = {"subject": subject.label, "id": id_, "table": _pair(subject.table)}
        context.record(NAMED, {**body, "sealed": sealed(context, id_, subject.where)})
    return subject.label


def hold_named(context: Context, who: Account, label: str, why: Matter) -> Laid:
    """Hold the rows of a person by the name that ``name_subject`` gave."""
    found = _named(context, label)
    if not found:
        raise LedgerRefused(
            "no person was named so here",
            hint=f"`handover hold token {context.case.case}` names a person; copy what it prints",
        )
    table, where = found
    return _lay(context, who, why, "subject", table, where, label)


def hold_table(context: Context, who: Account, table: str, why: Matter, where: str = "") -> Laid:
    """Hold the rows of a table, or those that a predicate names; it may not hold a person's number."""
    try:
        name = TableName.model_validate(table)
    except ValueError:
        raise CaseInvalid("the table is not named as schema.table", hint="write schema.table") from None
    if name.schema_name not in context.case.source.schemas:
        raise CaseInvalid(
            f"{name.label} is in no schema of {context.case.case}",
            hint=f"its schemas: {', '.join(context.case.source.schemas)}",
        )
    if where:
        words("predicate", where)
    with closing(connect(context.source, read_only=True)) as connection:
        checked_predicate(connection, name.schema_name, name.name, where or EVERY_ROW)
    return _lay(context, who, why, "predicate" if where else "table", name, where)


def hold_everything(context: Context, who: Account, why: Matter) -> Laid:
    """Let nothing of a case or source go."""
    return _lay(context, who, why, "everything")


def request_release(context: Context, who: Account, hold: str, reason: str) -> str:
    """Ask that a hold be released; returns the id of the request."""
    found = _open(context, hold)
    return _two(context).ask(who, found.id, reason, {"hold": found.id})


def release(context: Context, who: Account, request: str) -> DataHold:
    """Release a hold, as another person than the one who asked for it; what is held may go from then on."""
    pair = _two(context)
    one = pair.find(request)
    if not (one.state == "approved" and one.approved_by == who):  # else it died before the entry below
        one = pair.approve(who, request)
    found = _open(context, str(one.wanted["hold"]))
    body = {"hold": found.id, "request": one.id, "by": who.name, "account_id": who.id}
    context.record(RELEASED, body, key=found.id)
    return found


def holds(context: Context) -> tuple[list[DataHold], list[Request]]:
    """Return all holds and requests for release; raises LedgerRefused when the ledger does not verify."""
    requests = _two(context).all()
    return all_holds(context, context.case.case), requests


def _lay(
    context: Context,
    who: Account,
    why: Matter,
    what: What,
    table: TableName | None = None,
    where: str = "",
    subject: str = "",
) -> Laid:
    body = _said(context, who, why)
    if what != "everything":
        require_source(context)
    name = f"lh-{token_hex(6)}"
    body |= {"hold": name, "what": what, "table": _pair(table) if table else "", "subject": subject}
    body["sealed"] = sealed(context, name, where) if where else ""
    moments: dict[str, Moment] = {}
    with ExitStack() as stack:
        for name_bound in bound(context):
            case = context.case.model_copy(update={"case": name_bound})
            moments[name_bound] = stack.enter_context(raise_epoch(replace(context, case=case))).moment
        context.record(ADDED, {**body, "moments": sorted(moments.items())}, key=name)
    (made,) = [one for one in all_holds(context, context.case.case) if one.id == name]
    return Laid(name, made.over, moments)


def _said(context: Context, who: Account, why: Matter) -> dict[str, object]:
    kinds = kinds_of_holds(context)
    if why.kind not in kinds:
        raise LedgerRefused(
            "the policy knows no such kind of hold", hint=f"one of {', '.join(sorted(kinds)) or 'none'}"
        )
    if why.until is not None and why.until <= legal_day():
        raise LedgerRefused(
            f"a hold until {why.until} would be over already", hint="give a later day, or none"
        )
    return {
        "kind": why.kind,
        "reason": words("reason", why.reason),
        "authority": words("authority", why.authority),
        "until": why.until.isoformat() if why.until else "",
        "yields": kinds[why.kind],
        "by": who.name,
        "account_id": who.id,
    }


def _find(context: Context, said: str, table: str | None) -> Subject:
    datamap = load_datamap(context.settings.datamaps, context.case.mapped_as)
    with closing(connect(context.source, read_only=True)) as connection:
        return find_subject(connection, datamap, said, context.evidence_key, table)


def _named(context: Context, label: str) -> tuple[TableName, str] | None:
    name = context.case.case
    for entry in context.ledger.entries(name, kinds=[NAMED]):
        body = entry.body
        if body["subject"] == label:
            return TableName.model_validate(body["table"]), unsealed(
                context, name, body["id"], body["sealed"]
            )
    return None


def _open(context: Context, hold: str) -> DataHold:
    for one in all_holds(context, context.case.case):
        if one.id == hold and not one.released_by:
            return one
    raise LedgerRefused(
        f"{context.case.case} has no open hold with this id",
        hint=f"`handover hold list {context.case.case}` shows all",
    )


def _two(context: Context) -> TwoPersons:
    return TwoPersons(
        context, "hold-release", "hr", f"handover hold list {context.case.case}", by_anybody=True
    )


def _pair(table: TableName) -> list[str]:
    return [table.schema_name, table.name]
