"""Sweeping: whether anything of a registered source is due, and what became of a sweep."""

from __future__ import annotations

from handover.stages.context import Context

STEP = "due"
DUE = "sweep-due"


def due(context: Context) -> bool:
    """Say whether the plan of a sweep lets anything go, and write it down; safe to repeat."""
    with context.step(STEP):
        plan = context.plan()
        tables = plan.scope.tables if plan.scope else ()
        rows = {one.table: one.rows for one in tables if one.rows}
        body = {"as_of": str(context.case.as_of), "plan_digest": plan.sha256_of_json(), "rows": rows}
        context.record(DUE, body, key=plan.sha256_of_json())
        return bool(rows)
