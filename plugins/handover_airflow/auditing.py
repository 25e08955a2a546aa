"""The tasks of the audit: one for each group of checks, and one that makes the report and fails on errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from airflow.sdk import Param, get_current_context, task

from handover_airflow.edge import connection_url, without_values
from handover_airflow.tasks import ZONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from handover.stages.audit_scope import Audit

Result = TypeVar("Result")
PARAMS = {
    "on": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Day 日期",
        description="The day asked about; without it the day of the run. 不填则为运行当日。",
    ),
    "share": Param(
        1.0,
        type="number",
        exclusiveMinimum=0,
        maximum=1,
        title="Share 比例",
        description="How much of the vault's backup files is read; 1 is all. 抽检备份文件的比例，1 为全部。",
    ),
}


def checks() -> Any:
    """Return the task that is mapped over the groups of checks; each writes its findings into the ledger."""
    from handover.stages.audit_groups import NAMES

    @task(map_index_template="{{ group }}")
    def check(group: str) -> int:
        """Return how many were found."""
        from handover.stages.audit import check_group

        get_current_context()["group"] = group
        return _audited(lambda audit: len(check_group(audit, group)))

    return check.expand(group=list(NAMES))


@task(retries=0)
def report() -> None:
    """Write the report; fails visibly when there is an error."""
    from handover.stages.audit import conclude

    _audited(lambda audit: conclude(audit) and None)


def _audited(work: Callable[[Audit], Result]) -> Result:
    def do() -> Result:
        from datetime import date

        from handover.settings import Settings
        from handover.stages.audit import open_audit

        airflow = get_current_context()
        said, run = airflow["params"], airflow["dag_run"]
        at = run.logical_date or run.run_after
        on = date.fromisoformat(said["on"]) if said["on"] else at.astimezone(ZoneInfo(ZONE)).date()
        return work(open_audit(Settings.load(), connection_url, on, float(said["share"])))

    return without_values(do)
