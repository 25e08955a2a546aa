"""Reads what the choice of a method rests on: sizes of tables, references to them, triggers, constraints."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from handover.model.cutover import FREEZE_SCHEMA
from handover.postgres.erasing.foreign_keys import read_foreign_keys
from handover.postgres.erasing.method import Share
from handover.postgres.ordering import rows_of
from handover.postgres.references import Graph
from handover.postgres.session import Connection, database_errors, fetch, qualified

# What a DELETE sets off in the table or a partition of it: bit 8 of a trigger's type, event 4 of a rule. The
# trigger of a freeze sets nothing off.
_SET_OFF = """
WITH part AS (
  SELECT %(table)s::regclass AS oid UNION SELECT relid FROM pg_partition_tree(%(table)s::regclass)
)
SELECT EXISTS (SELECT FROM pg_trigger JOIN part ON part.oid = tgrelid JOIN pg_proc p ON p.oid = tgfoid
               JOIN pg_namespace n ON n.oid = p.pronamespace
               WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 8 <> 0 AND n.nspname <> %(freeze)s)
    OR EXISTS (SELECT FROM pg_rewrite JOIN part ON part.oid = ev_class
               WHERE ev_enabled <> 'D' AND ev_type = '4')
"""
_OWNED = """
SELECT bool_and(pg_has_role(c.relowner, 'USAGE')) FROM pg_class c JOIN (
  SELECT %(table)s::regclass AS oid UNION SELECT relid FROM pg_partition_tree(%(table)s::regclass)
) AS part USING (oid)
"""


# Constraints made NOT VALID: the server checks them in rows that are inserted, though never in all that are
# there.
_UNPROVEN = """
WITH part AS (
  SELECT %(table)s::regclass AS oid UNION SELECT relid FROM pg_partition_tree(%(table)s::regclass)
)
SELECT EXISTS (SELECT FROM pg_constraint k JOIN part ON part.oid = conrelid WHERE NOT convalidated
               AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true))
"""


def read_shares(connection: Connection, graph: Graph, going: Mapping[str, int]) -> tuple[Share, ...]:
    """Return the shares of the tables from which rows go; ``going``: how many, by label."""
    numbers = {table.label: n for n, table in enumerate(graph.tables) if table.label in going}
    with database_errors("reading the sizes of the tables from which rows go"):
        referrers: dict[int, list[str]] = {}
        for key in read_foreign_keys(connection, graph, numbers.values()):
            if key.child != key.parent:
                label = key.child_label if key.child is None else graph.tables[key.child].label
                referrers.setdefault(key.parent, []).append(label)
        return tuple(
            Share(
                table=label,
                going=going[label],
                total=_total(connection, graph, number),
                referrers=tuple(dict.fromkeys(referrers.get(number, []))),
                triggers=_says(connection, _SET_OFF, graph, number),
                owned=_says(connection, _OWNED, graph, number),
                unproven=_says(connection, _UNPROVEN, graph, number),
            )
            for label, number in numbers.items()
        )


def _total(connection: Connection, graph: Graph, number: int) -> int:
    query = sql.SQL("SELECT count(*) FROM {}").format(rows_of(graph.tables[number]))
    return int(str(fetch(connection, query)[0][0]))


def _says(connection: Connection, query: str, graph: Graph, number: int) -> bool:
    table = graph.tables[number]
    name = qualified(table.schema_name, table.name).as_string(connection)
    row = connection.execute(query.encode(), {"table": name, "freeze": FREEZE_SCHEMA}).fetchone()
    return bool(row and row[0])
