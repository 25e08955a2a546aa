"""Scheduled backups: one DAG for each registered source; encrypted, proven by a restore, ended on their day.

Nobody is asked: nothing is handed over and nothing changes at the source. What was erased since a backup is
erased again whenever it is restored. Backups whose days are over end: their keys are destroyed.
"""

from __future__ import annotations

from airflow.sdk import DAG, TriggerRule

from handover.stages.daily_cases import RegisteredSource
from handover_airflow.edge import BACKUP, registered_sources
from handover_airflow.tasks import (
    ANYWHERE,
    HABIT,
    SOURCE,
    at_hours,
    daily_params,
    planning,
    proven_backup,
    stage,
)

DRY_RUN = "Look and plan only: nothing is read out. 只演练，不执行。"


def scheduled_backup(source: RegisteredSource) -> DAG:
    """Return the DAG of a source."""
    with DAG(
        dag_id=f"{BACKUP}.{source.source}",
        description="Plan, back up under one snapshot, seal, prove by a restore, close, end what is due",
        doc_md=f"**{source.title}**\n\n{__doc__}",
        schedule=at_hours(source.backups.schedule, source.timezone),
        tags=["handover", BACKUP],
        params={"dry_run": daily_params(DRY_RUN)["dry_run"]},
        **HABIT,
    ) as dag:
        inventory, plan, gates = planning()
        agreed = stage("scheduled_backups.need_no_approval", "approval", SOURCE)
        backup, proven = proven_backup(plan)
        inventory >> plan >> gates >> agreed >> backup
        close = stage("close.close_run", "close", trigger_rule=TriggerRule.ALL_DONE)
        # Whatever became of this one: others end on their day.
        due = TriggerRule.ALL_DONE
        ended = stage("scheduled_backups.end_due_backups", "end_backups", ANYWHERE, trigger_rule=due)
        # What was read out is heard as it is now, for the backup may hold other rows than were planned.
        proven >> stage("gates.require_gates", "gates_again", SOURCE) >> close >> ended
    return dag


for each in registered_sources():
    globals()[f"{BACKUP}_{each.source}"] = scheduled_backup(each)
