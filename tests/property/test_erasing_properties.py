"""Erasing leaves exactly the rows that a few lines of Python say must remain, on random schemas and rows."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.clusters import databases
from fixtures.erasing import Asking, saved
from handover.errors import ScopeChanged
from handover.local.clusters import Cluster
from handover.postgres.erasing.engine import erase
from handover.postgres.erasing.request import Erased, Pace
from handover.postgres.session import Connection, connect, fetch

MODEST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
COLUMNS = ("id", "a", "b", "v", "w")
WAYS = st.sampled_from(["one by one", "many at once", "emptied"])
RULES = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
WHEN = ("", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED")
Row = dict[str, int | None]
Place = tuple[int, int]  # table and id


@dataclass
class World:
    """Tables t0, t1 … with rows by id; keys (child, column, parent, rule, when); what goes."""

    kinds: list[str]
    keys: list[tuple[int, str, int, str, str]] = field(default_factory=list)
    rows: dict[Place, Row] = field(default_factory=dict)
    going: set[Place] = field(default_factory=set)
    changed: set[Place] = field(default_factory=set)

    def refers(self, child: Place, parent: Place) -> bool:
        return any(
            (c, p) == (child[0], parent[0]) and self.rows[child][column] == parent[1]
            for c, column, p, _, _ in self.keys
        )

    def stays(self) -> set[Place]:
        """Rows of ``going`` that must stay: changed, or something that remains refers to them."""
        staying = set(self.changed & self.going)
        while more := {
            p
            for p in self.going - staying
            if any(self.refers(c, p) for c in self.rows if c not in self.going or c in staying)
        }:
            staying |= more
        return staying

    def others_refer(self) -> bool:
        return any(self.refers(c, p) for p in self.going for c in self.rows.keys() - self.going)


def random_world(random: Random) -> World:
    kinds = [random.choice(["keyed", "keyed", "partitioned", "keyless"]) for _ in range(random.randint(1, 4))]
    kinds[0] = "keyed"
    world = World(kinds)
    parents = [t for t, kind in enumerate(kinds) if kind == "keyed"]
    for t in range(len(kinds)):
        for column in ("a", "b"):
            if random.random() < 0.6:
                rule = random.choice(RULES)
                when = random.choice(WHEN if rule != "RESTRICT" else WHEN[:1])
                world.keys.append((t, column, random.choice(parents), rule, when))
    for t in range(len(kinds)):
        for n in range(random.randint(0, 8)):
            world.rows[t, n] = {"id": n, "a": None, "b": None, "v": random.randint(0, 2), "w": 0}
    for c, column, p, _, _ in world.keys:
        ids = [n for t, n in world.rows if t == p]
        for (t, _), row in world.rows.items():
            if t == c and ids and random.random() < 0.6:
                row[column] = random.choice(ids)
    _choose(world, random)
    return world


def _choose(world: World, random: Random) -> None:
    """Mostly what goes is closed downwards, as a scope is; sometimes it is anything."""
    world.going = {place for place in world.rows if random.random() < 0.4}
    if random.random() < 0.8:
        while more := {
            c for c in world.rows if c not in world.going and any(world.refers(c, p) for p in world.going)
        }:
            world.going |= more
    if random.random() < 0.5:
        world.changed = {p for p in world.rows if world.kinds[p[0]] != "keyless" and random.random() < 0.2}


def build(session: Connection, world: World) -> None:
    session.execute(
        "DROP SCHEMA IF EXISTS s CASCADE; DROP SCHEMA IF EXISTS handover CASCADE; CREATE SCHEMA s"
    )
    for t, kind in enumerate(world.kinds):
        columns = "id int, a int, b int, v int, w int"
        if kind == "partitioned":
            session.execute(
                f"CREATE TABLE s.t{t} ({columns}, PRIMARY KEY (id, v)) PARTITION BY LIST (v);"
                f"CREATE TABLE s.t{t}_one (v int NOT NULL, w int, b int, a int, id int NOT NULL);"
                f"ALTER TABLE s.t{t} ATTACH PARTITION s.t{t}_one FOR VALUES IN (0, 1);"
                f"CREATE TABLE s.t{t}_two PARTITION OF s.t{t} DEFAULT"
            )
        else:
            session.execute(
                f"CREATE TABLE s.t{t} ({columns}{', PRIMARY KEY (id)' if kind == 'keyed' else ''})"
            )
    for (t, _), row in world.rows.items():
        session.execute(f"INSERT INTO s.t{t} VALUES (%s, %s, %s, %s, %s)", [row[c] for c in COLUMNS])
    for child, column, parent, rule, when in world.keys:
        session.execute(
            f"ALTER TABLE s.t{child} ADD FOREIGN KEY ({column}) REFERENCES s.t{parent}"
            f" ON DELETE {rule} {when}"
        )


def found(session: Connection, world: World) -> dict[Place, tuple]:
    return {
        (t, int(str(row[0]))): row
        for t in range(len(world.kinds))
        for row in fetch(session, f"SELECT id, a, b, v, w FROM s.t{t}")
    }


def befall(session: Connection, world: World) -> None:
    """What happens between the backup and the erasing."""
    for t, n in world.changed:
        session.execute(f"UPDATE s.t{t} SET w = w + 1 WHERE id = %s", [n])


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    """One subject a number, so that a few rows make several transactions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handover.postgres.erasing.batches.SUBJECTS_OF_A_NUMBER", 1)
        patch.setattr("handover.postgres.erasing.pace.FIRST_WIDTH", 2)
        yield


