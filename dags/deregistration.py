"""Deregistration: a company ends; what must be kept is archived, the rest goes, certified."""

from __future__ import annotations

from airflow.sdk import DAG, TriggerRule

from handover_airflow.approval import signed_approval
from handover_airflow.tasks import (
    RETRIES,
    SOURCE,
    TARGET,
    Waiting,
    disposal,
    lanes,
    params,
    planning,
    proven_backup,
    stage,
)

DRY_RUN = (
    "Look, plan and judge the gates only: shows what would go, by rule, in rows and people; nothing is "
    "read out and nothing goes. Take it out to have the plan executed. 取消勾选才会实际执行。"
)

with DAG(
    dag_id="deregistration",
    description="Plan, approve, back up, archive, quarantine, approve again, erase, prove, certify",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["handover"],
    default_args=RETRIES,
    params=params("deregistration", DRY_RUN),
):
    inventory, plan, gates = planning()
    freeze = stage("freezing.freeze_source", "freeze", SOURCE)
    backup, proven = proven_backup(plan)
    inventory >> plan >> gates >> signed_approval("execute") >> freeze >> backup

    archive = lanes("archiving.archive_lane", plan, "archive", SOURCE)
    sealed = stage("archiving.seal_archive")
    verified = stage("archive_proof.verify_archive", pool=TARGET)
    rechecked = [
        lanes("late_changes.recheck_lane", plan, "recheck", SOURCE),
        stage("late_changes.recheck_objects", pool=SOURCE),
    ]
    proven >> stage("archiving.prepare_archive", pool=SOURCE) >> archive >> sealed >> verified >> rechecked

    listed = stage("destruction_listing.make_destruction_list", "destruction_list", SOURCE)
    quarantine = stage("quarantine.quarantine", pool=SOURCE)
    over = Waiting(task_id="wait", work="quarantine.quarantine_over")
    dispose, disposed = disposal(plan)
    rechecked >> listed >> quarantine >> over >> dispose

    # Whatever fails, nobody closes while another task still works.
    close = stage("close.close_run", "close", trigger_rule=TriggerRule.ALL_DONE)
    [verified, *rechecked, listed, over, *disposed] >> close >> stage("certifying.end_when_due", "end_backup")
