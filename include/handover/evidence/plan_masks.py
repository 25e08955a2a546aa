"""What a plan masks, column by column, for people who approve it."""

from __future__ import annotations

from collections.abc import Iterator

from handover.evidence.markdown import plain, table
from handover.model.case import Case
from handover.model.kinds import KINDS
from handover.model.masking import MaskedColumn
from handover.model.plan import Plan, TablePlan

_HEAD = ("表 Table", "列 Column", "类型 Kind", "处理 Strategy", "域 Domain", "何处 Where")
_KEYS = {
    "keep": "结案后保留假名密钥，经两人同意可查回本人：数据是去标识化的，仍是个人信息。 / "
    "Keys of pseudonyms are kept after closing, so that two persons together can find who is behind one: "
    "the data is de-identified and still personal data.",
    "destroy": "结案时销毁假名密钥。 / Keys of pseudonyms are destroyed at closing.",
}


def masks_part(case: Case, plan: Plan) -> str:
    """Return every masked column with what is done to it, and what becomes of the keys."""
    rows = list(_rows(plan))
    if not rows:
        return "无。 / None."
    return f"{table(_HEAD, rows)}\n\n{_KEYS[case.pseudonyms.keys]}"


def _rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    for one in plan.tables:
        for column in one.masked:
            yield _row(one, column, "目标库 target")
        for column in one.masked_here:
            yield _row(one, column, "源库 source")


def _row(one: TablePlan, column: MaskedColumn, where: str) -> tuple[str, ...]:
    kind = KINDS[column.kind]
    settings = (
        f"{name}: {value}" for name, value in column.pseudonym.treatment.items() if name != "strategy"
    )
    return (
        one.label,
        column.column,
        f"{kind.chinese} {kind.english}",
        " ".join([column.pseudonym.strategy, plain(", ".join(settings))]).strip(),
        "" if column.mentions else column.pseudonym.domain,
        where,
    )
