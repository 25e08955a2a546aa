"""What a hold reaches: one on a source all sources and cases over its database, one on a case that case.

Where nobody can say whether another connection leads to the same database, its cases are bound as well: being
bound makes them ask the law again, and then they learn whether the hold keeps rows of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator

from handover.errors import CaseInvalid, HandoverError
from handover.model.case import load_case
from handover.model.registered import known_sources
from handover.stages.context import Context
from handover.stages.holds import possible_sources, sources_of

OPENED, CLOSED, ABORTED = "run-opened", "run-closed", "run-aborted"


def require_source(context: Context) -> None:
    """Refuse to hold rows in one case alone while sweeps of the same database would let them go.

    By a connection that is not known none can. Raises ConfigurationMissing or ConnectionLost when nobody can
    say whether one would.
    """
    if _is_source(context):
        return
    sweepable = sources_of(context, lambda one: context.databases.knows(one.database.connection))
    others = [one.source for one in sweepable]
    if others:
        raise CaseInvalid(
            f"the rows of case {context.case.case} are those of the registered source {others[0]}, which is "
            "swept every day",
            hint=f"lay the hold on {others[0]}; it then binds this case as well",
        )


def bound(context: Context) -> list[str]:
    """Return the names of what a hold binds, in the order in which everybody locks them."""
    found = {context.case.case}
    if _is_source(context):
        mine = context.case.source.connection
        found |= {one.source for one in possible_sources(context)}
        found |= {
            name
            for name, connection in [*_written_down(context), *_under_way(context)]
            if context.databases.may_be_one(connection, mine)
        }
    return sorted(found)


def _is_source(context: Context) -> bool:
    return context.case.case in known_sources(context.settings.sources)


def _written_down(context: Context) -> Iterator[tuple[str, str]]:
    """Yield the cases that have a valid file, with the connections to their sources."""
    for path in sorted(context.settings.cases.glob("*.yaml")):
        try:
            case = load_case(context.settings.cases, path.stem)
        except HandoverError:  # what cannot be opened begins nothing; what had begun is under way
            continue
        yield case.case, case.source.connection


def _under_way(context: Context) -> Iterator[tuple[str, str]]:
    """Yield the cases with a run that has not ended: it goes on with the case file as it was."""
    for name in context.ledger.cases():
        connections: dict[str, str] = {}
        for entry in context.ledger.entries(name, kinds=(OPENED, CLOSED, ABORTED)):
            if entry.kind == OPENED:
                connections[entry.run] = str(entry.body["case"]["source"]["connection"])
            elif entry.kind == ABORTED or entry.body["status"] == "complete":
                connections.pop(entry.run, None)
        yield from ((name, connection) for connection in sorted(set(connections.values())))
