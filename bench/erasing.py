"""Erasing from ten million rows, customers with all their payments, beside the same way by hand in SQL.

By hand nothing is compared with a backup, nothing is committed in between, and nobody looks who else refers
to a row: the difference is the price of the promises. The vault, and telling the rows of a class from others,
are left out on our side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import psycopg
from psycopg import sql

from bench import BenchFailed
from bench.arena import ROLE, Arena, timed
from bench.costs import Cost, Figure, compared, middle
from bench.scoping import CUSTOMERS, PAYMENTS, SCHEMA, SCOPE
from handover.codec.rows import split_rows
from handover.model.plan import TablePlan, table_plan
from handover.postgres.catalog import read_catalog
from handover.postgres.copying import cut_by_size, read_rows
from handover.postgres.erasing.engine import erase
from handover.postgres.erasing.method import Method, choose
from handover.postgres.erasing.request import Approved, Request, Unit
from handover.postgres.erasing.shares import read_shares
from handover.postgres.ordering import ordered_rows
from handover.postgres.references import Graph
from handover.postgres.referring import read_graph
from handover.postgres.session import Connection, connect

# Percent of the customers; all payments of a customer go along.
PERCENTS = (30, 95, 100)
_FILLED, _WORK = "filled", "erasing"
_TABLES = {"s.customers": "id", "s.payments": "customer"}
_DELETE = """
CREATE TEMP TABLE gone AS SELECT id FROM s.customers WHERE id % 100 < {percent};
ANALYZE gone;
DELETE FROM s.payments p USING gone g WHERE p.customer = g.id;
DELETE FROM s.customers c USING gone g WHERE c.id = g.id;
"""
_REWRITE = """
CREATE TEMP TABLE payments AS SELECT * FROM s.payments WHERE customer % 100 >= {percent};
CREATE TEMP TABLE customers AS SELECT * FROM s.customers WHERE id % 100 >= {percent};
TRUNCATE s.customers, s.payments;
INSERT INTO s.customers SELECT * FROM pg_temp.customers;
INSERT INTO s.payments SELECT * FROM pg_temp.payments;
"""
BY_HAND: dict[Method, str] = {
    "delete": _DELETE,
    "rewrite": _REWRITE,
    "truncate": "TRUNCATE s.customers, s.payments",
}
# By hand as well, but of the rows of the backup alone, and only where they are what they were.
_SAME = {
    "customers": "t.id = g.id AND (t.*)::text = (g.*)::text",
    "payments": "(t.customer, t.number) = (g.customer, g.number) AND (t.*)::text = (g.*)::text",
}


def beside_sql(place: Arena, rounds: int) -> Iterator[Figure]:
    """Let both erase in turn, each from a fresh copy of the same database."""
    url = place.fresh(place.source, _FILLED)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute("VACUUM ANALYZE")
    with closing(connect(url)) as session:
        backup = Backup.of(session)
    for percent in PERCENTS:
        ours: list[Cost] = []
        theirs: list[Cost] = []
        compared_too: list[Cost] = []
        engine = _Ours(backup.plans, backup.going(percent), percent)
        method = engine.chosen(url)
        for _ in range(rounds):
            ours += _run(place, engine.erase)
            theirs += _run(place, partial(_by_hand, method=method, percent=percent))
            compared_too += _run(place, partial(_compared_by_hand, method=method, rows=engine.rows))
        mine, other = middle(ours), middle(theirs)
        print(
            f"erasing {percent} % of {CUSTOMERS * (1 + PAYMENTS):,} rows by {method}: {mine.wall:.1f} s "
            f"({mine.cpu:.1f} CPU), by hand {other.wall:.1f} s ({other.cpu:.1f} CPU), by hand compared with "
            f"the backup {middle(compared_too).wall:.1f} s ({middle(compared_too).cpu:.1f} CPU)"
        )
        yield compared(f"erase_{percent}_vs_sql", ours, f"{method} by hand in SQL", theirs)
        yield compared(
            f"erase_{percent}_vs_compared_sql",
            ours,
            f"{method} by hand, compared with the backup",
            compared_too,
        )


def _run(place: Arena, work: Callable[[str], None]) -> list[Cost]:
    place.source.drop_database(_WORK)
    with psycopg.connect(place.source.admin_url(), autocommit=True) as admin:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy OWNER {}")
        admin.execute(copy.format(*map(sql.Identifier, (_WORK, _FILLED, ROLE))))
    place.settle()
    url = place.url(place.source, _WORK)
    own = time.process_time()
    with timed(place) as cost:
        work(url)
    return [replace(one, client=one.client + time.process_time() - own) for one in cost]


@dataclass(frozen=True)
class Backup:
    """What the vault would give: chunks of COPY text by label, in memory."""

    plans: tuple[TablePlan, ...]
    chunks: dict[str, list[bytes]]

    @classmethod
    def of(cls, session: Connection) -> Backup:
        """Read all rows."""
        plans = tuple(
            table_plan(number, table, True, 1, because="rows are erased")
            for number, table in enumerate(read_catalog(session, ["s"]).tables)
        )
        streams = {plan.label: read_rows(session, ordered_rows(plan), "text") for plan in plans}
        chunks = {label: [chunk.data for chunk in cut_by_size(rows)] for label, rows in streams.items()}
        return cls(plans, chunks)

    def going(self, percent: int) -> dict[str, list[bytes]]:
        """Return the rows that go, by label of their table, as the vault has them: many at a time."""
        return {label: [_going(chunk, percent) for chunk in chunks] for label, chunks in self.chunks.items()}


def _going(chunk: bytes, percent: int) -> bytes:
    """Leave out the rows that stay: the customer's number stands first in both tables."""
    return b"".join(row for row in split_rows(chunk, "text") if int(row[: row.index(b"\t")]) % 100 < percent)


