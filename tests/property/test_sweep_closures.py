"""Of the rows whose time is over exactly those go that no row that stays needs: an oracle in plain Python."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from fixtures.clusters import databases
from fixtures.worlds import Place, World, build, random_world
from handover.local.clusters import Cluster
from handover.model.scope import Scope
from handover.postgres.closure import Closure
from handover.postgres.expiring import Expiring
from handover.postgres.keysets import scoped_rows
from handover.postgres.ordering import rows_of
from handover.postgres.referring import read_graph
from handover.postgres.session import Connection, connect, fetch

MODEST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Sweep:
    """A world in which rows are over, share a fate, are held, or are those of one person."""

    world: World
    along: dict[int, set[int]]
    over: set[Place]
    held: set[Place] = field(default_factory=set)
    within: set[Place] | None = None

    def group(self, child: int, parent: int) -> bool:
        return any(child in tables and parent in tables | {one} for one, tables in self.along.items())

    def candidates(self) -> set[Place]:
        found = set(self.over) if self.within is None else self.over & self.owned(self.within)
        while more := {
            c
            for c in self.world.rows.keys() - found
            if any(self.group(c[0], p[0]) and self.world.refers(c, p) for p in found)
        }:
            found |= more
        return found

    def owned(self, roots: set[Place]) -> set[Place]:
        found = set(roots)
        while more := {
            c for c in self.world.rows.keys() - found if any(self.world.refers(c, p) for p in found)
        }:
            found |= more
        return found

    def needed(self, rows: set[Place]) -> set[Place]:
        found = set(rows)
        while more := {
            p for p in self.world.rows.keys() - found if any(self.world.refers(c, p) for c in found)
        }:
            found |= more
        return found

    def goes(self) -> set[Place]:
        """What is over with what comes along, less what is held, another's, or waits for rows that stay."""
        going = self.candidates() - self.needed(self.owned(self.held))
        came = set().union(*self.along.values())
        while stays := {
            row
            for row in going
            for other in self.world.rows.keys() - going
            if self.world.refers(other, row)
            or (row[0] in came and self.group(row[0], other[0]) and self.world.refers(row, other))
        }:
            going -= stays
        return going


def random_sweep(random: Random) -> Sweep:
    world = random_world(random)
    tables = list(range(len(world.kinds)))
    random.shuffle(tables)
    cut = random.randint(1, len(tables))
    bearing, coming = tables[:cut], tables[cut:]
    along: dict[int, set[int]] = {one: set() for one in bearing}
    for table in coming:
        if random.random() < 0.8:
            along[random.choice(bearing)].add(table)
    over = {place for place in world.rows if place[0] in along and random.random() < 0.6}
    sweep = Sweep(world, along, over)
    if random.random() < 0.5:
        sweep.held = {place for place in world.rows if random.random() < 0.1}
    if random.random() < 0.3:
        sweep.within = {place for place in world.rows if place[0] == 0 and random.random() < 0.6}
    return sweep


def rooted(rows: set[Place], tables: list[int]) -> list[dict[str, str]]:
    return [
        {
            "table": f"s.t{t}",
            "where": " OR ".join(f"id = {n}" for of, n in sorted(rows) if of == t) or "false",
        }
        for t in tables
    ]


def swept(session: Connection, sweep: Sweep) -> set[Place]:
    tables = list(range(len(sweep.world.kinds)))
    scope = Scope.model_validate(
        {
            "roots": rooted(sweep.over, sorted(sweep.along)),
            "along": [
                {"table": f"s.t{one}", "tables": [f"s.t{t}" for t in sorted(others)]}
                for one, others in sweep.along.items()
            ],
        }
    )
    held = Scope.model_validate({"roots": rooted(sweep.held, tables)}) if sweep.held else None
    graph = read_graph(session, ["s"], scope)
    within = None
    if sweep.within is not None:
        person = Scope.model_validate({"roots": rooted(sweep.within, [0])})
        within = Closure(session, graph, person, prefix="within")
    stays = Closure(session, graph, held, prefix="held") if held else None
    closure = Expiring(session, graph, scope, stays, within)
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        closure.compute(lambda rows: None)
        found = set()
        for number, key_set in closure.key_sets.items():
            table = graph.tables[number]
            query = sql.SQL("SELECT id FROM {} AS t WHERE {}").format(rows_of(table), scoped_rows(key_set))
            rows = {(int(table.name[1:]), int(str(n))) for (n,) in fetch(session, query)}
            assert closure.table_scope(number).owned == len(rows)
            found |= rows
        return found
    finally:
        session.execute("ROLLBACK")
        session.execute("DISCARD TEMP")


@pytest.fixture(scope="module")
def session(cluster: Cluster) -> Iterator[Connection]:
    with databases(cluster) as factory, closing(connect(factory("sweep", owner="sweep_owner"))) as made:
        yield made


def check(session: Connection, seed: int) -> tuple[int, int]:
    sweep = random_sweep(Random(seed))
    build(session, sweep.world)
    going = sweep.goes()
    assert swept(session, sweep) == going
    return len(going), len(sweep.candidates() - going)


@settings(MODEST, max_examples=25)
@given(st.integers(0, 2**64))
def test_exactly_the_rows_go_that_nothing_needs(session: Connection, seed: int) -> None:
    check(session, seed)


@pytest.mark.campaign
@settings(MODEST, max_examples=1500)
@given(st.integers(0, 2**64))
def test_the_sweep_is_right_on_many_worlds(session: Connection, seed: int) -> None:
    check(session, seed)


def test_the_worlds_drawn_let_rows_go_and_keep_some_that_are_over(session: Connection) -> None:
    counts = [check(session, seed) for seed in range(12)]
    assert sum(going > 0 for going, _ in counts) > 3
    assert sum(kept > 0 for _, kept in counts) > 3


def test_rows_that_belong_to_each_other_do_not_go_without_their_root(session: Connection) -> None:
    """A circle of rows that came along with one that is held must not keep itself in the sweep."""
    circle = World(["keyed", "keyed"])
    circle.rows = {(0, 0): {"id": 0, "a": None, "b": None, "v": 0, "w": 0}}
    circle.rows |= {(1, n): {"id": n, "a": 0 if n == 0 else None, "b": 1 - n, "v": 0, "w": 0} for n in (0, 1)}
    circle.keys = [(1, "a", 0, "NO ACTION", ""), (1, "b", 1, "NO ACTION", "DEFERRABLE INITIALLY DEFERRED")]
    build(session, circle)
    assert swept(session, Sweep(circle, {0: {1}}, {(0, 0)})) == set(circle.rows)
    assert swept(session, Sweep(circle, {0: {1}}, {(0, 0)}, within={(0, 9)})) == set()
    session.execute("CREATE TABLE s.other (a int REFERENCES s.t0); INSERT INTO s.other VALUES (0)")
    assert swept(session, Sweep(circle, {0: {1}}, {(0, 0)})) == set()
