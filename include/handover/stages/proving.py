"""Prove: what was to go is gone, what was to stay is there, no value of who went is in any declared store.

Every backed-up row that was erased is looked for by its key, every kept one compared with its backup, and
every value that is one person's searched for in the source and in each other database that the case declares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from handover.crashpoints import CrashPoint, passing
from handover.errors import VerificationFailed
from handover.evidence.progress import Meter
from handover.model.disposal import DeclaredStore
from handover.model.disposition import RowClass, is_backed_up
from handover.model.plan import TablePlan
from handover.postgres.gone import ask_for, count_rows, count_there, drop_asked
from handover.postgres.keysets import KeySet
from handover.postgres.masking_rows import RowsHere
from handover.postgres.session import Connection, connect, database_errors
from handover.stages.absence import described, unaccepted
from handover.stages.backup_index import read_index
from handover.stages.classed_rows import ERASED_ONLY, MASKED_ONLY, ClassedRows
from handover.stages.clean_residue import last_disposal
from handover.stages.context import Context, Resolver
from handover.stages.datamaps import planned_datamap
from handover.stages.erased import erased_tables
from handover.stages.gone_values import GoneValues, gone_values
from handover.stages.mask_here import mask_here_faults
from handover.stages.persons_gone import PersonsGone
from handover.stages.raw_search import Outcome, search_for

STEP = "prove"
PROVED = "proved"
_ASKED = "handover_gone"


def prove(context: Context, resolve: Resolver) -> None:
    """Look for everything that went; raises VerificationFailed with a line for each thing that is wrong.

    ``resolve`` gives the addresses of the declared stores that are neither source nor target.
    """
    if not context.disposes:
        return
    with context.step(STEP) as progress:
        gone = last_disposal(context)
        index = read_index(context)
        progress.expect(*index.rows(index.plan.groups()))
        with closing(connect(context.source)) as source, closing(connect(context.source)) as reader:
            rows = ClassedRows(context, index, source)
            values = gone_values(rows, planned_datamap(context, index.plan))
            looking = _Looking(context, rows, reader, progress, PersonsGone(values.datamap))
            classes = [line for plans in looking.tables() for line in looking.erased(plans)]
            kept = [line for plan in index.plan.tables if rows.whole(plan) for line in looking.kept(plan)]
            totals = looking.totals(classes)
            persons = looking.persons_of()
            stores = [_searched(context, values, store, progress) for store in _places(context, resolve)]
        body: dict[str, Any] = {
            "after": gone,
            "plan_digest": index.plan.sha256_of_json(),
            "generation": index.state.generation,
            "classes": classes,
            "persons": persons,
            "kept": kept,
            "totals": totals,
            "stores": stores,
        }
        lines = _wrong(context, body)
        body["acknowledged"] = [one for one in _found(body) if one in context.case.acknowledge]
        body["faults"] = len(lines)
        passing(CrashPoint.PROVED_UNRECORDED)
        context.record(PROVED, body)
        if lines:
            raise VerificationFailed(
                "what went is not proven to be gone:\n  " + "\n  ".join(lines),
                hint="look into each line; who accepts a finding lists its id under acknowledge in the case, "
                "a row that came back goes only with a new run",
                differences=lines,
            )


def proof(context: Context) -> dict[str, Any] | None:
    """Return what the latest proof found since rows went last; None while there is none."""
    gone = last_disposal(context)
    found = [entry.body for entry in context.entries(PROVED) if entry.body["after"] == gone]
    return dict(found[-1]) if found else None


def prove_faults(context: Context) -> list[str]:
    """Return why it is not proven that everything is gone; empty also where nothing was to go."""
    if not context.disposes:
        return []
    body = proof(context)
    if body is None:
        return ["it was not proven that what went is gone"]
    return [f"proof: {line}" for line in _wrong(context, body)]


def _wrong(context: Context, body: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{one['table']}: {one['there']} rows of class {one['class']} are there, {one['stayed']} stayed "
        "when the others were erased"
        for one in body["classes"]
        if one["there"] > one["stayed"]
    ]
    lines += [
        f"{one['table']}: {one['rows'] - one['there']} of {one['rows']} kept rows of class {one['class']} "
        "are not as they were backed up"
        for one in body["kept"]
        if not one["same"]
    ]
    lines += [
        f"{one['table']}: {one['now']} rows are there, {one['expected']} should be: rows came or went"
        for one in body["totals"]
        if one["now"] != one["expected"] and context.case.cutover.freeze
    ]
    return [*lines, *mask_here_faults(context), *unaccepted(_found(body), context.case.acknowledge)]


def _found(body: Mapping[str, Any]) -> dict[str, str]:
    """Return a line for each finding of a store, by the id under which it is acknowledged."""
    return {
        f"{store['connection']}:{name}": f"{store['name']}: {line}"
        for store in body["stores"]
        for name, line in described(store).items()
    }


@dataclass(frozen=True)
class _Looking:
    """Looks at the source for rows that went and rows that stay.

    ``reader`` is a second session: rows are told apart in one while they are compared in the other.
    """

    context: Context
    rows: ClassedRows
    reader: Connection
    progress: Meter
    persons: PersonsGone

    def tables(self) -> Iterator[list[TablePlan]]:
        """Yield the plans of each table of which rows were to be erased; partitions of one stand together."""
        found: dict[str, list[TablePlan]] = {}
        for plan in self.rows.tables(ERASED_ONLY):
            found.setdefault(self.rows.table(plan).label, []).append(plan)
        yield from found.values()

    def erased(self, plans: list[TablePlan]) -> Iterator[dict[str, Any]]:
        """Yield how many rows of each erased class of a table there were, and are."""
        table = self.rows.table(plans[0])
        stayed = erased_tables(self.context).get(table.label)
        left = sum(one.rows for one in stayed.stayed) if stayed else 0
        for row_class in (one for one in self.rows.classes(plans[0]) if one.source == "erase"):
            asked = KeySet(table, _ASKED)
            drop_asked(self.reader, asked)
            rows = ask_for(self.reader, asked, self._parts(plans, row_class))
            there = count_there(self.reader, asked)
            drop_asked(self.reader, asked)
            mine = min(left, there)  # several classes share what stayed of a table
            left -= mine
            line = {"table": table.label, "class": row_class.name, "rows": rows, "there": there}
            yield {**line, "stayed": mine}

    def _parts(self, plans: list[TablePlan], row_class: RowClass) -> Iterator[tuple[TablePlan, bytes]]:
        for plan in plans:
            for found in self.rows.of(plan):
                if data := found.get(row_class.name):
                    self.persons.take(row_class.name, plan, data)
                    self.progress.add(data.count(b"\n"), len(data))
                    yield plan, data

    def persons_of(self) -> dict[str, int]:
        """Return the persons of each class that went, those of erased rows having been counted before."""
        for plan in self.rows.tables(MASKED_ONLY):
            names = [one.name for one in self.rows.classes(plan) if one.source == "pseudonymise"]
            for found in self.rows.of(plan):
                for name in names:
                    self.persons.take(name, plan, found.get(name, b""))
        return self.persons.counts

    def kept(self, plan: TablePlan) -> Iterator[dict[str, Any]]:
        """Yield how many backed-up rows of each class that stays as it is are there, to the last byte."""
        for one in self.rows.classes(plan):
            if one.source in ("keep", "restrict") and is_backed_up(one.target, one.source):
                yield {"table": plan.label, "class": one.name, **self._compared(plan, one)}

    def _compared(self, plan: TablePlan, row_class: RowClass) -> dict[str, Any]:
        rows = there = 0
        same = True
        every = (found[row_class.name] for found in self.rows.of(plan) if row_class.name in found)
        here = RowsHere(self.reader, plan, sql.SQL("false"))
        # Equal rows may be of several chunks: without a key all of them are looked at together.
        for chunks in (iter([data]) for data in every) if here.has_key else [every]:
            digest = hashlib.sha256()
            doing = f"comparing {plan.label}"
            with database_errors(doing), self.reader.transaction(force_rollback=True):
                here.lay_out(_hashed(chunks, digest), lambda data: data)
                seen = here.look(masked=False)
            rows, there = rows + seen.expected, there + seen.there
            same = same and seen.there == seen.expected and seen.digest == digest.digest()
            self.progress.add(seen.expected, 0)
        return {"rows": rows, "there": there, "same": same}

    def totals(self, classes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return how many rows each table has from which rows were erased, and should have."""
        lines = []
        for plans in self.tables():
            table, scoped = self.rows.table(plans[0]), self.rows.whole(plans[0])
            went = sum(one["rows"] - one["there"] for one in classes if one["table"] == table.label)
            now = count_rows(self.reader, KeySet(table, _ASKED))
            before = scoped.total if scoped else 0
            lines.append({"table": table.label, "now": now, "expected": before - went})
        return lines


