"""The closure of a scope equals one computed row by row outside the database, on random schemas and rows."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from fixtures.clusters import databases
from handover.local.clusters import Cluster
from handover.model.scope import Scope
from handover.postgres.closure import Closure, scope_problems
from handover.postgres.keysets import scoped_rows
from handover.postgres.ordering import rows_of
from handover.postgres.references import undecided
from handover.postgres.referring import read_graph
from handover.postgres.session import Connection, connect, fetch

Row = dict[str, object]
MODEST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Every table has these columns; a reference names two of its own (a, b or c, d), or one of them.
COLUMNS = ("id", "x", "y", "a", "b", "c", "d", "kind", "far")
KINDS = ("keyed", "composite", "keyless", "partitioned", "unique only", "heir")


@dataclass
class Link:
    """A reference as the world knows it: a foreign key, a virtual key or one target of a polymorphic one."""

    child: int
    columns: tuple[str, ...]
    parent: int
    to: tuple[str, ...]
    how: str
    follow: bool = True
    kind: str = ""

    def holds(self, child: Row, parent: Row) -> bool:
        if self.kind and child["kind"] != self.kind:
            return False
        pairs = [(child[c], parent[p]) for c, p in zip(self.columns, self.to, strict=True)]
        return all(left is not None and left == right for left, right in pairs)


@dataclass
class World:
    """Tables with rows and references, and where the scope starts."""

    kinds: list[str]
    rows: list[list[Row]]
    links: list[Link] = field(default_factory=list)
    roots: list[tuple[int, int]] = field(default_factory=list)
    whole: set[int] = field(default_factory=set)

    def closure(self) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
        """Owned and needed rows, by table and place, one row and one reference at a time."""
        owned = {(t, n) for t, x in self.roots for n, row in enumerate(self.rows[t]) if row["x"] == x}
        while (
            more := {
                (link.child, n)
                for t, p in owned
                for link in self.links
                if link.parent == t and link.follow
                for n, row in enumerate(self.rows[link.child])
                if link.holds(row, self.rows[t][p])
            }
            - owned
        ):
            owned |= more
        there = owned | {(t, n) for t in self.whole for n in range(len(self.rows[t]))}
        while (
            more := {
                (link.parent, n)
                for t, c in there
                for link in self.links
                if link.child == t
                for n, row in enumerate(self.rows[link.parent])
                if link.holds(self.rows[t][c], row)
            }
            - there
        ):
            there |= more
        return owned, there - owned

    def scope(self) -> dict[str, object]:
        """The scope as a case file would have it."""
        keys = [link for link in self.links if link.how == "virtual"]
        typed: dict[int, list[Link]] = {}
        for link in self.links:
            if link.how == "typed":
                typed.setdefault(link.child, []).append(link)
        reached = self._reached()
        return {
            "roots": [{"table": f"s.t{t}", "where": f"x = {x}"} for t, x in self.roots],
            "virtual_keys": [
                {
                    "table": f"s.t{k.child}", "columns": k.columns, "references": f"s.t{k.parent}",
                    "to_columns": k.to, "follow": k.follow,
                } for k in keys
            ],
            "polymorphic": [
                {
                    "table": f"s.t{child}", "type_column": "kind", "id_column": "far",
                    "follow": links[0].follow,
                    "targets": {k.kind: {"table": f"s.t{k.parent}", "column": k.to[0]} for k in links},
                } for child, links in typed.items()
            ],
            "foreign_keys": [
                {"table": f"s.t{k.child}", "columns": k.columns, "follow": False}
                for k in self.links
                if k.how == "foreign" and not k.follow
            ],
            "decided": [{"table": f"s.t{t}", "rows": "all"} for t in sorted(self.whole)]
            + [
                {"table": f"s.t{t}", "rows": "none"}
                for t in range(len(self.kinds))
                if t not in reached | self.whole
            ],
        }  # fmt: skip

    def _reached(self) -> set[int]:
        owned = {t for t, _ in self.roots}
        while more := {k.child for k in self.links if k.follow and k.parent in owned} - owned:
            owned |= more
        there = owned | self.whole
        while more := {k.parent for k in self.links if k.child in there} - there:
            there |= more
        return there


def random_world(random: Random) -> World:
    """Few tables and few values, so that rows meet; references point anywhere, also in circles."""
    count = random.randint(1, 6)
    kinds = [random.choice(KINDS) for _ in range(count)]
    world = World(kinds, [[] for _ in kinds])
    for t in range(count):
        _add_links(world, t, random)
    for t, kind in enumerate(kinds):
        world.rows[t] = [_random_row(n, random) for n in range(random.randint(0, 12))]
        if kind == "keyless":
            world.rows[t] += [dict(row) for row in world.rows[t][:3]]
    for link in world.links:
        if link.how == "foreign":
            _keep(world, link, random)
    world.roots = [(random.randrange(count), random.randint(0, 3)) for _ in range(random.randint(1, 2))]
    world.whole = {t for t in range(count) if random.random() < 0.1}
    return world


def _add_links(world: World, child: int, random: Random) -> None:
    for columns in (("a", "b"), ("c",), ("d",)):
        parent = random.randrange(len(world.kinds))
        follow = random.random() < 0.8
        if random.random() < 0.6:
            to = _unique_columns(world.kinds[parent], len(columns))
            if to and world.kinds[child] != "heir":
                world.links.append(Link(child, columns, parent, to, "foreign", follow))
                continue
        to = random.sample(["id", "x", "y", "c", "d"], len(columns))
        if random.random() < 0.4 and (child, columns) != (parent, tuple(to)):
            world.links.append(Link(child, columns, parent, tuple(to), "virtual", follow))
    if random.random() < 0.4:
        follow = random.random() < 0.8
        for kind in ("p", "it's 100% q"):
            parent = random.randrange(len(world.kinds))
            to = random.choice(["id", "x", "d"])
            world.links.append(Link(child, ("far",), parent, (to,), "typed", follow, kind))


def _unique_columns(kind: str, count: int) -> tuple[str, ...]:
    """What a foreign key of so many columns can refer to in a table of the kind."""
    pairs = {"composite": ("id", "y"), "partitioned": ("id", "x")}
    if kind in pairs:
        return pairs[kind] if count == 2 else ()
    return ("id",) if count == 1 and kind in ("keyed", "unique only", "heir") else ()


def _random_row(number: int, random: Random) -> Row:
    few = [None, 0, 1, 2, 3]
    row: Row = {name: random.choice(few) for name in ("a", "b", "c", "d", "far")}
    row |= {"id": number, "x": random.randint(0, 3), "y": random.randint(0, 2)}
    return row | {"kind": random.choice(["p", "it's 100% q", "other", None])}


def _keep(world: World, link: Link, random: Random) -> None:
    """Make every row of the child refer to a row of the parent, or to none by a NULL in any part."""
    parents = world.rows[link.parent]
    for row in world.rows[link.child]:
        if None in [row[c] for c in link.columns]:
            continue
        if parents and random.random() < 0.8:
            chosen = random.choice(parents)
            row.update({c: chosen[p] for c, p in zip(link.columns, link.to, strict=True)})
        else:
            row[random.choice(link.columns)] = None


def build(session: Connection, world: World) -> None:
    """Make the schema with the world's tables, rows and foreign keys."""
    session.execute("DROP SCHEMA IF EXISTS s CASCADE")
    session.execute("CREATE SCHEMA s")
    for t, (kind, rows) in enumerate(zip(world.kinds, world.rows, strict=True)):
        session.execute(_definition(t, kind))
        with session.cursor() as cursor:
            places = ", ".join(["%s"] * len(COLUMNS))
            insert = f"INSERT INTO s.t{t} ({', '.join(COLUMNS)}) VALUES ({places})"
            cursor.executemany(insert, [[row[c] for c in COLUMNS] for row in rows])
    for number, link in enumerate(world.links):
        if link.how == "foreign":
            more = ["", "MATCH FULL NOT VALID", "DEFERRABLE INITIALLY DEFERRED"][number % 3]
            if world.kinds[link.child] == "partitioned" and "VALID" in more:
                more = ""
            session.execute(
                f"ALTER TABLE s.t{link.child} ADD FOREIGN KEY ({', '.join(link.columns)})"
                f" REFERENCES s.t{link.parent} ({', '.join(link.to)}) {more}"
            )


