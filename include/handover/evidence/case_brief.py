"""The case on one page, in Chinese and English: who moves, who stays, why, what blocks, who acts next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handover.evidence.markdown import plain, table
from handover.evidence.plan_estimate import estimate_lines
from handover.evidence.plan_gates import gates_line, hindering
from handover.evidence.plan_text import Planned, staying, total_line
from handover.model.case import Case
from handover.model.policy import Text

# Of each list so many lines fit the page; the plan has all of them.
MOST = 6
NOTHING = "无。 / Nothing."
_BASES = {
    "consent": "同意 consent",
    "contract": "合同 contract",
    "statutory_duty": "法定义务 statutory duty",
    "emergency": "紧急情况 emergency",
    "news": "新闻报道 news",
    "public_data": "已公开信息 public data",
    "other_law": "其他法律 other law",
    "entrustment": "委托 entrustment",
}


@dataclass(frozen=True)
class Standing:
    """Where a run stands: what is in its way, and who has to do what."""

    blocks: Sequence[Text]
    next: Sequence[Text]


def case_brief(case: Case, run: str, planned: Planned | None, standing: Standing) -> str:
    """Return the page as Markdown; without a plan it says what the case file says."""
    parts = [
        f"# 案件简报 / Case brief: {plain(case.case)}",
        plain(case.title),
        table(
            ("", ""),
            [
                ("移交方 Giver", case.parties.giver.name),
                ("接收方 Recipient", case.parties.recipient.name),
                ("交易类型 Transaction", case.transaction),
                ("批次 Run", run),
            ],
        ),
        "## 谁移转 / Who moves",
        _moving(planned),
        "## 谁留下 / Who stays",
        _staying(planned),
        "## 依据 / Why",
        _why(case),
        "## 什么在阻碍 / What blocks",
        _blocking(planned, standing),
        "## 下一步由谁 / Who acts next",
        _listed([_line(text) for text in standing.next]),
    ]
    return "\n\n".join(parts) + "\n"


def _moving(planned: Planned | None) -> str:
    if planned is None:
        return "尚无计划。 / There is no plan yet."
    lines = [f"- {total_line(planned)}"]
    for label, (considered, inside) in planned.scope.persons.items() if planned.scope else ():
        lines.append(
            f"- {plain(label)}: {considered:,} 人中 {inside:,} 人 / {inside:,} of {considered:,} persons"
        )
    return "\n".join([*lines, estimate_lines(planned.plan)])


def _staying(planned: Planned | None) -> str:
    if planned is None or planned.scope is None:
        return NOTHING
    lines = [
        f"{plain(label)}: {considered - inside:,} 人 / {considered - inside:,} persons"
        for label, (considered, inside) in planned.scope.persons.items()
        if considered > inside
    ]
    lines += [
        f"{plain(label)}: {rows:,} 行 rows, {plain(reason)}" for label, rows, reason in staying(planned)
    ]
    return _listed(lines)


def _why(case: Case) -> str:
    lines = [
        f"{plain(one.data_set)}: {_BASES[one.basis] if one.basis else '未说明 not said'}"
        f"{', ' + plain(one.article) if one.article else ''}"
        for one in case.matter.bases or ()
        if one.operation == "transfer"
    ]
    packs = ", ".join(plain(label) for label in case.policy) or "无 none"
    return _listed([f"政策包 / Policy: {packs}", *lines])


def _blocking(planned: Planned | None, standing: Standing) -> str:
    gates = hindering(planned.gates) if planned else []
    lines = [_line(text) for text in standing.blocks] + [_gate(gate) for gate in gates]
    head = [gates_line(planned.gates, planned.case.policy)] if planned else []
    return "\n\n".join([*head, _listed(lines)])


def _gate(gate: Mapping[str, Any]) -> str:
    remedy = gate["remedy"] or gate["reason"]
    what = plain(f"{remedy['zh']} / {remedy['en']}")
    return f"{plain(gate['gate'])} ({plain(gate['basis']['source'])}): {what}"


def _line(text: Text) -> str:
    return f"{plain(text.zh)} / {plain(text.en)}"


def _listed(lines: Sequence[str]) -> str:
    """Return a list that fits the page; ``lines`` are plain already."""
    if not lines:
        return NOTHING
    more = len(lines) - MOST
    shown = [*lines[:MOST], *([f"另 {more} 项，见计划 / and {more} more, in the plan"] if more > 0 else [])]
    return "\n".join(f"- {line}" for line in shown)
