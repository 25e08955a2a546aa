"""Audit, once a week: looks at everything that is kept, and fails when something of it does not hold."""

from __future__ import annotations

from airflow.sdk import DAG

from handover_airflow.auditing import PARAMS, checks, report
from handover_airflow.tasks import HABIT, by_schedule

with DAG(
    dag_id="evidence_audit",
    description="Verify ledger, evidence, vault, keys, reviews, documents, grants, people; report each fault",
    doc_md=__doc__,
    schedule=by_schedule("evidence_audit", "0 4 * * 1"),
    tags=["handover"],
    params=PARAMS,
    **HABIT,
):
    checks() >> report()
