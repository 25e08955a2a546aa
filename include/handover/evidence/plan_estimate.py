"""What moving the rows in scope will take, from the plan alone; each number with its assumption."""

from __future__ import annotations

from handover.model.disposition import is_backed_up
from handover.model.estimate import (
    BYTES_A_SECOND,
    VAULT_SHARE,
    Estimate,
    Footprint,
    duration_text,
    estimate,
    size_text,
)
from handover.model.plan import Plan, TableScope


def estimated(plan: Plan) -> Estimate:
    """Return what the copied rows will take. Groups weigh what is in scope, copied or not."""
    tables = {one.id: one.label for one in plan.tables}
    counted = plan.scope.tables if plan.scope else ()
    shares = {one.table: copied(one) / one.rows if one.rows else 0.0 for one in counted}
    total = sum(one.total for one in counted)
    # A partition is part of a table that counts as one: it weighs all its rows, whichever are in scope.
    rest = sum(map(copied, counted)) / total if total else 1.0
    moved = sum(group.weight * shares.get(tables[group.table], rest) for group in plan.groups())
    return estimate(Footprint(tables=len(tables), rows=round(moved), indexes=0, views=0, large_objects=0))


def copied(one: TableScope) -> int:
    """Return the rows of a table that its classes let go to the target."""
    return sum(part.rows for part in one.classes if is_backed_up(part.target, part.source))


def estimate_lines(plan: Plan) -> str:
    """Say size and duration with the assumption behind each."""
    found = estimated(plan)
    return "\n".join(
        [
            f"- 数据量 / Data: {size_text(found.copy_bytes)}，不含索引 / without indexes",
            f"- 备份 / Backup: {size_text(found.vault)}，按压缩至 {VAULT_SHARE:.0%} 计 / if it packs to "
            f"{VAULT_SHARE:.0%}",
            f"- 用时 / Time: {duration_text(found.seconds)}，按 {BYTES_A_SECOND / 1e6:.0f} MB/s 计，未实测 / "
            f"a stated rate; what Airflow takes to start tasks comes on top",
        ]
    )
