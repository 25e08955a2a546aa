"""Where the verification report of a DAG run is, and the link to it on its tasks."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

# The DAGs whose runs have reports; who may read the runs of all of them may read the reports.
DAGS = ("transfer", "deregistration")
PREFIX = "handover"
REPORT = "Verification report 核验报告"


def address(run_id: str) -> str:
    """Return the address of a DAG run's report, relative to Airflow's own, wherever a proxy puts that."""
    return f"{PREFIX}/dag-runs/{run_id}"


class ReportLink(BaseOperatorLink):
    """A button on the page of every task of a run, mapped or not, whatever state it is in."""

    name = REPORT

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address, empty (no button) for a task of another DAG."""
        return address(quote(ti_key.run_id, safe="")) if ti_key.dag_id in DAGS else ""
