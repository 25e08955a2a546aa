"""The question that an approver reads in Airflow: what would happen, in counts and names of tables alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

from handover.model.plan import TablePlan
from handover.stages.approval_standing import Standing
from handover.stages.context import Context

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
}


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
        "To 目标库": str(now.subject["target"]),
        "Code on the button 按钮代码": now.code,
        "Approvals 已批准/所需": f"{len(now.given)} of {now.needed}",
        "Digest 摘要": now.digest,
    }
    return "\n\n".join(
        [
            *_WORDS[now.what],
            _table(("", ""), facts.items()),
            _planned(context) if now.what == "execute" else _verified(context),
            "An answer without a reason does not count and is asked for again.",
            "未写理由的答复无效，将再次询问。",
            "Write the reason without personal data of customers; it becomes part of the evidence.",
            "理由将写入证据，请勿填写客户个人信息。",
        ]
    )


def _planned(context: Context) -> str:
    tables = context.plan().tables
    rows = [(table.label, _estimate(table), str(table.format)) for table in tables[:MOST_TABLES]]
    if len(tables) > MOST_TABLES:
        rows.append((f"and {len(tables) - MOST_TABLES} more, all in the plan", "", ""))
    total = f"Together about {sum(table.rows_estimate for table in tables):,} rows in {len(tables)} tables."
    return total + "\n\n" + _table(("Table 表", "Rows, estimated 估计行数", "Form 格式"), rows)


def _estimate(table: TablePlan) -> str:
    """Return the server's own estimate; it has none of a table that it never analysed."""
    return f"{table.rows_estimate:,}" if table.rows_estimate else "none, or never counted 无或未统计"


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
    return _table(("", ""), facts.items())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(_plain(cell) for cell in row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Return text whose signs mean nothing in Markdown or HTML, in one line."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~&])", lambda sign: f"&#{ord(sign[0])};", one_line)
