"""Scopes on real databases: the sample company counted by hand, shapes of references, what stages use."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg import sql
from pydantic import ValidationError

from fixtures.contents import run_sql
from handover.errors import ConnectionLost, DataRefused, NotReady
from handover.model.scope import Scope, scope_invalid
from handover.postgres.catalog import read_catalog
from handover.postgres.closure import Closure, TableScope, leading_nowhere, scope_problems
from handover.postgres.keysets import KeySet, create_key_sets, keys_digest, load_keys, read_keys, scoped_rows
from handover.postgres.ordering import rows_of
from handover.postgres.references import undecided
from handover.postgres.referring import read_graph
from handover.postgres.session import connect, fetch
from handover.sample.company import SCHEMAS, generate

DatabaseFactory = Callable[..., str]


@contextmanager
def closed(url: str, schemas: list[str], document: dict[str, object]) -> Iterator[Closure]:
    """The closure of a scope, computed in a session that stays in its snapshot."""
    scope = Scope.model_validate(document)
    with closing(connect(url, read_only=True)) as session:
        graph = read_graph(session, schemas, scope)
        assert scope_problems(session, graph, scope) == []
        closure = Closure(session, graph, scope)
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        closure.compute(lambda rows: None)
        yield closure


def counted(closure: Closure) -> dict[str, tuple[int, int]]:
    """Owned and needed rows of every table that has any."""
    found = [closure.table_scope(number) for number in range(len(closure.graph.tables))]
    return {f.label: (f.owned, f.needed) for f in found if f.owned + f.needed}


def scopes(url: str, document: dict[str, object]) -> dict[str, tuple[int, int]]:
    with closed(url, ["s"], document) as closure:
        return counted(closure)


def root(table: str, where: str) -> dict[str, object]:
    return {"roots": [{"table": f"s.{table}", "where": where}]}


# -- the sample company -----------------------------------------------------------------------------------

BRANCH = {
    "roots": [{"table": "lending.customers", "where": "branch_id = 1"}],
    "virtual_keys": [
        {
            "table": "lending.page_views",
            "columns": ["customer_id"],
            "references": "lending.customers",
            "to_columns": ["customer_id"],
        },
        {
            "table": "lending.loan_events",
            "columns": ["loan_id"],
            "references": "lending.loans",
            "to_columns": ["loan_id"],
        },
    ],
    "polymorphic": [
        {
            "table": "lending.attachments",
            "type_column": "owner_type",
            "id_column": "owner_id",
            "targets": {
                "customer": {"table": "lending.customers", "column": "customer_id"},
                "loan": {"table": "lending.loans", "column": "loan_id"},
                "application": {"table": "lending.credit_applications", "column": "application_id"},
            },
        }
    ],
}


@pytest.fixture
def company(database: DatabaseFactory) -> str:
    url = database("company")
    generate(url, rows=1_000)
    return url


# Counted by reading the rows of a company of this size and seed: customers 2, 4, 9 and 11 are of branch 1,
# the last has loans 2 and 7. Needed: products CQD, ZXD, NHD; the branch; the loans' officers 2 and 3, callers
# 1 and 2, of whom 1 heads the branch; three accounts with those above.
BRANCH_1 = {
    "lending.customers": (4, 0),
    "lending.identity_documents": (4, 0),
    "lending.contacts": (8, 0),
    "lending.addresses": (6, 0),
    "lending.bank_cards": (5, 0),
    "lending.consents": (6, 0),
    "lending.transfer_consents": (4, 0),
    "lending.complaints": (1, 0),
    "lending.call_notes": (3, 0),
    "lending.客户备注": (1, 0),
    "lending.device_logs": (49, 0),
    "lending.page_views": (7, 0),
    "lending.attachments": (2, 0),
    "lending.credit_applications": (3, 0),
    "lending.loans": (2, 0),
    "lending.instalments": (24, 0),
    "lending.repayments": (16, 0),
    "lending.repayment_reversals": (1, 0),
    "账务.vouchers": (18, 0),
    "账务.voucher_lines": (52, 0),
    "lending.branches": (0, 1),
    "lending.employees": (0, 3),
    "lending.products": (0, 3),
    "账务.会计科目": (0, 6),
}
UNREACHED = ["lending.MixedCase Table", "lending.product_rates", "lending.sample_notice", "账务.期间"]


def test_a_branch_of_the_sample_company_is_what_was_counted_by_hand(company: str) -> None:
    with closed(company, list(SCHEMAS), BRANCH) as closure:
        assert counted(closure) == BRANCH_1


def test_tables_that_nothing_reaches_are_listed_until_they_are_decided_on(company: str) -> None:
    def left(**decided: str) -> list[str]:
        entries = [{"table": table.split("."), "rows": rows} for table, rows in decided.items()]
        scope = Scope.model_validate({**BRANCH, "decided": entries})
        with closing(connect(company, read_only=True)) as session:
            graph = read_graph(session, ["lending", "账务"], scope)
            return [label for label in undecided(graph, scope) if not label.startswith("lending.一个")]

    assert left() == UNREACHED
    assert left(**{"lending.sample_notice": "none", "账务.期间": "all"}) == UNREACHED[:2]


def test_the_branches_part_the_company(company: str) -> None:
    """Every customer has one branch: what is owned by the three adds up to what the other tables hold."""
    sums: dict[str, int] = {}
    totals: dict[str, int] = {}
    for branch in (1, 2, 3):
        roots = [{"table": "lending.customers", "where": f"branch_id = {branch}"}]
        with closed(company, list(SCHEMAS), {**BRANCH, "roots": roots}) as closure:
            for number in range(len(closure.graph.tables)):
                found = closure.table_scope(number)
                sums[found.label] = sums.get(found.label, 0) + found.owned
                totals[found.label] = found.total
    partly = {"lending.page_views", "lending.transfer_consents"}
    owned = [label for label, (rows, _) in BRANCH_1.items() if rows and label not in partly]
    assert {label: sums[label] for label in owned} == {label: totals[label] for label in owned}
    assert totals["lending.page_views"] - sums["lending.page_views"] == 3  # of nobody: their customer is NULL
    answers = totals["lending.transfer_consents"] - sums["lending.transfer_consents"]
    assert answers == totals["lending.employees"]  # staff is only needed: its answers do not come along


# -- what later stages use --------------------------------------------------------------------------------


def test_lanes_in_the_same_snapshot_read_exactly_the_rows_in_scope(company: str) -> None:
    scope = Scope.model_validate(BRANCH)
    with (
        closing(connect(company, read_only=True)) as holder,
        closing(connect(company, read_only=True)) as session,
        closing(connect(company, read_only=True)) as lane,
    ):
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot = fetch(holder, "SELECT pg_export_snapshot()")[0][0]
        run_sql(
            company,
            "INSERT INTO lending.contacts VALUES (2, 99, 'friend', '甲', '1'), (1, 99, 'friend', '乙', '2')",
        )
        graph = read_graph(session, list(SCHEMAS), scope)
        closure = Closure(session, graph, scope)
        key_sets = {n: KeySet(theirs.table, f"lane_{n}") for n, theirs in closure.key_sets.items()}
        create_key_sets(lane, key_sets.values())
        for connection in (session, lane):
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        closure.compute(lambda rows: None)
        for number, ours in key_sets.items():
            theirs = closure.key_sets[number]
            stream = b"".join(bytes(row) for row in read_keys(session, theirs))
            pieces = [stream[at : at + 5] for at in range(0, len(stream), 5)]
            load_keys(lane, ours, pieces)
            assert keys_digest(lane, ours) == keys_digest(session, theirs)
        found: dict[str, int] = {}
        for leaf in read_catalog(lane, SCHEMAS).tables:
            number = graph.places[leaf.schema_name, leaf.name][0]
            if number not in key_sets:
                continue
            query = sql.SQL("SELECT count(*) FROM {} AS t WHERE {}").format(
                rows_of(leaf), scoped_rows(key_sets[number])
            )
            label = graph.tables[number].label
            found[label] = found.get(label, 0) + fetch(lane, query)[0][0]
        assert {label: rows for label, rows in found.items() if rows} == {
            label: sum(marks) for label, marks in BRANCH_1.items()
        }


MARKED = """
CREATE SCHEMA s;
CREATE TABLE s.parent (id text PRIMARY KEY, grp int);
CREATE TABLE s.child (id int PRIMARY KEY, parent text REFERENCES s.parent);
CREATE TABLE s.views (parent text, what text);
INSERT INTO s.parent SELECT 'p' || n, n % 2 FROM generate_series(1, 40) n;
INSERT INTO s.child SELECT n, 'p' || n % 40 + 1 FROM generate_series(1, 500) n;
INSERT INTO s.views SELECT 'p' || n % 40 + 1, 'seen' FROM generate_series(1, 80) n;
"""
VIEWS = {"table": "s.views", "columns": ["parent"], "references": "s.parent", "to_columns": ["id"]}
MARKED_SCOPE = {"roots": [{"table": "s.parent", "where": "grp = 1"}], "virtual_keys": [VIEWS]}


def digests(url: str, document: dict[str, object]) -> dict[str, TableScope]:
    with closed(url, ["s"], document) as closure:
        return {f.label: f for f in map(closure.table_scope, range(len(closure.graph.tables)))}


def test_a_key_sets_digest_hangs_on_its_rows_alone(database: DatabaseFactory) -> None:
    url = database()
    run_sql(url, MARKED)
    once = digests(url, MARKED_SCOPE)
    assert [(f.owned, f.needed, f.total) for f in once.values()] == [(250, 0, 500), (20, 0, 40), (40, 0, 80)]
    run_sql(url, "CREATE TABLE s.kept AS TABLE s.views; DELETE FROM s.views")
    run_sql(url, "INSERT INTO s.views SELECT * FROM s.kept ORDER BY parent DESC; DROP TABLE s.kept")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CLUSTER s.child USING child_pkey")
    assert digests(url, MARKED_SCOPE) == once


@pytest.mark.parametrize(
    ("change", "changed"),
    {
        "INSERT INTO s.child VALUES (501, 'p1')": {"s.child"},
        "INSERT INTO s.child VALUES (501, 'p2')": set(),
        "DELETE FROM s.child WHERE id = (SELECT min(id) FROM s.child WHERE parent = 'p1')": {"s.child"},
        "UPDATE s.parent SET grp = 0 WHERE id = 'p1'": {"s.child", "s.parent", "s.views"},
        "INSERT INTO s.views VALUES ('p1', 'seen')": {"s.views"},
        "UPDATE s.views SET what = 'Seen' WHERE parent = 'p1'": {"s.views"},
        "UPDATE s.child SET parent = 'p2' WHERE id = 40": {"s.child"},
    }.items(),
)
def test_a_key_sets_digest_tells_another_scope(
    database: DatabaseFactory, change: str, changed: set[str]
) -> None:
    url = database()
    run_sql(url, MARKED)
    before = digests(url, MARKED_SCOPE)
    run_sql(url, change)
    after = digests(url, MARKED_SCOPE)
    assert {label for label in after if after[label].digest != before[label].digest} == changed


def test_a_digest_tells_owned_rows_from_needed_ones(database: DatabaseFactory) -> None:
    url = database()
    run_sql(url, MARKED)
    owned = digests(url, {**MARKED_SCOPE, "roots": [{"table": "s.parent", "where": "id = 'p1'"}]})
    first = {"roots": [{"table": "s.child", "where": "parent = 'p1'"}], "virtual_keys": [VIEWS]}
    needed = digests(url, first)
    assert (owned["s.parent"].owned, needed["s.parent"].needed) == (1, 1)
    assert owned["s.child"].digest == needed["s.child"].digest
    assert owned["s.parent"].digest != needed["s.parent"].digest


def test_a_role_that_may_only_read_can_scope_and_nothing_changes(database: DatabaseFactory) -> None:
    url = database()
    run_sql(url, MARKED)
    reader = database("other", owner="closure_reader")  # for the role alone
    run_sql(
        url,
        "GRANT USAGE ON SCHEMA s TO closure_reader; GRANT SELECT ON ALL TABLES IN SCHEMA s TO closure_reader",
    )
    url_of_reader = psycopg.conninfo.make_conninfo(
        reader, dbname=psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    )
    assert scopes(url_of_reader, MARKED_SCOPE) == scopes(url, MARKED_SCOPE)
    dbname = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    run_sql(url, f"REVOKE TEMPORARY ON DATABASE {dbname} FROM PUBLIC")
    with closing(connect(url_of_reader, read_only=True)) as session:
        graph = read_graph(session, ["s"], Scope.model_validate(MARKED_SCOPE))
        with pytest.raises(DataRefused, match="needs TEMPORARY"):
            create_key_sets(session, [KeySet(graph.tables[0], "k")])


def test_a_closure_is_computed_in_a_snapshot_or_not_at_all(database: DatabaseFactory) -> None:
    url = database()
    run_sql(url, MARKED)
    scope = Scope.model_validate(MARKED_SCOPE)
    with closing(connect(url)) as session:
        closure = Closure(session, read_graph(session, ["s"], scope), scope)
        for begin in ("SELECT 1", "BEGIN", "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL REPEATABLE READ"):
            session.execute(begin)
            with pytest.raises(NotReady, match="outside a snapshot"):
                closure.compute(lambda rows: None)
            session.execute("ROLLBACK")


def test_a_lost_server_is_said_to_be_lost(database: DatabaseFactory) -> None:
    url = database()
    run_sql(url, MARKED)
    scope = Scope.model_validate(MARKED_SCOPE)
    with closing(connect(url, read_only=True)) as session:
        closure = Closure(session, read_graph(session, ["s"], scope), scope)
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

        def cut(rows: int) -> None:
            run_sql(url, f"SELECT pg_terminate_backend({session.info.backend_pid})")

        with pytest.raises(ConnectionLost, match="closing the scope: the connection was lost"):
            closure.compute(cut)


# -- shapes of references ---------------------------------------------------------------------------------


def test_a_long_chain_is_followed_to_its_end_in_both_directions(database: DatabaseFactory) -> None:
    url = database()
    run_sql(
        url,
        "CREATE SCHEMA s; CREATE TABLE s.e (id int PRIMARY KEY, boss int REFERENCES s.e, filler text);"
        "CREATE INDEX ON s.e (boss); INSERT INTO s.e SELECT n, nullif(n - 1, 0),"
        " 'x' FROM generate_series(1, 400) n",
    )
    assert scopes(url, root("e", "id = 200")) == {"s.e": (201, 199)}
    stop = {"foreign_keys": [{"table": "s.e", "columns": ["boss"], "follow": False}]}
    assert scopes(url, {**root("e", "id = 200"), **stop}) == {"s.e": (1, 199)}


def test_a_circle_of_deferred_keys_ends(database: DatabaseFactory) -> None:
    url = database()
    run_sql(
        url,
        "CREATE SCHEMA s; CREATE TABLE s.a (id int PRIMARY KEY, b int);"
        "CREATE TABLE s.b (id int PRIMARY KEY, a int REFERENCES s.a DEFERRABLE INITIALLY DEFERRED);"
        "ALTER TABLE s.a ADD FOREIGN KEY (b) REFERENCES s.b DEFERRABLE INITIALLY DEFERRED;"
        "INSERT INTO s.a SELECT n, n % 10 + 1 FROM generate_series(1, 10) n;"
        "INSERT INTO s.b SELECT n, CASE WHEN n < 6 THEN n ELSE n - 5 END FROM generate_series(1, 10) n;",
    )
    assert scopes(url, root("a", "id = 1")) == {"s.a": (10, 0), "s.b": (10, 0)}
    # a1 owns b1 and b6; it needs b2, that a2, that b3 … up to a5, which needs b6 again.
    once = {"foreign_keys": [{"table": "s.a", "columns": ["b"], "follow": False}]}
    assert scopes(url, {**root("a", "id = 1"), **once}) == {"s.a": (1, 4), "s.b": (2, 4)}


def test_a_child_of_two_parents_needs_the_one_that_is_not_owned(database: DatabaseFactory) -> None:
    url = database()
    run_sql(
        url,
        "CREATE SCHEMA s; CREATE TABLE s.p (id int PRIMARY KEY); CREATE TABLE s.q (id int PRIMARY KEY);"
        "CREATE TABLE s.c (id int PRIMARY KEY, p int REFERENCES s.p, q int REFERENCES s.q);"
        "INSERT INTO s.p VALUES (1), (2), (3); INSERT INTO s.q VALUES (1), (2), (3);"
        "INSERT INTO s.c VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 3, 3);",
    )
    both = {"roots": [{"table": "s.p", "where": "id = 1"}, {"table": "s.q", "where": "id = 1"}]}
    assert scopes(url, both) == {"s.p": (1, 1), "s.q": (1, 1), "s.c": (3, 0)}


def test_a_key_with_nulls_refers_to_nothing(database: DatabaseFactory) -> None:
    url = database()
    run_sql(
        url,
        "CREATE SCHEMA s; CREATE TABLE s.p (a int, b int, UNIQUE (a, b));"
        "INSERT INTO s.p VALUES (1, 1), (1, NULL), (NULL, 1), (NULL, NULL), (NULL, NULL);"
        "CREATE TABLE s.simple (id int PRIMARY KEY, a int, b int, FOREIGN KEY (a, b) REFERENCES s.p (a, b));"
        "CREATE TABLE s.whole (id int PRIMARY KEY, a int, b int, FOREIGN KEY (a, b) REFERENCES s.p (a,"
        " b) MATCH FULL);"
        "INSERT INTO s.simple VALUES (1, 1, 1), (2, 1, NULL), (3, NULL, 7), (4, NULL, NULL);"
        "INSERT INTO s.whole VALUES (1, 1, 1), (4, NULL, NULL);",
    )
    assert scopes(url, root("p", "true")) == {"s.p": (5, 0), "s.simple": (1, 0), "s.whole": (1, 0)}
    assert scopes(url, root("p", "a IS NULL OR b IS NULL")) == {"s.p": (4, 0)}
    assert scopes(url, root("simple", "true")) == {"s.simple": (4, 0), "s.p": (0, 1)}


def test_a_key_of_one_partition_concerns_its_rows_alone(database: DatabaseFactory) -> None:
    url = database()
    run_sql(
        url,
        "CREATE SCHEMA s; CREATE TABLE s.p (id int, part int, PRIMARY KEY (id,"
        " part)) PARTITION BY LIST (part);"
        "CREATE TABLE s.p1 PARTITION OF s.p FOR VALUES IN (1); ALTER TABLE s.p1 ADD UNIQUE (id);"
        "CREATE TABLE s.p2 PARTITION OF s.p FOR VALUES IN (2); INSERT INTO s.p SELECT n, m FROM"
        " generate_series(1, 3) n, generate_series(1, 2) m;"
        "CREATE TABLE s.c (id int PRIMARY KEY, p int REFERENCES s.p1 (id)) PARTITION BY RANGE (id);"
        "CREATE TABLE s.c1 PARTITION OF s.c FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE s.c2 PARTITION OF s.c FOR VALUES FROM (10) TO (20);"
        "CREATE TABLE s.other (id int PRIMARY KEY); INSERT INTO s.other VALUES (1), (2);"
        "ALTER TABLE s.c2 ADD FOREIGN KEY (id) REFERENCES s.other NOT VALID;"
        "INSERT INTO s.c VALUES (1, 1), (2, 2);",
    )
    assert scopes(url, root("c", "p = 1")) == {"s.c": (1, 0), "s.p": (0, 1)}
    assert scopes(url, root("p", "id = 1 AND part = 2")) == {"s.p": (1, 0)}
    assert scopes(url, root("p", "id = 1")) == {"s.p": (2, 0), "s.c": (1, 0)}
    assert scopes(url, root("p1", "id = 1")) == {"s.p": (1, 0), "s.c": (1, 0)}
    assert scopes(url, root("other", "true")) == {"s.other": (2, 0)}  # rows of c1 have these ids too


def test_an_inheritance_parent_is_its_own_rows(database: DatabaseFactory) -> None:
    url = database()
    run_sql(
        url,
        "CREATE SCHEMA s; CREATE TABLE s.p (id int PRIMARY KEY);"
        "CREATE TABLE s.heir (own int, PRIMARY KEY (id)) INHERITS (s.p);"
        "CREATE TABLE s.c (id int PRIMARY KEY, p int REFERENCES s.p);"
        " CREATE TABLE s.h (h int REFERENCES s.heir);"
        "INSERT INTO s.p VALUES (1), (2); INSERT INTO s.heir VALUES (1, 1), (3, 3);"
        "INSERT INTO s.c VALUES (1, 1), (2, 2); INSERT INTO s.h VALUES (1), (1), (3);",
    )
    assert scopes(url, root("p", "id = 1")) == {"s.p": (1, 0), "s.c": (1, 0)}
    assert scopes(url, root("heir", "id = 1")) == {"s.heir": (1, 0), "s.h": (2, 0)}


def test_rows_without_a_key_are_roots_children_and_parents(database: DatabaseFactory) -> None:
    url = database()
    run_sql(
        url,
        "CREATE SCHEMA s; CREATE TABLE s.log (code text, up text, n numeric);"
        "INSERT INTO s.log VALUES ('a', NULL, 1.0), ('b', 'a', 1.0), ('b', 'a', 1.0), ('b', 'a', 1.00),"
        " ('c', 'b', 2), ('d', 'x', 2), (NULL, NULL, NULL), (NULL, NULL, NULL);"
        "CREATE TABLE s.loose (code text UNIQUE, id int); INSERT INTO s.loose VALUES ('a', 1), (NULL,"
        " 2), (NULL, 2);"
        "CREATE TABLE s.of (code text REFERENCES s.loose (code));"
        " INSERT INTO s.of VALUES ('a'), ('a'), (NULL);"
        "CREATE TABLE s.bare (); INSERT INTO s.bare DEFAULT VALUES; INSERT INTO s.bare DEFAULT VALUES;",
    )
    up = {"table": "s.log", "columns": ["up"], "references": "s.log", "to_columns": ["code"]}
    assert scopes(url, {**root("log", "code = 'a'"), "virtual_keys": [up]}) == {"s.log": (5, 0)}
    assert scopes(url, {**root("log", "code = 'c'"), "virtual_keys": [up]}) == {"s.log": (1, 4)}
    assert scopes(url, root("log", "n = 1")) == {"s.log": (4, 0)}
    assert scopes(url, root("log", "n IS NULL")) == {"s.log": (2, 0)}
    assert scopes(url, root("loose", "id < 3")) == {"s.loose": (3, 0), "s.of": (2, 0)}
    assert scopes(url, root("of", "true")) == {"s.of": (3, 0), "s.loose": (0, 1)}
    assert scopes(url, root("bare", "true")) == {"s.bare": (2, 0)}


def test_columns_of_other_types_meet_as_the_database_lets_them(database: DatabaseFactory) -> None:
    url = database()
    run_sql(
        url,
        "CREATE SCHEMA s; CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;"
        " CREATE TYPE s.e AS ENUM ('x', 'y');"
        "CREATE DOMAIN s.code AS varchar(9);"
        "CREATE TABLE s.p (i int PRIMARY KEY, n numeric UNIQUE, c ext.citext UNIQUE, e s.e UNIQUE,"
        " d s.code UNIQUE,"
        ' w text COLLATE "C" UNIQUE, g int GENERATED ALWAYS AS (i * 10) STORED UNIQUE);'
        "INSERT INTO s.p VALUES (1, 1.0, 'ABC', 'x', 'k', 'w'), (2, 2, 'abd', 'y', 'K', 'W');"
        "CREATE TABLE s.c (id int PRIMARY KEY, i bigint REFERENCES s.p, n numeric(9, 3) REFERENCES s.p (n),"
        " c ext.citext REFERENCES s.p (c), e s.e REFERENCES s.p (e), d varchar REFERENCES s.p (d),"
        ' w text COLLATE "POSIX" REFERENCES s.p (w), g bigint REFERENCES s.p (g), chars char(4));'
        "INSERT INTO s.c (id, i) VALUES (1, 1); INSERT INTO s.c (id, n) VALUES (2, 1);"
        "INSERT INTO s.c (id, c) VALUES (3, 'aBc'); INSERT INTO s.c (id, e) VALUES (4, 'x');"
        "INSERT INTO s.c (id, d) VALUES (5, 'k'); INSERT INTO s.c (id, w) VALUES (6, 'w');"
        "INSERT INTO s.c (id, g) VALUES (7, 10); INSERT INTO s.c (id, i) VALUES (8, 2);"
        "INSERT INTO s.c (id, chars) VALUES (9, 'k');",
    )
    assert scopes(url, root("p", "i = 1")) == {"s.p": (1, 0), "s.c": (7, 0)}
    for row in range(1, 8):
        assert scopes(url, root("c", f"id = {row}")) == {"s.c": (1, 0), "s.p": (0, 1)}
    declared = {"table": "s.c", "columns": ["chars"], "references": "s.p", "to_columns": ["d"]}
    assert scopes(url, {**root("c", "id = 9"), "virtual_keys": [declared]}) == {"s.c": (1, 0), "s.p": (0, 1)}


def test_all_parents_that_cover_a_period_are_needed(database: DatabaseFactory) -> None:
    url = database()
    run_sql(
        url,
        "CREATE SCHEMA s; CREATE EXTENSION btree_gist SCHEMA public;"
        "CREATE TABLE s.p (id int, during daterange, PRIMARY KEY (id, during WITHOUT OVERLAPS));"
        "CREATE TABLE s.c (id int PRIMARY KEY, p int, during daterange,"
        " FOREIGN KEY (p, PERIOD during) REFERENCES s.p (id, PERIOD during));"
        "INSERT INTO s.p VALUES (1, '[2020-01-01,2021-01-01)'), (1, '[2021-01-01,2022-01-01)'),"
        " (1, '[2022-01-01,2023-01-01)');"
        "INSERT INTO s.c VALUES (1, 1, '[2020-06-01,2021-06-01)'), (2, 1, '[2022-02-01,2022-03-01)');",
    )
    assert scopes(url, root("c", "id = 1")) == {"s.c": (1, 0), "s.p": (0, 2)}
    assert scopes(url, root("p", "lower(id::text) = '1' AND during = '[2020-01-01,2021-01-01)'")) == {
        "s.p": (1, 1),
        "s.c": (1, 0),
    }


def test_a_whole_table_of_reference_data_can_be_taken(database: DatabaseFactory) -> None:
    url = database()
    run_sql(
        url,
        "CREATE SCHEMA s; CREATE TABLE s.kinds (id int PRIMARY KEY, up int REFERENCES s.kinds);"
        "INSERT INTO s.kinds SELECT n, nullif(1, n) FROM generate_series(1, 9) n;"
        "CREATE TABLE s.rows (id int PRIMARY KEY, kind int REFERENCES s.kinds);"
        " INSERT INTO s.rows VALUES (1, 3), (2, 4);"
        "CREATE TABLE s.notes (id int PRIMARY KEY, kind int REFERENCES s.kinds);"
        "INSERT INTO s.notes SELECT n, n FROM generate_series(1, 5) n;",
    )
    assert scopes(url, root("rows", "id = 1")) == {"s.rows": (1, 0), "s.kinds": (0, 2)}
    whole = {"decided": [{"table": "s.kinds", "rows": "all"}, {"table": "s.notes", "rows": "none"}]}
    assert scopes(url, {**root("rows", "id = 1"), **whole}) == {"s.rows": (1, 0), "s.kinds": (0, 9)}
    notes = {"decided": [{"table": "s.notes", "rows": "all"}]}
    assert scopes(url, {**root("rows", "id = 1"), **notes}) == {
        "s.rows": (1, 0),
        "s.notes": (0, 5),
        "s.kinds": (0, 5),
    }


def test_rows_whose_type_leads_nowhere_are_counted(company: str) -> None:
    targets = {"loan": {"table": "lending.loans", "column": "loan_id"}}
    document = {**BRANCH, "polymorphic": [{**BRANCH["polymorphic"][0], "targets": targets}]}
    with closed(company, list(SCHEMAS), document) as closure:
        assert counted(closure)["lending.attachments"] == (1, 0)
        assert leading_nowhere(closure.connection, closure.graph, closure.scope) == [5]
    with closed(company, list(SCHEMAS), BRANCH) as closure:
        assert leading_nowhere(closure.connection, closure.graph, closure.scope) == [0]


# -- scopes that say something impossible -----------------------------------------------------------------

SCHEMA = """
CREATE SCHEMA s;
CREATE SCHEMA beside;
CREATE TABLE beside.p (id int PRIMARY KEY);
CREATE TABLE s.p (id int PRIMARY KEY, name text, kind int) PARTITION BY RANGE (id);
CREATE TABLE s.p1 PARTITION OF s.p FOR VALUES FROM (0) TO (9);
CREATE TABLE s.c (id int PRIMARY KEY, p int REFERENCES s.p, kind int, what text);
CREATE TABLE s.alone (id int PRIMARY KEY);
CREATE VIEW s.seen AS SELECT * FROM s.c;
"""
GOOD = """case: x
scope:
  roots:
    - table: s.p
      where: id = 1
  virtual_keys:
    - {table: s.c, columns: [kind], references: s.p, to_columns: [kind]}
  polymorphic:
    - table: s.c
      type_column: kind
      id_column: id
      targets:
        "1": {table: s.p, column: id}
  foreign_keys:
    - {table: s.c, columns: [p], follow: false}
  decided:
    - {table: s.alone, rows: none}
