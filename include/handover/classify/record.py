"""The record of processing activities in Chinese and English, from a case and its confirmed data map.

What neither of them says (grounds, retention, measures) is listed as open; nothing is made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from handover.model.case import Case
from handover.model.datamap import UNKNOWN, DataMap, DataSet
from handover.model.kinds import KINDS, PROFILES, highest

# Parts of the record that a person or the policy has to add, with the article that asks for each.
OPEN = (
    ("lawful basis of each purpose", "各项处理目的的合法性基础", "PIPL 13; GDPR 6"),
    ("periods after which data is erased", "保存期限", "PIPL 19; GDPR 30(1)(f)"),
    ("security measures", "安全保护措施", "PIPL 51, 56; GDPR 30(1)(g)"),
    ("transfers to other countries", "向境外提供情况", "PIPL 38, 55; GDPR 30(1)(e)"),
    (
        "contact of the controller and its protection officer",
        "处理者及负责人联系方式",
        "PIPL 17, 52; GDPR 30(1)(a)",
    ),
)
RETENTION = ("this record: at least three years", "本记录至少保存三年", "PIPL 56")


def record(case: Case, datamap: DataMap) -> dict[str, Any]:
    """Return the record as plain JSON types; data sets without personal data are only counted."""
    personal = [dataset for dataset in datamap.datasets if _kinds(dataset)]
    confirmed = datamap.confirmed
    return {
        "record": "processing activities / 个人信息处理活动记录 (PIPL 55-56, GDPR 30)",
        "case": case.case,
        "controller": case.parties.giver.name,
        "recipient": case.parties.recipient.name,
        "transaction": case.transaction,
        "confirmed_by": confirmed.by if confirmed else "column by column",
        "confirmed_on": confirmed.date.isoformat() if confirmed else "",
        "data_map_sha256": datamap.sha256_of_json(),
        "activities": [_activity(dataset) for dataset in personal],
        "data_sets_without_personal_data": len(datamap.datasets) - len(personal),
        "open": [{"en": english, "zh": chinese, "asked_by": law} for english, chinese, law in OPEN],
        "unknown_purpose_or_origin": datamap.unknown_provenance(),
        "levels": {name: {"means": means, "source": source} for name, (means, source, _) in PROFILES.items()},
    }


def _kinds(dataset: DataSet) -> list[str]:
    """Kinds of personal data in it, also those inside free text and documents."""
    found = (
        kind
        for entry in dataset.columns.values()
        for kind in (entry.kind, *(part.kind for part in entry.contains))
        if entry.gdpr != "none"
    )
    return [kind for kind in dict.fromkeys(found) if KINDS[kind].personal]


def _activity(dataset: DataSet) -> dict[str, Any]:
    columns = dataset.columns
    kinds, levels = _kinds(dataset), highest([entry.levels for entry in columns.values()])
    return {
        "table": dataset.table.label,
        "purpose": dataset.purpose,
        "origin": dataset.origin,
        "kinds_en": [KINDS[kind].english for kind in kinds],
        "kinds_zh": [KINDS[kind].chinese for kind in kinds],
        "persons": sorted({path.to.label if path.to else dataset.table.label for path in dataset.subject}),
        "highest_jrt0171": levels.jrt0171,
        "sensitive_columns": [name for name, entry in columns.items() if entry.pipl_sensitive],
        "special_category_columns": [name for name, entry in columns.items() if entry.gdpr == "special"],
        "highest_gbt43697": levels.gbt43697,
    }


def markdown(made: dict[str, Any]) -> str:
    """Return the record as a bilingual document."""
    return "\n".join(_lines(made))


def _lines(made: dict[str, Any]) -> Iterator[str]:
    yield "# 个人信息处理活动记录 / Record of processing activities"
    yield ""
    yield f"- 案件 / Case: {made['case']} ({made['transaction']})"
    yield f"- 处理者 / Controller: {made['controller']}"
    yield f"- 接收方 / Recipient: {made['recipient']}"
    yield f"- 确认人 / Confirmed by: {made['confirmed_by']} {made['confirmed_on']}".rstrip()
    yield f"- 数据地图 / Data map SHA-256: `{made['data_map_sha256']}`"
    yield f"- 保存 / Keep: {RETENTION[1]} / {RETENTION[0]} ({RETENTION[2]})"
    yield ""
    yield (
        "| 数据集 / Data set | 目的 / Purpose | 来源 / Origin | 个人信息种类 / Kinds "
        "| 敏感字段 / Sensitive columns | 级别 / Levels |"
    )
    yield "|---|---|---|---|---|---|"
    yield from (_row(activity) for activity in made["activities"])
    yield ""
    yield (
        f"不含个人信息的数据集 / Data sets without personal data: {made['data_sets_without_personal_data']}. "
        "级别 / Levels: JR/T 0171, GB/T 43697."
    )
    yield ""
    yield "## 待补充 / To be completed"
    yield ""
    yield from (f"- [ ] {part['zh']} / {part['en']} ({part['asked_by']})" for part in made["open"])
    for label in made["unknown_purpose_or_origin"]:
        yield f"- [ ] {_cell(label)}: 目的或来源未知，须上报 / purpose or origin unknown, escalate (A02, B07)"


def _row(activity: dict[str, Any]) -> str:
    kinds = [f"{zh} / {en}" for zh, en in zip(activity["kinds_zh"], activity["kinds_en"], strict=True)]
    cells = (
        activity["table"],
        "未知 / unknown" if activity["purpose"] == UNKNOWN else activity["purpose"],
        "未知 / unknown" if activity["origin"] == UNKNOWN else activity["origin"],
        "; ".join(kinds),
        ", ".join(activity["sensitive_columns"]) or "–",
        f"{activity['highest_jrt0171']}, {activity['highest_gbt43697']}",
    )
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """A name may hold what Markdown reads as structure."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())
