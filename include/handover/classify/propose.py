"""Proposes a data map from a source: samples every table, judges every column, finds the ways to persons."""

from __future__ import annotations

from dataclasses import dataclass

from handover.classify.columns import Judgement, judge
from handover.classify.sampling import Layout, Name, read_layout, sample, tables_to_sample
from handover.classify.subjects import propose_paths, read_keys
from handover.model.catalog import Catalog
from handover.model.datamap import UNKNOWN, ColumnEntry, DataMap, DataSet, Sampled, SubjectPath
from handover.model.kinds import KINDS, levels_of
from handover.model.reconciliation import TableName
from handover.postgres.session import Connection, database_errors


@dataclass(frozen=True)
class Proposal:
    """A data map that nobody confirmed yet, and the reasons of each of its columns by table and column."""

    datamap: DataMap
    reasons: dict[str, dict[str, tuple[str, ...]]]


def propose(
    connection: Connection, catalog: Catalog, case_id: str, schemas: list[str], rows: int, seed: int
) -> Proposal:
    """Return the proposal. It holds counts and shapes, no value; raises DataRefused when rows are hidden."""
    with database_errors("reading the source's catalog"):
        layout = read_layout(connection, schemas)
        keys = read_keys(connection, schemas)
    tables = tables_to_sample(catalog.tables, layout)
    judged = {table: _judge_table(connection, table, layout, rows, seed) for table in tables}
    kinds = {
        table: {name: found.kind for name, found in columns.items()} for table, columns in judged.items()
    }
    paths = propose_paths(kinds, keys)
    datasets = [
        _dataset(table, tables[table], columns, paths.get(table, ())) for table, columns in judged.items()
    ]
    reasons = {
        _table(table).label: {name: _told(found) for name, found in columns.items()}
        for table, columns in judged.items()
    }
    datamap = DataMap(map=case_id, sampled=Sampled(rows=rows, seed=seed), datasets=tuple(datasets))
    return Proposal(datamap, reasons)


def _judge_table(
    connection: Connection, table: Name, layout: Layout, rows: int, seed: int
) -> dict[str, Judgement]:
    forms = layout.forms.get(table, {})  # a table may have no column
    columns = sample(connection, table, table in layout.partitioned, forms, rows, seed)
    judged = {name: judge(name, forms[name], values) for name, values in columns}
    return {name: judged[name] for name in forms}


def _told(found: Judgement) -> tuple[str, ...]:
    return (f"{found.confidence}: {'; '.join(found.reasons[:1])}", *found.reasons[1:])


def _table(name: Name) -> TableName:
    return TableName(schema_name=name[0], name=name[1])


def _dataset(
    table: Name, partitions: list[Name], columns: dict[str, Judgement], paths: tuple[SubjectPath, ...]
) -> DataSet:
    return DataSet(
        table=_table(table),
        partitions=tuple(map(_table, partitions)),
        purpose=UNKNOWN,
        origin=UNKNOWN,
        subject=paths,
        columns={name: _entry(found, bool(paths)) for name, found in columns.items()},
    )


def _entry(found: Judgement, of_persons: bool) -> ColumnEntry:
    """What leads to a person is at least other data about her; what leads to none is no amount of hers."""
    kind = found.kind or "related"
    weak = kind in ("related", "internal_id", "amount", "free_text", "json", "attribute")
    if weak and not of_persons and not any(KINDS[part.kind].personal for part in found.contains):
        kind = "none"
    levels = levels_of(kind, tuple(part.kind for part in found.contains))
    return ColumnEntry(kind=kind, contains=found.contains, **levels.model_dump())
