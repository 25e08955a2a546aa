"""The backup's rows that are archived, table by table, each with the term it goes with; never those that go.

Read the same way for writing the archive and for comparing it with the backup afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from handover.errors import NotReady, VerificationFailed
from handover.evidence.progress import Meter
from handover.model.archive import ArchivedColumn, ArchivedTable, Term
from handover.model.catalog import Catalog
from handover.model.datamap import ColumnEntry, DataMap
from handover.model.kinds import KINDS
from handover.model.plan import TablePlan
from handover.postgres.describing import comments_of, foreign_keys_of
from handover.postgres.session import Connection, database_errors
from handover.stages.classed_rows import ClassedRows

# Personal, but they tell nobody who it is: with them the books still add up and rows still find each other
# once the key of the identifying columns is gone.
SKELETON = ("amount", "related", "internal_id")


@dataclass
class Sum:
    """How many rows of a term, and the digest of all their bytes in their order."""

    rows: int = 0
    sha256: Any = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> None:
        """Count rows in COPY text."""
        self.rows += data.count(b"\n")
        self.sha256.update(data)


def archived_tables(rows: ClassedRows) -> list[tuple[int, TablePlan]]:
    """Return the tables any class of which is archived, each with its number in the archive."""
    return [
        (number, table)
        for number, table in enumerate(rows.index.plan.tables, 1)
        if rows.whole(table) and any(one.target == "archive" for one in rows.classes(table))
    ]


@dataclass(frozen=True)
class ArchivedRows:
    """Takes the archived classes' rows out of those of the backup."""

    rows: ClassedRows
    terms: Mapping[str, Term]
    progress: Meter

    def of(self, table: TablePlan) -> Iterator[tuple[Term, bytes]]:
        """Yield a table's archived rows in the order of the backup, chunk by chunk."""
        if table.format != "text":
            raise NotReady(f"{table.label} was not planned for an archive", hint="start a new run")
        for receipt, found in zip(self.rows.chunks(table), self.rows.of(table), strict=True):
            if sum(part.count(b"\n") for part in found.values()) != receipt.rows:
                raise VerificationFailed(
                    f"chunk {receipt.unit} of {table.label} has rows in no class or in several",
                    hint="what the predicates read was changed after the plan: start a new run",
                )
            for name, part in found.items():
                if name in self.terms:
                    yield self.terms[name], part
            self.progress.add(receipt.rows, receipt.bytes)

    def sums(self, table: TablePlan) -> dict[str, Sum]:
        """Return what there is of each class of a table."""
        found: dict[str, Sum] = {}
        for _ in summed(self.of(table), found):
            pass
        return found


def summed(rows: Iterable[tuple[Term, bytes]], found: dict[str, Sum]) -> Iterator[tuple[Term, bytes]]:
    """Yield rows as they are and count them into ``found``, by class."""
    for term, data in rows:
        found.setdefault(term.row_class, Sum()).add(data)
        yield term, data


def described(
    source: Connection, catalog: Catalog, datamap: DataMap | None, number: int, plan: TablePlan
) -> ArchivedTable:
    """Return a table as a reader in thirty years needs it."""
    place = (plan.schema_name, plan.name)
    table = next(one for one in catalog.tables if (one.schema_name, one.name) == place)
    entries = _entries(datamap, plan.label)
    with database_errors(f"reading what describes {plan.label}"):
        comments = comments_of(source, *place)
        foreign_keys = foreign_keys_of(source, *place)
    types = {column.name: column.type for column in table.columns}
    return ArchivedTable(
        number=number,
        schema_name=plan.schema_name,
        name=plan.name,
        columns=tuple(
            ArchivedColumn(
                name=name,
                type=types[name],
                identifying=identifies(entries.get(name)),
                comment=comments.get(name),
            )
            for name in plan.columns
        ),
        key=tuple(column.name for column in plan.key),
        foreign_keys=foreign_keys,
        comment=comments.get(""),
    )


def _entries(datamap: DataMap | None, label: str) -> Mapping[str, ColumnEntry]:
    for dataset in datamap.datasets if datamap else ():
        if label in dataset.labels:
            return dataset.columns
    return {}


def identifies(entry: ColumnEntry | None) -> bool:
    """Say whether a column tells who somebody is; one that nobody described may."""
    if entry is None:
        return True
    kinds = (entry.kind, *(one.kind for one in entry.contains))
    return entry.risk == "quasi" or any(KINDS[kind].personal and kind not in SKELETON for kind in kinds)
