"""Raw values with a sieve for e-mail addresses too, so that somebody else's address costs next to nothing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from handover.risk.raw_values import RawValues, canonical
from handover.risk.windows import Sieve


class SievedValues(RawValues):
    """Raw values with a sieve for e-mail addresses as well."""

    def __init__(self, key: bytes | None = None, part: tuple[int, int] = (0, 1)) -> None:
        super().__init__(key, part)
        self._email_hashes: list[np.ndarray] = []
        self._email_sieve: Sieve | None = None

    def add(self, kind: str, values: Iterable[str | None]) -> None:
        """Take values of a kind."""
        taken = list(values)
        super().add(kind, taken)
        if kind != "email":
            return
        by_length: dict[int, list[bytes]] = {}
        for form in (canonical(kind, value) for value in taken if value):
            if form is not None:
                by_length.setdefault(len(form), []).append(form)
        for length, forms in by_length.items():
            table = np.frombuffer(b"".join(forms), np.uint8).reshape(-1, length)
            self._email_hashes.append(self.polynomials.of_values(table))
        self._email_sieve = None

    @property
    def email_sieve(self) -> Sieve:
        """Return the first sieve for addresses."""
        if self._email_sieve is None:
            self._email_sieve = Sieve(
                np.unique(np.concatenate([np.zeros(0, np.uint64), *self._email_hashes]))
            )
        return self._email_sieve
