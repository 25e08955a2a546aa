"""Reconciliation: source against target against backup, to the last digit; what to show and what differs.

Messages name tables, columns and periods, and count rows; they never hold a figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from handover.model.figures import Amount, ColumnFigures, Figures
from handover.model.reconciliation import GENERATED, ROWS, SUMS, Reconciliation
from handover.quality.declared import Judge
from handover.quality.exact import differences, frame, records
from handover.quality.showing import (
    DIFFERENT,
    EQUAL,
    NOTHING,
    RESULT,
    SOURCE,
    TARGET,
    UNCOMPARED,
    Sheet,
    Token,
    both,
    count_text,
    few,
    figure,
    other,
    words,
)

TABLE, COLUMN = words("表", "table"), words("列", "column")
Place = tuple[str, str]
_ON = ["schema", "table", "column"]


@dataclass(frozen=True)
class Reconciled:
    """Tables for people, and a line for each difference; no line means that everything agrees."""

    tables: tuple[dict[str, object], ...]
    differences: tuple[str, ...]


def reconcile(
    declared: Reconciliation,
    source: Figures,
    target: Figures,
    planned: Mapping[Place, int],
    acknowledged: frozenset[str],
    token: Token,
) -> Reconciled:
    """Compare the figures of both sides, and the rows with those of the backup by schema and table."""
    lines: list[str] = []
    sheets = [_rows(source, target, planned, lines), _sums(source, target, token, lines)]
    if any(table.generated for table in source.tables):
        sheets.append(_generated(source, target, lines))
    judge = Judge(acknowledged, token, lines)
    sheets += [judge.compare(item, source, target) for item in declared.items()]
    return Reconciled(tuple(sheet.document() for sheet in sheets), tuple(lines))


def _row_frame(found: Mapping[Place, int], name: str) -> pd.DataFrame:
    texts = {"schema": [schema for schema, _ in found], "table": [table for _, table in found]}
    return frame(texts, {name: list(found.values())})


def _counted(figures: Figures) -> dict[Place, int]:
    return {(table.schema_name, table.name): table.rows for table in figures.tables}


def _rows(source: Figures, target: Figures, planned: Mapping[Place, int], lines: list[str]) -> Sheet:
    """Compare the rows of every table: counted in the source, in the backup, counted in the target."""
    headings = [TABLE, SOURCE, words("备份", "backup"), TARGET, RESULT]
    sheet = Sheet(ROWS, words("各表行数", "Rows by table"), headings, {"label": [0], "value": [1, 3]})
    merged = _row_frame(planned, "backup")
    for name, figures in (("source", source), ("target", target)):
        merged = merged.merge(_row_frame(_counted(figures), name), on=_ON[:2], how="outer")
    for row in records(merged):
        counts = (row["source"], row["backup"], row["target"])
        equal = len(set(counts)) == 1
        label, cells = f"{row['schema']}.{row['table']}", [count_text(count) for count in counts]
        sheet.rows.append([label, *cells, EQUAL if equal else DIFFERENT])
        if not equal:
            there = "is missing in the target" if counts[2] is None else f"{cells[2]} rows in the target"
            lines.append(f"{label}: {cells[0]} rows in the source, {cells[1]} in the backup, {there}")
    return sheet


def _column_frame(figures: Figures, tables: set[Place]) -> pd.DataFrame:
    found = [(t, c) for t in figures.tables if (t.schema_name, t.name) in tables for c in t.columns]
    texts: dict[str, list[str | None]] = {
        "schema": [t.schema_name for t, _ in found],
        "table": [t.name for t, _ in found],
        "column": [c.column for _, c in found],
        "total": [c.amount.total for _, c in found],
        "special": [_special(c) for _, c in found],
    }
    wholes = {"values": [c.values for _, c in found], "others": [c.amount.others for _, c in found]}
    return frame(texts, wholes)


def _special(column: ColumnFigures) -> str:
    """Count what cannot be summed."""
    counts = (("NaN", column.nan), ("∞", column.infinite), ("−∞", column.minus_infinite))
    return ", ".join(f"{count:,} {name}" for name, count in counts if count)


def _sums(source: Figures, target: Figures, token: Token, lines: list[str]) -> Sheet:
    """Compare the sums of every numeric column."""
    headings = [
        *(TABLE, COLUMN),
        *both(words("非空值", "values")),
        *both(words("非有限值", "not finite")),
        *both(words("合计", "sum")),
        RESULT,
    ]
    sheet = Sheet(SUMS, words("数值列合计", "Sums of numeric columns"), headings)
    tables = set(_counted(source)) & set(_counted(target))
    ours, theirs = _column_frame(source, tables), _column_frame(target, tables)
    merged = ours.merge(theirs, on=_ON, how="outer", suffixes=("_source", "_target"))
    merged["same"] = differences(merged.total_source, merged.total_target) == 0
    for row in records(merged):
        reasons = [*_reasons(row)]
        label, place = f"{row['schema']}.{row['table']}", [row[name] for name in _ON]
        hide = few([Amount(total=None, others=row["others_source"] or 0)])
        shown = figure(token, place, row["total_source"], hide=hide)
        equal = row["total_source"] == row["total_target"]
        sheet.rows.append(
            [
                *(label, row["column"]),
                *(count_text(row["values_source"]), count_text(row["values_target"])),
                *(row["special_source"] or NOTHING, row["special_target"] or NOTHING),
                *(shown, other(token, place, row["total_target"], equal=equal, shown=shown)),
                DIFFERENT if reasons else EQUAL,
            ]
        )
        lines.extend(f"{label}: column {row['column']}: {reason}" for reason in reasons)
    sheet.rows += _unsummed(source, tables)
    return sheet


def _unsummed(source: Figures, tables: set[Place]) -> Iterator[list[str]]:
    """Yield a row for each column of numbers that arrives masked; no figure of it is shown."""
    for table in source.tables:
        if (table.schema_name, table.name) in tables:
            for column in table.unsummed:
                yield [table.label, column, *[NOTHING] * 6, UNCOMPARED]


def _reasons(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield how a column of the target differs from the source's."""
    for side, there in (("source", "target"), ("target", "source")):
        if row[f"values_{side}"] is None:
            yield f"is there in the {there}, but not in the {side}"
            return
    if row["values_source"] != row["values_target"]:
        yield f"{row['values_source']:,} values in the source, {row['values_target']:,} in the target"
    if row["special_source"] != row["special_target"]:
        yield "other numbers of NaN or infinite values in the target"
    if not row["same"]:
        yield "its sum in the target is not that of the source"
    elif row["total_source"] != row["total_target"]:
        yield "its sum in the target is the source's, but with other decimal places or none"


def _generated(source: Figures, target: Figures, lines: list[str]) -> Sheet:
    """Compare the values of generated columns, which the backup leaves to the target to compute."""
    headings = [TABLE, words("生成列", "generated columns"), words("行数", "rows"), RESULT]
    sheet = Sheet(GENERATED, words("生成列的值", "Values of generated columns"), headings)
    there = {(table.schema_name, table.name): table for table in target.tables}
    for ours in source.tables:
        theirs = there.get((ours.schema_name, ours.name))
        if theirs is None or not (ours.generated or theirs.generated):
            continue
        equal = (ours.generated, ours.generated_digest) == (theirs.generated, theirs.generated_digest)
        columns = ", ".join(ours.generated or theirs.generated)
        same = EQUAL if ours.generated_digest else UNCOMPARED
        sheet.rows.append([ours.label, columns, f"{ours.rows:,}", same if equal else DIFFERENT])
        if not equal:
            lines.append(f"{ours.label}: generated {columns}: other values in the target than in the source")
    return sheet
