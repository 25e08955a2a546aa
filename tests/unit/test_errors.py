"""The family of errors: each is terminal or transient, and says message, hint and data apart."""

import inspect

import pytest

from handover import errors
from handover.errors import HandoverError, Terminal, Transient
from handover.local import ServiceFailed

FAMILY = [c for _, c in inspect.getmembers(errors, inspect.isclass)] + [ServiceFailed]
CONCRETE = [c for c in FAMILY if c not in (HandoverError, Terminal, Transient)]


def test_there_is_one_base() -> None:
    assert all(issubclass(c, HandoverError) for c in FAMILY)


@pytest.mark.parametrize("error", CONCRETE, ids=lambda error: error.__name__)
def test_each_is_either_terminal_or_transient_and_says_what_it_is(error: type[HandoverError]) -> None:
    assert issubclass(error, Terminal) != issubclass(error, Transient)
    assert error.__doc__ != HandoverError.__doc__


def test_the_hint_follows_the_message() -> None:
    error = Terminal("the thing is not there", hint="put it there", thing="t")
    assert str(error) == "the thing is not there\nHINT: put it there"
    assert (error.message, error.hint, error.data) == (
        "the thing is not there",
        "put it there",
        {"thing": "t"},
    )


def test_without_a_hint_there_is_no_empty_one() -> None:
    assert str(Transient("gone")) == "gone"
