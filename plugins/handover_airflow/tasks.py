"""Tasks of DAGs: each runs one stage, named by module and function, which is imported when it runs."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

from airflow.sdk import (
    BaseSensorOperator,
    CronTriggerTimetable,
    Param,
    TriggerRule,
    chain,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException

from handover.settings import Settings
from handover_airflow.approval import record_requester, signed_approval
from handover_airflow.edge import connection_url, is_dry_run, known_cases, run_stage

# The stages are written so that any of them can be repeated; only transient errors reach a retry.
RETRIES = {"retries": 3, "retry_delay": timedelta(seconds=15), "retry_exponential_backoff": 2.0}
# What is done by a schedule: somebody has to want it, never twice at once, never for days gone by. A backfill
# would run beside what runs.
HABIT: dict[str, Any] = {
    "catchup": False,
    "is_paused_upon_creation": True,
    "max_active_runs": 1,
    "allowed_run_types": ["scheduled", "manual"],
    "default_args": RETRIES,
}
# Where what belongs to no source has its days and hours.
ZONE = "Asia/Shanghai"
SOURCE, TARGET, HOLDER, ANYWHERE = "handover_source", "handover_target", "handover_holder", "default_pool"
LANE = "{{ lane }}"
# How often a waiting task looks; it holds no slot between.
LOOK_SECONDS = 60.0


def at_hours(cron: str, zone: str) -> CronTriggerTimetable:
    """Return when a DAG begins by itself. To switch it on begins nothing: the hour gone by was not meant."""
    # The timetable's own default is another one: a run at once, for up to a tenth of the time between two.
    return CronTriggerTimetable(cron, timezone=zone, run_immediately=timedelta(0))


def by_schedule(dag_id: str, cron: str) -> CronTriggerTimetable:
    """Return when a DAG of no source begins: as a setting says, else as ``cron`` does."""
    from handover.stages.daily_cases import said_schedule

    return at_hours(said_schedule(Settings.load(), dag_id, cron), ZONE)


def params(kind: str, dry_run: str) -> dict[str, Param]:
    """Return the form that triggers runs of a kind of case; ``dry_run`` says what one leaves out."""
    cases = known_cases(kind)
    return {
        "case": Param(
            cases[0] if cases else "",
            type="string",
            title="Case 案件",
            description_md="The case file under `include/cases/` that says what happens to which data.",
            examples=cases,  # no enum: a case written a moment ago may be run before this file is read again
        ),
        "dry_run": Param(True, type="boolean", title="Dry run 演练", description_md=dry_run),
    }


def daily_params(dry_run: str) -> dict[str, Param]:
    """Return the form of a DAG of a registered source."""
    return {
        "as_of": Param(
            None,
            type=["null", "string"],
            format="date",
            title="As of 截至日期",
            description_md="The day on which the law is asked. Empty: today, or the day of the schedule.",
        ),
        "dry_run": Param(False, type="boolean", title="Dry run 演练", description_md=dry_run),
    }


def only_if(work: str) -> Any:
    """Return a task that asks a stage whether anything is to be done; if not, nothing of the rest is run."""

    @task.short_circuit(task_id=work.split(".")[1])
    def run() -> bool:
        return not is_dry_run() and run_stage(lambda context: bool(_resolved(work)(context)))

    return run()


def end_dry_run() -> None:
    """Skip a task, and what follows, in a dry run."""
    if is_dry_run():
        raise AirflowSkipException("dry run: it ends after plan and gates")


def stage(
    work: str, name: str = "", pool: str = ANYWHERE, trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS
) -> Any:
    """Return a task that does ``module.function`` of handover.stages, named after it unless said."""

    @task(task_id=name or work.split(".")[1], pool=pool, trigger_rule=trigger_rule)
    def run() -> None:
        end_dry_run()
        run_stage(lambda context: _resolved(work)(context) and None)

    return run()


def searching(work: str, name: str, pool: str) -> Any:
    """Return a task whose stage looks into every declared store, and so needs more connections."""

    @task(task_id=name, pool=pool)
    def run() -> None:
        end_dry_run()
        run_stage(lambda context: _resolved(work)(context, connection_url) and None)

    return run()


def lanes(work: str, over: Any, name: str, pool: str) -> Any:
    """Return a task mapped over lanes; each does its part of a stage and returns its rows."""

    @task(task_id=name, pool=pool, map_index_template=LANE)
    def run(lane: dict[str, object]) -> int:
        get_current_context()["lane"] = f"lane {int(str(lane['number'])) + 1}: {lane['label']}"
        return run_stage(lambda context: int(_resolved(work)(context, lane["number"])))

    return run.expand(lane=over)


class Waiting(BaseSensorOperator):
    """Waits until a question of a stage is answered yes, without holding a slot between two looks."""

    def __init__(self, *, work: str, **settings: Any) -> None:
        self.work = work
        ours = {"poke_interval": LOOK_SECONDS, "mode": "reschedule", "timeout": timedelta(days=3_660)}
        super().__init__(**(settings | ours))

    def poke(self, context: Any) -> bool:
        """Ask the stage."""
        end_dry_run()
        return run_stage(lambda case: bool(_resolved(self.work)(case)))


def planning() -> tuple[Any, Any, Any]:
    """Return the tasks that every run begins with, the last of a dry run: inventory, plan, gates."""

    @task(pool=SOURCE)
    def inventory() -> None:
        record_requester()
        run_stage(lambda context: _resolved("inventory.inventory")(context) and None)

    @task(pool=SOURCE)
    def plan() -> list[dict[str, object]]:
        made = run_stage(_resolved("plan.plan"))
        if is_dry_run():
            return []  # for no lane, nothing follows
        return [{"number": lane.number, "label": lane.label} for lane in made.lanes]

    @task(pool=SOURCE)
    def gates() -> None:
        run_stage(lambda context: _resolved("gates.judge")(context, "execution") and None)

    return inventory(), plan(), gates()


def proven_backup(over: Any) -> tuple[list[Any], Any]:
    """Return the first tasks of a backup under one snapshot, and the last one: its restore test."""
    held, tallied = (
        stage("snapshot.hold_snapshot", "snapshot", HOLDER),
        stage("tally.tally_source", "tally", SOURCE),
    )
    read = lanes("backup.backup_lane", over, "backup", SOURCE)
    sealed = stage("sealing.seal_backup", "seal", SOURCE)
    proven = stage("restore_test.restore_test", pool=TARGET)
    given_up = stage("backup.abandon_backup", "abandon", trigger_rule=TriggerRule.ONE_FAILED)
    [read, tallied] >> sealed >> proven
    [read, tallied, sealed] >> given_up
    return [held, tallied, read], proven


def disposal(over: Any) -> tuple[Any, list[Any]]:
    """Return what ends in rows going from the source, and proof of it: the first tasks, and all of them.

    Where the plan lets nothing go they end at once.
    """
    asked = signed_approval("dispose")
    opened = stage("disposal.open_disposal", pool=SOURCE)
    masked = lanes("mask_here.mask_here_lane", over, "mask_here", SOURCE)
    looked = lanes("mask_here.look_here_lane", over, "look_here", SOURCE)
    settled = stage("mask_here.finish_mask_here", "masked_here", SOURCE)
    erased = stage("erase_here.erase_here", "erase", SOURCE)
    hours = Waiting(task_id="rewrite_hours", work="clean_residue.in_rewrite_window")
    cleaned = stage("clean_residue.clean_residue", "residue", SOURCE)
    proven = searching("proving.prove", "prove", SOURCE)
    remembered = stage("tombstones.write_tombstones", "tombstones")
    tasks = [opened, masked, looked, settled, erased, hours, cleaned, proven, remembered]
    chain(asked, *tasks)
    return asked, tasks


def _resolved(work: str) -> Any:
    module, function = work.split(".")
    return getattr(import_module(f"handover.stages.{module}"), function)