"""
BAD = {
    "no such table": (
        "- table: s.p", "- table: s.P",
        "line 4, scope.roots.0.table: s.P is no table of source.schemas; correct the name",
    ),
    "a table of another schema": (
        "table: s.alone", "table: beside.p",
        "line 17, scope.decided.0.table: beside.p is no table of source.schemas",
    ),
    "a view": ("- table: s.p", "- table: s.seen", "line 4, scope.roots.0.table: s.seen is no table"),
    "no such column": (
        "[kind], references", "[kinds], references",
        "line 7, scope.virtual_keys.0.columns: s.c has no column 'kinds'",
    ),
    "no such column of the parent": (
        "to_columns: [kind]", "to_columns: [Kind]",
        "line 7, scope.virtual_keys.0.to_columns: s.p has no column 'Kind'",
    ),
    "types that cannot meet": (
        "[kind], references", "[what], references",
        "line 7, scope.virtual_keys.0: column 'what' of s.c cannot be compared with column 'kind' of s.p",
    ),
    "no such type column": (
        "type_column: kind", "type_column: sort",
        "line 10, scope.polymorphic.0.type_column: s.c has no column 'sort'",
    ),
    "a value that the type column cannot have": (
        '"1": {', '"one": {', "line 13, scope.polymorphic.0.targets.one: kind cannot have this value",
    ),
    "no such target": (
        '"1": {table: s.p', '"1": {table: s.q',
        "line 13, scope.polymorphic.0.targets.1.table: s.q is no table",
    ),
    "no such foreign key": (
        "columns: [p], follow", "columns: [kind], follow",
        "line 15, scope.foreign_keys.0.columns: s.c has no foreign key on these columns",
    ),
    "a table that is reached is left out": (
        "table: s.alone, rows", "table: s.p, rows", "line 17, scope.decided.0: s.p is reached by references",
    ),
    "a partition is decided on": (
        "table: s.alone, rows", "table: s.p1, rows", "line 17, scope.decided.0.table: s.p1 is a partition",
    ),
    "a predicate that is none": (
        "where: id = 1", "where: id = 1; DROP TABLE s.p",
        "line 5, scope.roots.0.where: the predicate cannot be read at character 7: there is something",
    ),
    "an unknown column in a predicate": (
        "where: id = 1", "where: nane = 'Ann'", "line 5, scope.roots.0.where: .*has no column 'nane';"
        " .*mean \"name\"",
    ),
    "a predicate of another type": (
        "where: id = 1", "where: id + 1", "line 5, scope.roots.0.where: .* it is not one boolean expression",
    ),
}  # fmt: skip


def problems_of(url: str, text: str) -> list[str]:
    """What is wrong with the scope of a case file, one line for each problem."""
    scope = Scope.model_validate(yaml.safe_load(text)["scope"])
    with closing(connect(url, read_only=True)) as session:
        found = scope_problems(session, read_graph(session, ["s"], scope), scope)
    if not found:
        return []
    error = scope_invalid(found, text, Path("cases/x.yaml"))
    assert error.message.startswith("case file x.yaml is not valid:")
    assert error.hint
    return [line.strip() for line in error.message.splitlines()[1:]]


@pytest.mark.parametrize(("old", "new", "said"), BAD.values(), ids=BAD)
def test_a_wrong_scope_is_refused_with_line_and_remedy(
    database: DatabaseFactory, old: str, new: str, said: str
) -> None:
    url = database()
    run_sql(url, SCHEMA)
    assert problems_of(url, GOOD) == []
    assert GOOD.count(old) == 1
    found = problems_of(url, GOOD.replace(old, new))
    assert len(found) == 1
    assert re.match(said.replace("(", "[(]"), found[0]), found
    assert "; " in found[0]


def test_a_key_that_leaves_the_schemas_is_refused(database: DatabaseFactory) -> None:
    url = database()
    run_sql(url, SCHEMA + "ALTER TABLE s.c ADD FOREIGN KEY (kind) REFERENCES beside.p;")
    (problem,) = problems_of(url, GOOD)
    assert (
        "line 2, scope: foreign key c_kind_fkey of s.c refers to beside.p, which is in no schema" in problem
    )


WRONG_IN_ITSELF = {
    "circular": (
        {"virtual_keys": [{"table": "s.c", "columns": ["p"], "references": "s.c", "to_columns": ["p"]}]},
        "is circular: it leads from columns to the same columns",
    ),
    "of unequal length": (
        {"virtual_keys": [{"table": "s.c", "columns": ["p", "q"], "references": "s.p", "to_columns": ["p"]}]},
        "must have as many columns",
    ),
    "decided twice": (
        {"decided": [{"table": "s.c", "rows": "all"}, {"table": ["s", "c"], "rows": "none"}]},
        "decided.1 says again what decided.0 says",
    ),
    "without roots": ({"roots": []}, "at least 1 item"),
    "an unknown word": ({"decided": [{"table": "s.c", "rows": "some"}]}, "'all' or 'none'"),
    "a name that is none": ({"roots": [{"table": "c", "where": "true"}]}, "does not name one table"),
    "an endless predicate": ({"roots": [{"table": "s.c", "where": "x" * 10_001}]}, "at most 10000"),
}


@pytest.mark.parametrize(("change", "said"), WRONG_IN_ITSELF.values(), ids=WRONG_IN_ITSELF)
def test_a_scope_that_cannot_be_is_refused_without_a_database(change: dict[str, object], said: str) -> None:
    document = yaml.safe_load(GOOD)["scope"]
    Scope.model_validate(document)
    with pytest.raises(ValidationError, match=said):
        Scope.model_validate({**document, **change})
