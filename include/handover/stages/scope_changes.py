"""How a scope that was found again differs from the one that was planned, without a key."""

from __future__ import annotations

from handover.model.plan import PlannedScope


def differences(planned: PlannedScope, found: PlannedScope) -> list[str]:
    """Return a line for each table whose rows in scope, keys or classes differ."""
    before = {table.table: table for table in planned.tables}
    lines = []
    for now in found.tables:
        then = before.get(now.table)
        if then is None:
            lines.append(f"{now.table} is new")
        elif then.rows != now.rows:
            lines.append(f"{now.table}: {then.rows} rows were planned, {now.rows} are in scope now")
        elif (then.owned, then.keys_digest) != (now.owned, now.keys_digest):
            lines.append(f"{now.table}: as many rows, but not the same")
        elif then.classes != now.classes:
            lines.append(f"{now.table}: the same rows, but in other classes")
    return lines + [f"{label} is gone" for label in sorted(before.keys() - {t.table for t in found.tables})]
