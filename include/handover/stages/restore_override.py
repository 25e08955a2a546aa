"""Bringing erased persons back: a restore that leaves their rows in, because two persons said so."""

from __future__ import annotations

from dataclasses import replace

from handover.errors import SourceInvalid
from handover.model.approval import Account
from handover.model.registered import load_source
from handover.stages.context import Context
from handover.stages.two_persons import Request, TwoPersons


def pair(context: Context) -> TwoPersons:
    """Return the requests of the case to restore a backup with the rows that were erased since."""
    context = _with_approvers(context)
    return TwoPersons(context, "keep-erased", "ke", f"handover keep-erased {context.case.case} list")


def _with_approvers(context: Context) -> Context:
    """Return the context with those who approve for the registered source now: its backups ask nobody.

    Of a source that is no longer registered those count whom the run was opened with, if any.
    """
    if not context.case.is_daily:
        return context
    try:
        source = load_source(context.settings.sources, context.case.case)
    except SourceInvalid:
        return context
    return replace(context, case=context.case.model_copy(update={"approvals": source.approvals}))


def ask(context: Context, who: Account, into: str, ticket: str, purpose: str) -> str:
    """Ask to restore the run's backup as it is; ``into``: the connection. Returns the id of the request."""
    context.last("backup-sealed", "seal")
    return pair(context).ask(who, ticket, purpose, {"into": into, "backup": context.run})


def approve(context: Context, who: Account, name: str) -> Request:
    """Let the one who asked restore, once and within a day; only another person may."""
    return pair(context).approve(who, name)


def use(context: Context, who: Account, name: str, into: str) -> None:
    """Write down that it is used now, before a row comes back; LedgerRefused for another restore."""
    requests = pair(context)
    one = requests.require_usable(who, name)
    if (one.wanted["backup"], one.wanted["into"]) != (context.run, into):
        requests.refuse(who, one, "it is about another backup or another database", "give the same, or ask")
    requests.use(who, name, {})
