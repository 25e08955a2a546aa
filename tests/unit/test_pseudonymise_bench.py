"""The bench of pseudonyms: its figures have their names, and a ratio is one of what was measured."""

import time

import pytest

from bench.masking import MASKING, races, run
from bench.program import options


def test_the_figures_are_those_that_were_promised() -> None:
    assert [race.name for race in races()] == [
        "prf_token_values_per_s",
        "ff1_18_digits_values_per_s",
        "identity_number_values_per_s",
    ]
    assert all(race.peers for race in races())


def test_ours_is_measured_beside_the_fastest_other() -> None:
    race = races()[0]
    race.peers.clear()
    race.peers.update(slow=lambda values: time.sleep(1), quick=lambda values: time.sleep(0.2))
    figure = run(race, rounds=1, count=2000)
    assert (figure.name, figure.unit, figure.peer) == (race.name, "values/s", "quick")
    # 0.2 s for the 2000 values that it was given.
    assert figure.ratio == pytest.approx((1 / figure.value) / (0.2 / 2000), rel=0.2, abs=1e-4)


def test_it_is_a_part_of_the_bench_that_can_be_asked_for_alone() -> None:
    assert options(["--only", MASKING]).only == [MASKING]
