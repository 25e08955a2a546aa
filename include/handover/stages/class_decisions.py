"""What the law says of each class of rows on a day: the retention decisions of a run's plan."""

from __future__ import annotations

from datetime import date

from handover.law.packs import load_packs, select
from handover.law.retention import Decision, Question, decide
from handover.model.case import Case
from handover.model.matter import RowClassRules
from handover.model.plan import ClassRows, Plan
from handover.model.stated import Hold
from handover.stages.context import Context
from handover.stages.facts import legal_day


def class_decisions(context: Context, on: date) -> dict[str, Decision]:
    """Return the decision about each class of the plan by its name; none for a case that names no policy."""
    case = context.case
    if not case.policy:
        return {}
    packs = select(load_packs(context.settings.policies), case.policy, legal_day())
    rules = {one.row_class: one for one in case.matter.retention or ()}
    return {
        name: decide(
            packs,
            Question(
                rows=rules.get(name, RowClassRules(row_class=name)),
                on=on,
                aml_obliged=case.matter.aml_obliged,
                holds=holds_over(case, name),
                deletion_duty=case.deletion_duty,
            ),
        )
        for name in dict.fromkeys(one.name for _, one in planned_classes(context.plan()))
    }


def holds_over(case: Case, name: str) -> tuple[Hold, ...] | None:
    """Return the holds over a class; None where nobody has looked for any."""
    holds = case.matter.holds
    if holds is None:
        return None
    return tuple(one for one in holds if one.row_classes is None or name in one.row_classes)


def planned_classes(plan: Plan) -> list[tuple[str, ClassRows]]:
    """Return the classes of each table of a plan, with the table's label."""
    tables = plan.scope.tables if plan.scope else ()
    return [(table.table, one) for table in tables for one in table.classes]
