"""Tasks of the restore drill: what is tried is picked once, so that trying again means the same."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import get_current_context, task

from handover_airflow.edge import connection_url, without_values
from handover_airflow.tasks import ZONE


def pick() -> Any:
    """Return the task that picks a backup and an archive."""

    @task(task_id="pick")
    def run() -> list[dict[str, str]]:
        from handover.settings import Settings
        from handover.stages.drill import pick as picked

        return without_values(lambda: [one.document() for one in picked(Settings.load())])

    return run()


def drill(picks: Any, pool: str) -> Any:
    """Return the task that tries one of them; fails visibly on any difference."""

    @task(task_id="drill", pool=pool, map_index_template="{{ tried }}")
    def run(picked: dict[str, str]) -> str:
        from handover.settings import Settings
        from handover.stages import drill as drills

        airflow: Any = get_current_context()
        airflow["tried"] = f"{picked['what']}: {picked['case']} {picked['run']}"
        day = airflow["dag_run"].run_after.astimezone(ZoneInfo(ZONE)).date()
        chosen = drills.Pick(picked["what"], picked["case"], picked["run"])  # type: ignore[arg-type]
        return without_values(lambda: str(drills.drill(Settings.load(), chosen, day, connection_url)))

    return run.expand(picked=picks)
