"""What a scheduled backup has beside any other one: nobody approves it, and those whose days are over end."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from handover.errors import NotReady
from handover.stages.abort import abort_run
from handover.stages.approvals import NOT_REQUIRED
from handover.stages.backup_end import backup_due, backup_end
from handover.stages.certificate_backups import is_alive
from handover.stages.certifying import issue_outstanding
from handover.stages.context import Context
from handover.stages.disposal import is_open
from handover.stages.erasures import EXPORTED, SEALED, PastRun, past_runs
from handover.stages.facts import LEGAL_TIME, legal_day
from handover.stages.failures import Failures
from handover.vault.roots import Purpose

WHY = "a backup of the source into its keeper's own vault: nothing is handed over, nothing changes there"


def need_no_approval(context: Context) -> None:
    """Write down why nobody is asked; raises NotReady for a run that would do more than back up."""
    with context.step("approval"):
        made = context.plan()
        if context.case.kind != "backup" or context.target or made.disposes:
            raise NotReady(
                f"run {context.run} of case {context.case.case} is more than a backup, and needs approval",
                hint="run it by the DAG of its kind",
            )
        context.record(NOT_REQUIRED, {"what": "execute", "said": WHY}, key="execute")


def end_due_backups(context: Context) -> int:
    """End every backup of the source whose day has come, of whatever daily run; returns how many.

    Then the certificates are issued that this leaves, of whatever run over the database.

    Safe to repeat. A backup that never became complete goes as well, sealed or not; what disposed of rows and
    is not complete keeps its backup, which may be all that is left of them. One that cannot be ended does not
    keep the others: its error is raised at the end.
    """
    ended = 0
    failures = Failures()
    for one in _unended(context):
        with failures.while_doing(f"ending the backup {one.name}"):
            ended += _end(context, one)
    with failures.while_doing("issuing certificates"):
        issue_outstanding(context)
    failures.raise_first()
    return ended


def _unended(context: Context) -> list[PastRun]:
    """Return the daily runs of the source that ever had a backup key and whose end is not in the ledger.

    Not those alone whose key lives: whoever ended one may have been killed once the key was destroyed.
    """
    begun = {key.case for key in context.keyring.list() if key.purpose is Purpose.BACKUP}
    return [
        one
        for one in past_runs(context.ledger)
        if one.case.case == context.case.case and one.case.is_daily and one.name in begun and is_alive(one)
    ]


def _end(context: Context, one: PastRun) -> bool:
    mine = one.context(context)
    closed = mine.entries("run-closed")
    if closed and closed[-1].body["status"] == "complete":
        if legal_day() < backup_due(mine):
            return False
        backup_end(mine)
        return True
    # Its whole day has to be over: somebody may be about to go on with it.
    if is_open(mine) or _waits_for_people(one) or legal_day() <= _due_unfinished(mine, one):
        return False
    abort_run(mine)
    return True


def _waits_for_people(one: PastRun) -> bool:
    """Say whether it may still be approved: what is let go is approved before its snapshot, however late."""
    return one.case.kind != "backup" and EXPORTED not in one.entries


def _due_unfinished(mine: Context, one: PastRun) -> date:
    """Return the day of a backup that may not have been sealed: then it counts from its snapshot, or its run.

    Rows in quarantine go only after it, and need the backup until then.
    """
    begun = one.last(SEALED) or one.last(EXPORTED) or one.entries["run-opened"][-1]
    day = datetime.fromisoformat(begun.at).astimezone(LEGAL_TIME).date()
    disposal = mine.case.disposal
    waiting = 0 if mine.case.kind == "backup" else disposal.quarantine_days
    return day + timedelta(days=disposal.backup_days + waiting)
