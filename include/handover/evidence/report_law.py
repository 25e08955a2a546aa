"""What law and people said of a run, for its report: gates, scope, answers, the second look at the source.

Everything is repeated from the ledger. Of what a case says in its own words only the names of those who
accepted a gate are shown; an approver's reason was searched for personal data before it was signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from handover.evidence.compared import comparisons
from handover.evidence.entry import Entry
from handover.evidence.history import Body, History
from handover.model.disposition import COPIED

APPROVED = "approved"
_ANSWERS = frozenset({APPROVED, "refused", "answer-rejected"})
# The verdicts of a gate, the worst first. One that we do not know is not taken to be good.
_STATES = ("block", "warn", "pass", "not_applicable")
# The unit of a second look that no comparison has, as the recheck stage names it.
_SCOPE = "scope"


def law(history: History) -> dict[str, Any]:
    """Return the members of the report that tell why the run was allowed to do what it did."""
    return {
        "gates": _gates(history),
        "scope": _scope(history),
        "approvals": _approvals(history),
        "recheck": _recheck(history),
    }


def _gates(history: History) -> dict[str, Any]:
    """Return the latest hearing, those in its way first; empty before the first one."""
    hearings = history.all("gates")
    if not hearings:
        return {"judged": False} if history.all("gates-not-judged") else {}
    latest = hearings[-1].body
    hindering = frozenset(latest["hindered"])
    verdicts = sorted((_verdict(one, hindering) for one in latest["verdicts"]), key=_worst_first)
    return {
        "judged": True,
        "at": hearings[-1].at,
        "date": latest["date"],
        "step": latest["step"],
        "outdated": _of_another_plan(history, latest),
        "counts": {
            "hindering": sum(one["hinders"] for one in verdicts),
            "accepted": sum(one["accepted"] is not None for one in verdicts),
            **{state: sum(one["state"] == state for one in verdicts) for state in _STATES},
        },
        "verdicts": verdicts,
        "policy": dict(latest["policy"]),
        "newer": [{"frozen": one["frozen"], "newer": one["newer"]} for one in latest["newer"]],
        "hearings": [
            {"at": entry.at, "step": entry.body["step"], "hindering": len(entry.body["hindered"])}
            for entry in hearings
        ],
    }


def _of_another_plan(history: History, hearing: Body) -> bool:
    plan = history.last("plan").get("digest", "")
    return bool(hearing.get("plan_digest", plan) != plan)


def _verdict(verdict: Body, hindering: frozenset[str]) -> dict[str, Any]:
    basis, accepted = verdict["basis"], verdict["accepted"]
    return {
        "gate": verdict["gate"],
        "pack": verdict["pack"],
        "state": verdict["state"],
        "severity": verdict["severity"],
        "hinders": verdict["gate"] in hindering,
        "source": basis["source"],
        "status": basis["status"],
        "verified": basis["verified"],
        "reason": verdict["reason"],
        "remedy": verdict["remedy"],
        "lacking": list(verdict["lacking"]),
        "notes": list(verdict["notes"]),
        "accepted": {"name": accepted["name"], "on": accepted["on"]} if accepted else None,
    }


def _worst_first(verdict: Mapping[str, Any]) -> tuple[bool, int]:
    """Put what is in the way first; within a state the packs' own order stays."""
    state = verdict["state"]
    return not verdict["hinders"], _STATES.index(state) if state in _STATES else -1


def _scope(history: History) -> dict[str, Any]:
    """Return which rows the plan in force is about; empty before there is one."""
    if not history.plan:
        return {}
    scope = history.plan.get("scope")
    if scope is None:
        return {"every_row": True}
    tables = [_table(one) for one in scope["tables"]]
    return {
        "every_row": False,
        "totals": {
            "tables": len(tables),
            "tables_in_scope": sum(one["rows"] > 0 for one in tables),
            "rows": sum(one["rows"] for one in tables),
            "of": sum(one["of"] for one in tables),
            "copied": sum(
                part["rows"] for one in tables for part in one["classes"] if part["target"] in COPIED
            ),
        },
        "tables": tables,
        "persons": [
            {"table": label, "considered": asked, "in_scope": inside, "staying": max(0, asked - inside)}
            for label, (asked, inside) in scope["persons"].items()
        ],
        "facts": dict(scope["facts"]),
    }


