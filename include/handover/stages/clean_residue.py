"""Residue at the source: after the last row went, the places where its bytes stay are cleaned and reported.

Tables are rewritten only within the hours that the case names; without them they stay as they are, and the
report says so. What a role may not do or see is no fault here: the place cannot be verified, and whether that
is enough is for the certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from handover.crashpoints import CrashPoint, passing
from handover.errors import Busy, NotReady
from handover.model.disposition import GOING
from handover.model.policy import Text
from handover.model.reconciliation import TableName
from handover.model.residue import (
    Begun,
    Cleaning,
    Outcome,
    Residue,
    Rewritten,
    Window,
    check_rewrite_space,
)
from handover.postgres.residue.cleaning import clean
from handover.postgres.residue.inspecting import inspect, inspect_files
from handover.postgres.residue.rewriting import estimate_rewriting
from handover.postgres.residue.statistics import renew_statistics
from handover.postgres.residue.storage import begin
from handover.postgres.session import Connection, connect
from handover.stages.backup_index import read_index
from handover.stages.classed_rows import ClassedRows
from handover.stages.context import Context
from handover.stages.datamaps import planned_datamap
from handover.stages.disposal import is_open
from handover.stages.erased import effects
from handover.stages.estimating import free_space
from handover.stages.facts import LEGAL_TIME
from handover.stages.gone_values import Find, gone_values
from handover.stages.hold_epoch import ERASED
from handover.stages.mask_here import SUMMARY
from handover.stages.restore_test import scratch_name

STEP = "clean-residue"
BEGUN, REWRITTEN, RESIDUE = "residue-begun", "residue-rewritten", "residue"
# The data directory of the source's server, where this account may read it.
DATA_SETTING = "HANDOVER_SOURCE_DATA"
# The worse of two findings of one place counts.
_WORSE: tuple[Outcome, ...] = ("not cleared", "cannot be verified", "cleared", "not present")
_NO_WINDOW = Text(
    zh="案件未指定重写时段，未重写",
    en="the case names no hours for rewriting (disposal.rewrite), so nothing was",
)
_REWRITING = ("heap", "toast", "indexes", "wal", "statement-texts", "materialized-views")


def in_rewrite_window(context: Context) -> bool:
    """Say whether tables may be rewritten now, or need not be; for what waits for the hours to begin."""
    if not context.disposes:
        return True
    window = rewrite_window(context, datetime.now(UTC))
    return window is None or window.begins <= datetime.now(UTC) < window.ends


def rewrite_window(context: Context, now: datetime) -> Window | None:
    """Return the hours for rewriting that run or come next, None where the case names none.

    Hours that begin and end at the same time of day are all of the day.
    """
    hours = context.case.disposal.rewrite
    if hours is None:
        return None
    here = now.astimezone(LEGAL_TIME)
    for day in (here.date() - timedelta(days=1), here.date(), here.date() + timedelta(days=1)):
        begins = datetime.combine(day, hours.start, LEGAL_TIME)
        ends = datetime.combine(day, hours.end, LEGAL_TIME)
        ends += timedelta(days=1) if ends <= begins else timedelta()
        if now < ends:
            return Window(begins=begins, ends=ends)
    raise NotReady("no hours for rewriting are to come", hint="correct disposal.rewrite in the case file")


def clean_residue(context: Context) -> None:
    """Clean what may be cleaned, look at every place, and write down what was found. Safe to repeat.

    Raises NotReady outside the case's hours, Busy when a lock or the disk's space was not to be had.
    """
    if not context.disposes:
        return
    with context.step(STEP):
        gone = _last_disposal(context)
        attempt = f"{gone}-{len(context.entries(RESIDUE))}"
        index = read_index(context)
        with closing(connect(context.source)) as source:
            rows = ClassedRows(context, index, source)
            values = gone_values(rows, planned_datamap(context, index.plan))
            begun = _begun(context, source, attempt, _touched(context, rows))
            cleaning = _clean(context, source, begun, attempt)
            lines = _looked_at(context, source, cleaning, list(values.finds()))
        passing(CrashPoint.RESIDUE_UNRECORDED)
        body = {
            "after": gone,
            "rewrite": context.case.disposal.rewrite is not None,
            "tables": [one.label for one in begun.tables],
            "lines": [line.document() for line in lines],
        }
        context.record(RESIDUE, body)


def residue_lines(context: Context) -> tuple[Residue, ...]:
    """Return what was found of every place after rows went last; none before that was looked at."""
    found = [e.body for e in context.entries(RESIDUE) if e.body["after"] == last_disposal(context)]
    return tuple(Residue.model_validate(line) for line in found[-1]["lines"]) if found else ()


def residue_faults(context: Context) -> list[str]:
    """Return why the residue of what went is not as the case wants it."""
    if not context.disposes:
        return []
    said = {line.place: line.outcome for line in residue_lines(context)}
    if not said:
        return ["residue at the source: not looked at since rows went"]
    return [
        f"residue at the source: {place} is to be clean and is {said.get(place, 'not known')}"
        for place in context.case.disposal.mandatory
        if said.get(place) not in ("cleared", "not present")
    ]


def last_disposal(context: Context) -> int:
    """Return the number of the entry by which rows went from the source last, 0 where none did."""
    return max((entry.seq for entry in context.entries(ERASED, SUMMARY)), default=0)


def _last_disposal(context: Context) -> int:
    gone = last_disposal(context)
    if not is_open(context) or not gone:
        raise NotReady("nothing went from the source yet", hint="run or clear the tasks erase and mask_here")
    return gone


def _touched(context: Context, rows: ClassedRows) -> list[TableName]:
    """Return the tables from which rows went, in which values were replaced, and that triggers changed."""
    tables = {rows.table(plan).label: rows.table(plan) for plan in rows.tables(GOING)}
    every = {rows.table(plan).label: rows.table(plan) for plan in rows.index.plan.tables if rows.whole(plan)}
    tables |= {label: every[label] for label in effects(context) if label in every}
    return [TableName(schema_name=one.schema_name, name=one.name) for one in tables.values()]


def _begun(context: Context, source: Connection, attempt: str, tables: Sequence[TableName]) -> Begun:
    """Return the state before cleaning; of an attempt that is resumed, the one it began with."""
    known = [entry for entry in context.entries(BEGUN) if entry.key == attempt]
    entry = known[0] if known else context.record(BEGUN, begin(source, tables).document(), key=attempt)
    return Begun.model_validate(entry.body)


def _clean(context: Context, source: Connection, begun: Begun, attempt: str) -> Cleaning:
    window = rewrite_window(context, datetime.now(UTC))
    if window is None:
        everything = [*begun.tables, *begun.above, *begun.views]
        return Cleaning(begun=begun, rewritten=(), statistics=renew_statistics(source, everything), wal=None)
    _require_space(context, source, begun)
    done = [e.body["done"] for e in context.entries(REWRITTEN) if e.body["attempt"] == attempt]

    def record(one: Rewritten) -> None:
        said = {**one.document(), "seconds": f"{one.seconds:.3f}"}  # the ledger takes no floats
        context.record(REWRITTEN, {"attempt": attempt, "done": said})
        passing(CrashPoint.REWRITTEN_RECORDED)
        context.honour_stop()

    return clean(
        source, begun, window, lambda: datetime.now(UTC), map(Rewritten.model_validate, done), record
    )


def _require_space(context: Context, source: Connection, begun: Begun) -> None:
    """Raise Busy when the server's disk is known and too small; one out of sight is its owner's to watch."""
    folder = data_folder(context)
    if folder is None or not folder.is_dir():
        return
    needed = estimate_rewriting(source, begun.tables)
    if findings := check_rewrite_space(needed, free_space(folder)):
        raise Busy(findings[0].message, hint=findings[0].remedy)


def data_folder(context: Context) -> Path | None:
    """Return the data directory of the source's server, if this installation says where it is."""
    found = context.settings.variables.get(DATA_SETTING)
    return Path(found) if found else None


