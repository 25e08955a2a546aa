"""Two streams walked side by side: what is told of them, and that memory has a bound."""

import pytest

from handover.model.catalog import Column, KeyColumn, Table
from handover.model.plan import TablePlan, table_plan
from handover.stages import narrowing
from handover.stages.narrowing import MOST_DIFFERENCES, Narrowing

COLUMNS = (
    Column(name="id", type="integer", binary_safe=False),
    Column(name="name", type="text", binary_safe=True),
)
KEY = (KeyColumn(name="id", type="integer", order="natural"),)


def plan(key: tuple[KeyColumn, ...] = KEY) -> TablePlan:
    table = Table(schema_name="s", name="t", columns=COLUMNS, key=key, rows_estimate=0, bytes=0)
    return table_plan(0, table, same_major=True, groups=1)


def rows(*numbers: int, name: str = "x") -> list[bytes]:
    return [f"{number}\t{name}\n".encode() for number in numbers]


def told(expected: list[bytes], found: list[bytes], key: tuple[KeyColumn, ...] = KEY) -> list[str]:
    return Narrowing(plan(key), b"key").lines(iter(expected), iter(found))


def missing(*numbers: int) -> list[str]:
    return [f"s.t: row with id = {number} is missing" for number in numbers]


@pytest.mark.parametrize("gone", [range(1, 41), range(480, 520), range(961, 1001)])
def test_rows_beside_a_gap_are_not_told(gone: range) -> None:
    found = [n for n in range(1, 1001) if n not in gone]
    assert told(rows(*range(1, 1001)), rows(*found)) == missing(*gone)
    extra = [f"s.t: row with id = {n} is not in the backup" for n in gone]
    assert told(rows(*found), rows(*range(1, 1001))) == extra


def test_more_than_a_person_reads_is_cut() -> None:
    lines = told(rows(*range(1, 1001)), [])
    assert lines == [*missing(*range(1, MOST_DIFFERENCES + 1)), "s.t: and more"]
    assert told(rows(*range(1, MOST_DIFFERENCES + 1)), []) == missing(*range(1, MOST_DIFFERENCES + 1))


def test_a_gap_too_large_to_wait_for_is_told_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowing, "MOST_WAITING", 100_000)
    lines = told(rows(*range(1, 2001)), [*rows(1), *rows(*range(1001, 2001))])
    assert lines == ["s.t: row with id = 2 and many rows from there on are missing or too many"]


def test_many_equal_rows_do_not_wait_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowing, "MOST_WAITING", 10_000)
    (line,) = told([*rows(*[1] * 500), *rows(2)], rows(*range(3, 600)), key=())
    assert line.endswith(" and many rows from there on are missing or too many")


def test_a_few_rows_may_wait_however_large_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowing, "MOST_WAITING", 1)
    assert told(rows(1, 2, 3, 4), rows(1, 3, 4)) == missing(2)


def test_a_null_key_is_named_so() -> None:
    assert told(rows(1), [b"\\N\tx\n"]) == [*missing(1), "s.t: row with id = NULL is not in the backup"]


def test_equal_rows_meet_each_other() -> None:
    three, two = rows(1, 1, 1, 2, 2), rows(1, 1, 2, 2, 2)
    one, other = told(three, two, key=())
    assert one.endswith(" is missing")
    assert other.endswith(" is not in the backup")
    assert told(rows(1, 1, 1), rows(1), key=())[0].endswith(" is missing 2 times")