def _definition(t: int, kind: str) -> str:
    columns = "id int, x int, y smallint, a bigint, b int, c bigint, d int, kind text, far bigint"
    key = {
        "keyed": ", PRIMARY KEY (id)",
        "composite": ", PRIMARY KEY (y, id), UNIQUE (id, y)",
        "partitioned": ", PRIMARY KEY (id, x)",
        "unique only": ", UNIQUE (id)",
        "heir": ", PRIMARY KEY (id)",
    }.get(kind, "")
    if kind == "partitioned":
        return (
            f"CREATE TABLE s.t{t} ({columns}{key}) PARTITION BY LIST (x);"
            f"CREATE TABLE s.t{t}_one (y smallint, x int NOT NULL, id int NOT NULL, kind text, far bigint,"
            f" d int, c bigint, b int, a bigint);"
            f"ALTER TABLE s.t{t} ATTACH PARTITION s.t{t}_one FOR VALUES IN (0, 1);"
            f"CREATE TABLE s.t{t}_two PARTITION OF s.t{t} DEFAULT"
        )
    if kind == "heir":  # the rows of who inherits from it are no rows of it
        return (
            f"CREATE TABLE s.t{t} ({columns}{key});"
            f"CREATE TABLE s.z{t} () INHERITS (s.t{t});"
            f"INSERT INTO s.z{t} (id, x, y) SELECT n, n % 4, n % 3 FROM generate_series(0, 5) n"
        )
    return f"CREATE TABLE s.t{t} ({columns}{key})"


