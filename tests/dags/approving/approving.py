"""DAGs for tests of approvals: a copy that needs one, and an erasure that needs an acceptance."""

from __future__ import annotations

from contextlib import closing

from airflow.sdk import DAG, Param, TriggerRule, task

from handover_airflow.approval import record_requester, signed_approval
from handover_airflow.edge import run_stage

PARAMS = {"case": Param("", type="string")}


with DAG("approving", schedule=None, params=PARAMS):

    @task
    def prepare() -> None:
        from handover.stages.inventory import inventory
        from handover.stages.plan import plan

        record_requester()
        run_stage(lambda context: inventory(context) and None)
        run_stage(lambda context: plan(context) and None)

    @task
    def copy() -> None:
        """Leave a mark in the target, as the first row that is copied would."""
        from handover.postgres.session import connect
        from handover.stages.approvals import require_approval
        from handover.stages.context import Context

        def work(context: Context) -> None:
            require_approval(context, "execute")
            with closing(connect(context.target)) as target:
                target.execute("INSERT INTO public.copied VALUES (%s)", [context.run])
                target.commit()

        run_stage(work)

    prepare() >> signed_approval("execute") >> copy()

with DAG("accepting", schedule=None, params=PARAMS):

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def erase() -> None:
        """Empty a table of the source, whatever became of the task before."""
        from handover.postgres.session import connect
        from handover.stages.approvals import require_approval
        from handover.stages.context import Context

        def work(context: Context) -> None:
            require_approval(context, "accept")
            with closing(connect(context.source)) as source:
                source.execute("DELETE FROM delivered.a")
                source.commit()

        run_stage(work)

    signed_approval("accept", answers=1) >> erase()