def _looked_at(
    context: Context, source: Connection, cleaning: Cleaning, finds: Sequence[Find]
) -> tuple[Residue, ...]:
    """Return a line for each place; values that do not fit into memory at once are looked for in turn."""
    scratch = [scratch_name(context)]
    turns = [inspect(source, cleaning, find, scratch) for find in finds]
    lines = [_worst(found) for found in zip(*turns, strict=True)]
    if context.case.disposal.rewrite is None:
        lines = [_without_window(line) for line in lines]
    return (*lines, _worst([_files(context, source, find) for find in finds]))


def _worst(found: Sequence[Residue]) -> Residue:
    return min(found, key=lambda line: _WORSE.index(line.outcome))


def _without_window(line: Residue) -> Residue:
    if line.place not in _REWRITING or line.clean:
        return line
    kept = () if line.place == "wal" else line.reasons
    return line.model_copy(update={"reasons": (_NO_WINDOW, *kept)})


def _files(context: Context, source: Connection, find: Find) -> Residue:
    folder = data_folder(context)
    if folder is not None and folder.is_dir():
        return inspect_files(source, folder, find)
    return Residue(
        place="data-directory",
        outcome="cannot be verified",
        how=Text(
            zh="本账户读不到服务器的数据目录", en="this account cannot read the server's data directory"
        ),
        reasons=(
            Text(
                zh=f"未设置{DATA_SETTING}，或该目录不可读", en=f"{DATA_SETTING} is not set, or is no folder"
            ),
        ),
    )
