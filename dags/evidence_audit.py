"""Audit, once a week: looks at everything that is kept, and fails when something of it does not hold."""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable

from handover_airflow.auditing import PARAMS, ZONE, checks, report
from handover_airflow.tasks import RETRIES

with DAG(
    dag_id="evidence_audit",
    description="Verify ledger, evidence, vault, keys, reviews, documents, grants, people; report each fault",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 4 * * 1", timezone=ZONE),
    catchup=False,
    is_paused_upon_creation=True,  # somebody has to want it
    max_active_runs=1,
    tags=["handover"],
    default_args=RETRIES,
    params=PARAMS,
):
    checks() >> report()
