"""What a scheduled backup has beside any other one: nobody approves it, and those whose days are over end."""

from __future__ import annotations

from handover.errors import NotReady
from handover.stages.abort import abort_run
from handover.stages.approvals import NOT_REQUIRED
from handover.stages.backup_end import backup_due, backup_end
from handover.stages.certifying import end_when_due
from handover.stages.context import Context
from handover.stages.erasures import PastRun, active_backups, past_runs
from handover.stages.facts import legal_day

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

    Safe to repeat. A backup that never became complete goes as well; what disposed of rows and is not
    complete keeps its backup, which may be all that is left of them.
    """
    active = active_backups(context.keyring)
    ended = 0
    for one in past_runs(context.ledger):
        if one.case.case == context.case.case and one.case.is_daily and one.name in active:
            ended += _end(context, one)
    return ended


def _end(context: Context, one: PastRun) -> bool:
    mine = one.context(context)
    if not one.is_backed_up or legal_day() < backup_due(mine):
        return False
    closed = mine.entries("run-closed")
    if closed and closed[-1].body["status"] == "complete":
        if mine.disposes:
            end_when_due(mine)
        else:
            backup_end(mine)
        return True
    if one.case.kind == "backup":
        abort_run(mine)
        return True
    return False
