"""The destruction list (会计档案销毁清册) of a run: compiled from plan and backup before anything is erased.

What of the plan is accounting archives goes by this list alone. A list with the same content stays the list,
whenever the step is repeated; another content makes it anew, and what was signed before no longer counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date

from psycopg import sql

from handover.errors import CaseInvalid, NotReady
from handover.model.catalog import Table
from handover.model.destruction_acts import Listed
from handover.model.destruction_list import DestructionList, HoldCheck, ListedRows, ListedVolume, OpenMatter
from handover.model.handover_list import Duration
from handover.model.ledger_list import LedgerHandover
from handover.model.plan import TablePlan
from handover.postgres.selection import class_condition
from handover.postgres.session import connect
from handover.stages.approval_standing import REQUESTED
from handover.stages.backup_index import read_index
from handover.stages.class_decisions import class_decisions
from handover.stages.classed_rows import ClassedRows
from handover.stages.context import Context
from handover.stages.destruction_signing import (
    destruction_standing,
    register,
    require_destruction_cleared,
)
from handover.stages.destruction_volumes import (
    AGAIN,
    Decisions,
    VolumeOfClass,
    declared_ledger,
    needs_list,
    require_years,
    to_destroy,
    volumes_of_classes,
)
from handover.stages.facts import legal_day

STEP, NOT_NEEDED = "destruction_list", "destruction-list-not-needed"
COMPILED_BY = "档案管理机构 / archives body"


def make_destruction_list(context: Context) -> DestructionList | None:
    """Make the list, or leave the one that says the same; None where no accounting archive is destroyed."""
    with context.step(STEP):
        decisions = class_decisions(context, legal_day())
        if not needs_list(context, decisions):
            context.record(NOT_NEEDED, {"plan_digest": context.plan().sha256_of_json()}, key=NOT_NEEDED)
            return None
        now = destruction_standing(context)
        if now.made is not None and now.reached("executed"):
            return now.made
        compiling = Compiling.of(context, decisions)
        if now.made is not None:
            on = now.made.compiled_on
            then = decisions if on == legal_day() else class_decisions(context, on)
            if compiling.made(then, on, now.made.edition) == now.made:
                return now.made
        made = compiling.made(decisions, legal_day(), now.made.edition + 1 if now.made else 1)
        register(context, Listed(list=made))
        return made


def require_list_cleared(context: Context) -> None:
    """Raise NotReady unless every accounting row of the plan stands on a list that may be executed today.

    Open matters are those of this day.
    """
    decisions = class_decisions(context, legal_day())
    made = destruction_standing(context).made
    open_now: dict[tuple[str, int], Sequence[str]] = {
        (volume.code, volume.number): found
        for volume in (made.volumes if made else ())
        if (found := [kind for one in volume.contents for kind in decisions[one.row_class].open_holds])
    }
    require_destruction_cleared(context, to_destroy(context, decisions), open_now)


def destruction_list_faults(context: Context) -> list[str]:
    """Return why the destruction of accounting archives is not complete; nothing where none is destroyed."""
    now = destruction_standing(context)
    if context.entries("plan"):
        if not needs_list(context, class_decisions(context, legal_day())):
            return []
    elif now.made is None:  # a list of archived terms has a run without a plan
        return []
    return [f"destruction list: {line}" for line in (*now.faults, *(f"missing {m}" for m in now.missing))]


@dataclass(frozen=True)
class Place:
    """Where and how the rows of a list lie, and where those of its annex stay."""

    format: str
    system: str
    kept_at: str


@dataclass(frozen=True)
class Compiling:
    """What a list is made from, read once: neither a backup's rows nor an archive's change."""

    context: Context
    ledger: LedgerHandover
    place: Place
    contents: Mapping[tuple[str, str], ListedRows]

    @classmethod
    def of(cls, context: Context, decisions: Decisions) -> Compiling:
        """Read the backup; raises VerificationFailed where rows are of other years than their class says."""
        volumes = volumes_of_classes(context, decisions)
        contents: dict[tuple[str, str], ListedRows] = {}
        with closing(connect(context.source)) as source:
            rows = ClassedRows(context, read_index(context), source)
            plans = rows.tables(["erase"])
            for volume in volumes:
                parts = {
                    label: [plan for plan in plans if rows.table(plan).label == label]
                    for label in (volume.rows if volume.is_going else ())
                }
                classes = {label: _class(rows, some[0], volume.row_class) for label, some in parts.items()}
                require_years(context, source, volume, classes)
                for label, some in parts.items():
                    contents[volume.row_class, label] = _listed(rows, some, volume.row_class, label)
        system = f"PostgreSQL, {context.case.source.connection}"
        kept_at = f"原系统，限制处理 / system of record, restricted: {system}"
        place = Place(format="PostgreSQL COPY text", system=system, kept_at=kept_at)
        return cls(context, declared_ledger(context), place, contents)

    def made(self, decisions: Decisions, on: date, edition: int) -> DestructionList:
        """Return the list as of a day, that of the decisions."""
        every = volumes_of_classes(self.context, decisions)
        if not any(one.is_listed for one in every):
            raise NotReady(
                "everything that was to stand on the destruction list belongs to open matters (ACC-19)",
                hint="give these classes source: restrict, and start a new run",
            )
        by = str(self.context.last(REQUESTED, "inventory").body["by"])
        return self.listing(every, on, number=self.ledger.number, edition=edition, requested_by=by)

    def listing(
        self, every: Sequence[VolumeOfClass], on: date, *, number: str, edition: int, requested_by: str
    ) -> DestructionList:
        """Return the list of some volumes, held ones on its annex."""
        context = self.context
        listed = [one for one in every if one.is_listed]
        return DestructionList(
            number=number,
            edition=edition,
            case=context.case.case,
            run=context.run,
            title=context.case.title,
            unit=context.case.parties.giver.name,
            uscc=None,
            compiled_on=on,
            compiled_by=COMPILED_BY,
            requested_by=requested_by,
            appraisal=_appraisal_number(context),
            volumes=tuple(self._volume(one, listed, on) for one in listed),
            annex=tuple(line for one in every if one.decision.open_holds for line in self._annex(one)),
        )

    def _volume(self, one: VolumeOfClass, listed: Sequence[VolumeOfClass], on: date) -> ListedVolume:
        beside = [other for other in listed if other.archive.code == one.archive.code]
        first, last = one.years
        months = max(0, (on.year - last - 1) * 12 + on.month - 1)
        return ListedVolume(
            archive=one.archive.name,
            code=one.archive.code,
            number=beside.index(one) + 1,
            volumes=len(beside),
            first_year=first,
            last_year=last,
            rule=one.archive.rule,
            required_years=one.required_years,
            kept=Duration(years=months // 12, months=months % 12),
            keep_until=one.decision.kept_through,
            destroy_on=on,
            kind="electronic",
            medium=self.ledger.medium,
            format=self.place.format,
            system=self.place.system,
            contents=tuple(self.contents[one.row_class, table] for table in one.rows),
            holds=HoldCheck(on=on),
        )

    def _annex(self, one: VolumeOfClass) -> list[OpenMatter]:
        return [
            OpenMatter(
                archive=one.archive.name,
                code=one.archive.code,
                first_year=one.years[0],
                last_year=one.years[1],
                row_class=one.row_class,
                table=table,
                rows=rows,
                matter=", ".join(one.decision.open_holds),
                kept_at=self.place.kept_at,
            )
            for table, rows in one.rows.items()
        ]


def _class(rows: ClassedRows, plan: TablePlan, name: str) -> tuple[Table, sql.Composable]:
    table = rows.table(plan)
    one = next(one for one in rows.classes(plan) if one.name == name)
    return table, class_condition(one, table)


def _listed(rows: ClassedRows, plans: Sequence[TablePlan], name: str, label: str) -> ListedRows:
    """Return number and keyed digest of the rows of a class, as the backup has them."""
    digest, count = hashlib.sha256(), 0
    for plan in plans:
        for found in rows.of(plan):
            data = found.get(name, b"")
            digest.update(data)
            count += data.count(b"\n")  # COPY text writes a line end within a value otherwise
    said = rows.context.digest(digest.digest())
    return ListedRows(row_class=name, table=label, rows=count, digest=said)


def _appraisal_number(context: Context) -> str:
    """Return the number of the appraisal opinion (鉴定意见书) on which the list rests."""
    for document in context.case.matter.documents:
        if document.kind == "appraisal" and document.number:
            return document.number
    raise CaseInvalid(
        "accounting archives are to be destroyed, and no appraisal opinion with a number is on file (ACC-18)",
        hint=f"register the appraisal (鉴定意见书) with its number under matter.documents; {AGAIN}",
    )
