"""Scoping ten million rows: the closure, its counts and key digests, beside key tables filled by hand."""

from __future__ import annotations

from contextlib import closing

import psycopg

from bench import BenchFailed
from bench.arena import Arena, timed
from bench.costs import Cost, Figure, compared, middle
from handover.model.scope import Scope
from handover.postgres.closure import Closure
from handover.postgres.referring import read_graph
from handover.postgres.session import connect

CUSTOMERS, PAYMENTS = 500_000, 19
ROWS = CUSTOMERS * (1 + PAYMENTS)
SCHEMA = f"""
CREATE SCHEMA s;
CREATE TABLE s.customers (id bigint PRIMARY KEY, branch int NOT NULL, name text);
CREATE TABLE s.payments (customer bigint NOT NULL REFERENCES s.customers, number int, amount numeric(12, 2),
    PRIMARY KEY (customer, number));
INSERT INTO s.customers SELECT n, n % 3, md5(n::text) FROM generate_series(1, {CUSTOMERS}) n;
INSERT INTO s.payments SELECT c, m, c % 977 + m * 0.01
    FROM generate_series(1, {CUSTOMERS}) c, generate_series(1, {PAYMENTS}) m;
"""  # noqa: S608 (constants)
SCOPE = Scope.model_validate({"roots": [{"table": "s.customers", "where": "branch = 1"}]})
BY_HAND = """
CREATE TEMP TABLE c AS SELECT id FROM s.customers WHERE branch = 1;
ANALYZE c;
CREATE TEMP TABLE p AS SELECT customer, number FROM s.payments WHERE customer IN (SELECT id FROM c);
SELECT (SELECT count(*) FROM c), (SELECT count(*) FROM p), (SELECT count(*) FROM s.customers),
    (SELECT count(*) FROM s.payments);
"""


def beside_sql(place: Arena, rounds: int) -> Figure:
    """Let both find the rows of one branch in turn; a server's work is nearly all of it."""
    url = place.fresh(place.source, "scoped")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute("VACUUM ANALYZE")
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for _ in range(rounds):
        for costs, work in ((ours, _closed), (theirs, _by_hand)):
            place.settle()
            with timed(place) as cost:
                work(url)
            costs += cost
    print(f"scope of {ROWS:,} rows: {middle(ours).wall:.1f} s, by hand {middle(theirs).wall:.1f} s")
    return compared("scope_10m_rows", ours, "key tables by hand in SQL", theirs)


def _closed(url: str) -> None:
    with closing(connect(url, read_only=True)) as connection:
        graph = read_graph(connection, ["s"], SCOPE)
        closure = Closure(connection, graph, SCOPE)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        closure.compute(lambda rows: None)
        found = [closure.table_scope(number) for number in range(len(graph.tables))]
    if (rows := sum(table.total for table in found)) != ROWS:
        raise BenchFailed(f"{rows} rows were counted, there are {ROWS}", hint="see handover.postgres.closure")


def _by_hand(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET work_mem = '64MB'")
        connection.execute(BY_HAND.encode())