def _table(one: Body) -> dict[str, Any]:
    return {
        "table": one["table"],
        "rows": one["owned"] + one["needed"],
        "needed": one["needed"],
        "of": one["total"],
        "keys_digest": one["keys_digest"],
        "classes": [
            {name: part[name] for name in ("name", "target", "source", "rows")} for part in one["classes"]
        ],
    }


def _approvals(history: History) -> dict[str, Any]:
    """Return who asked and every answer, those that did not count too; empty where nobody was asked."""
    answers = list(_answers(history))
    spared = [str(entry.body["what"]) for entry in history.all("approval-not-required")]
    mandated = [
        {"what": str(e.body["what"]), "mandate": str(e.body["mandate"]), "signed_by": e.body["signed_by"]}
        for e in history.all("mandate-used")
    ]
    if not (answers or spared or mandated or history.all("approval-asked")):
        return {}
    return {
        "requester": str(history.last("requested").get("by", "")),
        "not_required": spared,
        "mandated": mandated,
        "asked": [str(entry.body["what"]) for entry in history.all("approval-asked")],
        "answers": answers,
    }


def _answers(history: History) -> Iterator[dict[str, Any]]:
    asked = {
        (entry.body["what"], entry.body["digest"]): entry.body for entry in history.all("approval-asked")
    }
    latest = {entry.body["what"]: entry.body["digest"] for entry in history.all("approval-asked")}
    refusals = {(e.body["what"], e.body["digest"]): e.seq for e in history.all("refused")}
    plan = history.last("plan").get("digest", "")
    for entry in (one for one in history.entries if one.kind in _ANSWERS):
        body = entry.body
        question = asked.get((body["what"], body["digest"]), {})
        about = str(question.get("subject", {}).get("plan_digest", ""))
        refused = refusals.get((body["what"], body["digest"]), 0) > entry.seq
        in_force = about == plan and latest.get(body["what"]) == body["digest"] and not refused
        yield _answer(entry, about, outdated=entry.kind == APPROVED and not in_force)


def _answer(entry: Entry, plan_digest: str, *, outdated: bool) -> dict[str, Any]:
    """Return an answer; ``outdated``: a yes to what is not in force any more, or was refused since."""
    body = entry.body
    return {
        "seq": entry.seq,
        "what": body["what"],
        "outcome": entry.kind,
        "outdated": outdated,
        "answered_at": body["answered_at"],
        "expires_at": body.get("expires_at", ""),
        "by": body["by"],
        "account_id": body["account_id"],
        "auth_manager": str(body["auth_manager"]).rsplit(".", 1)[-1],
        "digest": body["digest"],
        "plan_digest": plan_digest,
        "reason": body.get("reason", ""),
        "problem": body.get("problem", ""),
    }


def _recheck(history: History) -> dict[str, Any]:
    """Return what reading the source again found, part by part the latest look; empty before the first."""
    looks = [e for e in history.all("source-rechecked") if e.body["generation"] == history.generation]
    if not looks:
        return {}
    latest = {str(entry.body["unit"]): entry.body["differences"] for entry in looks}
    parts = [*(one["unit"] for one in comparisons(history)), _SCOPE]
    return {
        "at": looks[-1].at,
        "frozen_at": history.at("source-frozen"),
        "parts": len(parts),
        "looked_at": sum(part in latest for part in parts),
        "looks": len(looks),
        "changes": [str(line) for differences in latest.values() for line in differences],
    }