@dataclass(frozen=True)
class _Ours:
    """The engine with what it is given."""

    plans: tuple[TablePlan, ...]
    rows: Mapping[str, list[bytes]]
    percent: int

    def _going(self) -> dict[str, int]:
        customers = sum(n % 100 < self.percent for n in range(1, CUSTOMERS + 1))
        return {"s.customers": customers, "s.payments": customers * PAYMENTS}

    def chosen(self, url: str) -> Method:
        """Return how the engine does it."""
        with closing(connect(url)) as session:
            choices = choose(read_shares(session, read_graph(session, ["s"], SCOPE), self._going()))
        return choices[0].method

    def _unit(self, graph: Graph, plan: TablePlan) -> Unit:
        table = graph.tables[graph.places[plan.schema_name, plan.name][0]]
        return Unit(plan, table.columns, self.rows[plan.label])

    def erase(self, url: str) -> None:
        """Erase as the stage does, without vault and ledger."""
        going = self._going()
        with closing(connect(url)) as session:
            graph = read_graph(session, ["s"], SCOPE)
            choices = choose(read_shares(session, graph, going))
            done = erase(
                session,
                Request(
                    run="bench",
                    step="erase",
                    graph=graph,
                    roots=frozenset({graph.places["s", "customers"][0]}),
                    units=tuple(self._unit(graph, plan) for plan in self.plans),
                    approved={
                        "s.customers": Approved(going["s.customers"], CUSTOMERS),
                        "s.payments": Approved(going["s.payments"], CUSTOMERS * PAYMENTS),
                    },
                    holding=lambda: nullcontext(lambda: None),
                    honour_stop=lambda: None,
                    token=lambda plan, key: "",
                    emptied=frozenset(one.table for one in choices if one.method != "delete"),
                ),
            )
        if {table.table: table.deleted for table in done.tables} != going:
            raise BenchFailed("the engine erased other rows than asked", hint="see handover.postgres.erasing")


def _by_hand(url: str, method: Method, percent: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET work_mem = '64MB'")
        connection.execute(BY_HAND[method].format(percent=percent).encode())


def _compared_by_hand(url: str, method: Method, rows: Mapping[str, list[bytes]]) -> None:
    """Do it as one would who has the backup and must not erase what is unlike it: in one transaction."""
    with psycopg.connect(url) as connection:
        connection.execute("SET work_mem = '64MB'")
        for name in _SAME:
            connection.execute(f"CREATE TEMP TABLE gone_{name} (LIKE s.{name})".encode())
            with connection.cursor().copy(f"COPY gone_{name} FROM STDIN".encode()) as copy:
                for piece in rows[f"s.{name}"]:
                    copy.write(piece)
            connection.execute(f"ANALYZE gone_{name}".encode())
        for statement in _deletions() if method == "delete" else _emptying():
            connection.execute(statement.encode())


def _deletions() -> Iterator[str]:
    for name in ("payments", "customers"):
        yield f"DELETE FROM s.{name} t USING gone_{name} g WHERE {_SAME[name]}"  # noqa: S608 (constants)


def _emptying() -> Iterator[str]:
    yield "LOCK TABLE s.customers, s.payments IN ACCESS EXCLUSIVE MODE"
    for name, same in _SAME.items():
        yield (
            f"CREATE TEMP TABLE {name} AS SELECT t.* FROM s.{name} t"  # noqa: S608 (constants)
            f" WHERE NOT EXISTS (SELECT FROM gone_{name} g WHERE {same})"
        )
    yield "TRUNCATE s.customers, s.payments"
    for name in _SAME:
        yield f"INSERT INTO s.{name} SELECT * FROM pg_temp.{name}"  # noqa: S608 (constants)
