"""Asks people in Airflow's UI for an approval, and lets the ledger alone say what their answers are worth.

What Airflow shows or stores of an answer proves nothing; it only has to keep out those who may not answer,
and to hand over who answered, which button and which reason. Everything else is checked again from the
ledger and signed into it by ``handover.stages.approvals``. An empty list of accounts would mean everybody to
Airflow; ``ask`` never gives one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, TaskGroup, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.execution_time.hitl import HITLUser

from handover_airflow.edge import run_stage

if TYPE_CHECKING:
    from handover.stages.approval_standing import Standing
    from handover.stages.approvals import Answer
    from handover.stages.context import Context

YES = {"execute": "Approve 批准", "accept": "Accept 接受", "dispose": "Approve disposal 批准处置"}
NO = "Refuse 拒绝"
SUBJECTS = {
    "execute": "Approve the execution of this plan? 是否批准执行该计划？",
    "accept": "Accept what was delivered? 是否接受移交结果？",
    "dispose": "Approve that these rows go from the source? 是否批准源库数据处置？",
}
# An answer that does not count fails the attempt, and the next one puts the same question again.
ASK_AGAIN = {"retries": 5, "retry_delay": timedelta(seconds=5), "retry_exponential_backoff": 0}


def signed_approval(what: str, answers: int = 2) -> TaskGroup:
    """Return the tasks that ask for something by its name, as an approval has it, for up to that many yes.

    They ask one after the other: who said yes to one is not offered the next. To ask anew, clear ``rounds``.
    A dry run skips them and all that follows.
    """
    with TaskGroup(what) as group:

        @task
        def rounds() -> list[int]:
            context = get_current_context()
            if context["params"].get("dry_run"):
                return []

            def work(case: Context) -> list[int]:
                from handover.stages.approvals import open_round

                return open_round(case, what)

            return run_stage(work)

        numbers = rounds()
        before = None
        for number in range(1, answers + 1):
            asking = SignedApproval.partial(
                task_id=f"yes_{number}", what=what, map_index_template="{{ round_name }}", **ASK_AGAIN
            ).expand(round_number=numbers)
            if before is not None:
                before >> asking
            before = asking
    return group


def record_requester() -> None:
    """Write down who started this DAG run; for its first task. Fails when the ledger names somebody else."""
    requester = get_current_context()["dag_run"].triggering_user_name

    def work(case: Context) -> None:
        from handover.stages.approvals import record_requester as work

        work(case, requester)

    run_stage(work)


class SignedApproval(HITLOperator):
    """One yes of one person who is not the requester; ends at once when enough were given already."""

    def __init__(self, *, what: str, round_number: int, **kwargs: Any) -> None:
        self.what = what
        self.round_number = round_number
        reason = Param(
            "",
            type="string",
            format="multiline",
            title="Reason 理由",
            description="Why you answer so; required. 必填。",
        )
        ours = {"subject": SUBJECTS[what], "options": [NO], "params": {"reason": reason}}
        super().__init__(**(kwargs | ours))

    def execute(self, context: Any) -> Any:
        """Ask, unless nobody needs to be asked any more; fails when nobody is left who may answer."""
        context["round_name"] = f"round {self.round_number}"
        record_requester()

        def prepare(case: Context) -> tuple[Standing, str, int] | None:
            from handover.stages.approval_question import question
            from handover.stages.approval_standing import rule_of
            from handover.stages.approvals import ask

            now = ask(case, self.what, self.round_number, self.task_id)
            return now and (now, question(case, now), rule_of(case, self.what).expires_hours)

        asked = run_stage(prepare)
        if asked is None:
            return None
        now, self.body, hours = asked
        self.options = [f"{YES[self.what]} {now.code}", NO]
        self.assigned_users = [HITLUser(id=account.id, name=account.name) for account in now.eligible]
        self.response_timeout = timedelta(hours=hours)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> int:
        """Have the answer checked and signed; returns the number of its entry in the ledger."""
        context["round_name"] = f"round {self.round_number}"
        if "error" in event or not event.get("responded_by_user"):
            raise AirflowFailException("nobody answered in time; clear the task rounds to ask anew")

        def record(case: Context) -> tuple[str, int, str]:
            from handover.stages.approvals import record_answer

            done = record_answer(case, self.what, _answer(self.what, event))
            return done.outcome.value, done.seq, done.problem

        outcome, seq, problem = run_stage(record)
        if outcome == "refused":
            raise AirflowFailException(f"refused, ledger entry {seq}; clear the task rounds to ask anew")
        if outcome != "approved":
            raise AirflowException(f"the answer does not count, ledger entry {seq}: {problem}")
        return seq


def _answer(what: str, event: Mapping[str, Any]) -> Answer:
    from handover.stages.approvals import Answer

    chosen = " ".join(event["chosen_options"])
    yes = chosen != NO
    return Answer(
        name=str(event["responded_by_user"]["name"]),
        account_id=str(event["responded_by_user"]["id"]),
        auth_manager=conf.get("core", "auth_manager"),
        yes=yes,
        code=chosen.removeprefix(f"{YES[what]} ") if yes else "",
        reason=str((event["params_input"] or {}).get("reason") or ""),
        at=event["responded_at"],
    )
