"""How many different persons the rows of each class lead to that went, as far as the data map leads directly.

Counted by keyed hashes in memory. A row that leads to its person only through other rows is not counted.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from handover.codec.columns import columns_of
from handover.model.datamap import DataMap, DataSet
from handover.model.plan import TablePlan

_HASH_BYTES = 8


class PersonsGone:
    """Takes rows and counts persons; the key of the hashes lives as long as this object."""

    def __init__(self, datamap: DataMap) -> None:
        self._datasets = {label: one for one in datamap.datasets for label in one.labels}
        self._key = secrets.token_bytes(32)
        self._found: dict[str, np.ndarray] = {}

    def take(self, row_class: str, plan: TablePlan, data: bytes) -> None:
        """Take rows of a class, in COPY text."""
        dataset = self._datasets.get(plan.label)
        for person, columns in self._paths(dataset) if dataset and data else ():
            if not set(columns) <= set(plan.columns):
                continue
            table = columns_of(data, plan.columns).select(columns).drop_null()
            parts = [column.combine_chunks() for column in table.columns]
            joined = pc.binary_join_element_wise(*parts, pa.scalar(b"\t", pa.large_binary()))
            values = pc.unique(joined).to_pylist()
            new = np.fromiter((self._hash(person, one) for one in values), np.uint64, len(values))
            self._found[row_class] = np.union1d(self._found.get(row_class, new), new)

    @property
    def counts(self) -> dict[str, int]:
        """Return how many persons there are by class; of a class without any that could be told, nothing."""
        return {name: len(found) for name, found in sorted(self._found.items())}

    def _paths(self, dataset: DataSet) -> Iterator[tuple[str, list[str]]]:
        """Yield the tables of persons to which rows lead at once, with the columns that name the person."""
        for path in dataset.subject:
            there = dataset if path.to is None else self._datasets[path.to.label]
            if not path.when and any(one.to is None for one in there.subject):
                yield there.table.label, list(path.by)

    def _hash(self, person: str, value: bytes) -> int:
        made = hashlib.blake2b(person.encode() + b"\0" + value, digest_size=_HASH_BYTES, key=self._key)
        return int.from_bytes(made.digest(), "big")
