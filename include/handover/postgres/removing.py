"""Removes rows from a database that was just filled, with what they own, so that none of its keys is broken.

Rows are marked by place; nobody else writes there. A row that is marked takes along those that it owns.
Where a row that stays refers to a marked one by a foreign key, the marked one stays as well if it is
nobody's; a person's goes all the same, and the reference is severed where its columns may be NULL.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from handover.errors import VerificationFailed
from handover.model.catalog import Table
from handover.postgres.erasing.foreign_keys import ForeignKey, read_foreign_keys
from handover.postgres.ordering import rows_of
from handover.postgres.references import Graph, Reference
from handover.postgres.session import Connection, database_errors, fetch, qualified

_MARKED = sql.SQL("pg_temp.handover_removed")
_CREATE = sql.SQL(
    "CREATE TEMPORARY TABLE handover_removed"
    " (number int, part oid, place tid, PRIMARY KEY (number, part, place)) ON COMMIT DROP"
)
# Parents before their partitions: what is said of those reaches these as well.
_TRIGGERS = """
SELECT n.nspname, c.relname, t.tgname, t.tgenabled::text
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND n.nspname = ANY(%s)
ORDER BY (SELECT count(*) FROM pg_partition_ancestors(c.oid)), 1, 2, 3
"""
_STATES = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
_NULLABLE = """
SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = ANY(%s) AND NOT attnotnull
AND NOT attisdropped AND attgenerated = ''
"""


@dataclass(frozen=True)
class Removed:
    """What became of a table's rows: marked at first, gone along with their owner, kept because needed."""

    table: str
    marked: int
    along: int
    needed: int


