"""The destruction list as a state machine: what the ledger's acts make of it, and what may be done next.

Pure: the same acts give the same standing anywhere. An act that the rules refuse counts for nothing and is
named as a fault, whoever wrote it into the ledger. Accounting classes are destroyed by no other way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from handover.errors import LedgerRefused, NotReady
from handover.model.destruction_acts import Listed, kind_of
from handover.model.destruction_list import DestructionList
from handover.model.destruction_rules import objection_to
from handover.model.destruction_standing import Recorded, Standing


def standing(recorded: Iterable[Recorded]) -> Standing:
    """Return what the acts of a run, in the ledger's order, make of its destruction list."""
    now = Standing()
    for one in recorded:
        objection = objection_to(now, one)
        if objection:
            said = "; ".join((*objection.wrong, *(f"{text} was missing" for text in objection.missing)))
            now = replace(now, faults=(*now.faults, f"{kind_of(one.act)} of {one.day}: {said}"))
        elif isinstance(one.act, Listed):
            now = Standing(made=one.act.list, faults=now.faults)
        else:
            now = replace(now, recorded=(*now.recorded, one))
    return now


def require_allowed(now: Standing, one: Recorded) -> None:
    """Raise NotReady naming what is missing before an act, LedgerRefused for one that can never count."""
    objection = objection_to(now, one)
    if objection.wrong:
        raise LedgerRefused(
            f"{kind_of(one.act)}: " + "; ".join(objection.wrong),
            hint="nothing was registered; correct what is named",
            wrong=list(objection.wrong),
        )
    if objection.missing:
        raise NotReady(
            f"{kind_of(one.act)} comes before its time; missing: " + "; ".join(objection.missing),
            hint="register what is missing first, in the order of the list's states",
            state=now.state,
            missing=list(objection.missing),
        )


@dataclass(frozen=True)
class ToDestroy:
    """Rows about to be erased; ``needs_list`` when one of their rules asks for a destruction list before."""

    row_class: str
    table: str
    rows: int
    needs_list: bool


def require_cleared(
    now: Standing,
    wanted: Iterable[ToDestroy],
    on: date,
    open_now: Mapping[tuple[str, int], Sequence[str]],
) -> None:
    """Raise NotReady unless everything wanted that needs a list stands on one that may be executed.

    ``open_now``: the open matters found just now, by archive code and number of the volume.
    """
    accounting = [one for one in wanted if one.needs_list and one.rows]
    if not accounting:
        return
    missing = list(now.missing) if not now.reached("checked") else []
    if now.reached("executed"):
        missing.append("a new list: the one in force was executed")
    if now.made is not None:
        missing += _not_listed(now.made, accounting)
        missing += [
            f"{volume.name}: open matters ({', '.join(found)}); pull it out and make the list anew (ACC-19)"
            for volume in now.made.volumes
            if (found := open_now.get((volume.code, volume.number)))
        ]
        if on < now.made.destroy_from:
            missing.append(f"the day: what is listed may go from {now.made.destroy_from}, not on {on}")
    if missing:
        raise NotReady(
            "accounting archives cannot be destroyed; missing: " + "; ".join(missing),
            hint="see the destruction list (销毁清册); what is not cleared stays",
            state=now.state,
            missing=missing,
        )


def _not_listed(made: DestructionList, wanted: Iterable[ToDestroy]) -> list[str]:
    counts: dict[tuple[str, str], int] = {}
    for one in wanted:
        counts[one.row_class, one.table] = counts.get((one.row_class, one.table), 0) + one.rows
    return [
        f"{rows} rows of {name} in class {row_class}: the list has {made.rows_of(row_class, name)}"
        for (row_class, name), rows in counts.items()
        if rows > made.rows_of(row_class, name)
    ]
