"""Restore drill, once a month: a backup and an archive, picked at random, are had again from the vault alone.

They are loaded into a scratch database and compared; what was erased since is erased again; the time is
measured. Any difference fails the run. The report is in the evidence folder of the case.
"""

from __future__ import annotations

from airflow.sdk import DAG

from handover_airflow.drilling import drill, pick
from handover_airflow.tasks import HABIT, TARGET, by_schedule

with DAG(
    dag_id="restore_drill",
    description="Restore a backup and an archive from the vault alone, compare, measure, report",
    doc_md=__doc__,
    schedule=by_schedule("restore_drill", "0 5 1 * *"),
    tags=["handover"],
    **HABIT,
):
    drill(pick(), TARGET)
