"""The link to the plan of a DAG run, on the tasks that make it and judge it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from handover_airflow.links import DAGS, address

PLAN = "Plan 计划"
TASKS = frozenset({"plan", "gates"})


class PlanLink(BaseOperatorLink):
    """A button on the pages of two tasks, whatever state they are in."""

    name = PLAN

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address, empty (no button) for any other task."""
        ours = ti_key.dag_id in DAGS and ti_key.task_id in TASKS
        return f"{address(quote(ti_key.run_id, safe=''))}/plan" if ours else ""
