"""The page of an audit: every finding with its owner and its day, group by group, in Chinese and English."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime

from handover.errors import EvidenceInvalid
from handover.evidence.canonical import canonical
from handover.evidence.destruction_paper import Cell, Paper, Table, page, say
from handover.model.audit import Finding, Severity

JSON_NAME, HTML_NAME = "audit.json", "audit.html"
SEVERITIES: dict[Severity, tuple[str, str]] = {
    "error": ("错误", "error"),
    "warning": ("警告", "warning"),
    "notice": ("提示", "notice"),
}
_HEADS = (
    say("级别", "severity"),
    say("位置", "where"),
    say("发现", "finding"),
    say("负责", "owner"),
    say("期限", "due"),
)
_WIDTHS = (10, 30, 35, 15, 10)
TITLES = {
    "ledger": say("账本", "ledger"),
    "evidence": say("证据文件夹", "evidence folders"),
    "vault": say("保险库", "vault"),
    "keys": say("密钥", "keys"),
    "reviews": say("复核", "reviews"),
    "documents": say("文件期限", "documents"),
    "access": say("数据库权限", "grants"),
    "people": say("账号培训与保密", "training and non-disclosure"),
    "outstanding": say("未了事项", "outstanding"),
}


def audit_files(on: date, at: datetime, groups: Mapping[str, Sequence[Finding]]) -> dict[str, bytes]:
    """Return the audit as canonical JSON and as a page."""
    told = {
        "format": "handover.audit.v1",
        "on": on.isoformat(),
        "at": at.isoformat(),
        "groups": {name: [one.document() for one in found] for name, found in groups.items()},
    }
    text = canonical(told, EvidenceInvalid, "the audit") + b"\n"
    return {JSON_NAME: text, HTML_NAME: page(_paper(on, at, groups, text)).encode()}


def _paper(on: date, at: datetime, groups: Mapping[str, Sequence[Finding]], text: bytes) -> Paper:
    every = [one for found in groups.values() for one in found]
    errors = sum(one.severity == "error" for one in every)
    counted = tuple(
        (say(*SEVERITIES[name]), sum(one.severity == name for one in every)) for name in SEVERITIES
    )
    banner = say(f"有 {errors} 项错误须处理。", f"{errors} errors need to be seen to.") if errors else None
    return Paper(
        title=say("证据审计报告", "Audit of the evidence"),
        number=f"audit-{on}",
        sha256=hashlib.sha256(text).hexdigest(),
        at=at,
        wide=True,
        banner=banner,
        head=((say("日期", "day"), on.isoformat()), *counted),
        parts=tuple(
            Table(TITLES[name], _HEADS, tuple(_row(one) for one in found), _WIDTHS)
            for name, found in groups.items()
        ),
    )


def _row(one: Finding) -> tuple[Cell, ...]:
    return (say(*SEVERITIES[one.severity]), one.where, one.what, one.owner, one.due.isoformat())
