"""Tally: figures of the source under the backup's snapshot and of the target, then both reconciled.

The source's are read at the source itself, apart from the backup's ordered queries, so that they check
what those read. Full figures lie encrypted in the vault; the ledger holds what may be shown.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from handover.crashpoints import CrashPoint, passing
from handover.errors import (
    CaseInvalid,
    DataRefused,
    LedgerRefused,
    NotReady,
    VaultCorrupt,
    VerificationFailed,
)
from handover.evidence.digest import token
from handover.evidence.ledger import Entry
from handover.evidence.progress import Meter
from handover.model.backup import BackupIndex, ObjectRef, SnapshotState
from handover.model.figures import Figures, Side
from handover.model.plan import Plan
from handover.model.reconciliation import Reconciliation
from handover.postgres.declared import read_items
from handover.postgres.declaring import unknown
from handover.postgres.figures import Tables, read_figures, read_relations
from handover.postgres.selection import Selection
from handover.postgres.session import Connection, connect, database_errors
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.reading import scoped_session
from handover.stages.snapshot import wait_for_state

if TYPE_CHECKING:
    from handover.quality.reconciliation import Reconciled

# Beyond this many a person has seen enough; the last line says how many more there are.
MOST_DIFFERENCES = 200
# Hexadecimal digits; within one table of figures this many tell different ones apart.
TOKEN_LENGTH = 16


def tally_source(context: Context) -> None:
    """Read the source's figures under the snapshot. Safe to repeat, beside the lanes of the backup."""
    with context.step("tally_source") as progress:
        sealed = context.entries("backup-sealed")
        if not sealed:
            _tally_source(context, wait_for_state(context), progress)
        elif _source_entry(context, int(sealed[-1].body["generation"])) is None:
            raise _never_tallied()


def tally_missing(context: Context, state: SnapshotState) -> None:
    """Read the source's figures under a snapshot that is still held, unless they were read before.

    For sealing: lanes and tally may have ended under a generation that became void.
    """
    _tally_source(context, state, None)


def _never_tallied() -> NotReady:
    return NotReady(
        "the source was not tallied under the snapshot of the sealed backup", hint="start a new run"
    )


def tallies(context: Context, generation: int) -> list[ObjectRef]:
    """Return the vault's objects with the figures that belong to a generation's backup."""
    entries = context.entries("tallied")
    return [ObjectRef.model_validate(e.body["object"]) for e in entries if e.body["generation"] == generation]


def _source_entry(context: Context, generation: int) -> Entry | None:
    key = _source_key(generation)
    return next((entry for entry in context.entries("tallied") if entry.key == key), None)


def _source_key(generation: int) -> str:
    return f"g{generation}/source"


def _tally_source(context: Context, state: SnapshotState, progress: Meter | None) -> None:
    if _source_entry(context, state.generation):
        return
    plan = context.plan()
    with scoped_session(context, state, plan.tables) as (connection, selection):
        figures = _read(context, connection, plan, progress, selection)
    body = _stored(context, state.generation, "source", figures)
    try:
        context.record("tallied", body, key=_source_key(state.generation))
    except LedgerRefused:
        _yield_to_other_attempt(context, state.generation, body)


def _yield_to_other_attempt(context: Context, generation: int, mine: dict[str, object]) -> None:
    """Leave the figures of an attempt that was faster; under one snapshot they must be the same."""
    theirs = _source_entry(context, generation)
    context.store.delete(ObjectRef.model_validate(mine["object"]).name)
    if theirs is None or theirs.body["digest"] != mine["digest"]:
        raise VaultCorrupt(
            "two attempts tallied the source under one snapshot and got different figures",
            hint="the snapshot did not hold; abort the run and start a new one",
        )


def _read(
    context: Context,
    connection: Connection,
    plan: Plan,
    progress: Meter | None,
    selection: Selection | None = None,
) -> Figures:
    """Read all figures of one side in the transaction that is open."""

    def between(rows: int) -> None:
        context.honour_stop()
        if progress:
            progress.add(rows, 0)

    with database_errors("reading the catalog for the tally"):
        relations = read_relations(connection, context.case.source.schemas, selection)
    tables = [table for table in plan.tables if table.name]
    if progress:
        progress.expect(sum(table.rows_estimate for table in tables), 0)
    computable = _computable(context.case.reconciliation, relations)
    return Figures(
        tables=tuple(read_figures(connection, tables, relations, between)),
        items=tuple(read_items(connection, computable, relations, between)),
    )


def _computable(declared: Reconciliation, relations: Tables) -> Reconciliation:
    """Leave out what this side lacks a table or column for; reconciling says so."""
    return Reconciliation(
        counts=tuple(item for item in declared.counts if not [*unknown(item, relations)]),
        balances=tuple(item for item in declared.balances if not [*unknown(item, relations)]),
        relations=tuple(item for item in declared.relations if not [*unknown(item, relations)]),
    )


