"""Objects are created in the order of what they rest on; a circle is named, not waited for."""

import pytest

from handover.errors import DataRefused
from handover.postgres.schema import SchemaEntry
from handover.stages.loading import Destination, _order

HERE = Destination("", "migrate")


def entries(depends: dict[int, set[int]]) -> dict[int, SchemaEntry]:
    return {n: SchemaEntry(n, "INDEX", "s", f"i{n}", frozenset(on), "") for n, on in depends.items()}


def test_an_object_is_ready_once_all_that_it_rests_on_is_done() -> None:
    # 99 stands for an object of an earlier section, which is there already; 1 names itself, as pg_dump may.
    order = _order(HERE, entries({1: {1, 99}, 2: {1}, 3: {1, 2}}))
    assert order.get_ready() == (1,)
    assert order.get_ready() == ()
    order.done(1)
    assert order.get_ready() == (2,)
    order.done(2)
    assert order.get_ready() == (3,)
    order.done(3)
    assert not order.is_active()


def test_a_circle_is_refused_by_the_names_in_it() -> None:
    with pytest.raises(DataRefused, match="migrate: 2 schema objects wait for each other") as caught:
        _order(HERE, entries({1: set(), 2: {3}, 3: {2}}))
    assert sorted(caught.value.data["objects"]) == ["INDEX s.i2", "INDEX s.i3"]
