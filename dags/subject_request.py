"""Requests of persons: a copy of their data, or its erasure as far as the law lets it go, and the answer.

The form takes the id that `handover request open` printed and names no person. Of an erasure it is decided
and written down what becomes of each kind of data; what goes is approved, backed up for a short while, erased
and proven to be gone as in a sweep. The answer lies sealed for who asked. A run that is still at work when
its request is overdue has missed its deadline; overdue requests without a run are looked for daily.
"""

from __future__ import annotations

from airflow.sdk import DAG, TriggerRule

from handover_airflow.approval import signed_approval
from handover_airflow.deadlines import WHEN_OVERDUE
from handover_airflow.requesting import (
    answer,
    deadlines,
    decision,
    only_for_erasure,
    only_for_others,
    params,
    refusal_only,
)
from handover_airflow.tasks import RETRIES, by_schedule, disposal, only_if, planning, proven_backup, stage

with DAG(
    dag_id="subject_request",
    description="Copy a person's data, or erase it as far as the law lets it go, and answer",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    deadline=WHEN_OVERDUE,
    # Two runs of one request would decide about the same rows and answer twice: no lock keeps them apart.
    max_active_runs=1,
    tags=["handover"],
    default_args=RETRIES,
    params=params(),
):
    only_for_others() >> answer("answer")
    inventory, plan, gates = planning()
    decided = decision()
    only_for_erasure() >> inventory >> plan >> gates >> decided
    decided >> refusal_only() >> answer("answer_refusal")
    backup, proven = proven_backup(plan)
    decided >> only_if("sweeping.due") >> signed_approval("execute") >> backup
    dispose, disposed = disposal(plan)
    proven >> dispose
    close = stage("close.close_run", "close", trigger_rule=TriggerRule.ALL_DONE)
    [proven, *disposed] >> close
    close >> [answer("answer_erasure"), stage("certifying.end_when_due", "end_backup")]

with DAG(
    dag_id="request_deadlines",
    description="Fail when a person's request is overdue",
    doc_md="Every morning; the task names the overdue requests.",
    schedule=by_schedule("request_deadlines", "0 9 * * *"),
    catchup=False,
    max_active_runs=1,
    tags=["handover"],
    default_args=RETRIES,
):
    deadlines()
