"""Transfer: hand a company's schemas over from one PostgreSQL to another, proven step by step."""

from __future__ import annotations

from airflow.sdk import DAG, TriggerRule

from handover_airflow.approval import signed_approval
from handover_airflow.tasks import (
    RETRIES,
    SOURCE,
    TARGET,
    disposal,
    lanes,
    params,
    planning,
    proven_backup,
    stage,
)

DRY_RUN = (
    "Look, plan and judge the gates only: no rows are copied, source and target stay as they are. "
    "Take it out to have the plan executed. 取消勾选才会实际执行。"
)

with DAG(
    dag_id="transfer",
    description="Plan, approve, back up, prove the backup, migrate, verify, accept, dispose, sign",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["handover"],
    default_args=RETRIES,
    params=params("transfer", DRY_RUN),
):
    inventory, plan, gates = planning()
    freeze = stage("freezing.freeze_source", "freeze", SOURCE)
    backup, proven = proven_backup(plan)
    inventory >> plan >> gates >> signed_approval("execute") >> freeze >> backup

    migrate = lanes("migrate.migrate_lane", plan, "migrate", TARGET)
    finish = stage("migrate.finish_target", "finish", TARGET)
    proven >> stage("migrate.prepare_target", "prepare", TARGET) >> migrate >> finish

    verified = [
        lanes("verify.verify_lane", plan, "verify", TARGET),
        stage("verify.verify_objects", pool=TARGET),
        stage("tally.tally_target", "reconcile", TARGET),
        stage("verify.verify_expectations", "expectations", TARGET),
        # Of what arrives pseudonymised: references join as before, nobody shows, nobody can be singled out.
        stage("joins.verify_joins", "joins", TARGET),
        stage("absence.search_target", "absence", TARGET),
        stage("reidentification.measure_target", "reidentification", TARGET),
    ]
    rechecked = [
        lanes("late_changes.recheck_lane", plan, "recheck", SOURCE),
        stage("late_changes.recheck_objects", pool=SOURCE),
    ]
    listed = stage("handover_list.make_list", "handover_list", TARGET)
    accept = signed_approval("accept", answers=1)
    finish >> verified
    for look in verified:
        look >> rechecked
    rechecked >> listed >> accept

    # What goes from the source, when the plan says so; nothing of it without approvals of its own.
    dispose, disposed = disposal(plan)
    accept >> dispose

    # Whatever fails, nobody closes while another task still works.
    close = stage("close.close_run", "close", trigger_rule=TriggerRule.ALL_DONE)
    (
        [*verified, *rechecked, listed, accept, *disposed]
        >> close
        >> stage("certifying.end_when_due", "end_backup")
    )
