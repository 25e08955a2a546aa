"""Tombstones: what was erased is remembered by keyed tokens, so that no old backup brings it back unseen.

They have a key of their own for each run. Once no backup is left that holds the rows, the key is destroyed
and the tokens with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice

from handover.codec.rows import fields, split_rows
from handover.crashpoints import CrashPoint, passing
from handover.errors import NotReady
from handover.evidence.digest import token
from handover.evidence.tombstones import (
    add_tombstones,
    count_tombstones,
    delete_tombstones,
    find_tombstones,
)
from handover.model.plan import TablePlan
from handover.postgres.session import connect
from handover.stages.backup import read_index
from handover.stages.classed_rows import ERASED_ONLY, ClassedRows
from handover.stages.context import Context
from handover.stages.proving import prove_faults
from handover.vault.keyring import KeyInfo, KeyState
from handover.vault.roots import Purpose

STEP = "tombstones"
WRITTEN, DESTROYED = "tombstones-written", "tombstones-destroyed"
_AT_ONCE = 10_000
# The fields of a row's key as COPY text writes them; of a table without a key, all fields.
RowKey = Sequence[bytes | None]


def write_tombstones(context: Context) -> int:
    """Remember what was erased and proven to be gone; returns how many rows. Safe to repeat."""
    if not context.disposes:
        return 0
    with context.step(STEP) as progress:
        if faults := prove_faults(context):
            raise NotReady(
                "what was erased is not proven to be gone:\n  " + "\n  ".join(faults),
                hint="run or clear the task prove",
            )
        index, total = read_index(context), 0
        name = context.ensure_key(Purpose.TOMBSTONE, context.backup_name)
        key = context.keyring.key(name)
        with closing(connect(context.source)) as source:
            rows = ClassedRows(context, index, source)
            for plan in rows.tables(ERASED_ONLY):
                label = rows.table(plan).label
                tokens = (_token(key, label, row) for row in _erased(rows, plan))
                while some := list(islice(tokens, _AT_ONCE)):
                    context.honour_stop()
                    add_tombstones(context.ledger_url, context.case.case, context.run, label, some)
                    progress.add(len(some), 0)
                    total += len(some)
        passing(CrashPoint.TOMBSTONES_UNRECORDED)
        count = count_tombstones(context.ledger_url, context.case.case, context.run)
        context.record(WRITTEN, {"key": name, "rows": total, "tombstones": count}, key=WRITTEN)
        return total


def tombstone_faults(context: Context) -> list[str]:
    """Return why it is not remembered what was erased; empty also where nothing was."""
    if not context.entries("plan"):
        return []
    scope = context.plan().scope
    erased = any(c.rows for t in (scope.tables if scope else ()) for c in t.classes if c.source == "erase")
    return (
        ["no tombstones of the erased rows were written"] if erased and not context.entries(WRITTEN) else []
    )


def _erased(rows: ClassedRows, plan: TablePlan) -> Iterator[RowKey]:
    names = [one.name for one in rows.classes(plan) if one.source == "erase"]
    for found in rows.of(plan):
        for name in names:
            for row in split_rows(found.get(name, b""), "text"):
                yield key_of(plan, row)


def key_of(plan: TablePlan, row: bytes) -> RowKey:
    """Return what names a row of COPY text: its key, or all of it where there is none to be read."""
    every = fields(row, "text")
    names = [column.name for column in plan.key]
    if not names or not set(names) <= set(plan.columns):
        return every
    places = [plan.columns.index(name) for name in names]
    return [every[place] for place in places]


def tombstoned(context: Context, table: str, keys: Sequence[RowKey]) -> list[bool]:
    """Say of each row, by its key, whether any run of the case has erased it; for whoever restores a backup.

    ``table``: the label of the whole table. Runs whose tombstones were destroyed know of nothing any more.
    """
    found: set[int] = set()
    for one in _keys(context):
        secret, run = context.keyring.key(one.key_id), one.case.split("/", 1)[1]
        for start in range(0, len(keys), _AT_ONCE):
            tokens = {number: _token(secret, table, keys[number]) for number in _some(start, len(keys))}
            there = find_tombstones(context.ledger_url, context.case.case, run, table, tokens.values())
            found |= {number for number, mine in tokens.items() if mine in there}
    return [number in found for number in range(len(keys))]


def _some(start: int, end: int) -> range:
    return range(start, min(start + _AT_ONCE, end))


def _keys(context: Context) -> Iterable[KeyInfo]:
    return [
        one
        for one in context.keyring.list()
        if one.purpose is Purpose.TOMBSTONE
        and one.state is KeyState.ACTIVE
        and one.case.startswith(f"{context.case.case}/")
    ]


def destroy_tombstones(context: Context) -> None:
    """Destroy the key of this run's tombstones, and them with it; safe to repeat."""
    name = context.backup_name
    mine = [one for one in context.keyring.list() if (one.purpose, one.case) == (Purpose.TOMBSTONE, name)]
    if not mine:
        return
    done = context.keyring.destroy(mine[-1].key_id)
    passing(CrashPoint.TOMBSTONE_KEY_DESTROYED)
    delete_tombstones(context.ledger_url, context.case.case, context.run)
    context.record(DESTROYED, {"key": done.key_id, "at": done.at, "result": done.result}, key=DESTROYED)


def _token(key: bytes, label: str, parts: RowKey) -> bytes:
    # NULL is no value that COPY writes so: every field is marked.
    marked = [b"N" if part is None else b"V" + part for part in parts]
    return bytes.fromhex(token(key, label.encode(), *marked))
