"""What the runs of an erasure decided, and which of them are still awaited before its answer is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from handover.errors import NotReady
from handover.evidence.answer import Decided, NamedRows
from handover.model.request import PersonRequest
from handover.stages.context import Context
from handover.stages.disposal import is_open
from handover.stages.request_copies import NotSearched
from handover.stages.request_decision import read_noted
from handover.stages.request_subjects import DECIDED, entries_of
from handover.stages.requests import Desk


@dataclass(frozen=True)
class Decision:
    """What a run that was not taken back decided; ``opened``: rows may have gone by it."""

    run: str
    body: Mapping[str, Any]
    opened: bool
    complete: bool

    def told(self, *, goes: bool) -> list[dict[str, Any]]:
        """Return what goes by it, or what stays."""
        return [one for one in self.body["decided"] if one["goes"] is goes]


def decisions_of(context: Context, request: str) -> list[Decision]:
    """Return the last decision of each run, oldest first: what one erased another does not find any more."""
    bodies: dict[str, Mapping[str, Any]] = {}
    for entry in entries_of(context):
        if entry.kind == DECIDED and entry.body["request"] == request:
            bodies.pop(entry.body["run"], None)
            bodies[entry.body["run"]] = entry.body
    found = []
    for run, body in bodies.items():
        of_run = replace(context, run=run)
        if of_run.entries("run-aborted"):
            continue
        closed = of_run.entries("run-closed")
        complete = bool(closed) and closed[-1].body["status"] == "complete"
        found.append(Decision(run, body, is_open(of_run), complete))
    return found


def awaited(found: Sequence[Decision]) -> list[str]:
    """Return the runs that have still to erase: what never began to and was decided anew is given up."""
    return [
        one.run
        for one in found
        if one.told(goes=True) and not one.complete and (one.opened or one is found[-1])
    ]


def sources_waiting(desk: Desk, one: PersonRequest) -> dict[str, str]:
    """Return the sources in which an erasure is not done, each with what is missing."""
    waiting = {}
    for name in one.subjects if one.kind == "erasure" else ():
        context = desk.at(name, one.id)
        found = decisions_of(context, one.id)
        if not found:
            waiting[name] = "nothing was decided, or its run was taken back"
        if going := awaited(found):
            waiting[name] = f"run {', '.join(going)} is not complete"
    return waiting


def decided(desk: Desk, one: PersonRequest) -> list[Decided]:
    """Return what was decided in all sources that know the person, after what goes has gone."""
    if waiting := sources_waiting(desk, one):
        raise NotReady(
            f"request {one.id} cannot be answered yet: "
            + "; ".join(f"{name}: {lacking}" for name, lacking in waiting.items()),
            hint="see to the run that is named; where none is, or it was given up, trigger the DAG "
            f"subject_request with request {one.id} and that source",
        )
    told = []
    for name in one.subjects:
        found = decisions_of(desk.at(name, one.id), one.id)
        gone = [each for run in found if run.complete for each in run.told(goes=True)]
        told += [read_noted(name, each) for each in (*gone, *found[-1].told(goes=False))]
    return told


def named_then(desk: Desk, one: PersonRequest) -> tuple[list[NamedRows], NotSearched]:
    """Return what named the person when it was decided; the first run knew most of who that is."""
    bodies = [each.body for name in one.subjects for each in decisions_of(desk.at(name, one.id), one.id)]
    counted = (NamedRows(**each) for body in bodies for each in body.get("named", ()))
    unread = ((str(a), str(b)) for body in bodies for a, b in body.get("not_searched", ()))
    return _most(counted), list(dict.fromkeys(unread))


def _most(counted: Iterable[NamedRows]) -> list[NamedRows]:
    found: dict[tuple[str, str, str], NamedRows] = {}
    for one in counted:
        place = (one.source, one.table, one.column)
        if place not in found or found[place].rows < one.rows:
            found[place] = one
    return list(found.values())
