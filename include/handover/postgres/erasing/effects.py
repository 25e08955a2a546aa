"""What a transaction changed, table by table, as the server counts it: so nothing happens unseen.

Large objects, sequences and foreign servers are not counted there: what a trigger does to them is not seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from handover.errors import PreflightFailed
from handover.model.case import RECEIPTS_SCHEMA
from handover.postgres.erasing.request import Change, Effect
from handover.postgres.references import Graph
from handover.postgres.session import Connection, fetch

Counts = Counter[tuple[str, Change]]
_COUNTED = "SELECT current_setting('track_counts')"
# Counts of what was rolled back stay in it: only the difference between two looks says something.
_CHANGES = """
SELECT n.nspname, c.relname, pg_stat_get_xact_tuples_inserted(c.oid), pg_stat_get_xact_tuples_updated(c.oid),
       pg_stat_get_xact_tuples_deleted(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND c.oid >= 16384 AND n.nspname <> %s
  AND pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
      + pg_stat_get_xact_tuples_deleted(c.oid) > 0
"""


def require_counting(connection: Connection) -> None:
    """Raise PreflightFailed where the server does not count what a transaction changes."""
    if fetch(connection, _COUNTED)[0][0] != "on":
        raise PreflightFailed(
            "the source's server does not count the rows that a transaction changes",
            hint="set track_counts = on, its default, for the role or database",
        )


def changes(connection: Connection, graph: Graph) -> Counts:
    """Return the rows changed by now, by label of a table of the graph or of one outside, and kind."""
    found: Counts = Counter()
    for schema, name, inserted, updated, deleted in fetch(connection, _CHANGES, RECEIPTS_SCHEMA):
        place = graph.places.get((str(schema), str(name)))
        label = graph.tables[place[0]].label if place else f"{schema}.{name}"
        found[label, "inserted"] += int(str(inserted))
        found[label, "updated"] += int(str(updated))
        found[label, "deleted"] += int(str(deleted))
    return found


def beyond(before: Counts, after: Counts, deleted: Mapping[str, int]) -> tuple[Effect, ...]:
    """Return what happened between two looks beside the deletions that were meant."""
    found = Counter(after)
    found.subtract(before)
    found.subtract({(label, "deleted"): rows for label, rows in deleted.items()})
    return tuple(
        Effect(table=label, change=change, rows=rows)
        for (label, change), rows in sorted(found.items())
        if rows
    )
