"""What a run did not compare, said as plainly as what it did."""

from __future__ import annotations

from handover.evidence.history import History

_ALWAYS = (
    (
        "later-changes",
        "源库复查之后发生的变更：比对的对象是快照时刻的数据，验收之前复查过一次。",
        "Changes in the source after it was read again: what is compared is the data as it stood at the "
        "snapshot, and before acceptance the source was looked at once more.",
    ),
    (
        "generated-columns",
        "生成列的取值不进入数据块摘要：目标库按相同定义自行计算，仅其定义参与比对。"
        "勾稽核对一节所列数值除外。",
        "Values of generated columns are no part of the digests of rows: the target computes them by the "
        "same definition, which is compared. What the reconciliation lists is compared there.",
    ),
    (
        "servers",
        "服务器参数、角色及其口令、表空间、统计信息与物理行序。",
        "Settings of the servers, roles and their passwords, tablespaces, statistics, and the physical order "
        "of rows.",
    ),
    (
        "other-copies",
        "案件连接之外的副本：备库、WAL 归档、文件系统快照、服务器日志、他人所作的拷贝与实物介质。",
        "Copies beyond the connections of the case: replicas, WAL archives, file-system snapshots, server "
        "logs, copies made by people, physical media.",
    ),
)


def not_compared(history: History) -> list[dict[str, str]]:
    """Return what was left out, each with an id and a text in both languages."""
    found = [_schemas(history), *_ALWAYS]
    if history.case and not history.case.get("source", {}).get("large_objects", True):
        found.append(
            ("large-objects", "大对象：案件设定不移交。", "Large objects: the case leaves them out.")
        )
    found += [*_acknowledged(history), *_views(history)]
    if not history.counting("expectations-checked"):
        found.append(
            ("expectations", "数据期望：本次运行尚无记录。", "Expectations: none on record in this run.")
        )
    if not history.counting("reconciled"):
        found.append(
            ("reconciliation", "勾稽核对：本次运行尚无记录。", "Reconciliation: none on record in this run.")
        )
    return [{"id": name, "zh": zh, "en": en} for name, zh, en in found]


def _schemas(history: History) -> tuple[str, str, str]:
    schemas = history.case.get("source", {}).get("schemas", ())
    zh, en = "、".join(schemas), ", ".join(schemas)
    return (
        "other-schemas",
        f"案件所列模式之外的一切（所列模式：{zh}）。",
        f"Everything outside the schemas of the case ({en}).",
    )


def _acknowledged(history: History) -> list[tuple[str, str, str]]:
    """Return what the inventory found in the way and the case accepts: mostly objects that do not move."""
    accepted = history.last("inventory").get("acknowledged", ())
    if not accepted:
        return []
    return [
        (
            "acknowledged",
            f"清点时发现、案件已确认接受的事项：{'、'.join(accepted)}。",
            f"What the inventory found and the case accepts: {', '.join(accepted)}.",
        )
    ]


def _views(history: History) -> list[tuple[str, str, str]]:
    empty = [f"{v['schema_name']}.{v['name']}" for v in history.state.get("views", ()) if not v["populated"]]
    if not empty:
        return []
    return [
        (
            "unpopulated-views",
            f"从未填充的物化视图，仅比对定义：{'、'.join(empty)}。",
            f"Materialised views that were never populated, but for their definitions: {', '.join(empty)}.",
        )
    ]
