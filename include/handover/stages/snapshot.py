"""Snapshot: a holder keeps one transaction open whose snapshot all lanes of the backup share.

If the holder is lost its generation is void: what it left is discarded and a new generation starts.
Lanes wait for the ledger's row, never for the holder's task.
"""

from __future__ import annotations

import json
import time
from contextlib import closing

import psycopg
from psycopg import sql

from handover.crashpoints import CrashPoint, passing
from handover.errors import Busy, NotReady, SchemaChanged, SnapshotLost, Stopped, Terminal
from handover.evidence.ledger import Entry
from handover.model.backup import ObjectRef, SnapshotState, ViewReceipt
from handover.model.case import Case
from handover.model.catalog import Catalog, MaterializedView
from handover.model.plan import TablePlan
from handover.postgres.catalog import read_catalog, read_sequences
from handover.postgres.copying import cut_by_size, read_rows
from handover.postgres.identity import database_identity
from handover.postgres.objects import adopt, own_settings, read_large_objects, view_definition, view_rows
from handover.postgres.ordering import rows_of
from handover.postgres.schema import schema_digest
from handover.postgres.session import (
    Connection,
    connect,
    database_errors,
    fetch,
    major_version,
)
from handover.postgres.types import Servers
from handover.stages.context import Context
from handover.stages.datamaps import new_columns
from handover.stages.freezing import require_frozen
from handover.stages.hearings import require_passed
from handover.stages.inventory import dump_definitions, schema_entries, servers
from handover.stages.reading import begin_snapshot, snapshot_session
from handover.stages.rolling import rolling_digest
from handover.stages.scoping import Scoping, is_scoped, prepare, settle

# The ledger is asked this often; it answers in a millisecond.
POLL_SECONDS = 1.0
# Lanes wait for the export with nothing else to do, and only for moments: here a second would show.
EXPORT_POLL_SECONDS = 0.1
# A holder that got a slot exports within seconds; waiting longer than this means it never got one.
EXPORT_SECONDS = 900.0
_END_KINDS = ("backup-sealed", "backup-abandoned", "generation-void")


def hold_snapshot(context: Context) -> int:
    """Export a snapshot and keep it until the backup is sealed or given up; returns the generation."""
    with context.step("snapshot"):
        if sealed := context.entries("backup-sealed"):
            return int(sealed[-1].body["generation"])
        require_passed(context)
        require_frozen(context)
        generation = void_generations(context) + 1
        with closing(connect(context.source, read_only=True)) as holder:
            scoping = _ready(context, holder)
            with database_errors("taking the snapshot"):
                state = _export(context, holder, generation, scoping)
            passing(CrashPoint.SNAPSHOT_UNRECORDED)
            body = {"state": state.document(), "database": database_identity(holder)}
            context.record("snapshot-exported", body, key=f"g{generation}")
            passing(CrashPoint.SNAPSHOT_HELD)
            _hold(context, holder, generation)
    return generation


def void_generations(context: Context) -> int:
    """Void what earlier holders of this run left, or another plan led to; returns the last one's number."""
    earlier = [int(entry.body["state"]["generation"]) for entry in context.entries("snapshot-exported")]
    for number in earlier:
        context.record("generation-void", {"generation": number}, key=f"g{number}")
    return max(earlier, default=0)


def _ready(context: Context, holder: Connection) -> Scoping | None:
    """Make the scope ready while the holder is outside a transaction; it is found again in the snapshot."""
    if not is_scoped(context):
        return None
    return prepare(context, holder, Servers.of(servers(context)))


def _export(context: Context, holder: Connection, generation: int, scoping: Scoping | None) -> SnapshotState:
    plan = context.plan()
    begin_snapshot(holder)
    for table in plan.tables:
        if table.name:
            _lock(context, holder, table)
    snapshot = str(fetch(holder, "SELECT pg_export_snapshot()")[0][0])
    archive = dump_definitions(context, context.source, snapshot)
    if context.digest(schema_digest(schema_entries(context, archive))) != plan.schema_digest:
        raise _schema_changed(context, holder)
    keys = settle(scoping, plan.scope, generation) if scoping and plan.scope else ()
    catalog = Catalog.model_validate(context.last("inventory", "inventory").body["catalog"])
    return SnapshotState(
        generation=generation,
        plan_digest=plan.sha256_of_json(),
        major=major_version(holder),
        snapshot=snapshot,
        backend=holder.info.backend_pid,
        schema_object=context.put(context.label(generation, "schema"), archive, "schema"),
        large_objects_object=_describe_large_objects(context, holder, generation),
        sequences=read_sequences(holder, context.case.source.schemas),
        views=tuple(_view(context, snapshot, view) for view in catalog.materialized_views),
        keys=keys,
        view_settings=own_settings(holder),
        extensions=catalog.extensions,
    )


def _lock(context: Context, holder: Connection, table: TablePlan) -> None:
    try:
        holder.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(rows_of(table)))
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        holder.execute("ROLLBACK")
        raise _schema_changed(context, holder) from None