@pytest.fixture(scope="module")
def session(cluster: Cluster) -> Iterator[Connection]:
    with databases(cluster) as factory, closing(connect(factory("closure", owner="closure_owner"))) as made:
        yield made


def marked(session: Connection, closure: Closure, number: int, mark: str) -> list[tuple]:
    """The rows of a table that bear a mark, as the condition for later stages selects them."""
    key_set = closure.key_sets.get(number)
    if key_set is None:
        return []
    query = sql.SQL("SELECT {} FROM {} AS t WHERE {}").format(
        sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), rows_of(key_set.table), scoped_rows(key_set, mark)
    )
    return sorted(fetch(session, query), key=repr)


def check(session: Connection, world: World) -> None:
    build(session, world)
    scope = Scope.model_validate(world.scope())
    graph = read_graph(session, ["s"], scope)
    heirs = [table for table in undecided(graph, scope) if table.startswith("s.z")]
    assert undecided(graph, scope) == heirs
    assert scope_problems(session, graph, scope) == []
    closure = Closure(session, graph, scope)
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        closure.compute(lambda rows: None)
        owned, needed = world.closure()
        for number, table in enumerate(graph.tables):
            if table.label in heirs:
                continue
            place = int(table.name[1:])
            found = closure.table_scope(number)
            for mark, rows in (("owned", owned), ("needed", needed)):
                wanted = [tuple(world.rows[t][n][c] for c in COLUMNS) for t, n in rows if t == place]
                assert marked(session, closure, number, mark) == sorted(wanted, key=repr), (table.label, mark)
                assert getattr(found, mark) == len(wanted)
            assert found.total == len(world.rows[place])
    finally:
        session.execute("ROLLBACK")
        for key_set in closure.key_sets.values():
            session.execute(sql.SQL("DROP TABLE {}").format(key_set.place))


@settings(MODEST, max_examples=40)
@given(st.integers(0, 2**64))
def test_the_closure_is_what_following_row_by_row_gives(session: Connection, seed: int) -> None:
    check(session, random_world(Random(seed)))


@pytest.mark.campaign
@settings(MODEST, max_examples=1500)
@given(st.integers(0, 2**64))
def test_the_closure_is_right_on_many_worlds(session: Connection, seed: int) -> None:
    check(session, random_world(Random(seed)))
