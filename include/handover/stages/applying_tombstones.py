"""Erasing again in a restored database what was erased since its backup, once it is loaded and compared.

Until then they are there for whoever may connect: the ledger has `restore-begun` without `restored`, and the
audit names it. Nobody but the restore should have access before it has ended.

Tombstones of every run over the same database count, whatever its case. Of a run that has not come to write
them they are written now, from its own backup: rows that it may have erased do not come back either. But for
those that a legal hold keeps from it: the hold may be why they did not go.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass

from psycopg import sql

from handover.codec.rows import fields
from handover.errors import VerificationFailed
from handover.evidence.tombstones import writing_alone
from handover.model.backup import BackupIndex
from handover.model.base import Frozen
from handover.model.datamap import DataMap, load_datamap, map_path
from handover.postgres.copying import read_rows
from handover.postgres.objects import adopt, refresh
from handover.postgres.ordering import rows_of
from handover.postgres.receipts import once, receipts
from handover.postgres.references import Graph, Reference
from handover.postgres.referring import read_graph
from handover.postgres.removing import Removed, Removing, forget
from handover.postgres.session import Connection, connect, database_errors
from handover.stages.context import Context
from handover.stages.erasures import PastRun, as_it_is_now, erasures_since, pseudonymised_since
from handover.stages.held_again import Held, held_in
from handover.stages.person_graph import own_paths
from handover.stages.scoping import EVERYTHING
from handover.stages.tombstones import AT_ONCE, WRITTEN, known, remember

UNIT = "tombstones"
Named = tuple[tuple[str, tuple[str, ...]], ...]


class AgainTable(Frozen):
    """Rows of a table: that have tombstones, that went along with their owners, that stay because needed.

    ``held``: rows beside these that a run which is open was to erase, and that legal holds keep from it.
    """

    table: str
    erased: int
    along: int
    needed: int
    held: int = 0


class Again(Frozen):
    """What was erased again, by which runs it had been, which of these are open, which keys were severed.

    ``masked_runs`` pseudonymised rows since: with the backup their identities are back.
    ``kept``: two persons decided to leave all rows in, so that nobody looked for those of these runs.
    """

    tables: tuple[AgainTable, ...] = ()
    runs: tuple[str, ...] = ()
    open_runs: tuple[str, ...] = ()
    severed: tuple[str, ...] = ()
    masked_runs: tuple[str, ...] = ()
    kept: bool = False

    @property
    def rows(self) -> int:
        """Return how many rows are gone."""
        return sum(one.erased + one.along - one.needed for one in self.tables)


def erase_again(context: Context, index: BackupIndex, url: str, step: str) -> Again:
    """Remove from a restored database what was erased since. Safe to repeat.

    Raises VerificationFailed when a row of somebody who was erased cannot be removed, LedgerRefused or
    KeyUnavailable when nobody can say which ones were.
    """
    with closing(connect(url)) as connection, closing(connect(url, read_only=True)) as reader:
        done = erased_again(connection, context, step) or _erase(context, connection, reader, step)
        if done.rows:
            _forget(context, index, connection, done)
    return done


def require_known(context: Context) -> None:
    """Raise LedgerRefused or KeyUnavailable when nobody can say what was erased since."""
    for _ in erasures_since(context):
        pass


def leave_in(context: Context) -> Again:
    """Return what is said where two persons decided that erased rows come back."""
    past = list(erasures_since(context, strict=False))
    return Again(
        runs=tuple(r.name for r in past),
        open_runs=_open(past),
        masked_runs=tuple(pseudonymised_since(context)),
        kept=True,
    )


def erased_again(connection: Connection, context: Context, step: str) -> Again | None:
    """Return what an earlier attempt did here, None when none came so far."""
    found = receipts(connection, context.holder, f"{step}/{UNIT}").get(UNIT)
    return Again.model_validate_json(found[1]) if found else None


def _open(past: list[PastRun]) -> tuple[str, ...]:
    return tuple(one.name for one in past if one.is_open)


def _erase(context: Context, connection: Connection, reader: Connection, step: str) -> Again:
    with database_errors("reading what was restored"):
        graph = read_graph(connection, context.case.source.schemas, context.case.scope or EVERYTHING)
    named = [_named(context, one, connection) for one in erasures_since(context)]
    past = [one for one, _ in named]
    held = Counter[str]()
    with database_errors("erasing again what was erased"), connection.transaction():
        removing = Removing(connection, graph)
        for one, tables in named:
            erasing = one.context(context)
            marking = _Marking(
                removing, graph, reader, erasing, held_in(erasing, reader, is_open=one.is_open)
            )
            for label, columns in tables:
                held[label] += marking.mark(label, columns)
        maps = _maps(context, past)
        found, severed = removing.remove(_owned(graph, maps), _persons(graph, maps))
        again = Again(
            tables=_told(found, held),
            runs=tuple(one.name for one in past),
            open_runs=_open(past),
            severed=tuple(severed),
            masked_runs=tuple(pseudonymised_since(context)),
        )
        said = json.dumps(again.document())
        with once(connection, context.holder, f"{step}/{UNIT}", UNIT, again.rows, said):
            pass  # with the rows in one transaction: whoever repeats it does not compare what is left
    return again


def _told(found: list[Removed], held: Counter[str]) -> tuple[AgainTable, ...]:
    removed = {one.table: one for one in found}
    nothing = Removed("", 0, 0, 0)
    return tuple(
        AgainTable(table=label, erased=one.marked, along=one.along, needed=one.needed, held=held[label])
        for label in sorted(removed.keys() | +held)
        for one in [removed.get(label, nothing)]
    )


def _named(context: Context, one: PastRun, connection: Connection) -> tuple[PastRun, Named]:
    """Return a run as it is now, and the tables it erased from; an open one gets its tombstones before."""
    if one.is_open:
        with writing_alone(context.ledger_url, one.case.case, one.run):
            one = as_it_is_now(context, one)
            if one.is_open:
                return one, remember(one.context(context), connection, lambda rows: None).tables
    written = one.last(WRITTEN)
    tables = written.body["tables"] if written else ()
    return one, tuple((str(t["table"]), tuple(t["columns"])) for t in tables)


@dataclass(frozen=True)
class _Marking:
    """Marks rows that a run erased, as ``reader`` finds them; ``held``: those that it may not have erased."""

    removing: Removing
    graph: Graph
    reader: Connection
    erasing: Context
    held: Held

    def mark(self, label: str, columns: tuple[str, ...]) -> int:
        """Mark the rows of a table, of which one that the backup does not have has none; returns the held."""
        number = next((n for n, table in enumerate(self.graph.tables) if table.label == label), None)
        if number is None:
            return 0
        table = self.graph.tables[number]
        if missing := sorted({*columns} - {column.name for column in table.columns}):
            raise VerificationFailed(
                f"{label} has no column {missing[0]}, so nobody can say which of its rows were erased",
                hint="two persons may decide to restore it with all rows: `handover keep-erased`",
                table=label,
            )
        names = [sql.SQL("t.{}").format(sql.Identifier(name)) for name in ("tableoid", "ctid", *columns)]
        query = sql.SQL("SELECT {}, {} FROM {} AS t").format(
            self.held.condition(label), sql.SQL(", ").join(names), rows_of(table)
        )
        held, batch = 0, list[list[bytes | None]]()
        with database_errors(f"looking for erased rows in {label}"):
            for row in read_rows(self.reader, query, "text"):
                batch.append(fields(bytes(row), "text"))
                if len(batch) == AT_ONCE:
                    held += self._batch(number, batch)
                    batch = []
        return held + self._batch(number, batch)

    def _batch(self, number: int, rows: list[list[bytes | None]]) -> int:
        """Mark those of some rows that were erased, each with whether it is held; returns how many are."""
        self.erasing.honour_stop()
        gone = known(self.erasing, self.graph.tables[number].label, [row[3:] for row in rows])
        erased = [row for row, was in zip(rows, gone, strict=True) if was]
        places = [(_text(row[1]), _text(row[2])) for row in erased if row[0] != b"t"]
        self.removing.mark(number, places)
        return len(erased) - len(places)


def _text(field: bytes | None) -> str:
    return (field or b"").decode("ascii")


def _maps(context: Context, past: list[PastRun]) -> list[DataMap]:
    """Return the data maps of the cases, as they are now; they say whose a row is."""
    folder = context.settings.datamaps
    names = dict.fromkeys([context.case.mapped_as, *(one.case.mapped_as for one in past)])
    return [load_datamap(folder, name) for name in names if map_path(folder, name).is_file()]


def _owned(graph: Graph, maps: list[DataMap]) -> list[Reference]:
    """Return the references by which a row belongs to a person, or to what belongs to one.

    Another one to whom it leads only handled it: it stays without him.
    """
    ways = {
        (label, path.by, path.to.label)
        for datamap in maps
        for dataset in datamap.datasets
        for path in own_paths(dataset)
        if path.to
        for label in dataset.labels
    }
    return [
        one
        for one in graph.references
        if (graph.tables[one.child.table].label, one.child.columns, graph.tables[one.parent.table].label)
        in ways
    ]


def _persons(graph: Graph, maps: list[DataMap]) -> set[int]:
    """Return the tables whose rows are somebody's; without a map any may be."""
    if not maps:
        return set(range(len(graph.tables)))
    nobodys = {label for one in maps for data in one.datasets if not data.subject for label in data.labels}
    return {number for number, table in enumerate(graph.tables) if table.label not in nobodys}


def _forget(context: Context, index: BackupIndex, connection: Connection, done: Again) -> None:
    """Leave nothing of what is gone in views, dead rows and statistics."""
    with database_errors("reading what was restored"):
        graph = read_graph(connection, context.case.source.schemas, context.case.scope or EVERYTHING)
    touched = [one.table for one in done.tables]
    forget(connection, [table for table in graph.tables if done.severed or table.label in touched])
    adopt(connection, index.state.view_settings)
    for view in index.state.views:
        if view.populated:
            refresh(connection, view.schema_name, view.name)
    with database_errors("gathering statistics"):
        connection.execute("ANALYZE")
