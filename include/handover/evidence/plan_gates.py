"""Verdicts of gates for people: how many hinder what, and each with what lacks and what remedies it.

A verdict is the document of a law.gates.Verdict with ``hinders``: the steps that must not happen for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from handover.evidence.markdown import table

Gates = Sequence[Mapping[str, Any]]
NO_POLICY = "未判定：案件未列明政策包。 / Not judged: the case names no policy."
NOT_YET = "尚未判定。 / Not judged yet."
STATES = {
    "block": "阻断 block",
    "warn": "警示 warn",
    "pass": "通过 pass",
    "not_applicable": "不适用 not asked",
}


def hindering(gates: Gates | None, step: str = "execution") -> list[Mapping[str, Any]]:
    """Return the gates for which a step must not happen."""
    return [gate for gate in gates or () if step in gate["hinders"]]


def gates_line(gates: Gates | None, policy: Sequence[str]) -> str:
    """Say how many gates there are, and how many hinder what; ``policy``: the packs that the case names."""
    if gates is None:
        return NOT_YET if policy else NO_POLICY
    asked = sum(gate["state"] != "not_applicable" for gate in gates)
    now, later = len(hindering(gates)), len(hindering(gates, "closing"))
    return (
        f"适用关卡 {asked} 项：阻断执行 {now} 项，阻断结案 {later} 项。 / "
        f"{asked} gates apply: {now} hinder execution, {later} hinder closing."
    )


def gates_table(gates: Gates) -> str:
    """Return the verdicts with what lacks and what remedies it."""
    head = (
        "关卡 Gate",
        "结论 Verdict",
        "依据 Basis",
        "理由 Reason",
        "缺少 Lacks",
        "补救 Remedy",
        "接受人 Accepted by",
    )
    return table(head, [_gate(gate) for gate in gates])


def _gate(gate: Mapping[str, Any]) -> tuple[str, ...]:
    accepted = gate["accepted"]
    return (
        gate["gate"],
        f"{STATES[gate['state']]} ({gate['severity']})",
        gate["basis"]["source"],
        _both(gate["reason"]),
        "; ".join(gate["lacking"]),
        _both(gate["remedy"]) if gate["remedy"] else "",
        f"{accepted['name']}, {accepted['on']}" if accepted else "",
    )


def _both(text: Mapping[str, str]) -> str:
    return f"{text['zh']} / {text['en']}"
