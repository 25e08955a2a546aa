"""The impact assessment of PIPL 55-56, pre-filled from what is known, for a person to conclude.

Chinese with English beside it. It concludes nothing: risk, conclusion and signatures are left open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from handover.law.dates import after
from handover.law.export import export_need
from handover.law.facts import Facts
from handover.law.gates import Verdict
from handover.law.special import dropping_out, scope_digest
from handover.model.policy import Pack, Period

OPEN = "＿＿＿＿ (to be written by a person)"
UNKNOWN = "未知 / not known"
_YES = {True: "是 / yes", False: "否 / no", None: UNKNOWN}
_TRIGGERS = (
    ("处理敏感个人信息", "sensitive personal information"),
    ("利用个人信息进行自动化决策", "automated decisions"),
    ("委托处理、向其他处理者提供、公开", "entrusting, providing, publishing"),
    ("向境外提供", "export"),
    ("其他有重大影响的处理", "other processing with major effect"),
)


def impact_assessment(
    case_id: str, facts: Facts, classes: Mapping[str, int], verdicts: Sequence[Verdict], packs: Sequence[Pack]
) -> str:
    """Return the record of section 5.5 as Markdown.

    ``classes`` counts columns by their class of the data map, as ``{"C2": 41}``. No person is named in it
    but parties of the case and officers.
    """
    parts = [
        f"# 个人信息保护影响评估 / Impact assessment: {case_id}",
        "依据已知事实预填，不构成法律意见；结论由具名人员作出。 / "
        "Pre-filled from known facts; no legal advice. A named person concludes.",
        *_head(facts),
        *_scope(facts, classes),
        *_parties(facts, packs),
        *_gates(verdicts),
        *_to_conclude(facts.on),
    ]
    return "\n\n".join(parts) + "\n"


def _head(facts: Facts) -> list[str]:
    data, matter = facts.data, facts.matter
    sensitive = [column.sensitive for column in data.outgoing or ()] + [bool(data.sensitive_persons)]
    given = (matter.recipients, matter.processors, matter.publications)
    flows = matter.exports.flows if matter.exports else None
    known = (
        _seen(any(sensitive), data.outgoing, data.sensitive_persons),
        None,
        _seen(any(given), *given),
        _seen(bool(flows), flows),
        None,
    )
    rows = [
        (f"{zh} / {en}", {True: "是 / yes", False: "未见 / not seen", None: OPEN}[answer])
        for (zh, en), answer in zip(_TRIGGERS, known, strict=True)
    ]
    return [
        "## 1 触发情形与范围 / Triggers and scope",
        _table(("情形 / Trigger", "所知 / Known"), rows),
        f"- 交易类型 / Transaction: `{facts.transaction}`\n- 日期 / Day: {facts.on}\n"
        f"- 范围摘要 / Scope digest (SHA-256): `{scope_digest(facts)}`\n"
        "- 范围摘要写入案件的 impact_assessment.scope_sha256；范围变化须重新评估。 / "
        "The digest goes into the case; another scope needs another assessment.",
    ]


def _seen(found: bool, *sources: object) -> bool | None:
    """Return whether it was found; None when it was not and a source of it is not known."""
    return None if not found and None in sources else found


def _scope(facts: Facts, classes: Mapping[str, int]) -> list[str]:
    data = facts.data
    share = dropping_out(facts)
    counts = [
        ("范围内人数 / persons in scope", data.scope_persons),
        ("批次内人数 / persons in the batch", data.persons),
        ("不在批次内 / staying", share[0] if share else None),
        ("涉敏感信息人数 / with sensitive data", data.sensitive_persons),
        ("不满十四周岁 / under 14", data.minors),
        ("无单独同意 / without separate consent", data.without_separate_consent),
        ("已撤回同意 / consent withdrawn", data.withdrawn),
    ]
    columns: dict[str, list[int]] = {}
    for one in data.outgoing or ():
        total = columns.setdefault(one.data_set, [0, 0])
        total[0] += 1
        total[1] += one.sensitive
    rows = [(name, str(all_), str(sensitive)) for name, (all_, sensitive) in columns.items()]
    return [
        "## 2 数据 / Data",
        _table(("项目 / Item", "数 / Number"), [(name, _number(value)) for name, value in counts]),
        _table(
            ("级别 / Class", "列数 / Columns"),
            [(name, str(count)) for name, count in sorted(classes.items())],
        ),
        _table(("数据集 / Data set", "移出列 / Columns leaving", "其中敏感 / Sensitive"), rows),
    ]


def _parties(facts: Facts, packs: Sequence[Pack]) -> list[str]:
    matter = facts.matter
    receivers = [
        (one.name, one.uscc or UNKNOWN, one.contact or UNKNOWN, one.region or UNKNOWN,
         "；".join(one.purposes or ()) or UNKNOWN)
        for one in matter.recipients or ()
    ]  # fmt: skip
    flows = [
        (one.recipient, one.region or UNKNOWN, _YES[one.remote_reading],
         _number(one.ordinary_persons), _number(one.sensitive_persons), one.mechanism or UNKNOWN)
        for one in (matter.exports and matter.exports.flows) or ()
    ]  # fmt: skip
    need = export_need(facts, packs)
    bases = [
        (one.data_set, one.operation, one.basis or UNKNOWN, one.article or UNKNOWN)
        for one in matter.bases or ()
    ]
    return [
        "## 3 合法、正当、必要 / Lawful, legitimate, necessary",
        _table(("数据集 / Data set", "操作 / Operation", "依据 / Basis", "条款 / Article"), bases),
        f"- 敏感信息的必要性 / Necessity of sensitive data: {_cell(matter.sensitive_necessity or UNKNOWN)}",
        "## 4 接收方与出境 / Recipients and export",
        _table(("接收方 / Recipient", "信用代码 / USCC", "联系 / Contact", "地区 / Region",
                "目的 / Purposes"), receivers),
        _table(("境外接收方 / Recipient abroad", "地区 / Region", "远程访问 / Remote reading",
                "非敏感人数 / Ordinary", "敏感人数 / Sensitive", "机制 / Mechanism"), flows),
        f"- 本年合计 / Sum of the year: {_number(need.ordinary)} + {_number(need.sensitive)}; "
        f"适用 / row: {need.row or '—'}; 机制 / mechanism: {', '.join(need.mechanisms) or '—'}",
    ]  # fmt: skip


def _gates(verdicts: Sequence[Verdict]) -> list[str]:
    rows = [
        (one.gate, one.state, one.reason.zh, one.reason.en, one.basis.source, one.basis.status)
        for one in verdicts
        if one.state in ("block", "warn")
    ]
    passed = sum(one.state == "pass" for one in verdicts)
    return [
        "## 5 措施与未决事项 / Measures and open points",
        f"通过 / passed: {passed}; 未通过或警告 / blocked or warned: {len(rows)}",
        _table(("闸口 / Gate", "结果 / Verdict", "理由", "Reason", "来源 / Source", "核实 / Status"), rows),
    ]


def _to_conclude(on: date) -> list[str]:
    questions = [
        (
            "对个人权益的影响：限制选择、歧视、名誉、财产",
            "effect on rights: choice, discrimination, reputation, property",
        ),
        ("安全风险：可能性 × 影响", "security risk: likelihood x impact"),
        ("保护措施是否合法、有效、与风险相适应", "measures lawful, effective, proportionate"),
        ("剩余风险（低、中、高）", "residual risk (low, medium, high)"),
        ("结论与条件", "conclusion and conditions"),
        ("参与人、批准人、日期、下次复核", "participants, approver, date, next review"),
    ]
    return [
        "## 6 由具名人员作出 / For a named person to conclude",
        _table(("问题 / Question", "回答 / Answer"), [(f"{zh} / {en}", OPEN) for zh, en in questions]),
        "评估报告和处理情况记录至少保存三年（个人信息保护法 56）。 / "
        f"Report and record are kept for at least three years (PIPL 56): until {after(on, Period(years=3))} "
        "if concluded today.",
    ]


def _number(count: int | None) -> str:
    return UNKNOWN if count is None else str(count)


def _cell(text: str) -> str:
    """Return text that stays in its cell and is neither markup nor a link of its own."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{sign}" if sign in "\\|`*_[]#" else sign for sign in plain)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = [list(row) for row in rows] or [["—"] * len(heads)]
    lines = [heads, ["---"] * len(heads)]
    text = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(text + ["| " + " | ".join(map(_cell, row)) + " |" for row in body])
