"""Deadline alert of requests: a run that still works on one when its last day is over is told.

The plugin names it to every component, so nothing heavy is imported before it is needed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DeadlineAlert, SyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference


class RequestDue(BaseDeadlineReference):
    """The moment at which the last day of a run's request is over, by the request's own clock.

    None for a run whose form names no request: its first task says so. While nobody can say whose clock it
    is, as without the ledger, no run begins: it would have no deadline.
    """

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        from airflow.models import DagRun
        from sqlalchemy import select

        from handover.settings import Settings
        from handover.stages.request_runs import over_at

        conf = session.scalar(select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        return over_at(Settings.load(), _request(conf))


def note_overdue(context: dict[str, Any], **_: Any) -> None:
    """Write down that the request of a run is overdue; fails, so that it is seen, unless it was answered."""
    from handover.stages.request_runs import note_overdue as noted
    from handover_airflow.edge import without_values
    from handover_airflow.requesting import desk

    request = _request(context["dag_run"]["conf"])
    without_values(lambda: noted(desk(), request))


def _request(conf: dict[str, Any] | None) -> str:
    """Return the id that a run's form names, as its tasks read it."""
    return str((conf or {}).get("request") or "").strip()


WHEN_OVERDUE = DeadlineAlert(
    reference=RequestDue(), interval=timedelta(0), callback=SyncCallback(note_overdue), name="request overdue"
)
