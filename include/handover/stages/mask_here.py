"""Pseudonymising in place: rows of the source that may stay without identities get pseudonyms where they lie.

The unit of work is a chunk of the backup. Its receipt, its rows and what came of them are one transaction at
the source, while the epoch of holds stands still and under the law as it is then; the ledger hears it next.
Rows that changed or went since the backup stay as they are, are named by token, and keep the case incomplete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg import sql

from handover.crashpoints import CrashPoint, passing
from handover.errors import NotReady, VerificationFailed
from handover.evidence.progress import Meter
from handover.model.backup import BackupIndex, ChunkReceipt
from handover.model.plan import Group, TablePlan
from handover.postgres.columns import require_same_columns
from handover.postgres.masking_rows import RowsHere
from handover.postgres.outcomes import keep_outcome, outcomes
from handover.postgres.receipts import once
from handover.postgres.session import LOCK_SECONDS, Connection, connect, database_errors
from handover.pseudonymise.chunks import MaskedChunk, TableMask, total
from handover.stages.backup_index import read_index
from handover.stages.classed_rows import MASKED_ONLY, ClassedRows
from handover.stages.context import Context
from handover.stages.disposal import is_open, require_open
from handover.stages.freezing import through_freeze
from handover.stages.hold_epoch import CHUNK_MASKED, MASKED
from handover.stages.loading import read_chunk
from handover.stages.narrowing import Narrowing
from handover.stages.pseudonyms import mask_of
from handover.stages.under_law import UnderLaw
from handover.stages.units import unit_of

STEP = "mask-here"
SEEN, SUMMARY = "masked-here-read", MASKED
_LOCK_LIMIT = sql.SQL("SET LOCAL lock_timeout = {}")


def mask_here_lane(context: Context, number: int) -> int:
    """Mask the source's rows of one lane; returns how many were. Safe to repeat: no chunk is masked twice.

    Raises GateBlocked when the law keeps rows by then; chunks masked before stay so.
    """
    groups = _groups(context.plan().lanes[number].groups, context)
    if not groups:
        return 0
    with context.step(STEP, str(number)) as progress:
        index = require_open(context)
        progress.expect(*index.rows(groups))
        with closing(connect(context.source)) as source:
            with database_errors("reading what was masked before"):
                done = outcomes(source, context.holder, STEP)
            masking = _Masking(context, index, source, progress)
            return sum(masking.mask(group, done) for group in groups)


def look_here_lane(context: Context, number: int) -> int:
    """Read the rows of one lane at the source again; returns those with pseudonyms.

    Masked rows must be what backup and keys make of them, rows of other classes what they were; else raises
    VerificationFailed.
    """
    groups = _groups(context.plan().lanes[number].groups, context)
    if not groups:
        return 0
    with context.step("look-here", str(number)) as progress:
        index = read_index(context)
        progress.expect(*index.rows(groups))
        seen = 0
        differences: list[str] = []
        with closing(connect(context.source)) as source:
            looking = _Masking(context, index, source, progress)
            for group in groups:
                rows, lines = looking.look(group)
                body = {"unit": unit_of(group), "generation": index.state.generation, "rows": rows}
                passing(CrashPoint.COMPARISON_UNRECORDED)
                context.record(SEEN, {**body, "differences": lines})
                seen, differences = seen + rows, differences + lines
        _refuse(differences)
        return seen


def finish_mask_here(context: Context) -> None:
    """Write down by table what was masked; raises VerificationFailed when rows stayed that should not."""
    if not _groups(context.plan().groups(), context):
        return
    with context.step("finish-mask-here"):
        tables: dict[str, Counter[str]] = {}
        cells: dict[str, list[dict[str, dict[str, int]]]] = {}
        for body in _recorded(context).values():
            counts = {name: int(body[name]) for name in ("masked", "differing", "gone")}
            tables.setdefault(str(body["table"]), Counter()).update(counts)
            cells.setdefault(str(body["table"]), []).append(body["counts"])
        faults = mask_here_faults(context)
        context.record(
            SUMMARY,
            {
                "tables": [
                    {"table": name, **counts, "counts": total(cells[name])}
                    for name, counts in sorted(tables.items())
                ],
                "faults": len(faults),
            },
        )
        _refuse(faults)


def mask_here_faults(context: Context) -> list[str]:
    """Return why pseudonymising at the source is not complete; empty also where none was planned."""
    if not context.entries("plan") or not (groups := _groups(context.plan().groups(), context)):
        return []
    if not is_open(context):
        return ["pseudonymised at the source: not done"]
    index, recorded = read_index(context), _recorded(context)
    chunks = [receipt.unit for group in groups for receipt in index.of(group)]
    looks = {str(e.body["unit"]): e.body for e in context.entries(SEEN)}
    missing = sum(unit not in recorded for unit in chunks)
    unseen = sum(unit_of(group) not in looks for group in groups)
    lines = [f"pseudonymised at the source: {missing} of {len(chunks)} chunks are not"] if missing else []
    if unseen:
        lines.append(f"pseudonymised at the source: {unseen} of {len(groups)} parts not read again")
    lines += [
        f"{body['table']}: not pseudonymised at the source: {body['differing']} rows that differ from the "
        f"backup, {body['gone']} that are gone"
        for body in recorded.values()
        if body["differing"] or body["gone"]
    ]
    found = [line for body in recorded.values() for line in body["findings"]]
    found += [line for group in groups for line in looks.get(unit_of(group), {}).get("differences", ())]
    return list(dict.fromkeys([*lines, *(f"at the source: {line}" for line in found)]))


def _groups(groups: Iterable[Group], context: Context) -> list[Group]:
    plan = context.plan()
    here = {table.id for table in plan.tables if table.masked_here}
    return [group for group in groups if group.table in here]


def _recorded(context: Context) -> dict[str, dict[str, Any]]:
    return {str(entry.body["unit"]): dict(entry.body) for entry in context.entries(CHUNK_MASKED)}


def _refuse(differences: list[str]) -> None:
    if differences:
        raise VerificationFailed(
            "rows at the source are not pseudonymised as planned:\n  " + "\n  ".join(differences),
            hint="what differs was changed after the backup and is for a person to decide: put it back as "
            "the backup has it, or start a new run that includes it",
            differences=differences,
        )


@dataclass(frozen=True)
class _Masking:
    """What masks rows of a run at its source, or looks at them, in one session."""

    context: Context
    index: BackupIndex
    source: Connection
    progress: Meter

    @cached_property
    def law(self) -> UnderLaw:
        """What keeps holds from being added while a chunk is masked; it asks the law for the first one."""
        return UnderLaw(self.context)

    @cached_property
    def _classed(self) -> ClassedRows:
        return ClassedRows(self.context, self.index, self.source)

    def mask(self, group: Group, done: dict[str, dict[str, Any]]) -> int:
        """Mask the chunks of a group that are not yet; returns its masked rows."""
        table, masked = self.index.plan.table(group.table), 0
        work = mask_of(self.context, table.columns, table.masked_here)
        for receipt in self.index.of(group):
            self.context.honour_stop()
            if outcome := done.get(receipt.unit):
                self._record(receipt, outcome)
            else:
                outcome = self._mask_chunk(table, receipt, work)
            masked += int(outcome["masked"])
            self.progress.add(receipt.rows, receipt.bytes)
        return masked

    def _mask_chunk(self, table: TablePlan, receipt: ChunkReceipt, work: TableMask) -> dict[str, Any]:
        run, unit, doing = self.context.holder, receipt.unit, f"{STEP}: chunk {receipt.unit} of {table.label}"
        raw = read_chunk(self.context, self.index, receipt)
        with self.law.enter() as require_held:
            with (
                database_errors(doing),
                once(self.source, run, STEP, unit, receipt.rows, receipt.digest) as due,
            ):
                if due:
                    self.source.execute(_LOCK_LIMIT.format(sql.Literal(f"{LOCK_SECONDS}s")))
                    outcome = self._apply(table, raw, work)
                    keep_outcome(self.source, run, STEP, unit, outcome)
                    passing(CrashPoint.MASKED_HERE_UNCOMMITTED)
                    require_held()
                else:  # somebody else was faster
                    outcome = outcomes(self.source, run, STEP)[unit]
            self._record(receipt, outcome)  # before a hold can come, which says whether chunks were masked
        return outcome

    def _apply(self, table: TablePlan, raw: bytes, work: TableMask) -> dict[str, Any]:
        made: list[MaskedChunk] = []

        def mask(data: bytes) -> bytes:
            made.append(work.of(data))
            return made[-1].data

        rows = RowsHere(self.source, table, self._classed.condition(table, MASKED_ONLY))
        rows.lay_out([raw], mask)  # before any row is locked; from here on nobody alters the table
        require_same_columns(self.source, [(table, self._classed.table(table).columns)])
        with through_freeze(self.context, self.source):
            applied = rows.apply()
        lines: list[str] = []
        if applied.differing or applied.gone:
            lines = Narrowing(table, self.context.evidence_key).lines(
                iter(rows.unlike()), iter(rows.present())
            )
        return {
            "table": table.label,
            "masked": applied.masked,
            "differing": applied.differing,
            "gone": applied.gone,
            "changed": applied.changed,
            "counts": total(chunk.counts for chunk in made),
            "digest": self.context.digest(applied.digest),
            "findings": lines,
        }

    def _record(self, receipt: ChunkReceipt, outcome: dict[str, Any]) -> None:
        passing(CrashPoint.MASKED_HERE_UNRECORDED)
        number, unit = self.index.state.generation, receipt.unit
        body = {"generation": number, "unit": unit, "rows": receipt.rows, **outcome}
        self.context.record(CHUNK_MASKED, body, key=f"{STEP}/g{number}/{unit}")

    def look(self, group: Group) -> tuple[int, list[str]]:
        """Look at the rows of a group; returns those with pseudonyms, and a line for each difference."""
        table = self.index.plan.table(group.table)
        recorded, receipts = _recorded(self.context), self.index.of(group)
        bodies = [recorded[receipt.unit] for receipt in receipts if receipt.unit in recorded]
        if len(bodies) < len(receipts):
            raise NotReady(f"{table.label} is not all masked", hint="run or clear the task mask_here")
        work = mask_of(self.context, table.columns, table.masked_here)
        has_key = RowsHere(self.source, table, sql.SQL("true")).has_key
        # Equal rows may be of several chunks: without a key all of them are looked at together.
        parts = [([one], [body]) for one, body in zip(receipts, bodies, strict=True)]
        seen = 0
        lines: list[str] = []
        for some, said in parts if has_key else [(receipts, bodies)]:
            rows, found = self._look_at(table, some, said, work)
            seen, lines = seen + rows, lines + found
        return seen, lines

    def _look_at(
        self, table: TablePlan, receipts: list[ChunkReceipt], bodies: list[dict[str, Any]], work: TableMask
    ) -> tuple[int, list[str]]:
        without = {name for body in bodies for name in body["changed"]}
        rows = RowsHere(self.source, table, self._classed.condition(table, MASKED_ONLY))
        with database_errors(f"look-here: {table.label}"), self.source.transaction(force_rollback=True):
            rows.lay_out(self._chunks(receipts), lambda data: work.of(data).data)
            seen = rows.look(masked=True, without=without)
            lines: list[str] = []
            if seen.there != sum(body["masked"] for body in bodies) or seen.there != seen.expected:
                lines = self._narrowed(table, rows, masked=True, without=without)
            elif len(bodies) == 1 and self.context.digest(seen.digest) != bodies[0]["digest"]:
                lines = [f"{table.label}: other rows than those that were masked have their pseudonyms"]
            others = rows.look(masked=False)
            if others.there != others.expected:
                lines += self._narrowed(table, rows, masked=False, without=())
        return seen.there, lines

    def _chunks(self, receipts: list[ChunkReceipt]) -> Iterator[bytes]:
        for receipt in receipts:
            self.context.honour_stop()
            yield read_chunk(self.context, self.index, receipt)
            self.progress.add(receipt.rows, receipt.bytes)

    def _narrowed(
        self, table: TablePlan, rows: RowsHere, *, masked: bool, without: Iterable[str]
    ) -> list[str]:
        columns = tuple(name for name in table.columns if name not in set(without))
        narrowing = Narrowing(table.model_copy(update={"columns": columns}), self.context.evidence_key)
        expected = rows.unlike(masked=masked, without=without)
        return narrowing.lines(iter(expected), iter(rows.present(without)))
