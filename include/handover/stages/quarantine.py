"""Quarantine: what the plan lets go waits for a time, out of reach of every role but the custodian's.

It outlives a failure of the run; aborting lifts it, and so does closing, after rows went. What the plan keeps
restricted (PIPL 47(2)) is locked away in the same way, and stays so when the run is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from psycopg import sql

from handover.crashpoints import CrashPoint, passing
from handover.errors import CaseInvalid, NotReady
from handover.model.backup import BackupIndex, KeptKeys
from handover.model.disposition import GOING, RowClass, SourceTreatment, classes_of
from handover.postgres.quarantining import Barred, bar, lift, not_barred, not_covered
from handover.postgres.selection import class_condition
from handover.postgres.session import connect, database_errors
from handover.stages.approvals import require_approval
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.hearings import require_passed

STEP, QUARANTINED = "quarantine", "quarantined"
RESTRICTED: tuple[SourceTreatment, ...] = ("restrict",)


def quarantine(context: Context) -> datetime:
    """Lock away what will go; returns when its waiting time ends.

    Safe to repeat: the time does not begin anew. Raises CaseInvalid where only a part of a table is in scope:
    a policy cannot tell which part.
    """
    with context.step(STEP):
        require_approval(context, "execute")
        require_passed(context)
        index = read_index(context)
        tables, parts = _tables(context, index, GOING), _in_parts(context, index, GOING)
        kept = _tables(context, index, RESTRICTED)
        days = context.case.disposal.quarantine_days
        if parts and days:
            raise CaseInvalid(
                f"only a part of these tables is in scope, which cannot be locked away: {', '.join(parts)}",
                hint="take these tables into the scope as a whole, or write disposal.quarantine_days: 0",
            )
        with closing(connect(context.source)) as source:
            bar(source, tables, _holder(context), context.case.disposal.custodian)
            bar(source, kept, _keeper(context), context.case.disposal.custodian)
            with database_errors("looking who can still see the rows"):
                others = not_covered(source, [*tables, *kept])
        in_part = dict.fromkeys([*parts, *_in_parts(context, index, RESTRICTED)])
        passing(CrashPoint.QUARANTINE_UNRECORDED)
        if not context.entries(QUARANTINED):
            until = datetime.now(UTC) + timedelta(days=days)
            body = {
                "until": until.isoformat(timespec="seconds"),
                "custodian": context.case.disposal.custodian or "",
                "tables": _told(context, index, GOING),
                "restricted": _told(context, index, RESTRICTED),
                "not_covered": [*others, *map(_only_a_part, in_part)],
            }
            context.record(QUARANTINED, body)
        return _until(context)


def quarantine_over(context: Context) -> bool:
    """Say whether the waiting time has passed; NotReady when it has not begun."""
    return datetime.now(UTC) >= _until(context)


def require_quarantine_over(context: Context) -> None:
    """Raise NotReady unless the rows waited for the whole time and are still locked away."""
    if not quarantine_over(context):
        raise NotReady(
            f"what is to go waits until {_until(context).isoformat(timespec='seconds')}",
            hint="wait; aborting the run gives the rows back",
        )
    if lines := not_quarantined(context):
        raise NotReady(
            "rows that are to go can be reached again:\n  " + "\n  ".join(lines),
            hint="find out who lifted the quarantine, then run or clear the task quarantine",
        )


def not_quarantined(context: Context) -> list[str]:
    """Return a line for each table whose rows should be locked away now and are not."""
    index = read_index(context)
    going = _unlocked(context, _tables(context, index, GOING), _holder(context))
    kept = _unlocked(context, _tables(context, index, RESTRICTED), _keeper(context))
    return [*(f"{one} is not in quarantine" for one in going), *(f"{one} is not restricted" for one in kept)]


def restriction_faults(context: Context) -> list[str]:
    """Return a line for each table whose kept rows should be restricted at the source and are not."""
    if not _locks(context):
        return []
    kept = _tables(context, read_index(context), RESTRICTED)
    return [
        f"{label} is not restricted at the source" for label in _unlocked(context, kept, _keeper(context))
    ]


def is_restricted(context: Context, table: str) -> bool:
    """Say whether this run locked rows that stay in a table away from all but the custodian's role."""
    told = [entry.body["restricted"] for entry in context.entries(QUARANTINED)]
    parts = [line for entry in context.entries(QUARANTINED) for line in entry.body["not_covered"]]
    return any(one["table"] == table for one in chain(*told)) and _only_a_part(table) not in parts


