"""Bringing persons back: a restore with their erased rows, or their identities, because two persons said so.

A request says what: all rows that were erased since, or no more than the identities that were pseudonymised.
"""

from __future__ import annotations

from dataclasses import replace

from handover.errors import LedgerRefused, SourceInvalid
from handover.model.approval import Account
from handover.model.registered import load_source
from handover.stages.context import Context
from handover.stages.erasures import pseudonymised_since
from handover.stages.two_persons import Request, TwoPersons


def pair(context: Context) -> TwoPersons:
    """Return the requests of the case to restore a backup with what was erased or pseudonymised since."""
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


def ask(
    context: Context, who: Account, into: str, ticket: str, purpose: str, *, identities_only: bool = False
) -> str:
    """Ask to restore the run's backup as it is; ``into``: the connection. Returns the id of the request.

    ``identities_only``: what was erased since is erased again.
    """
    context.last("backup-sealed", "seal")
    wanted = {"into": into, "backup": context.run, "identities_only": identities_only}
    return pair(context).ask(who, ticket, purpose, wanted)


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


def keeps_erased(context: Context, name: str) -> bool:
    """Say whether a request is to keep erased rows, and not only identities."""
    return not pair(context).find(name).wanted.get("identities_only")


def require_identities_stay_gone(context: Context) -> None:
    """Raise LedgerRefused when the run's backup has identities of rows that were pseudonymised since.

    In a case that names nobody who may approve there are no two persons to decide: there it is only told.
    """
    masked = pseudonymised_since(context)
    if masked and pair(context).context.case.approvals is not None:
        raise LedgerRefused(
            "with this backup rows that were pseudonymised since have their identities again: "
            + ", ".join(masked),
            hint="two persons may decide so: `handover keep-erased ask … --identities-only`; what was erased "
            "is erased again all the same",
            runs=masked,
        )
