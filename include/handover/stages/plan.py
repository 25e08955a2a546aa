"""Plan: decide from case and inventory what is read in which order by which lane, and write it down."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing

from handover.errors import NotReady
from handover.model.backup import ObjectRef
from handover.model.catalog import Catalog, Table
from handover.model.plan import Plan, make_plan, narrowed, wanted_groups
from handover.postgres.ordering import Bound, draw_bounds
from handover.postgres.session import connect, database_errors
from handover.stages.context import Context
from handover.stages.datamaps import confirmed_datamap
from handover.stages.earlier_backup import earlier_backup
from handover.stages.facts import legal_day
from handover.stages.gates import policy_digests
from handover.stages.inventory import servers
from handover.stages.masked_items import require_reconcilable
from handover.stages.scoping import plan_scope
from handover.stages.snapshot import void_generations
from handover.stages.thresholds import require_thresholds
from handover.stages.treatments import plan_masks

# What a row of a table that was never analysed is taken to weigh; it decides only the size of a sample.
BYTES_A_ROW = 100
Bounds = dict[str, list[Bound]]


def plan(context: Context) -> Plan:
    """Make the plan of this run and record it; bounds go encrypted to the vault.

    A sealed backup was made by its plan, so from then on there is no other.
    """
    with context.step("plan") as progress:
        if context.entries("backup-sealed"):
            return context.plan()
        found = context.last("inventory", "inventory").body
        ends = servers(context)
        whole = Catalog.model_validate(found["catalog"])
        datamap = confirmed_datamap(context, whole)
        scope = plan_scope(context, ends, datamap, progress)
        require_thresholds(context)
        masks = plan_masks(context, ends, datamap, scope)
        require_reconcilable(context, whole, masks)
        catalog = narrowed(whole, scope)
        bounds = _draw(context, catalog)
        text = json.dumps(bounds, ensure_ascii=False, sort_keys=True).encode()
        made = make_plan(
            context.case,
            catalog,
            schema_digest=str(found["schema_digest"]),
            bounds_digest=context.digest(hashlib.sha256(text).digest()),
            groups={t.label: len(bounds.get(t.label, [])) + 1 for t in catalog.tables},
            same_major=len({server.major for server in ends}) == 1,
            scope=scope,
            datamap_digest=datamap.sha256_of_json() if datamap else "",
            policy=policy_digests(context.case, context.settings, legal_day()),
            masks=masks,
        )
        stored = context.put(context.label(0, "bounds"), text, "bounds")
        body = {"plan": made.document(), "digest": made.sha256_of_json(), "bounds": stored.document()}
        if context.entries("backup-sealed"):  # while this one was made
            return context.plan()
        before = context.entries("plan")
        context.record("plan", body)
        if before and before[-1].body["digest"] != body["digest"]:
            void_generations(context)  # rows read by the plan before are none of this one's
    return made


def _draw(context: Context, catalog: Catalog) -> Bounds:
    """Draw the bounds of every table that is worth more than one group; an earlier backup has some."""
    earlier = earlier_backup(context)
    total = sum(table.bytes for table in catalog.tables)
    wanted = {t.label: wanted_groups(t, total, context.case.lanes) for t in catalog.tables}
    with closing(connect(context.source, read_only=True)) as source:

        def of(table: Table) -> list[Bound]:
            known = earlier.bounds_of(table) if earlier else None
            if known is not None:
                return known
            with database_errors(f"drawing bounds of {table.label}"):
                rows = table.rows_estimate or table.bytes // BYTES_A_ROW
                return draw_bounds(source, table, wanted[table.label], rows)

        return {table.label: of(table) for table in catalog.tables if wanted[table.label] > 1}


def read_bounds(context: Context, made: Plan) -> Bounds:
    """Return the bounds that belong to a plan."""
    reference = ObjectRef.model_validate(context.last("plan", "plan").body["bounds"])
    text = context.get(context.label(0, "bounds"), reference)
    if context.digest(hashlib.sha256(text).digest()) != made.bounds_digest:
        raise NotReady("the bounds in the vault are not those of the plan", hint="clear the task plan")
    return {label: [tuple(bound) for bound in found] for label, found in json.loads(text).items()}
