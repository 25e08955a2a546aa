"""The plan: pure function of case and inventory; says what is read, in which order, by which lane.

Bounds between the groups of one table are values of its key, hence possibly personal data: they are
not part of the plan but lie encrypted in the vault, and the plan carries their keyed digest.
"""

from __future__ import annotations

import heapq
from typing import Literal

from pydantic import Field

from handover.model.base import Frozen
from handover.model.case import Case
from handover.model.catalog import Catalog, KeyColumn, Table
from handover.model.disposition import GOING, SourceTreatment, TargetTreatment
from handover.model.masking import NO_MASKS, MaskedColumn, Masks

CopyFormat = Literal["binary", "text"]
LARGE_OBJECTS = "large-objects"
# Below this size a second ordered query costs more than it gains.
SMALLEST_SPLIT = 16 * 1024 * 1024
# Into about so many pieces the work of a lane is cut: of five tables of one size in two lanes, three
# would else go to one, and the other idle for a third of backup, migration and verification.
PARTS_OF_A_LANE = 3
# An empty table still costs a round trip or two; without a floor all of them pile up in one lane.
FLOOR = 64 * 1024


class Group(Frozen):
    """One ordered query over a contiguous part of one table's key range; ``number`` counts from 0."""

    table: str
    number: int
    weight: int


class Lane(Frozen):
    """The groups that one task works through, one after the other; ``number`` counts from 0."""

    number: int
    label: str
    groups: tuple[Group, ...]


class TablePlan(Frozen):
    """How one table travels. ``columns`` leaves generated ones out: the target computes them.

    ``partitioned`` and ``row_order`` as in the catalog. ``masked`` arrives with
    pseudonyms; ``masked_here`` gets them at the source, in rows that are to be pseudonymised there.
    """

    id: str
    schema_name: str
    name: str
    columns: tuple[str, ...]
    key: tuple[KeyColumn, ...]
    format: CopyFormat
    text_because: str
    groups: int
    rows_estimate: int
    partitioned: bool = False
    row_order: Literal["bytes", "utf8"] = "bytes"
    masked: tuple[MaskedColumn, ...] = ()
    masked_here: tuple[MaskedColumn, ...] = ()

    @property
    def label(self) -> str:
        """Return the name for people."""
        return self.id if self.id == LARGE_OBJECTS else f"{self.schema_name}.{self.name}"

    @property
    def rekeyed(self) -> bool:
        """Say whether its rows come in another order once they are masked."""
        ordering = {column.name for column in self.key} or set(self.columns)
        generated = ordering - set(self.columns)  # from columns of which any may be masked
        return bool(self.masked and generated) or any(one.column in ordering for one in self.masked)


class ClassRows(Frozen):
    """How many rows in scope of a table are of one class, and what happens to them."""

    name: str
    target: TargetTreatment
    source: SourceTreatment
    rows: int


class TableScope(Frozen):
    """What of a table is in scope, in rows: see handover.model.scope. ``keys_digest`` is keyed.

    A partitioned table is one here, whatever partition its rows are in.
    """

    table: str
    owned: int
    needed: int
    total: int
    keys_digest: str
    classes: tuple[ClassRows, ...]

    @property
    def rows(self) -> int:
        """Return the rows in scope."""
        return self.owned + self.needed


class ScopedTable(Frozen):
    """A table whose rows are in scope or not; ``parts`` are its partitions, which share its key set."""

    table: Table
    parts: tuple[tuple[str, str], ...]
    rows: int
    total: int


class PlannedScope(Frozen):
    """The rows in scope when the plan was made. ``facts``: persons by the names of law.facts.DataFacts.

    ``persons``: for each table of persons those considered, and those in scope.
    """

    tables: tuple[TableScope, ...]
    persons: dict[str, tuple[int, int]] = Field(default={})
    facts: dict[str, int] = Field(default={})

    def of(self, label: str) -> TableScope:
        """Return what is in scope of a table."""
        return next(table for table in self.tables if table.table == label)


class Plan(Frozen):
    """Everything that will be done, bound by its digest. Without ``scope`` that is every row.

    ``datamap_digest`` and ``policy`` (digest by ``pack@version``) are empty where the case has none.
    """

    case: str
    case_digest: str
    schema_digest: str
    bounds_digest: str
    tables: tuple[TablePlan, ...]
    lanes: tuple[Lane, ...]
    scope: PlannedScope | None = None
    datamap_digest: str = ""
    policy: dict[str, str] = Field(default={})

    def table(self, table_id: str) -> TablePlan:
        """Return the table with that id."""
        return next(table for table in self.tables if table.id == table_id)

    @property
    def masks(self) -> bool:
        """Say whether anything arrives with pseudonyms."""
        return any(table.masked for table in self.tables)

    @property
    def disposes(self) -> bool:
        """Say whether anything of the source is to go."""
        counted = self.scope.tables if self.scope else ()
        return any(one.source in GOING for table in counted for one in table.classes)

    def groups(self) -> list[Group]:
        """Return all groups, table by table."""
        return sorted((g for lane in self.lanes for g in lane.groups), key=lambda g: (g.table, g.number))


