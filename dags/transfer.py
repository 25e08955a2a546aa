"""Transfer: hand a company's schemas over from one PostgreSQL to another, proven step by step."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from handover_airflow.approval import record_requester, signed_approval
from handover_airflow.edge import is_dry_run, known_cases, run_stage

CASES = known_cases()
# The stages are written so that any of them can be repeated; only transient errors reach a retry.
RETRIES = {"retries": 3, "retry_delay": timedelta(seconds=15), "retry_exponential_backoff": 2.0}
SOURCE, TARGET, HOLDER = "handover_source", "handover_target", "handover_holder"
LANE = "{{ lane }}"

with DAG(
    dag_id="transfer",
    description="Plan, approve, back up, prove the backup, migrate, verify, accept, sign",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["handover"],
    default_args=RETRIES,
    params={
        "case": Param(
            CASES[0] if CASES else "",
            type="string",
            title="Case 案件",
            description_md="The case file under `include/cases/` that says what moves from where to where.",
            examples=CASES,  # no enum: a case written a moment ago may be run before this file is read again
        ),
        "dry_run": Param(
            True,
            type="boolean",
            title="Dry run 演练",
            description_md="Look, plan and judge the gates only: no rows are copied, source and target stay "
            "as they are. Take it out to have the plan executed. 取消勾选才会实际执行。",
        ),
    },
):

    @task(pool=SOURCE)
    def inventory() -> None:
        from handover.stages.inventory import inventory as work

        record_requester()
        run_stage(lambda context: work(context) and None)

    @task(pool=SOURCE)
    def plan() -> list[dict[str, object]]:
        from handover.stages.plan import plan as work

        made = run_stage(work)
        if is_dry_run():
            return []  # for no lane, nothing follows
        return [{"number": lane.number, "label": lane.label} for lane in made.lanes]

    @task(pool=SOURCE)
    def gates() -> None:
        from handover.stages.gates import judge

        run_stage(lambda context: judge(context, "execution") and None)

    def end_dry_run() -> None:
        if is_dry_run():
            raise AirflowSkipException("dry run: it ends after plan and gates")

    @task(pool=SOURCE)
    def freeze() -> None:
        from handover.stages.freezing import freeze_source

        end_dry_run()
        run_stage(freeze_source)

    @task(pool=HOLDER)
    def snapshot() -> int:
        from handover.stages.snapshot import hold_snapshot

        end_dry_run()
        return run_stage(hold_snapshot)

    def name_lane(lane: dict[str, object]) -> int:
        get_current_context()["lane"] = f"lane {int(lane['number']) + 1}: {lane['label']}"
        return int(lane["number"])

    @task(pool=SOURCE, map_index_template=LANE)
    def backup(lane: dict[str, object]) -> int:
        from handover.stages.backup import backup_lane

        number = name_lane(lane)
        return run_stage(lambda context: backup_lane(context, number))

    @task(pool=SOURCE)
    def tally() -> None:
        from handover.stages.tally import tally_source

        end_dry_run()
        run_stage(tally_source)

    @task(pool=SOURCE)
    def seal() -> None:
        from handover.stages.sealing import seal_backup

        run_stage(lambda context: seal_backup(context) and None)

    @task(trigger_rule=TriggerRule.ONE_FAILED)
    def abandon() -> None:
        from handover.stages.backup import abandon_backup

        run_stage(abandon_backup)

    @task(pool=TARGET)
    def restore_test() -> None:
        from handover.stages.restore_test import restore_test as work

        run_stage(work)

    @task(pool=TARGET)
    def prepare() -> None:
        from handover.stages.migrate import prepare_target

        run_stage(prepare_target)

    @task(pool=TARGET, map_index_template=LANE)
    def migrate(lane: dict[str, object]) -> int:
        from handover.stages.migrate import migrate_lane

        number = name_lane(lane)
        return run_stage(lambda context: migrate_lane(context, number))

    @task(pool=TARGET)
    def finish() -> None:
        from handover.stages.migrate import finish_target

        run_stage(finish_target)

    @task(pool=TARGET, map_index_template=LANE)
    def verify(lane: dict[str, object]) -> int:
        from handover.stages.verify import verify_lane

        number = name_lane(lane)
        return run_stage(lambda context: verify_lane(context, number))

    @task(pool=TARGET)
    def verify_objects() -> None:
        from handover.stages.verify import verify_objects as work

        run_stage(work)

    @task(pool=TARGET)
    def reconcile() -> None:
        from handover.stages.tally import tally_target

        run_stage(tally_target)

    @task(pool=TARGET)
    def expectations() -> None:
        from handover.stages.verify import verify_expectations

        run_stage(verify_expectations)

    @task(pool=SOURCE, map_index_template=LANE)
    def recheck(lane: dict[str, object]) -> int:
        from handover.stages.late_changes import recheck_lane

        number = name_lane(lane)
        return run_stage(lambda context: recheck_lane(context, number))

    @task(pool=SOURCE)
    def recheck_objects() -> None:
        from handover.stages.late_changes import recheck_objects as work

        run_stage(work)

    @task(pool=TARGET)
    def handover_list() -> None:
        from handover.stages.handover_list import make_list

        run_stage(lambda context: make_list(context) and None)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def close() -> None:
        from handover.stages.close import close_run

        end_dry_run()
        run_stage(lambda context: close_run(context) and None)

    lanes = plan()
    held, backed_up, tallied, sealed = snapshot(), backup.expand(lane=lanes), tally(), seal()
    migrated = migrate.expand(lane=lanes)
    verified = [verify.expand(lane=lanes), verify_objects(), reconcile(), expectations()]
    rechecked = [recheck.expand(lane=lanes), recheck_objects()]
    listed, accepted, closed = handover_list(), signed_approval("accept", answers=1), close()

    inventory() >> lanes >> gates() >> signed_approval("execute") >> freeze() >> [held, tallied, backed_up]
    [backed_up, tallied] >> sealed >> restore_test() >> prepare() >> migrated >> finish() >> verified
    for look in verified:
        look >> rechecked
    # Whatever fails, nobody closes while another task still works.
    [*verified, *rechecked, listed, accepted] >> closed
    rechecked >> listed >> accepted
    [backed_up, tallied, sealed] >> abandon()