def _stored(context: Context, generation: int, side: Side, figures: Figures) -> dict[str, object]:
    """Put the figures into the vault; returns what the ledger says of them."""
    text = figures.model_dump_json().encode()
    if side == "target":  # sealing has cleared up after killed attempts at the source
        _remove_unrecorded(context, generation)
    stored = context.put(context.label(generation, f"tally-{side}"), text, f"tally-{side}")
    passing(CrashPoint.TALLY_UNRECORDED)
    return {
        "side": side,
        "generation": generation,
        "object": stored.document(),
        "digest": context.digest(hashlib.sha256(text).digest()),
    }


def _remove_unrecorded(context: Context, generation: int) -> None:
    recorded = {tally.name for tally in tallies(context, generation)}
    for name in context.store.list(f"{context.folder(generation)}/tally-target-"):
        if name not in recorded:
            context.store.delete(name)


def source_figures(context: Context, generation: int) -> Figures:
    """Return the full figures of the source, from the vault. Never show them: see quality.showing."""
    entry = _source_entry(context, generation)
    if entry is None:
        raise _never_tallied()
    label = context.label(generation, "tally-source")
    return Figures.model_validate_json(context.get(label, ObjectRef.model_validate(entry.body["object"])))


def tally_target(context: Context) -> None:
    """Read the target's figures and reconcile them; raises VerificationFailed on any difference."""
    with context.step("tally_target") as progress:
        context.last("migrated", "finish")
        index = read_index(context)
        generation = index.state.generation
        source = source_figures(context, generation)
        try:
            target = _read_target(context, index, progress)
        except (DataRefused, CaseInvalid) as refused:  # what cannot be read is a finding like any other
            tables: Sequence[dict[str, object]] = ()
            differences: Sequence[str] = [refused.message]
        else:
            context.record("tallied", _stored(context, generation, "target", target))
            found = _reconciled(context, source, target, _planned(index))
            tables, differences = found.tables, _shortened(found.differences)
        body = {"generation": generation, "tables": list(tables), "differences": list(differences)}
        passing(CrashPoint.RECONCILED_UNRECORDED)
        context.record("reconciled", body)
        if differences:
            raise VerificationFailed(
                "the figures do not reconcile:\n  " + "\n  ".join(differences),
                hint="repair what is named, then clear verify and tally_target; a fault of the source itself "
                "is corrected there, or acknowledged in the case as reconciliation:NAME, before a new run",
                differences=list(differences),
            )


def _read_target(context: Context, index: BackupIndex, progress: Meter) -> Figures:
    with closing(connect(context.target, read_only=True)) as connection:
        with database_errors("reading the target's figures"):
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return _read(context, connection, index.plan, progress)


def _reconciled(
    context: Context, source: Figures, target: Figures, planned: dict[tuple[str, str], int]
) -> Reconciled:
    """Reconcile two sides; pandas is loaded here, because lanes import this module and need the memory."""
    from handover.quality.reconciliation import reconcile

    acknowledged = frozenset(context.case.acknowledge)
    return reconcile(context.case.reconciliation, source, target, planned, acknowledged, _token(context))


def _planned(index: BackupIndex) -> dict[tuple[str, str], int]:
    """Return the rows of every table in the backup."""
    rows: Counter[str] = Counter()
    for chunk in index.chunks:
        rows[chunk.table] += chunk.rows
    return {(t.schema_name, t.name): rows[t.id] for t in index.plan.tables if t.name}


def _token(context: Context) -> Callable[[Sequence[str]], str]:
    """Return what names a hidden figure; equal figures of one place get equal names."""

    def name(parts: Sequence[str]) -> str:
        framed = (part.encode() for part in parts)
        return token(context.evidence_key, b"figure", *framed)[:TOKEN_LENGTH]

    return name


def _shortened(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_DIFFERENCES
    return [*lines[:MOST_DIFFERENCES], *([f"and {more:,} more differences"] if more > 0 else [])]


def source_reconciliation_faults(context: Context) -> list[str]:
    """Return which declared rules the source itself breaks without the case acknowledging it.

    A gate before anything is copied: the source's figures reconciled with themselves.
    """
    generation = int(context.last("backup-sealed", "backup").body["generation"])
    source = source_figures(context, generation)
    planned = {(table.schema_name, table.name): table.rows for table in source.tables}
    return _shortened(_reconciled(context, source, source, planned).differences)


def reconciliation_faults(context: Context) -> list[str]:
    """Return what the latest reconciliation of the sealed backup found; for closing."""
    sealed = context.entries("backup-sealed")
    generation = sealed[-1].body["generation"] if sealed else None
    latest = [e for e in context.entries("reconciled") if e.body["generation"] == generation][-1:]
    if not latest:
        return ["not reconciled: source and target"]
    return [str(line) for line in latest[0].body["differences"]]
