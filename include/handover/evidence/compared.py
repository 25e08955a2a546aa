"""What a run compared, table by table and unit by unit, and what each comparison found."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

from handover.evidence.history import Body, History

# The unit of everything that is not rows, as the verify stage names it.
OBJECTS = "objects"
OBJECTS_LABEL = "definitions, sequences, views, large objects, extensions"
EQUAL, DIFFERENT, NOT_COMPARED = "equal", "different", "not compared"


def label(table: Body) -> str:
    """Return a planned table's name for people."""
    return f"{table['schema_name']}.{table['name']}" if table["name"] else str(table["id"])


def comparisons(history: History) -> list[dict[str, Any]]:
    """Return each unit of the plan with its latest verification; none when there is no plan yet."""
    if not history.plan:
        return []
    verified: dict[str, list[list[str]]] = defaultdict(list)
    for body in history.counting("verified"):
        verified[str(body["unit"])].append(list(body["differences"]))
    tables = {table["id"]: table for table in history.plan["tables"]}
    groups = [group for lane in history.plan["lanes"] for group in lane["groups"]]
    groups.sort(key=lambda group: (group["table"], group["number"]))
    found = [
        _comparison(f"{g['table']}/{g['number']}", _described(tables[g["table"]], g["number"]), verified)
        for g in groups
    ]
    return [*found, _comparison(OBJECTS, OBJECTS_LABEL, verified)]


def _described(table: Body, number: int) -> str:
    return label(table) if table["groups"] == 1 else f"{label(table)} {number + 1}/{table['groups']}"


def _comparison(unit: str, what: str, verified: dict[str, list[list[str]]]) -> dict[str, Any]:
    attempts = verified.get(unit, [])
    latest = attempts[-1] if attempts else []
    state = NOT_COMPARED if not attempts else DIFFERENT if latest else EQUAL
    return {
        "unit": unit,
        "what": what,
        "state": state,
        "attempts": len(attempts),
        "attempts_that_differed": sum(bool(differences) for differences in attempts),
        "differences": latest,
    }


def tables(history: History, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every planned table with what was read of it and how its comparison stands."""
    chunks: dict[str, list[Body]] = defaultdict(list)
    for chunk in history.chunks():
        chunks[str(chunk["table"])].append(chunk)
    states: dict[str, set[str]] = defaultdict(set)
    for comparison in found:
        states[comparison["unit"].split("/")[0]].add(comparison["state"])
    planned = history.plan.get("tables", [])
    return [_table(table, chunks[table["id"]], states[table["id"]]) for table in planned]


def _table(table: Body, chunks: list[Body], states: set[str]) -> dict[str, Any]:
    return {
        "id": table["id"],
        "table": label(table),
        "rows": sum(chunk["rows"] for chunk in chunks),
        "bytes": sum(chunk["bytes"] for chunk in chunks),
        "columns": len(table["columns"]),
        "groups": table["groups"],
        "chunks": len(chunks),
        "format": table["format"],
        "text_because": table["text_because"],
        "key": [{"column": part["name"], "order": part["order"]} for part in table["key"]],
        "digest": digest_of([chunk["digest"] for chunk in chunks]) if chunks else "",
        "state": next((s for s in (DIFFERENT, NOT_COMPARED, EQUAL) if s in states), NOT_COMPARED),
    }


def digest_of(digests: list[str]) -> str:
    """Return one digest over the keyed digests of a table's chunks: each in hex, ended by a line feed."""
    return hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()


def totals(listed: list[dict[str, Any]], found: list[dict[str, Any]]) -> dict[str, int]:
    """Return the numbers of the summary line."""
    return {
        "tables": sum(table["table"] != table["id"] for table in listed),  # large objects are none
        "rows": sum(table["rows"] for table in listed),
        "bytes": sum(table["bytes"] for table in listed),
        "chunks": sum(table["chunks"] for table in listed),
        "comparisons": len(found),
        "equal": sum(comparison["state"] == EQUAL for comparison in found),
        "different": sum(comparison["state"] == DIFFERENT for comparison in found),
        "not_compared": sum(comparison["state"] == NOT_COMPARED for comparison in found),
    }
