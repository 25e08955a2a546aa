"""The plan as a document that people can read, in Chinese and English, from plan, case and verdicts alone.

The same parts serve the question to an approver, who is shown only so many tables, and the case brief.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from handover.evidence.markdown import plain, table
from handover.evidence.plan_estimate import copied, estimate_lines, estimated
from handover.evidence.plan_gates import STATES, Gates, gates_line, gates_table
from handover.evidence.plan_masks import masks_part
from handover.model.case import Case
from handover.model.disposition import classes_of
from handover.model.plan import LARGE_OBJECTS, Plan, PlannedScope, TablePlan, TableScope

# The beginning of a digest, for people; the JSON has all of it.
SHORT = 16
NO_RULE = "未指定规则 no rule named"
TARGET = {
    "copy": "复制 copy",
    "copy_pseudonymised": "去标识化后复制 copy pseudonymised",
    "archive": "归档 archive",
    "nothing": "不移转 nothing",
}
SOURCE = {
    "keep": "保留 keep",
    "restrict": "限制处理 restrict",
    "pseudonymise": "假名化 pseudonymise",
    "erase": "删除 erase",
}
_HEAD = (
    "表 Table",
    "类别 Class",
    "行数 Rows",
    "占全表 Of all",
    "目标库 Target",
    "源库 Source",
    "保存规则 Rules",
)


@dataclass(frozen=True)
class Planned:
    """What the document is made of. ``gates``: documents of law.gates.Verdict, each with ``hinders``, the
    steps that must not happen for it; None: none were judged.
    """

    case: Case
    run: str
    plan: Plan
    gates: Gates | None

    @property
    def scope(self) -> PlannedScope | None:
        """Return what was counted; None when all rows move and nobody asked for counts."""
        return self.plan.scope


def plan_markdown(planned: Planned) -> str:
    """Return the whole document."""
    parts = [
        f"# 计划 / Plan: {plain(planned.case.case)}",
        _matter(planned),
        "## 1 数据去向 / What happens to the rows",
        total_line(planned),
        rows_table(planned),
        "## 2 个人 / Persons",
        persons_part(planned),
        "## 3 留在原处 / What stays, and why",
        _staying(planned),
        "## 4 关卡 / Gates",
        _gates(planned),
        "## 5 假名 / Pseudonyms",
        masks_part(planned.case, planned.plan),
        "## 6 传输方式 / How it travels",
        _transport(planned),
        "## 7 估计 / Estimate",
        estimate_lines(planned.plan),
    ]
    return "\n\n".join(parts) + "\n"


def plan_document(planned: Planned) -> dict[str, object]:
    """Return plan, scope, verdicts and estimate as one document, with every digest whole."""
    return {
        "run": planned.run,
        "digest": planned.plan.sha256_of_json(),
        "plan": planned.plan.document(),
        "rules": {name: list(_rule_ids(planned.case, name)) for name in _class_names(planned)},
        "gates": None if planned.gates is None else [dict(gate) for gate in planned.gates],
        "estimate": estimated(planned.plan).document(),
    }


def _matter(planned: Planned) -> str:
    case, plan = planned.case, planned.plan
    facts = {
        "案件 Case": case.title,
        "批次 Run": planned.run,
        "交易类型 Transaction": case.transaction,
        "移交方 Giver": case.parties.giver.name,
        "接收方 Recipient": case.parties.recipient.name,
        "计划摘要 Plan digest": plan.sha256_of_json(),
        "数据地图 Data map": plan.datamap_digest or "无 none",
        **{f"政策包 Policy {plain(label)}": digest for label, digest in plan.policy.items()},
    }
    return table(("", ""), facts.items())


def total_line(planned: Planned) -> str:
    """Say how many rows of how many the plan is about."""
    scope, tables = planned.scope, planned.plan.tables
    if scope is None:
        about = sum(one.rows_estimate for one in tables)
        return (
            f"全部行，约 {about:,} 行，{len(tables)} 张表。 / "
            f"All rows: together about {about:,} rows in {len(tables)} tables."
        )
    rows, total = sum(one.rows for one in scope.tables), sum(one.total for one in scope.tables)
    among = sum(one.rows > 0 for one in scope.tables)
    moving = sum(copied(one) for one in scope.tables)
    tables_of = len(scope.tables)
    return (
        f"{total:,} 行中 {rows:,} 行（{_share(rows, total)}）在范围内，涉及 {tables_of} 张表中的 {among} 张；"
        f"其中 {moving:,} 行移转。 / {rows:,} of {total:,} rows ({_share(rows, total)}) are in scope, in "
        f"{among} of {tables_of} tables; {moving:,} of them are copied."
    )


def rows_table(planned: Planned, most: int | None = None) -> str:
    """Return a line for each table and row class with rows in scope, at most so many."""
    rows = list(_counted(planned.case, planned.scope) if planned.scope else _uncounted(planned))
    shown = rows[:most]
    if left := len(rows) - len(shown):
        more = f"另 {left} 行，见计划 and {left} more, all in the plan"
        shown.append((more, *[""] * (len(_HEAD) - 1)))
    return table(_HEAD, shown)


def _counted(case: Case, scope: PlannedScope) -> Iterator[tuple[str, ...]]:
    for one in scope.tables:
        for part in one.classes if one.rows else ():
            yield (
                one.table,
                "" if part.name == one.table else part.name,
                f"{part.rows:,}",
                _share(part.rows, one.total),
                TARGET[part.target],
                SOURCE[part.source],
                ", ".join(_rule_ids(case, part.name)) or NO_RULE,
            )


def _uncounted(planned: Planned) -> Iterator[tuple[str, ...]]:
    for one in planned.plan.tables:
        if one.id == LARGE_OBJECTS:
            yield (one.label, "", "全部 all", "100%", TARGET["copy"], SOURCE["keep"], NO_RULE)
            continue
        for part in classes_of(planned.case.classes, (one.schema_name, one.name)):
            whole = part.where is None
            yield (
                one.label,
                "" if part.name == one.label else part.name,
                _estimate(one) if whole else "未统计 not counted",
                "100%" if whole else "",
                TARGET[part.target],
                SOURCE[part.source],
                ", ".join(_rule_ids(planned.case, part.name)) or NO_RULE,
            )


def _estimate(one: TablePlan) -> str:
    """Return the server's own estimate; it has none of a table that it never analysed."""
    return f"约 about {one.rows_estimate:,}" if one.rows_estimate else "无或未统计 none, or never counted"