def _hashed(chunks: Iterable[bytes], digest: Any) -> Iterator[bytes]:
    for data in chunks:
        digest.update(data)
        yield data


@dataclass(frozen=True)
class _Place:
    """A database to search; ``here``: the source, whose columns the data map knows."""

    name: str
    connection: str
    url: str
    here: bool = False


def _places(context: Context, resolve: Resolver) -> Iterator[_Place]:
    """Yield the source and each other database that the case declares."""
    source = context.case.source.connection
    stores: dict[str, DeclaredStore] = {
        one.connection: one for one in context.case.stores if one.connection is not None
    }
    name = stores[source].name if source in stores else source
    yield _Place(name, source, context.source, here=True)
    for connection, store in stores.items():
        if connection != source:
            yield _Place(store.name, connection, resolve(connection))


def _searched(context: Context, values: GoneValues, place: _Place, progress: Meter) -> dict[str, Any]:
    """Return what a search of a database found."""
    attributed = values.attributed()
    if not place.here:
        attributed.cells = frozenset()
    outcome: Outcome = search_for(context, place.url, values.sought, attributed, progress)
    counts = {".".join(cell): count for cell, count in sorted(attributed.counts.items())}
    return {
        "name": place.name,
        "connection": place.connection,
        **outcome.document(),
        "attributed": counts,
        "of_retained": sum(counts.values()),
    }
