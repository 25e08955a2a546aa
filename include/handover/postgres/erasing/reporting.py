"""Says what became of the rows of a table: counts, and publishable names of those that stayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from psycopg import sql

from handover.model.plan import TablePlan
from handover.postgres.copying import read_rows
from handover.postgres.erasing.batches import Work
from handover.postgres.erasing.request import MOST_NAMED, ErasedTable, Stayed, Why
from handover.postgres.erasing.staging import DIGEST, Stage
from handover.postgres.ordering import order_by
from handover.postgres.session import Connection, database_errors, fetch

Token = Callable[[TablePlan, bytes], str]


def table_report(connection: Connection, work: Work, receipts: int, token: Token) -> ErasedTable:
    """Return what became of a table's rows whose places were looked for; ``receipts`` in all attempts."""
    with database_errors(f"counting what stayed of {work.table.label}"):
        stayed = _stayed(connection, work, token)
    # A row that was deleted, made again and stayed has a receipt and is there: it is there.
    absent = work.asked - sum(one.rows for one in stayed)
    return _report(work, min(receipts, absent), absent, stayed)


def whole_report(work: Work, receipts: int) -> ErasedTable:
    """Return what became of a table's rows where every one was deleted at once, and none looked for."""
    return _report(work, min(receipts, work.asked), work.asked, ())


def _report(work: Work, deleted: int, absent: int, stayed: tuple[Stayed, ...]) -> ErasedTable:
    return ErasedTable(
        table=work.table.label, asked=work.asked, deleted=deleted, gone=absent - deleted, stayed=stayed
    )


def _stayed(connection: Connection, work: Work, token: Token) -> tuple[Stayed, ...]:
    query = sql.SQL("SELECT state, count(*) FROM {} WHERE state = ANY({}) GROUP BY 1").format(
        work.place, sql.Literal(list(get_args(Why)))
    )
    counts = {str(why): int(str(rows)) for why, rows in fetch(connection, query)}
    return tuple(
        Stayed(why=why, rows=counts[why], tokens=_tokens(connection, work, why, token))
        for why in get_args(Why)
        if why in counts
    )


def _tokens(connection: Connection, work: Work, why: Why, token: Token) -> tuple[str, ...]:
    names: list[str] = []
    for stage in work.stages:
        if len(names) < MOST_NAMED:
            found = read_rows(connection, _keys(work, stage, why), stage.plan.format)
            names += [token(stage.plan, bytes(row)) for row in found]
    return tuple(names[:MOST_NAMED])


def _keys(work: Work, stage: Stage, why: Why) -> sql.Composable:
    """Return the query for the keys of rows that stayed, or the digests of such as have no key."""
    names = [c.name for c in stage.plan.key] if stage.keyed else [DIGEST]
    order = order_by(stage.plan.key) if stage.keyed else sql.SQL("t.{}").format(sql.Identifier(DIGEST))
    return sql.SQL(
        "SELECT {} FROM {} AS t JOIN {} AS k ON k.origin = t.ctid AND k.unit = {} AND k.state = {}"
        " ORDER BY {} LIMIT {}"
    ).format(
        sql.SQL(", ").join([sql.SQL("t.{}").format(sql.Identifier(name)) for name in names]),
        stage.place, work.place, sql.Literal(stage.number), sql.Literal(why), order, sql.Literal(MOST_NAMED),
    )  # fmt: skip
