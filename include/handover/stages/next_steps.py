"""What is in the way of a run and who acts next, from its ledger and from how its approvals stand."""

from __future__ import annotations

from collections.abc import Collection

from handover.errors import CaseInvalid, GateBlocked, LedgerRefused, NotReady
from handover.evidence.case_brief import Standing
from handover.evidence.plan_gates import hindering
from handover.evidence.plan_text import Planned
from handover.model.approval import What
from handover.model.policy import Text
from handover.stages.approval_standing import standing
from handover.stages.approvals import ROUND
from handover.stages.context import Context

LONGEST = 600
_YES: dict[What, tuple[str, str]] = {
    "execute": ("批准执行", "approve the plan"),
    "accept": ("接受移交结果", "accept the result"),
    "dispose": ("批准源库处置", "approve what goes from the source"),
}
# What a run does between its approvals, each with the ledger kind that ends it.
_WORK = (
    ("migrated", "数据平台（Airflow）：备份、恢复测试、迁移", "Airflow: backup, restore test, migration"),
    ("reconciled", "数据平台（Airflow）：核验、对账", "Airflow: verification, reconciliation"),
)


def stands(context: Context, planned: Planned | None) -> Standing:
    """Return what blocks a run and who has to do what; never raises for what is missing."""
    return Standing(blocks=_blocks(context), next=_next(context, planned))


def _blocks(context: Context) -> list[Text]:
    """Return what the last failure said, until something came after it."""
    entries = context.entries()
    if not entries or entries[-1].kind != "failure":
        return []
    body = entries[-1].body
    if body["error"] == GateBlocked.__name__:  # the gates themselves are listed, with their remedies
        return []
    said = " ".join(str(body["message"]).split("\nHINT:")[0].split())
    return [_text(f"步骤 {body['stage']} 失败", f"step {body['stage']} failed: {said}")]


def _next(context: Context, planned: Planned | None) -> list[Text]:
    last = {entry.kind: entry.body for entry in context.entries()}
    if "run-aborted" in last:
        return [
            _text("申请人：批次已撤销，可发起新批次", "the requester: the run was aborted; start a new one")
        ]
    if closing := last.get("run-closed"):
        return _closed(str(closing["status"]))
    if planned is None:
        return [Text(zh="工程师：完成清点与计划", en="the engineer: complete inventory and plan")]
    if gates := hindering(planned.gates):
        names = ", ".join(str(gate["gate"]) for gate in gates[:10])
        zh = f"案件负责人：为 {len(gates)} 个关卡补齐事实与文件，再重新计划"
        en = f"who answers for the case: complete what {len(gates)} gates lack ({names}), then plan again"
        return [_text(zh, en)]
    # A dry run ends with the plan: only then nobody was asked and nothing was read.
    started = [] if {ROUND, "snapshot-exported"} & last.keys() else [_execute(context)]
    waiting = (
        _approval(context, "execute")
        or _working(last.keys())
        or _approval(context, "accept")
        or _disposal(context)
    )
    return [*started, *(waiting or [_text("数据平台（Airflow）：结案", "Airflow: closing")])]


def _disposal(context: Context) -> list[Text]:
    return _approval(context, "dispose") if context.plan().disposes else []


def _execute(context: Context) -> Text:
    how = f"handover run {context.case.case} --execute"
    return _text(f"工程师：演练之后以 {how} 执行", f"the engineer: after a dry run, {how}")


def _closed(status: str) -> list[Text]:
    if status == "complete":
        return [Text(zh="无：已完成并签署", en="nobody: it is complete and signed")]
    return [
        Text(
            zh="工程师：未完成，原因见证据；消除原因后清除失败任务",
            en="the engineer: it is not complete; remove the reasons in the evidence, clear the failed tasks",
        )
    ]


def _working(kinds: Collection[str]) -> list[Text]:
    """Return what goes on without a person."""
    return next(([Text(zh=zh, en=en)] for kind, zh, en in _WORK if kind not in kinds), [])


def _approval(context: Context, what: What) -> list[Text]:
    """Return whom an approval waits for; nothing when it waits for nobody."""
    if context.case.approvals is None:
        return []
    try:
        now = standing(context, what)
    except (NotReady, CaseInvalid, LedgerRefused) as problem:
        said = " ".join(problem.message.split())
        return [_text("工程师：先排除右列原因", f"the engineer: {said}")]
    if not now.is_open:
        return []
    who = ", ".join(account.name for account in now.eligible) or "无 nobody"
    missing = now.needed - len(now.given)
    zh, en = _YES[what]
    return [_text(f"{who}：{zh}（尚缺 {missing} 人）", f"{who}: {en} ({missing} still missing)")]


def _text(zh: str, en: str) -> Text:
    """Return both, cut where a text would be longer than one may be."""
    return Text(zh=zh[:LONGEST], en=en[:LONGEST])