def _schema_changed(context: Context, holder: Connection) -> SchemaChanged:
    """Return an error that names the tables and columns that came, went or changed, if that is what it is."""
    planned = Catalog.model_validate(context.last("inventory", "inventory").body["catalog"])
    changes = new_columns(planned, read_catalog(holder, context.case.source.schemas))
    return SchemaChanged(
        "\n  ".join(["the source's schema changed after it was planned", *changes]),
        hint="clear the task inventory (with downstream) to plan again, and keep the schema still",
    )


def _describe_large_objects(context: Context, holder: Connection, generation: int) -> ObjectRef:
    """Store comments and grants of large objects: a comment can hold personal data."""
    found = read_large_objects(holder) if context.case.source.large_objects else ()
    text = json.dumps([item.document() for item in found], ensure_ascii=False).encode()
    return context.put(context.label(generation, "large-objects"), text, "large-objects")


def _view(context: Context, snapshot: str, view: MaterializedView) -> ViewReceipt:
    """Digest what a refresh of the view over the snapshot gives; its stored rows may be older."""
    names = {"schema_name": view.schema_name, "name": view.name}
    # Over the rows as they arrive it holds something else than at the source.
    if not view.populated or view.on_others or _arrives_otherwise(context.case):
        return ViewReceipt(**names, populated=view.populated, rows=0, digest="")
    with (
        snapshot_session(context.source, snapshot) as connection,
        database_errors(f"reading {view.schema_name}.{view.name}"),
    ):
        query = view_rows(view_definition(connection, view.schema_name, view.name))
        adopt(connection, own_settings(connection))
        rows, digest = rolling_digest(cut_by_size(read_rows(connection, query, "text")))
    return ViewReceipt(**names, populated=True, rows=rows, digest=context.digest(digest))


def _arrives_otherwise(case: Case) -> bool:
    """Say whether some rows stay behind, or arrive with pseudonyms."""
    return case.scope is not None or any(one.target != "copy" for one in case.classes)


def _hold(context: Context, holder: Connection, generation: int) -> None:
    """Wait until the backup ended. Raises SnapshotLost when the session dies meanwhile."""
    deadline = time.monotonic() + context.case.snapshot_hours * 3600
    while (end := _end(context, generation)) is None:
        if time.monotonic() > deadline:
            raise NotReady(
                f"the backup was not sealed within snapshot_hours: {context.case.snapshot_hours}",
                hint="raise snapshot_hours or lanes in the case file, then start a new run",
            )
        try:
            context.honour_stop()
            holder.execute("SELECT 1")
        except (psycopg.Error, Stopped) as problem:
            context.record("generation-void", {"generation": generation}, key=f"g{generation}")
            if isinstance(problem, Stopped):
                raise
            raise SnapshotLost(
                f"the session that held the snapshot of generation {generation} was lost",
                hint="the step starts a new generation when it is tried again",
            ) from None
        time.sleep(POLL_SECONDS)
    if end.kind == "generation-void":
        raise SnapshotLost(
            f"generation {generation} is void: another plan was made",
            hint="the step starts a new generation by the new plan when it is tried again",
        )
    if end.kind == "backup-abandoned":
        raise NotReady("the backup was given up", hint="see the failed backup task, then clear it")


def _end(context: Context, generation: int) -> Entry | None:
    """Return what ended the backup; once it is sealed no other generation is wanted any more."""
    ends = [
        e
        for e in context.entries(*_END_KINDS)
        if e.kind == "backup-sealed" or e.body["generation"] == generation
    ]
    return ends[-1] if ends else None


def latest_state(context: Context) -> SnapshotState:
    """Return the state of the newest generation of the plan that is not void; NotReady when there is none."""
    void = {e.body["generation"] for e in context.entries("generation-void", "backup-abandoned")}
    for entry in reversed(context.entries("snapshot-exported")):
        state = SnapshotState.model_validate(entry.body["state"])
        if state.generation not in void and state.plan_digest == context.last("plan", "plan").body["digest"]:
            return state
    raise NotReady("no snapshot was exported in this run", hint="run or clear the task snapshot")


def wait_for_state(context: Context) -> SnapshotState:
    """Wait for the holder's row in the ledger."""
    deadline = time.monotonic() + EXPORT_SECONDS
    while True:
        context.honour_stop()
        try:
            return latest_state(context)
        except NotReady:
            if _holder_gave_up(context):
                raise Busy(
                    "the snapshot could not be taken",
                    hint="see the task snapshot, and clear it after the remedy",
                ) from None
            if time.monotonic() > deadline:
                raise Busy(
                    f"no snapshot was exported within {EXPORT_SECONDS:.0f} s",
                    hint="see the task snapshot: it failed, or found no free slot",
                ) from None
        time.sleep(EXPORT_POLL_SECONDS)


def _holder_gave_up(context: Context) -> bool:
    """Say whether the holder failed for good since the plan was made and no snapshot came after it."""
    terminal = {error.__name__ for error in Terminal.__subclasses__()}
    for entry in reversed(context.entries("plan", "snapshot-exported", "failure")):
        if entry.kind != "failure":
            return False
        if entry.body["stage"] == "snapshot":
            return entry.body["error"] in terminal
    return False