class Removing:
    """Marks rows and removes them, in the transaction that is open, whose end lets others in again."""

    def __init__(self, connection: Connection, graph: Graph) -> None:
        """Lock the tables and begin without a mark."""
        self._connection, self._graph = connection, graph
        self._marked: dict[int, int] = {}
        with database_errors("locking what was restored"):
            for table in graph.tables:
                self._run(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(rows_of(table)))
            self._run(_CREATE)

    def mark(self, number: int, places: Iterable[tuple[str, str]]) -> None:
        """Mark rows of a table by partition and place, as the server writes them."""
        insert = sql.SQL("INSERT INTO {} VALUES (%s, %s::oid, %s::tid) ON CONFLICT DO NOTHING").format(
            _MARKED
        )
        with database_errors("marking rows"), self._connection.cursor() as cursor:
            cursor.executemany(insert, [(number, *place) for place in places])

    def remove(
        self, owned: Collection[Reference], persons: Collection[int]
    ) -> tuple[list[Removed], list[str]]:
        """Remove the marked rows; returns what became of them, and the foreign keys that were severed.

        ``owned``: references by which a child belongs to its parent; ``persons``: tables of somebody's rows.
        Raises VerificationFailed when a person's row cannot go.
        """
        with database_errors("removing rows"), self._triggers_off():
            marked = self._counts()
            self._run(sql.SQL("ANALYZE {}").format(_MARKED))
            self._take_along(owned)
            before = self._counts()
            keys = read_foreign_keys(self._connection, self._graph, before)
            self._keep_needed([key for key in keys if key.parent not in persons])
            going = self._counts()
            severed = self._sever([key for key in keys if key.parent in persons])
            self._delete(going)
        found = [
            Removed(
                self._graph.tables[number].label,
                marked.get(number, 0),
                rows - marked.get(number, 0),
                rows - going.get(number, 0),
            )
            for number, rows in before.items()
        ]
        return found, severed

    def _run(self, statement: sql.Composable) -> int:
        return self._connection.execute(sql.Composed([statement])).rowcount

    def _counts(self) -> dict[int, int]:
        query = sql.SQL("SELECT number, count(*) FROM {} GROUP BY 1 ORDER BY 1").format(_MARKED)
        return {int(str(number)): int(str(rows)) for number, rows in fetch(self._connection, query)}

    def _take_along(self, owned: Collection[Reference]) -> None:
        while sum(self._follow(one) for one in owned):
            pass

    def _follow(self, reference: Reference) -> int:
        parent, child = reference.parent, reference.child
        names = [sql.Identifier(f"p{n}") for n in range(len(parent.columns))]
        values = [
            sql.SQL("t.{} AS {}").format(sql.Identifier(column), name)
            for column, name in zip(parent.columns, names, strict=True)
        ]
        parents = sql.SQL("SELECT {} FROM {} AS t WHERE {} AND {}").format(
            sql.SQL(", ").join(values),
            rows_of(self._graph.tables[parent.table]),
            parent.part.condition() or sql.SQL("true"),
            _is_marked(parent.table),
        )
        tests = [
            equality.test(sql.SQL("p.{}").format(name), sql.SQL("t.{}").format(sql.Identifier(column)))
            for equality, name, column in zip(reference.equalities, names, child.columns, strict=True)
        ]
        return self._run(
            sql.SQL(
                "INSERT INTO {} SELECT {}, t.tableoid, t.ctid FROM {} AS t WHERE {} AND EXISTS"
                " (SELECT FROM ({}) AS p WHERE {}) ON CONFLICT DO NOTHING"
            ).format(
                _MARKED,
                sql.Literal(child.table),
                rows_of(self._graph.tables[child.table]),
                child.part.condition() or sql.SQL("true"),
                parents,
                sql.SQL(" AND ").join(tests),
            )
        )

    def _keep_needed(self, keys: Collection[ForeignKey]) -> None:
        """Take the mark from rows to which rows that stay refer, which makes these need others in turn."""
        while sum(self._run(self._unmark(key)) for key in keys):
            pass

    def _unmark(self, key: ForeignKey) -> sql.Composable:
        return sql.SQL(
            "DELETE FROM {} AS m USING {} AS p WHERE m.number = {} AND m.part = p.tableoid"
            " AND m.place = p.ctid AND EXISTS (SELECT FROM {} AS t WHERE {} AND NOT {})"
        ).format(
            _MARKED,
            key.parent_rows,
            sql.Literal(key.parent),
            key.child_rows,
            key.refers("p", "t"),
            _is_marked(key.child),
        )

    def _sever(self, keys: Collection[ForeignKey]) -> list[str]:
        """Take the references of rows that stay to persons who go; returns how many by which key."""
        severed = []
        for key in keys:
            refers = sql.SQL("EXISTS (SELECT FROM {} AS p WHERE {} AND {}) AND NOT {}").format(
                key.parent_rows, key.refers("p", "t"), _is_marked(key.parent, "p"), _is_marked(key.child)
            )
            query = sql.SQL("SELECT count(*) FROM {} AS t WHERE {}").format(key.child_rows, refers)
            rows = int(str(fetch(self._connection, query)[0][0]))
            if not rows:
                continue
            said = f"{rows} rows of {key.child_label} refer by {key.name} to rows that were erased"
            columns = self._nullable(key)
            if not columns:
                raise VerificationFailed(
                    f"{said}, and can neither stay without them nor go with them",
                    hint="say in the data map whose rows these are, or have two persons decide: "
                    "`handover keep-erased`",
                    key=key.name,
                )
            empty = sql.SQL(", ").join(sql.SQL("{} = NULL").format(sql.Identifier(name)) for name in columns)
            self._run(sql.SQL("UPDATE {} AS t SET {} WHERE {}").format(key.child_rows, empty, refers))
            severed.append(said)
        return severed

    def _nullable(self, key: ForeignKey) -> list[str]:
        if key.child is None:
            return []
        wanted, table = [here for here, _, _ in key.pairs], self._graph.tables[key.child]
        place = qualified(table.schema_name, table.name).as_string(self._connection)
        return [str(column) for (column,) in fetch(self._connection, _NULLABLE, place, wanted)]

    def _delete(self, going: dict[int, int]) -> None:
        """Delete from all tables in one statement, at whose end alone the server looks at foreign keys."""
        if not going:
            return
        gone = {number: sql.Identifier(f"gone_{number}") for number in going}
        parts = [
            sql.SQL("{} AS (DELETE FROM {} AS t WHERE {} RETURNING 1)").format(
                name, rows_of(self._graph.tables[number]), _is_marked(number)
            )
            for number, name in gone.items()
        ]
        counts = [sql.SQL("(SELECT count(*) FROM {})").format(name) for name in gone.values()]
        query = sql.SQL("WITH {} SELECT {}").format(sql.SQL(", ").join(parts), sql.SQL(", ").join(counts))
        deleted = [int(str(rows)) for rows in fetch(self._connection, query)[0]]
        if deleted != list(going.values()):
            raise VerificationFailed(
                "rows that were erased cannot all be removed from what was restored",
                hint="a rule of a table keeps them: see what is defined ON DELETE there",
            )

    @contextmanager
    def _triggers_off(self) -> Iterator[None]:
        """Keep the database's own triggers from writing down elsewhere what goes."""
        self._run(sql.SQL("SET CONSTRAINTS ALL IMMEDIATE"))
        schemas = sorted({schema for schema, _ in self._graph.places})
        found = [tuple(map(str, row)) for row in fetch(self._connection, _TRIGGERS, schemas)]
        for schema, table, trigger, _ in found:
            self._set_trigger(schema, table, trigger, "DISABLE")
        yield
        for schema, table, trigger, state in found:
            self._set_trigger(schema, table, trigger, _STATES[state])

    def _set_trigger(self, schema: str, table: str, trigger: str, state: str) -> None:
        self._run(
            sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(
                qualified(schema, table), sql.SQL(state), sql.Identifier(trigger)
            )
        )


def _is_marked(number: int | None, alias: str = "t") -> sql.Composable:
    """Return the condition that a row is marked; one of a table outside the graph never is."""
    if number is None:
        return sql.SQL("false")
    return sql.SQL(
        "EXISTS (SELECT FROM {} AS m WHERE m.number = {} AND m.part = {}.tableoid AND m.place = {}.ctid)"
    ).format(_MARKED, sql.Literal(number), sql.Identifier(alias), sql.Identifier(alias))


def forget(connection: Connection, tables: Iterable[Table]) -> None:
    """Write tables anew, so that neither dead rows nor statistics tell what was removed."""
    for table in tables:
        with database_errors(f"writing {table.label} anew"):
            place = qualified(table.schema_name, table.name)
            connection.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(place))
