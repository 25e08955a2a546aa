"""The data map: every table and column of a source with its kind, levels, way to the person and treatment.

Proposed by the classifier, confirmed by a person, kept in git. What it does not know blocks a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, StringConstraints, ValidationError, model_validator

from handover.errors import DataMapInvalid
from handover.model.base import Frozen
from handover.model.case import CASE_ID, CaseId
from handover.model.catalog import Catalog
from handover.model.kinds import KindName, Levels
from handover.model.masking import TreatmentEntry
from handover.model.reconciliation import ColumnName, TableName
from handover.model.strict_yaml import line_of, read_mapping

UNKNOWN = "unknown"
# Quasi-identifiers are known to others and single somebody out together; sensitive is what they would learn.
Risk = Literal["quasi", "sensitive", "none"]
Words = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]


class Confirmation(Frozen):
    """Who stands for what is written, and since when."""

    by: Words
    date: date


class Contained(Frozen):
    """A kind found inside a column; ``at`` is its JSON path, empty in free text."""

    kind: KindName
    at: str = ""


class ColumnEntry(Levels):
    """What a column holds; ``treatment`` is what happens to it in rows that are pseudonymised.

    ``mandatory``: whether a record is incomplete without it (B05); unless said, its kind decides.
    ``risk``: what it is to somebody who wants to know whose row it is, unless said by its kind too.
    """

    kind: KindName
    contains: tuple[Contained, ...] = ()
    treatment: TreatmentEntry | None = None
    risk: Risk | None = None
    mandatory: bool | None = None
    confirmed: Confirmation | None = None

    @property
    def levels(self) -> Levels:
        """Return the levels alone."""
        return Levels.model_validate({name: getattr(self, name) for name in Levels.model_fields})


class SubjectPath(Frozen):
    """How a row leads to a person: ``by`` are columns of it.

    Without ``to`` they identify the person here; else they lead to a row of ``to``, and its own paths lead
    on. ``when`` limits a path to rows whose columns have these values (polymorphic references).
    """

    by: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    to: TableName | None = None
    when: dict[ColumnName, str | int | bool] = Field(default={})


class DataSet(Frozen):
    """A table, or a partitioned table with the partitions that hold its rows. No ``subject``: no person."""

    table: TableName
    partitions: tuple[TableName, ...] = ()
    purpose: Words
    origin: Words
    subject: tuple[SubjectPath, ...] = ()
    columns: dict[ColumnName, ColumnEntry]

    @model_validator(mode="after")
    def _paths_use_own_columns(self) -> DataSet:
        for path in self.subject:
            for column in (*path.by, *path.when):
                if column not in self.columns:
                    raise ValueError(f"subject names column {column!r}, which is not under columns")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of all tables that it speaks of."""
        return (self.table.label, *(partition.label for partition in self.partitions))


class Sampled(Frozen):
    """What the proposal rests on: rows asked for in each table, and the seed of their choice."""

    rows: int
    seed: int


class DataMap(Frozen):
    """All data sets of a case's source. Without ``confirmed`` it is a proposal."""

    map: CaseId
    version: Literal[1] = 1
    confirmed: Confirmation | None = None
    sampled: Sampled | None = None
    datasets: tuple[DataSet, ...]

    @model_validator(mode="after")
    def _tables_once_and_paths_end(self) -> DataMap:
        labels = [label for dataset in self.datasets for label in dataset.labels]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"table {label} stands twice; keep one of them")
        known = {dataset.table.label: dataset for dataset in self.datasets}
        for dataset in self.datasets:
            _follow(dataset, known, ())
        return self

    def entries(self) -> Iterator[tuple[DataSet, str, ColumnEntry]]:
        """Yield every column with its data set."""
        for dataset in self.datasets:
            for name, entry in dataset.columns.items():
                yield dataset, name, entry

    def unconfirmed(self) -> list[str]:
        """Return the columns that nobody stands for; a confirmation of the map stands for all."""
        if self.confirmed:
            return []
        return [
            f"{dataset.table.label}.{name}" for dataset, name, entry in self.entries() if not entry.confirmed
        ]

    def unknown_provenance(self) -> list[str]:
        """Return the data sets whose purpose or origin of collection is not known (to be escalated)."""
        return [one.table.label for one in self.datasets if UNKNOWN in (one.purpose, one.origin)]


def _follow(dataset: DataSet, known: dict[str, DataSet], seen: tuple[str, ...]) -> None:
    """Raise ValueError when a path from here leads nowhere or in a circle."""
    here = dataset.table.label
    if here in seen:
        raise ValueError(f"subject leads in a circle: {' → '.join((*seen, here))}; end it at a person")
    for path in dataset.subject:
        if path.to is None:
            continue
        there = known.get(path.to.label)
        if there is None:
            raise ValueError(f"subject of {here} leads to {path.to.label}, which is not under datasets")
        if not there.subject:
            raise ValueError(f"subject of {here} leads to {path.to.label}, which leads to no person")
        _follow(there, known, (*seen, here))


