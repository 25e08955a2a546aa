"""Holds tables against their columns as they were backed up: what came since, nobody compared or approved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from handover.errors import ScopeChanged
from handover.model.catalog import Column
from handover.model.plan import TablePlan
from handover.postgres.session import Connection, database_errors, fetch, qualified

_LIVE = """
SELECT place::int, a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated::text <> ''
FROM unnest(%s::text[]) WITH ORDINALITY AS wanted(name, place)
JOIN pg_attribute a ON a.attrelid = name::regclass AND a.attnum > 0 AND NOT a.attisdropped
"""
_Form = tuple[str, bool]


def require_same_columns(
    connection: Connection, tables: Iterable[tuple[TablePlan, Sequence[Column]]]
) -> None:
    """Raise ScopeChanged where a table has not the columns that belong to it; the caller keeps it locked."""
    wanted = list(tables)
    names = [qualified(t.schema_name, t.name).as_string(connection) for t, _ in wanted]
    live: list[dict[str, _Form]] = [{} for _ in wanted]
    with database_errors("looking at the columns of the tables"):
        for place, name, kind, generated in fetch(connection, _LIVE, names):
            live[int(str(place)) - 1][str(name)] = (str(kind), bool(generated))
    lines = [
        f"{table.label}: {line}"
        for (table, columns), now in zip(wanted, live, strict=True)
        for line in _differences({one.name: (one.type, one.generated) for one in columns}, now)
    ]
    if lines:
        raise ScopeChanged(
            "columns are not those that were backed up:\n  " + "\n  ".join(lines),
            hint="nothing was done to these rows; put the columns back as they were, or start a new run that "
            "backs them up",
            columns=lines,
        )


def _differences(then: dict[str, _Form], now: dict[str, _Form]) -> list[str]:
    new = [f"column {name} is new" for name in now if name not in then]
    gone = [f"column {name} is gone" for name in then if name not in now]
    other = [
        f"column {name} is {_said(now[name])}, was {_said(then[name])}"
        for name in then
        if name in now and now[name] != then[name]
    ]
    return new + gone + other


def _said(form: _Form) -> str:
    kind, generated = form
    return f"{kind}, generated" if generated else kind
