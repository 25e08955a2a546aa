"""A copy of a model is validated and remembers nothing that was computed from the old values."""

from functools import cached_property

import pytest
from pydantic import ValidationError

from handover.model.base import Frozen


class Numbers(Frozen):
    """Some numbers and their sum, computed once."""

    numbers: tuple[int, ...]

    @cached_property
    def total(self) -> int:
        return sum(self.numbers)


def test_a_copy_computes_anew() -> None:
    first = Numbers(numbers=(1, 2))
    assert first.total == 3
    assert first.model_copy(update={"numbers": (5,)}).total == 5
    assert first == Numbers(numbers=(1, 2))
    assert first.document() == {"numbers": [1, 2]}


@pytest.mark.parametrize("update", [{"numbers": "no"}, {"unknown": 1}])
def test_a_copy_is_validated(update: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Numbers(numbers=(1,)).model_copy(update=update)
