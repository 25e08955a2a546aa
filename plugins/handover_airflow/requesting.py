"""Tasks of the DAG subject_request: its form names a request by its id, so that Airflow stores no person."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, get_current_context, task

from handover_airflow.edge import connection_url, is_dry_run, requested, run_stage, without_values
from handover_airflow.tasks import SOURCE, end_dry_run

if TYPE_CHECKING:
    from handover.stages.requests import Desk


def params() -> dict[str, Param]:
    """Return the form."""
    return {
        "request": Param(
            "",
            type="string",
            title="Request 请求编号",
            description_md="Its id, as `handover request open` printed it. **Write no name or number here: "
            "what a form holds is stored in clear.** 不要填写个人信息。",
        ),
        "source": Param(
            "",
            type="string",
            title="Source 数据源",
            description_md="Of an erasure that concerns several sources; a run for each. Else empty.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run 演练",
            description_md="Plan and judge an erasure only. 只演练，不执行。",
        ),
    }


def only_for_erasure() -> Any:
    """Return a task after which nothing is run unless something is to be erased."""

    @task.short_circuit
    def erasure() -> bool:
        from handover.stages.request_runs import erases

        return without_values(lambda: erases(desk(), *requested(get_current_context())))

    return erasure()


def only_for_others() -> Any:
    """Return a task after which nothing is run if something is to be erased: the answer then comes last."""

    @task.short_circuit
    def nothing_to_erase() -> bool:
        from handover.stages.request_runs import erases

        return without_values(lambda: not erases(desk(), *requested(get_current_context())))

    return nothing_to_erase()


def refusal_only() -> Any:
    """Return a task after which nothing is run if the plan of an erasure lets anything go."""

    @task.short_circuit
    def all_refused() -> bool:
        from handover.stages.sweeping import due

        return not is_dry_run() and run_stage(lambda context: not due(context))

    return all_refused()


def decision() -> Any:
    """Return the task that writes down what becomes of each kind of data."""

    @task(task_id="decide", pool=SOURCE)
    def run() -> None:
        from handover.stages.request_decision import decide_erasure

        end_dry_run()
        run_stage(lambda context: decide_erasure(context, desk()) and None)

    return run()


def answer(name: str) -> Any:
    """Return a task that writes the answer, sealed for who asked."""

    @task(task_id=name, pool=SOURCE)
    def run() -> str:
        from handover.stages.request_runs import answer_when_due

        end_dry_run()
        return without_values(lambda: answer_when_due(desk(), *requested(get_current_context())))

    return run()


def deadlines() -> Any:
    """Return a task that fails, and says which, when a request is overdue."""

    @task(task_id="deadlines")
    def run() -> None:
        from handover.stages.request_runs import require_none_overdue

        without_values(lambda: require_none_overdue(desk()))

    return run()


def desk() -> Desk:
    """Return where requests are looked up, with Airflow's connections."""
    from handover.settings import Settings
    from handover.stages.requests import Desk

    resolve: Callable[[str], str] = connection_url
    return Desk(Settings.load(), resolve)