def unmapped(datamap: DataMap, catalog: Catalog) -> list[str]:
    """Return a line for each table and column of the catalog that the map does not know."""
    known = {label: dataset for dataset in datamap.datasets for label in dataset.labels}
    lines = []
    for table in catalog.tables:
        dataset = known.get(table.label)
        if dataset is None:
            lines.append(f"table {table.label}")
            continue
        lines += [
            f"column {table.label}.{column.name}"
            for column in table.columns
            if column.name not in dataset.columns
        ]
    return lines


def vanished(datamap: DataMap, catalog: Catalog) -> list[str]:
    """Return a line for each table and column of the map that the catalog does not have."""
    there = {table.label: {column.name for column in table.columns} for table in catalog.tables}
    lines = []
    for dataset in datamap.datasets:
        found = [label for label in dataset.labels if label in there]
        # Either the partitioned table itself holds the rows for us, or each of its partitions does.
        wanted = () if dataset.table.label in there else dataset.labels[1 if dataset.partitions else 0 :]
        lines += [f"table {label}" for label in wanted if label not in there]
        columns = [name for name in dataset.columns if found and all(name not in there[at] for at in found)]
        lines += [f"column {dataset.table.label}.{name}" for name in columns]
    return lines


def parse_datamap(text: str, name: str, case_id: str) -> DataMap:
    """Return the map that ``text`` says; ``name`` is named in errors, which say field, line and remedy."""
    start = f"`handover classify {case_id}` writes a proposal to start from"
    root, document = read_mapping(text, f"data map {name}", start, DataMapInvalid)
    try:
        datamap = DataMap.model_validate(document)
    except ValidationError as problem:
        raise _explain(name, problem, root) from None
    if datamap.map != case_id:
        raise DataMapInvalid(
            f"data map {name} says map: {datamap.map}", hint=f"write map: {case_id}, the id of its case"
        )
    return datamap


_REMEDIES = {
    "extra_forbidden": "unknown key; take it out or correct its spelling",
    "missing": "missing; add it",
    "string_type": "not a text; put it in quotes",
    "dict_type": "not a mapping; write it as {strategy: NAME}",
}


def _explain(name: str, problem: ValidationError, root: yaml.Node | None) -> DataMapInvalid:
    """One line for each complaint: line of the file, field, what is wrong and what to do."""
    lines, fields = [], []
    for error in problem.errors(include_url=False, include_input=False):
        # Pydantic marks a mapping's key as such; the key itself stands before it.
        field = tuple(part for part in error["loc"] if part != "[key]")
        said = _REMEDIES.get(error["type"]) or str(error.get("ctx", {}).get("error") or error["msg"].lower())
        fields.append(".".join(map(str, field)) or "the whole map")
        lines.append(f"line {line_of(root, field)}, {fields[-1]}: {said}")
    return DataMapInvalid(
        f"data map {name} is not valid:\n  " + "\n  ".join(lines),
        hint="correct the fields named above; `handover classify CASE` reads the map again",
        fields=fields,
    )


def map_path(folder: Path, case_id: str) -> Path:
    """Return where the confirmed map of a case lies; a case id can never lead out of the folder."""
    if not re.fullmatch(CASE_ID, case_id):
        raise DataMapInvalid(
            f"case id {case_id!r} is not valid",
            hint="2 to 63 small letters, digits and hyphens, as in demo-transfer",
        )
    return folder / f"{case_id}.yaml"


def load_datamap(folder: Path, case_id: str) -> DataMap:
    """Read the map of a case; raises DataMapInvalid when there is none or it is not valid."""
    path = map_path(folder, case_id)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataMapInvalid(
            f"case {case_id} has no data map {path.name} in {folder}",
            hint=f"`handover classify {case_id}` proposes one; a person completes and confirms it",
        ) from None
    except (OSError, UnicodeDecodeError):
        raise DataMapInvalid(
            f"data map {path.name} cannot be read", hint="it must be a readable file in UTF-8"
        ) from None
    return parse_datamap(text, path.name, case_id)


def require_confirmed(datamap: DataMap) -> DataMap:
    """Return the map when a person stands for every column; raise DataMapInvalid otherwise."""
    open_columns = datamap.unconfirmed()
    if open_columns:
        raise DataMapInvalid(
            f"data map of {datamap.map} is a proposal: {len(open_columns)} columns are not confirmed, "
            f"among them {', '.join(open_columns[:5])}",
            hint="check the file, then add confirmed: {by: NAME, date: YYYY-MM-DD} at its top",
            columns=open_columns,
        )
    return datamap
