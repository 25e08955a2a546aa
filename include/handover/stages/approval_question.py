"""The question that an approver reads in Airflow: what would happen, in counts and names of tables alone."""

from __future__ import annotations

from handover.evidence.markdown import table
from handover.evidence.plan_estimate import estimate_lines
from handover.evidence.plan_gates import gates_line, gates_table
from handover.evidence.plan_text import Planned, persons_part, rows_table, total_line
from handover.stages.approval_standing import Standing
from handover.stages.context import Context
from handover.stages.plan_documents import planned

MOST_TABLES = 40
_WORDS = {
    "execute": (
        "If enough accounts approve, the rows below are backed up and copied to the target.",
        "批准人数足够后，下列数据将被备份并复制到目标库。",
    ),
    "accept": (
        "If the receiving side accepts, what the source keeps may be disposed of.",
        "接收方接受后，源库中的数据方可进入处置。",
    ),
    "dispose": (
        "If enough accounts approve, the rows below go from the source for good: erased, or pseudonyms put in"
        " their place. Nothing takes that back but a restore while the backup still lives.",
        "批准人数足够后，下列数据将在源库中被永久处置（删除或去标识化）；仅在备份存续期间可恢复。",
    ),
}
_DISPOSED = {"pseudonymise": "pseudonymised 去标识化", "erase": "erased 删除"}


def question(context: Context, now: Standing) -> str:
    """Return the question as Markdown; names of tables come from the source and are shown as plain text."""
    parties = context.case.parties
    facts = {
        "Case 案件": f"{context.case.case}: {context.case.title}",
        "Run 批次": context.run,
        "Giver 移交方": parties.giver.name,
        "Recipient 接收方": parties.recipient.name,
        "Requested by 申请人": now.requester,
        "From 源库": str(now.subject["source"]),
        "To 目标库": str(now.subject["target"] or "–"),
        "Code on the button 按钮代码": now.code,
        "Approvals 已批准/所需": f"{len(now.given)} of {now.needed}",
        "Digest 摘要": now.digest,
    }
    return "\n\n".join(
        [
            *_WORDS[now.what],
            table(("", ""), facts.items()),
            *_about(context, now),
            "An answer without a reason does not count and is asked for again.",
            "未写理由的答复无效，将再次询问。",
            "Write the reason without personal data of customers; it becomes part of the evidence.",
            "理由将写入证据，请勿填写客户个人信息。",
        ]
    )


def _about(context: Context, now: Standing) -> list[str]:
    if now.what == "execute":
        return [_planned(planned(context))]
    if now.what == "accept":
        return [_verified(context)]
    return [_disposed(context), _verified(context) if context.target else _archived(context)]


def _disposed(context: Context) -> str:
    """Return the rows that go from the source, by table and class."""
    scope = context.plan().scope
    rows = [
        (inside.table, one.name, f"{one.rows:,}", _DISPOSED[one.source])
        for inside in (scope.tables if scope else ())
        for one in inside.classes
        if one.source in _DISPOSED
    ]
    head = ("Table 表", "Class 类别", "Rows 行数", "At the source 源库处置")
    more = [f"and {len(rows) - MOST_TABLES} more 其余从略"] if len(rows) > MOST_TABLES else []
    return "\n\n".join([table(head, rows[:MOST_TABLES]), *more])


def _planned(made: Planned) -> str:
    """Return what of the plan an approver needs; the whole document is `handover plan CASE`."""
    parts = [total_line(made), rows_table(made, MOST_TABLES)]
    if made.scope and made.scope.persons:
        parts.append(persons_part(made))
    parts.append(gates_line(made.gates, made.case.policy))
    # Passed gates would hide the others; what was accepted by name is worth a look.
    if notable := [gate for gate in made.gates or () if gate["state"] in ("block", "warn")]:
        parts.append(gates_table(notable))
    parts += [
        estimate_lines(made.plan),
        f"The whole plan: `handover plan {made.case.case} --run {made.run}` 完整计划",
    ]
    return "\n\n".join(parts)


def _archived(context: Context) -> str:
    verified = context.entries("archive-verified")
    if not verified:
        return "Nothing is archived. 无归档。"
    facts = {
        "Rows in the archive 归档行数": f"{verified[-1].body['rows']:,}",
        "Archive read back 归档已回读核验": "equal to the backup 与备份一致",
    }
    return table(("", ""), facts.items())


def _verified(context: Context) -> str:
    sealed = context.last("backup-sealed", "seal").body
    reconciled = context.last("reconciled", "reconcile").body
    units = {entry.body["unit"] for entry in context.entries("verified")}
    facts = {
        "Rows read back 核验行数": f"{sealed['rows']:,}",
        "Bytes 字节": f"{sealed['bytes']:,}",
        "Parts compared 比对单元": str(len(units)),
        "Tables reconciled 对账表数": str(len(reconciled["tables"])),
        "Differences 差异": "none 无",
    }
    return table(("", ""), facts.items())
