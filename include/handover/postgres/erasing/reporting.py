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


def table_report(connection: Connection, work: Work, deleted: int, token: Token) -> ErasedTable:
    """Return what became of a table's rows; ``deleted`` in all attempts of the run."""
    with database_errors(f"counting what stayed of {work.table.label}"):
        stayed = [one for why in get_args(Why) if (one := _stayed(connection, work, why, token)).rows]
    return ErasedTable(
        table=work.table.label,
        asked=work.asked,
        deleted=deleted,
        gone=work.asked - deleted - sum(one.rows for one in stayed),
        stayed=tuple(stayed),
    )


def _stayed(connection: Connection, work: Work, why: Why, token: Token) -> Stayed:
    query = sql.SQL("SELECT count(*) FROM {} WHERE state = {}").format(work.place, sql.Literal(why))
    rows = int(str(fetch(connection, query)[0][0]))
    names: list[str] = []
    for stage in work.stages if rows else ():
        if len(names) < MOST_NAMED:
            found = read_rows(connection, _keys(work, stage, why), stage.plan.format)
            names += [token(stage.plan, bytes(row)) for row in found]
    return Stayed(why=why, rows=rows, tokens=tuple(names[:MOST_NAMED]))


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
