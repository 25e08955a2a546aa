"""The harness tells a wrong loader from a right one: killed at one place, it finds what the wrong one did."""

import pytest

from fixtures.audit import rows_amiss
from fixtures.contents import contents, run_sql
from fixtures.drive import Drive, Fault
from fixtures.runs import Runner

KILLS = {"doubling": "point:ROWS_UNRECORDED:1", "losing": "point:ROWS_UNCOMMITTED:2"}
FINDINGS = {"doubling": "double", "losing": "missing"}


def killed_lanes(world: Runner, point: str, broken: str) -> list[str]:
    """Kill both lanes of the migration there, repeat them, and compare the rows."""
    run_sql(world.urls["src"], "DROP MATERIALIZED VIEW s.m")  # it has no rows before the target is finished
    drive = Drive(world, broken)
    drive.go({"migrate 0": [Fault(point)], "migrate 1": [Fault(point)]}, last="migrate 1")
    return rows_amiss(contents(world.urls["dst"]), drive.moments)


@pytest.mark.parametrize("broken", KILLS)
def test_wrong_loader_is_found(world: Runner, broken: str) -> None:
    found = killed_lanes(world, KILLS[broken], broken)
    assert found
    assert all(FINDINGS[broken] in line for line in found)


@pytest.mark.parametrize("point", KILLS.values())
def test_right_loader_is_not(world: Runner, point: str) -> None:
    assert killed_lanes(world, point, broken="") == []


def test_rows_are_compared_with_one_moment() -> None:
    moments = [{"t": [b"1", b"1", b"2"], "u": [b"1"]}, {"t": [b"1", b"3"], "u": [b"2"]}]
    assert rows_amiss(moments[1], moments) == []
    assert rows_amiss({"t": [b"1", b"1", b"1", b"2"], "u": [b"1"]}, moments) == ["t: 1 rows double"]
    assert rows_amiss({"t": [b"1", b"2"], "u": [b"1"]}, moments) == ["t: 1 rows missing"]
    mixed = {"t": moments[0]["t"], "u": moments[1]["u"]}
    assert rows_amiss(mixed, moments) == ["u: 1 rows of another moment", "u: 1 rows missing"]