def _share(rows: int, total: int) -> str:
    return f"{100 * rows / total:.1f}%" if total else "–"


def _rule_ids(case: Case, row_class: str) -> tuple[str, ...]:
    """Return the retention rules that the case names for a class."""
    return next((one.rules or () for one in case.matter.retention or () if one.row_class == row_class), ())


def _class_names(planned: Planned) -> list[str]:
    if planned.scope:
        return sorted({part.name for one in planned.scope.tables for part in one.classes})
    return sorted({one.name for one in planned.case.classes})


def persons_part(planned: Planned) -> str:
    """Return who is in scope and who stays, table by table, and what was counted of their consents."""
    scope = planned.scope
    if scope is None or not scope.persons:
        return "未统计。 / Not counted."
    head = ("表 Table", "考虑的人 Considered", "范围内 In scope", "留下 Staying")
    rows = [
        (label, f"{considered:,}", f"{inside:,}", f"{max(0, considered - inside):,}")
        for label, (considered, inside) in scope.persons.items()
    ]
    facts = "\n".join(f"- {plain(name)}: {count:,}" for name, count in sorted(scope.facts.items()))
    return "\n\n".join(filter(None, [table(head, rows), facts]))


def staying(planned: Planned) -> Iterator[tuple[str, int, str]]:
    """Yield table, rows and reason of everything that is not copied."""
    decided = {d.table.label: d.rows for d in planned.case.scope.decided} if planned.case.scope else {}
    roots = {root.table.label for root in planned.case.scope.roots} if planned.case.scope else set()
    for one in planned.scope.tables if planned.scope else ():
        yield from _staying_of(one, decided.get(one.table, ""), one.table in roots)


def _staying_of(one: TableScope, decided: str, is_root: bool) -> Iterator[tuple[str, int, str]]:
    if one.total > one.rows:
        reason = "与范围内的行无关 nothing in scope leads to it"
        if is_root:
            reason = "不符合范围条件，或无同意 not named by a root, or without consent"
        elif decided == "none":
            reason = "已决定不移转 decided: none of it"
        yield one.table, one.total - one.rows, reason
    for part in one.classes:
        if part.target == "nothing" and part.rows:
            yield one.table, part.rows, f"类别不移转 its class is not copied: {part.name}"


def _staying(planned: Planned) -> str:
    rows = [(label, f"{count:,}", reason) for label, count, reason in staying(planned)]
    if not rows:
        return "无。 / Nothing."
    return table(("表 Table", "行数 Rows", "原因 Reason"), rows)


def _gates(planned: Planned) -> str:
    line = gates_line(planned.gates, planned.case.policy)
    # What is in the way comes first; within a state the packs' own order stays.
    listed = sorted(planned.gates or (), key=lambda gate: list(STATES).index(gate["state"]))
    return f"{line}\n\n{gates_table(listed)}" if listed else line


def _transport(planned: Planned) -> str:
    lanes: dict[str, set[int]] = {}
    for lane in planned.plan.lanes:
        for group in lane.groups:
            lanes.setdefault(group.table, set()).add(lane.number + 1)
    digests = {one.table: one.keys_digest for one in planned.scope.tables} if planned.scope else {}
    head = ("表 Table", "格式 Form", "分组 Groups", "通道 Lanes", "键集摘要 Key set")
    rows = [
        (
            one.label,
            one.format,
            str(one.groups),
            ", ".join(map(str, sorted(lanes.get(one.id, ())))),
            digests.get(one.label, "")[:SHORT],
        )
        for one in planned.plan.tables
    ]
    return table(head, rows)
