"""Absence: after the move no raw value of what was masked is anywhere in the target.

What the target may hold is said by the data map alone: a column that arrives in clear is of a person who is
handed over in clear. Free text is never excepted. What is left is a person's to look into, and to accept by
its id in the case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from handover.errors import DataMapInvalid, VerificationFailed
from handover.model.backup import BackupIndex
from handover.model.datamap import DataMap
from handover.model.masking import Pseudonym
from handover.model.plan import TablePlan
from handover.risk.raw_values import KINDS
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.datamaps import planned_datamap
from handover.stages.raw_rows import ADDRESS, BIRTH, NAME, masked_rows
from handover.stages.raw_search import search_for

SEARCHED = "absence-searched"
STEP = "absence"
Cell = tuple[str, str, str]
# Kinds of which a column in clear may hold the raw values of a person handed over in clear.
_OF_ONE = frozenset((*KINDS, NAME, ADDRESS, BIRTH))
# What these make can be somebody else's raw value by chance.
_ALIKE = frozenset(("permute", "choice", "generalise", "shift", "noise"))
_MOST_SHOWN = 5


@dataclass
class Exceptions:
    """Columns of the target that may hold raw values: in clear by the data map, or alike by chance."""

    clear: frozenset[Cell]
    alike: frozenset[Cell]
    counts: Counter[str] = field(default_factory=Counter)

    def __call__(self, schema: str, table: str, column: str, row: str) -> bool:
        """Say whether a cell may hold a raw value."""
        place = (schema, table, column)
        why = "clear" if place in self.clear else "alike" if place in self.alike else ""
        self.counts.update([why] if why else [])
        return bool(why)


def search_target(context: Context) -> None:
    """Look for raw values of masked columns in the whole target; raises VerificationFailed on any."""
    if not context.masks:
        return
    with context.step(STEP) as progress:
        context.last("migrated", "finish")
        index = read_index(context)
        datamap = masked_datamap(context, index)
        excepted = exceptions(index, datamap)
        progress.expect(*index.rows(index.plan.groups()))
        outcome = search_for(
            context, context.target, masked_rows(context, index, datamap), excepted, progress
        )
        body: dict[str, Any] = {
            "generation": index.state.generation,
            "plan": index.plan.sha256_of_json(),
            **outcome.document(),
            "excepted": dict(sorted(excepted.counts.items())),
            "may_be_alike": sorted(".".join(place) for place in excepted.alike),
        }
        lines = described(body)
        body["absent"] = not lines
        body["acknowledged"] = [one for one in lines if one in context.case.acknowledge]
        context.record(SEARCHED, body)
        refuse(unaccepted(lines, context.case.acknowledge))


def masked_datamap(context: Context, index: BackupIndex) -> DataMap:
    """Return the data map by which a plan masks."""
    datamap = planned_datamap(context, index.plan)
    if datamap is None:
        raise DataMapInvalid(
            f"the plan of case {context.case.case} masks columns without a data map", hint="start a new run"
        )
    return datamap


def exceptions(index: BackupIndex, datamap: DataMap) -> Exceptions:
    """Return which columns of the target may hold raw values."""
    plans = {table.label: table for table in index.plan.tables}
    clear: set[Cell] = set()
    alike: set[Cell] = set()
    for dataset in datamap.datasets:
        names = [(one.schema_name, one.name) for one in (dataset.table, *dataset.partitions)]
        # The rows of a partition may be planned as those of its whole table.
        of = {name: plans.get(".".join(name)) or plans.get(dataset.table.label) for name in names}
        for (schema, table), plan in of.items():
            for column, entry in dataset.columns.items() if plan else ():
                place = (schema, table, column)
                if plan and _may_be_alike(plan, column):
                    alike.add(place)
                elif plan and dataset.subject and entry.kind in _OF_ONE and _is_clear(plan, column):
                    clear.add(place)
    return Exceptions(frozenset(clear), frozenset(alike))


def _is_clear(plan: TablePlan, column: str) -> bool:
    """Say whether a column arrives as it was; a generated one does where nothing of its row is masked."""
    return all(one.column != column for one in plan.masked) and (column in plan.columns or not plan.masked)


def _may_be_alike(plan: TablePlan, column: str) -> bool:
    """Say whether a pseudonym can be somebody's raw value; a generated column is made of such ones."""
    alike = [one.column for one in plan.masked if _made_alike(one.pseudonym)]
    return column in alike or (column not in plan.columns and bool(alike))


def _made_alike(pseudonym: Pseudonym) -> bool:
    said = pseudonym.treatment
    if said["strategy"] == "fpe":
        return bool(said.get("realistic")) or said.get("form") in ("digits", "alphanumeric")
    return said["strategy"] in _ALIKE or said.get("output") == "integer"


def described(body: Mapping[str, Any]) -> dict[str, str]:
    """Return a line for everything that an entry says against absence, by its id."""
    lines = {}
    for one in body["findings"]:
        name = f"{one['schema_name']}.{one['table']}.{one['column']}"
        kinds = ", ".join(f"{kind} {cells}" for kind, cells in one["kinds"].items())
        rows = ", ".join(one["row_tokens"][:_MOST_SHOWN])
        noun = "cell holds" if one["cells"] == 1 else "cells hold"
        lines[f"raw-value:{name}"] = (
            f"{name}: {one['cells']} {noun} raw values of what was masked ({kinds}), among rows {rows}"
        )
    for one in body["not_searched"]:
        name = f"{one['schema_name']}.{one['table']}.{one['column']}"
        lines[f"raw-value-not-searched:{name}"] = f"{name}: not searched for raw values: {one['why']}"
    return lines


def unaccepted(lines: Mapping[str, str], acknowledged: Collection[str]) -> list[str]:
    """Return the lines for which nobody answers."""
    return [f"{line}; accepted only as {name}" for name, line in lines.items() if name not in acknowledged]


def refuse(lines: list[str]) -> None:
    """Raise VerificationFailed for what nobody accepts."""
    if lines:
        raise VerificationFailed(
            "raw values of what was masked are in the target:\n  " + "\n  ".join(lines),
            hint="correct the treatment of these columns in the data map and start a new run with an empty "
            "target; who looked into a finding and accepts it lists its id under acknowledge in the case",
            differences=lines,
        )


def absence_faults(context: Context) -> list[str]:
    """Return what the latest search of the sealed backup's target found; for closing."""
    sealed = context.entries("backup-sealed")
    if not sealed or not context.plan().masks:
        return []
    generation = sealed[-1].body["generation"]
    latest = [e.body for e in context.entries(SEARCHED) if e.body["generation"] == generation][-1:]
    if not latest:
        return ["the target was not searched for raw values"]
    return unaccepted(described(latest[0]), context.case.acknowledge)
