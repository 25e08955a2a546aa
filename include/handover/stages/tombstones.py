"""Tombstones: what was erased is remembered by keyed tokens, so that no old backup brings it back unseen.

A row that was to go and is still at the source has none: an old backup brings it back by right. Each run has
a key of its own. Once no backup is left that holds the rows, the key is destroyed and the tokens with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
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
    take_back_tombstones,
    writing_alone,
)
from handover.model.plan import TablePlan
from handover.postgres.living import rows_there
from handover.postgres.session import Connection, connect
from handover.stages.backup_index import read_index
from handover.stages.classed_rows import ERASED_ONLY, ClassedRows
from handover.stages.context import Context
from handover.stages.disposal import HEARD
from handover.stages.hold_epoch import ERASED
from handover.stages.proving import proof, prove_faults
from handover.vault.roots import Purpose

STEP = "tombstones"
WRITTEN, DESTROYED = "tombstones-written", "tombstones-destroyed"
AT_ONCE = 10_000
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
        with (
            closing(connect(context.source)) as source,
            writing_alone(context.ledger_url, context.case.case, context.run),
        ):
            written = remember(context, source, lambda rows: progress.add(rows, 0))
            living = _take_back_living(context, source)
            passing(CrashPoint.TOMBSTONES_UNRECORDED)
            count = count_tombstones(context.ledger_url, context.case.case, context.run)
            context.record(
                WRITTEN,
                {
                    "key": context.ensure_key(Purpose.TOMBSTONE, context.backup_name),
                    "rows": written.rows - living,
                    "living": living,
                    "tombstones": count,
                    "tables": [{"table": label, "columns": list(names)} for label, names in written.tables],
                },
                key=f"{WRITTEN}/{context.entries(HEARD, ERASED)[-1].seq}",
            )
        return written.rows - living


def _take_back_living(context: Context, source: Connection) -> int:
    """Take back the tombstones of rows that are still at the source; returns of how many rows.

    They are looked for in the tables in which the proof has found some.
    """
    found = proof(context) or {}
    labels = {str(one["table"]) for one in found.get("classes", ()) if one["there"]}
    secret = context.keyring.key(context.ensure_key(Purpose.TOMBSTONE, context.backup_name))
    rows, living = ClassedRows(context, read_index(context), source), 0
    for plan in rows.tables(ERASED_ONLY):
        table = rows.table(plan)
        for data in _erased_chunks(rows, plan) if table.label in labels else ():
            there = split_rows(rows_there(source, table, plan, data), "text")
            tokens = [token_of(secret, table.label, key_of(plan, row)) for row in there]
            take_back_tombstones(context.ledger_url, context.case.case, context.run, table.label, tokens)
            living += len(tokens)
    return living


@dataclass(frozen=True)
class Remembered:
    """How many rows have tombstones, and of which tables, each with the columns that a token stands for."""

    rows: int
    tables: tuple[tuple[str, tuple[str, ...]], ...]


def remember(context: Context, connection: Connection, between: Callable[[int], None]) -> Remembered:
    """Write tombstones of all rows that the run's plan lets go, from its backup; safe to repeat.

    ``connection``: to a database with its tables, whatever rows these have.
    """
    secret = context.keyring.key(context.ensure_key(Purpose.TOMBSTONE, context.backup_name))
    rows = ClassedRows(context, read_index(context), connection)
    total, tables = 0, dict[tuple[str, tuple[str, ...]], None]()
    for plan in rows.tables(ERASED_ONLY):
        label = rows.table(plan).label
        tables[label, key_columns(plan)] = None
        tokens = (token_of(secret, label, row) for row in _erased(rows, plan))
        while some := list(islice(tokens, AT_ONCE)):
            context.honour_stop()
            add_tombstones(context.ledger_url, context.case.case, context.run, label, some)
            between(len(some))
            total += len(some)
    return Remembered(total, tuple(tables))


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
    for data in _erased_chunks(rows, plan):
        yield from (key_of(plan, row) for row in split_rows(data, "text"))


def _erased_chunks(rows: ClassedRows, plan: TablePlan) -> Iterator[bytes]:
    names = [one.name for one in rows.classes(plan) if one.source == "erase"]
    for found in rows.of(plan):
        yield from (found[name] for name in names if name in found)


def key_columns(plan: TablePlan) -> tuple[str, ...]:
    """Return the columns that name a row: its key, or all of them where there is none to be read."""
    names = tuple(column.name for column in plan.key)
    return names if names and set(names) <= set(plan.columns) else plan.columns


def key_of(plan: TablePlan, row: bytes) -> RowKey:
    """Return what names a row of COPY text."""
    every = fields(row, "text")
    return [every[plan.columns.index(name)] for name in key_columns(plan)]


def known(context: Context, table: str, keys: Sequence[RowKey]) -> list[bool]:
    """Say of each row, by its key, whether this run has a tombstone of it.

    ``table``: the label of the whole table. Of a run whose tombstones were destroyed nothing is known.
    """
    mine = context.keyring.find(Purpose.TOMBSTONE, context.backup_name)
    if mine is None:
        return [False] * len(keys)
    secret, found = context.keyring.key(mine.key_id), list[bool]()
    for start in range(0, len(keys), AT_ONCE):
        tokens = [token_of(secret, table, key) for key in keys[start : start + AT_ONCE]]
        there = find_tombstones(context.ledger_url, context.case.case, context.run, table, tokens)
        found += [one in there for one in tokens]
    return found


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


def token_of(key: bytes, label: str, parts: RowKey) -> bytes:
    """Return the tombstone of a row of a table, by what names it."""
    # NULL is no value that COPY writes so: every field is marked.
    marked = [b"N" if part is None else b"V" + part for part in parts]
    return bytes.fromhex(token(key, label.encode(), *marked))
