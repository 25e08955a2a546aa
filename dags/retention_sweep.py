"""Retention sweeps: one DAG for each registered source; what its periods let go goes, proven and certified.

Every night, or by hand for a day: rows whose periods are over are planned, approved by people or a standing
mandate, backed up for a short while, erased or pseudonymised, proven to be gone. Missed days need no run of
their own: one sweep does all that is due on its day. Two sweeps of a source never overlap.
"""

from __future__ import annotations

from airflow.sdk import DAG, TriggerRule

from handover.stages.daily_cases import RegisteredSource
from handover_airflow.approval import signed_approval
from handover_airflow.edge import SWEEP, registered_sources
from handover_airflow.tasks import (
    HABIT,
    at_hours,
    daily_params,
    disposal,
    only_if,
    planning,
    proven_backup,
    stage,
)

DRY_RUN = "Look, plan and judge only: what would go on that day, by class. 只演练，不执行。"


def sweep(source: RegisteredSource) -> DAG:
    """Return the DAG of a source."""
    with DAG(
        dag_id=f"{SWEEP}.{source.source}",
        description="Find what is due, approve, back up, erase, prove, certify",
        doc_md=f"**{source.title}**\n\n{__doc__}",
        schedule=at_hours(source.sweep.schedule, source.timezone),
        tags=["handover", SWEEP],
        params=daily_params(DRY_RUN),
        **HABIT,
    ) as dag:
        inventory, plan, gates = planning()
        due = only_if("sweeping.due")
        backup, proven = proven_backup(plan)
        # Beside the rest, so that it is done on days on which nothing is due as well.
        plan >> stage("expired_archives.archives_due")
        plan >> stage("scheduled_backups.end_due_backups", "end_due_backups")
        inventory >> plan >> gates >> due >> signed_approval("execute") >> backup
        dispose, disposed = disposal(plan)
        proven >> dispose
        close = stage("close.close_run", "close", trigger_rule=TriggerRule.ALL_DONE)
        [proven, *disposed] >> close >> stage("certifying.end_when_due", "end_backup")
    return dag


for each in registered_sources():
    if each.retention:
        globals()[f"{SWEEP}_{each.source}"] = sweep(each)
