"""What the test for re-identification said of a target, and what of it nobody has accepted.

Apart from the test itself, which loads libraries that no other task needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handover.stages.absence import unaccepted
from handover.stages.context import Context

TESTED, NOT_TESTED = "reidentification-tested", "reidentification-not-tested"
STEP = "reidentification"


def described(body: Mapping[str, Any]) -> dict[str, str]:
    """Return a line for everything that an entry says against the rows, by its id."""
    lines = {}
    for one in body["figures"]:
        if one["exceeded"]:
            proposal = body["proposals"].get(one["label"])
            said = "; ".join([*one["exceeded"], *([proposal] if proposal else [])])
            lines[f"{STEP}:{one['label']}"] = f"{one['label']} can be re-identified: {said}"
    for way in body["unjoined"]:
        lines[f"{STEP}-unjoined:{way}"] = (
            f"{way}: no way leads from one to the other, so that they were not tested together"
        )
    return lines


def reidentification_faults(context: Context) -> list[str]:
    """Return what the latest test of the sealed backup's target found; for closing."""
    sealed = context.entries("backup-sealed")
    if not sealed or not context.plan().masks:
        return []
    generation = sealed[-1].body["generation"]
    latest = [e.body for e in context.entries(TESTED) if e.body["generation"] == generation][-1:]
    if not latest:
        unjudged = not context.case.policy and context.entries(NOT_TESTED)
        return [] if unjudged else ["the target was not tested for re-identification"]
    return unaccepted(described(latest[0]), context.case.acknowledge)
