"""Security incidents: how grave, and within how many hours the authority had to know (INC-CN)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from handover.law.facts import Facts
from handover.model.matter import Incident
from handover.model.policy import Pack

IncidentGrade = Literal["below", "larger", "grave", "extremely_grave"]
# Thresholds are inclusive; a number that is not known counts as reaching the first of them.
PERSONS: tuple[tuple[int, IncidentGrade], ...] = (
    (100_000_000, "extremely_grave"),
    (10_000_000, "grave"),
    (1_000_000, "larger"),
)
LOSS_EXTREMELY_GRAVE = 100_000_000


def grade(incident: Incident) -> IncidentGrade:
    """Return the grade by persons and loss in yuan."""
    if incident.loss_yuan is not None and incident.loss_yuan >= LOSS_EXTREMELY_GRAVE:
        return "extremely_grave"
    if incident.persons_affected is None or incident.loss_yuan is None:
        return "larger"
    return next((name for least, name in PERSONS if incident.persons_affected >= least), "below")


def clock_id(incident: Incident) -> str:
    """Return the id of the clock that runs for an incident; what is not known is taken as the shortest."""
    if grade(incident) == "below":
        return "INC-CN.below"
    if incident.critical_infrastructure is not False:
        return "INC-CN.cii"
    return "INC-CN.ordinary" if incident.state_organ is False else "INC-CN.organ"


def incident_problems(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """Yield each incident that the authority did not know of in time, as the packs' clocks say."""
    if facts.matter.incidents is None:
        yield "matter.incidents is not said; an empty list says that there were none"
    hours = {name: clock.amount for pack in packs for name, clock in pack.clocks.items()}
    for number, incident in enumerate(facts.matter.incidents or ()):
        allowed = hours.get(clock_id(incident))
        taken = incident.hours_to_report
        if allowed is None:
            yield f"matter.incidents[{number}]: no pack of the case has the clock {clock_id(incident)}"
        elif taken is None:
            yield (
                f"matter.incidents[{number}] is not reported; {allowed} h are allowed, "
                f"{incident.hours_since_found} h have passed"
            )
        elif taken > allowed:
            yield f"matter.incidents[{number}] was reported after {taken} h, {allowed} h are allowed"
