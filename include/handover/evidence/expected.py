"""Expectations of source and target side by side, so that a fault of the source is not blamed on the move.

What hangs on the values of masked columns is asked of one side alone, and says so.
"""

from __future__ import annotations

from typing import Any

from handover.evidence.history import Body, History

MET, OWN, MOVED, ERROR, MISSING, PENDING = "met", "source", "moved", "error", "missing", "pending"
FAULTS = (MOVED, ERROR, MISSING)
SIDES = ("source", "target")


def expectations(history: History) -> dict[str, Any]:
    """Return when each side was checked and every result with where it stands; empty when none was."""
    latest: dict[str, Body] = {
        str(body["side"]): body
        for body in history.counting("expectations-checked")
        if body.get("side") in SIDES
    }
    if not latest:
        return {}
    results = {
        side: {r["id"]: r for r in latest[side]["results"]} if side in latest else {} for side in SIDES
    }
    accepted = set(history.case.get("acknowledge", ()))
    ids = sorted(results["source"].keys() | results["target"].keys())
    compared = [
        _pair(results["source"].get(i), results["target"].get(i), "target" in latest, accepted) for i in ids
    ]
    return {
        "suites": {side: str(body.get("suite_digest", "")) for side, body in sorted(latest.items())},
        "checked": sorted(latest),
        "results": compared,
        "standings": {s: sum(r["standing"] == s for r in compared) for s in (MET, OWN, *FAULTS, PENDING)},
    }


def _pair(source: Body | None, target: Body | None, target_ran: bool, accepted: set[str]) -> dict[str, Any]:
    known: Body = target or source or {}
    return {
        "id": known["id"],
        "table": known["table"],
        "columns": list(known["columns"]),
        "kind": known["kind"],
        "suite": known["suite"],
        "severity": known["severity"],
        "of": known.get("of", "both"),
        "source": _outcome(source),
        "target": _outcome(target),
        "standing": _standing(source, target, target_ran),
        "acknowledged": f"expectation:{known['id']}" in accepted,
    }


def _outcome(result: Body | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {name: result[name] for name in ("success", "failing", "tokens", "error")}


def _standing(source: Body | None, target: Body | None, target_ran: bool) -> str:
    """Say whose fault it is. What fails in both with one count was so before the move.

    A fault of the source that the target no longer shows is the source's too: what hangs on today's date
    heals by itself, and changed rows are found by their digests.
    """
    if source and source.get("of") == "source":
        return _of_source_alone(source)
    if target is None:
        return MISSING if target_ran else _before_the_move(source)
    if target["error"]:
        return ERROR
    if target["success"]:
        return OWN if source and not source["success"] else MET
    same = source and not source["success"] and source["failing"] == target["failing"]
    return OWN if same else MOVED


def _of_source_alone(source: Body) -> str:
    if source["success"]:
        return MET
    return ERROR if source["error"] else OWN


def _before_the_move(source: Body | None) -> str:
    if source is None or source["success"]:
        return PENDING
    return ERROR if source["error"] else OWN


def faults(found: dict[str, Any]) -> list[str]:
    """Return a line for each result that the move must answer for."""
    return [_line(result) for result in found.get("results", ()) if result["standing"] in FAULTS]


def _line(result: dict[str, Any]) -> str:
    columns = f" ({', '.join(result['columns'])})" if result["columns"] else ""
    what = f"{result['table']}{columns}: {result['kind']}"
    if result["standing"] == MISSING:
        return f"{what} was checked in the source and not in the target"
    if result["standing"] == ERROR:
        side = "target" if result["target"] else "source"
        return f"{what} could not be checked in the {side}: {result[side]['error']}"
    return f"{what} fails {_count(result['target'])} in the target, {_count(result['source'])} in the source"


def _count(outcome: dict[str, Any] | None) -> str:
    if outcome is None:
        return "unknown"
    if outcome["success"]:
        return "for no row"
    return (
        "for a number of rows not known" if outcome["failing"] is None else f"for {outcome['failing']} rows"
    )