def copy_format(table: Table, same_major: bool, because: str = "") -> tuple[CopyFormat, str]:
    """Choose binary only where it is known to be lossless; else text, with the reason."""
    if because:
        return "text", because
    if not same_major:
        return "text", "major versions differ"
    unsafe = [c.name for c in table.columns if not c.binary_safe and not c.generated]
    if unsafe:
        return "text", f"binary form of {', '.join(unsafe)} is not known to be portable"
    return "binary", ""


def wanted_groups(table: Table, total_bytes: int, lanes: int) -> int:
    """Say how many groups a table is worth, so that a giant one is shared by all lanes."""
    if not table.key or lanes == 1:
        return 1
    parts = PARTS_OF_A_LANE * lanes
    share = max(SMALLEST_SPLIT, total_bytes // parts)
    return max(1, min(parts, -(-table.bytes // share)))


def _spread(groups: list[Group], lanes: int) -> list[list[Group]]:
    """Give the heaviest remaining group to the lightest lane."""
    heap: list[tuple[int, int]] = [(0, number) for number in range(lanes)]
    result: list[list[Group]] = [[] for _ in range(lanes)]
    for group in sorted(groups, key=lambda g: (-g.weight, g.table, g.number)):
        load, number = heapq.heappop(heap)
        result[number].append(group)
        heapq.heappush(heap, (load + group.weight, number))
    return [lane for lane in result if lane]


def _lane(number: int, groups: list[Group], tables: dict[str, TablePlan]) -> Lane:
    heaviest = tables[groups[0].table]
    part = f" {groups[0].number + 1}/{heaviest.groups}" if heaviest.groups > 1 else ""
    more = f" + {len(groups) - 1} more" if len(groups) > 1 else ""
    return Lane(number=number, label=f"{heaviest.label}{part}{more}", groups=tuple(groups))


def narrowed(catalog: Catalog, scope: PlannedScope | None) -> Catalog:
    """Return the catalog with the sizes of the rows in scope alone; partitions keep their own."""
    found = {table.table: table for table in scope.tables} if scope else {}

    def of(table: Table) -> Table:
        inside = found.get(table.label)
        if inside is None:
            return table
        share = inside.rows / max(inside.total, 1)
        return table.model_copy(update={"rows_estimate": inside.rows, "bytes": round(table.bytes * share)})

    return catalog.model_copy(update={"tables": tuple(map(of, catalog.tables))})


def table_plan(
    number: int, table: Table, same_major: bool, groups: int, masks: Masks = NO_MASKS, because: str = ""
) -> TablePlan:
    """Plan the transport of one table; ``groups`` is how many its bounds really make.

    ``because``: why it must travel as text, whatever its types.
    """
    name = (table.schema_name, table.name)
    away, here = masks.away.get(name, ()), masks.here.get(name, ())
    form, reason = copy_format(table, same_major, "columns are masked" if away or here else because)
    return TablePlan(
        id=f"t{number:05}",
        schema_name=table.schema_name,
        name=table.name,
        columns=tuple(c.name for c in table.columns if not c.generated),
        key=table.key,
        format=form,
        text_because=reason,
        groups=groups,
        rows_estimate=table.rows_estimate,
        partitioned=table.partitioned,
        row_order=table.row_order,
        masked=away,
        masked_here=here,
    )


def large_object_plan() -> TablePlan:
    """Large objects travel as a table of pages: (oid, offset, bytes)."""
    key = tuple(KeyColumn(name=n, type=t, order="natural") for n, t in (("oid", "oid"), ("at", "bigint")))
    return TablePlan(
        id=LARGE_OBJECTS,
        schema_name="",
        name="",
        columns=("oid", "at", "data"),
        key=key,
        format="binary",
        text_because="",
        groups=1,
        rows_estimate=0,
    )


def make_plan(
    case: Case,
    catalog: Catalog,
    *,
    schema_digest: str,
    bounds_digest: str,
    groups: dict[str, int],
    same_major: bool,
    scope: PlannedScope | None = None,
    datamap_digest: str = "",
    policy: dict[str, str] | None = None,
    masks: Masks = NO_MASKS,
) -> Plan:
    """Return the plan; ``groups`` gives for each table label the number of groups that its bounds make."""
    going = any(one.target == "archive" or one.source == "erase" for one in case.classes)
    because = "rows are archived or erased" if going else ""
    plans = [
        table_plan(n, t, same_major, groups[t.label], masks, because) for n, t in enumerate(catalog.tables)
    ]
    weights = {p.id: max(FLOOR, t.bytes // p.groups) for p, t in zip(plans, catalog.tables, strict=True)}
    if case.source.large_objects:  # planned even when there are none yet: some may come until the snapshot
        plans.append(large_object_plan())
        weights[LARGE_OBJECTS] = max(FLOOR, catalog.large_objects * FLOOR)
    by_id = {plan.id: plan for plan in plans}
    units = [Group(table=p.id, number=n, weight=weights[p.id]) for p in plans for n in range(p.groups)]
    return Plan(
        case=case.case,
        case_digest=case.sha256_of_json(),
        schema_digest=schema_digest,
        bounds_digest=bounds_digest,
        tables=tuple(plans),
        lanes=tuple(_lane(n, g, by_id) for n, g in enumerate(_spread(units, case.lanes))),
        scope=scope,
        datamap_digest=datamap_digest,
        policy=policy or {},
    )
