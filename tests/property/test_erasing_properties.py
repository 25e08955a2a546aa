"""Erasing leaves exactly the rows that a few lines of Python say must remain, on random schemas and rows."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.clusters import databases
from fixtures.erasing import Asking, saved
from fixtures.worlds import Place, World, build, chosen, found, random_world
from handover.errors import ScopeChanged
from handover.local.clusters import Cluster
from handover.postgres.erasing.engine import erase
from handover.postgres.erasing.request import Erased, Pace
from handover.postgres.session import Connection, connect

MODEST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WAYS = st.sampled_from(["one by one", "many at once", "emptied"])


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
    going = chosen(world)
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