def check(session: Connection, world: World, binary: bool, way: str) -> None:
    build(session, world)
    going = {
        f"s.t{t}": f"t.id = ANY(ARRAY[{','.join(str(n) for g, n in world.going if g == t)}]::int[])"
        for t in range(len(world.kinds))
    }
    backup = saved(session, "s.t0", binary)
    asking = Asking(backup, "s.t0", going, pace=Pace(seconds_per_batch=0.0 if way == "one by one" else 2.0))
    asking.name_keys(session)
    befall(session, world)
    before = found(session, world)
    try:
        emptied = frozenset(going) if way == "emptied" else frozenset()
        erased = erase(session, replace(asking.request(), emptied=emptied))
    except ScopeChanged:
        assert world.others_refer()
        left = found(session, world)
        assert {place: before[place] for place in left} == left
        assert before.keys() - left.keys() <= world.going - world.changed
        return
    finally:
        session.execute("DISCARD TEMP")
    staying = world.stays()
    left = {place: row for place, row in before.items() if place not in world.going - staying}
    assert found(session, world) == left
    check_report(world, erased, staying)


def check_report(world: World, erased: Erased, staying: set[Place]) -> None:
    assert not erased.effects
    for table in erased.tables:
        t = int(table.table[3:])
        asked = {p for p in world.going if p[0] == t}
        assert (table.asked, table.deleted, table.gone) == (len(asked), len(asked - staying), 0)
        why = {one.why: one.rows for one in table.stayed}
        assert why.get("differs", 0) <= len(asked & world.changed)
        assert sum(why.values()) == len(asked & staying)


@pytest.fixture(scope="module")
def session(cluster: Cluster) -> Iterator[Connection]:
    with databases(cluster) as factory, closing(connect(factory("erasing", owner="erasing_owner"))) as made:
        yield made


@settings(MODEST, max_examples=40)
@given(st.integers(0, 2**64), st.booleans(), WAYS)
def test_exactly_the_rows_that_must_remain_are_left(
    session: Connection, seed: int, binary: bool, way: str
) -> None:
    check(session, random_world(Random(seed)), binary, way)


@pytest.mark.campaign
@settings(MODEST, max_examples=1500)
@given(st.integers(0, 2**64), st.booleans(), WAYS)
def test_erasing_is_right_on_many_worlds(session: Connection, seed: int, binary: bool, way: str) -> None:
    check(session, random_world(Random(seed)), binary, way)