def lift_quarantine(context: Context) -> list[str]:
    """Let everybody see again what waited to go; returns what was removed. Safe to repeat."""
    return _lift(context, _holder(context), "quarantine")


def lift_restriction(context: Context) -> list[str]:
    """Let everybody see again what this run kept restricted; returns what was removed. Safe to repeat."""
    return _lift(context, _keeper(context), "restriction")


def _lift(context: Context, holder: str, what: str) -> list[str]:
    if not _locks(context):
        return []
    with closing(connect(context.source)) as source:
        return [f"source: {what}"] if lift(source, holder) else []


def _unlocked(context: Context, tables: Sequence[Barred], holder: str) -> list[str]:
    with (
        database_errors("looking whether rows are locked away"),
        closing(connect(context.source, read_only=True)) as source,
    ):
        return not_barred(source, tables, holder)


def _locks(context: Context) -> bool:
    return context.case.kind == "deregistration"


def _holder(context: Context) -> str:
    return f"case {context.case.case}, run {context.run}"


def _keeper(context: Context) -> str:
    """Another holder than of what will go: its policies outlive the run."""
    return f"{_holder(context)}, restricted"


def _until(context: Context) -> datetime:
    return datetime.fromisoformat(str(context.last(QUARANTINED, STEP).body["until"]))


def _chosen(
    context: Context, index: BackupIndex, treatments: Sequence[SourceTreatment]
) -> Iterator[tuple[KeptKeys, list[RowClass], int]]:
    """Yield each table with rows that are treated so, the classes that are, and how many rows that is."""
    for kept in index.state.keys:
        table = kept.scoped.table
        planned = index.plan.scope.of(table.label).classes if index.plan.scope else ()
        rows = {one.name: one.rows for one in planned if one.source in treatments and one.rows}
        classes = classes_of(context.case.classes, (table.schema_name, table.name))
        if rows:
            yield kept, [one for one in classes if one.name in rows], sum(rows.values())


def _tables(context: Context, index: BackupIndex, treatments: Sequence[SourceTreatment]) -> list[Barred]:
    found = []
    for kept, classes, rows in _chosen(context, index, treatments):
        table, scoped = kept.scoped.table, kept.scoped
        if scoped.rows < scoped.total:
            continue
        tests = [class_condition(one, table) for one in classes]
        condition = sql.SQL("({})").format(sql.SQL(") OR (").join(tests)) if rows < scoped.total else None
        columns = tuple(column.name for column in table.columns) if condition else ()
        places = ((table.schema_name, table.name), *scoped.parts)
        found += [Barred(schema, name, columns, condition) for schema, name in places]
    return found


def _in_parts(context: Context, index: BackupIndex, treatments: Sequence[SourceTreatment]) -> list[str]:
    chosen = (kept.scoped for kept, _, _ in _chosen(context, index, treatments))
    return [scoped.table.label for scoped in chosen if scoped.rows < scoped.total]


def _only_a_part(label: str) -> str:
    return f"table {label}: only a part is in scope"


def _told(
    context: Context, index: BackupIndex, treatments: Sequence[SourceTreatment]
) -> list[dict[str, Any]]:
    return [
        {"table": kept.scoped.table.label, "rows": rows, "of": kept.scoped.total}
        for kept, _, rows in _chosen(context, index, treatments)
    ]
