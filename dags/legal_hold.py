"""Legal hold: rows of a source or case are kept until two persons release them, whatever their period."""

from __future__ import annotations

from airflow.sdk import DAG

from handover_airflow.hold_form import carry_out, params
from handover_airflow.tasks import RETRIES

with DAG(
    dag_id="legal_hold",
    description="Hold rows of a source or a case, ask for their release, or release them as a second person",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["handover"],
    default_args=RETRIES,
    params=params(),
):
    carry_out()
