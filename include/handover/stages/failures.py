"""Several things of which one that fails does not keep the others: the first failure is raised at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Failures:
    """What failed so far."""

    def __init__(self) -> None:
        self._found: list[Exception] = []

    @contextmanager
    def while_doing(self, what: str) -> Iterator[None]:
        """Keep an error of the block, with a note of what was being done."""
        try:
            yield
        except Exception as failure:  # noqa: BLE001 (raised by raise_first)
            failure.add_note(f"while {what}")
            self._found.append(failure)

    def raise_first(self) -> None:
        """Raise the first failure, if there was one; its notes name the others."""
        for other in self._found[1:]:
            self._found[0].add_note(f"and {type(other).__name__} {other.__notes__[0]}")
        if self._found:
            raise self._found[0]
