"""A permutation gives back the number behind each pseudonym, and nothing for what is none."""

import pyarrow as pa
import pytest

from fixtures.pseudonyms import OTHER_CASE_KEY, domain_key
from handover.pseudonymise.replacing import Permute

RANGES = {
    "a table": Permute(low=-50, high=949),
    "two values": Permute(high=1),
    "ff1": Permute(low=1, high=10**15),
    "with zeros in front": Permute(high=9999, width=4),
}


@pytest.mark.parametrize("strategy", RANGES.values(), ids=RANGES)
def test_what_was_permuted_comes_back(strategy: Permute) -> None:
    step = max(1, (strategy.high - strategy.low) // 500)
    numbers = [str(n).zfill(strategy.width or 0) for n in range(strategy.low, strategy.high + 1, step)]
    column = pa.array([*numbers, None], pa.string())
    masked = strategy.apply(column, domain_key()).column
    assert strategy.reveal(masked, domain_key()).equals(column)
    if len(numbers) > 2:
        assert not strategy.reveal(masked, domain_key(case_key=OTHER_CASE_KEY)).equals(column)


def test_what_is_no_pseudonym_has_nothing_behind() -> None:
    found = Permute(low=10, high=99).reveal(pa.array(["9", "100", "007", "x", "", None]), domain_key())
    assert found.null_count == len(found)
