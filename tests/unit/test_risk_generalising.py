"""The search for a generalisation: it reaches k with the least loss, or says that it cannot."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from handover.risk.generalising import Proposal, propose
from handover.risk.ladders import LadderKind, ladder


def classes(records: list[int], **columns: list[str | None]) -> pa.Table:
    return pa.table(
        {**{name: pa.array(values, pa.string()) for name, values in columns.items()}, "records": records}
    )


def climbed(kind: LadderKind, value: str, values: list[str | None] | None = None) -> list[str]:
    return [rung.apply(value) for rung in ladder(kind, values or [value])]


def test_ladders_of_dates_regions_addresses_and_ages() -> None:
    assert climbed("date", "1987-06-12") == ["1987-06", "1987", "1985", "1980", "1980"]
    assert climbed("region", "330106") == ["3301", "33"]
    assert climbed("address", "浙江省杭州市西湖区文三路3号") == [
        "浙江省/杭州市/西湖区",
        "浙江省/杭州市",
        "浙江省",
    ]
    assert climbed("number", "37") == ["7", "3", "1", "0"]
    assert climbed("other", "x") == []


@pytest.mark.parametrize(
    "kind, broken", [("date", "1987年"), ("region", "33"), ("address", "somewhere"), ("number", "NaN")]
)
def test_broken_values_share_one_group(kind: LadderKind, broken: str) -> None:
    assert set(climbed(kind, broken)) == {"?"}


def test_widths_of_amounts_grow_with_their_spread_and_nest() -> None:
    rungs = ladder("amount", [str(n * 100) for n in range(100)] + ["1e12", None, "x"])
    widths = [rung.name for rung in rungs]
    assert widths[0] == "bucket of 10" and len(set(widths)) == len(rungs)
    values = [str(n * 7 - 300) for n in range(2000)]
    for finer, coarser in pairwise(rungs):
        reached: dict[str, set[str]] = {}
        for value in values:
            reached.setdefault(finer.apply(value), set()).add(coarser.apply(value))
        assert all(len(group) == 1 for group in reached.values())
    assert ladder("amount", ["5", "5"]) == ()


def test_what_reaches_k_already_is_left_alone() -> None:
    found = propose(classes([10, 12], sex=["m", "f"]), "records", {"sex": "other"}, 10)
    assert found == Proposal(found=True, least=True, steps={}, loss=0.0, trials=0)


def test_the_least_loss_is_taken() -> None:
    days = [f"1980-{month:02d}-{day:02d}" for month in (1, 2) for day in range(1, 11)]
    table = classes([1] * 20, born=days, sex=["m", "f"] * 10)
    found = propose(table, "records", {"born": "date", "sex": "other"}, 5)
    assert found.found and found.least
    assert found.steps == {"born": "month"}
    found = propose(table, "records", {"born": "date", "sex": "other"}, 10)
    assert found.steps in ({"born": "year"}, {"born": "month", "sex": "suppress"})
    assert found == propose(table, "records", {"born": "date", "sex": "other"}, 10)


def test_a_column_alone_can_force_its_suppression() -> None:
    table = classes([9, 1], sex=["m", "f"], born=["1980-01-01"] * 2)
    found = propose(table, "records", {"sex": "other", "born": "date"}, 5)
    assert found.steps == {"sex": "suppress"}


def test_fewer_records_than_k_cannot_be_helped() -> None:
    found = propose(classes([2, 2], sex=["m", "f"]), "records", {"sex": "other"}, 5)
    assert not found.found and found.steps == {}


def test_null_stays_apart_until_suppressed() -> None:
    table = classes([9, 1], born=["1980-01-01", None])
    assert propose(table, "records", {"born": "date"}, 5).steps == {"born": "suppress"}


def test_when_the_bound_is_reached_a_choice_that_holds_is_given_and_said_not_to_be_proven() -> None:
    days = [f"19{year}-{month:02d}-01" for year in range(60, 90) for month in range(1, 13)]
    table = classes([1] * 360, born=days, again=days[::-1], sex=["m", "f"] * 180)
    kinds: dict[str, LadderKind] = {"born": "date", "again": "date", "sex": "other"}
    found = propose(table, "records", kinds, 20, most_trials=0)
    assert found.found and not found.least
    best = propose(table, "records", kinds, 20)
    assert best.least and best.loss <= found.loss < 1


def test_many_columns_do_not_overflow_the_keys() -> None:
    dice = np.random.default_rng(1)
    columns = {f"c{n}": [str(v) for v in dice.integers(0, 1000, 3000)] for n in range(8)}
    found = propose(classes([1] * 3000, **columns), "records", dict.fromkeys(columns, "other"), 2)
    assert found.found and "suppress" in found.steps.values()
