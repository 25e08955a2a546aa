"""Equivalence classes of quasi-identifiers: counted in a frame, or taken as a database counted them.

A frame of classes has one row for each sort of class: ``records`` in it, ``classes`` of that sort,
``population`` (records of the class in the population, 0 when none was given), and one column of distinct
values for each sensitive column. NULL is a value like any other: two records that both lack it are alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import pandas as pd
import pyarrow as pa

from handover.errors import DataMapInvalid

RECORDS, CLASSES, POPULATION = "records", "classes", "population"
Frame: TypeAlias = "pd.DataFrame | pa.Table"


def classes_in(
    data: Frame, quasi: Sequence[str], sensitive: Sequence[str] = (), population: Frame | None = None
) -> pd.DataFrame:
    """Count the classes of a frame, which may come from several tables joined."""
    frame = _frame(data, [*quasi, *sensitive])
    if not quasi:
        raise DataMapInvalid(
            "a re-identification test needs at least one quasi-identifier",
            hint="name the columns in the data map",
        )
    grouped = frame.groupby(list(quasi), dropna=False, observed=True, sort=False)
    found = grouped.size().rename(RECORDS).to_frame()
    for column in sensitive:
        found[_distinct(column)] = grouped[column].nunique(dropna=False)
    found[POPULATION] = 0
    if population is not None:
        around = _frame(population, quasi).groupby(list(quasi), dropna=False, observed=True, sort=False)
        sizes = around.size().rename(POPULATION).reset_index()
        found = found.drop(columns=POPULATION).reset_index().merge(sizes, on=list(quasi), how="left")
        found[POPULATION] = found[POPULATION].fillna(0).astype("int64")
    return _sorts(found.reset_index(drop=True)[[RECORDS, POPULATION, *map(_distinct, sensitive)]])


def classes_counted(rows: Iterable[Sequence[int]], sensitive: Sequence[str] = ()) -> pd.DataFrame:
    """Take what a database counted: records, distinct values by sensitive column, classes of that sort."""
    names = [RECORDS, *map(_distinct, sensitive), CLASSES]
    frame = pd.DataFrame([tuple(row) for row in rows], columns=pd.Index(names), dtype="int64")
    frame[POPULATION] = 0
    return frame


def diversity_of(classes: pd.DataFrame) -> dict[str, int]:
    """Return the fewest distinct values of each sensitive column in any class."""
    prefix = _distinct("")
    return {
        name.removeprefix(prefix): int(classes[name].min()) if len(classes) else 0
        for name in classes.columns
        if name.startswith(prefix)
    }


def _distinct(column: str) -> str:
    return f"distinct {column}"


def _frame(data: Frame, columns: Sequence[str]) -> pd.DataFrame:
    names = data.column_names if isinstance(data, pa.Table) else list(data.columns)
    missing = [name for name in columns if name not in names]
    if missing:
        raise DataMapInvalid(
            f"columns of the re-identification test are not there: {', '.join(missing)}",
            hint="correct the quasi-identifiers or sensitive columns in the data map",
            columns=missing,
        )
    wanted = list(dict.fromkeys(columns))
    if isinstance(data, pa.Table):
        converted: pd.DataFrame = data.select(wanted).to_pandas(types_mapper=_exact)
        return converted
    return data[wanted]


def _exact(kind: pa.DataType) -> pd.ArrowDtype:
    """Keep Arrow's own types: NumPy would turn whole numbers with NULL into floats that fall together."""
    return pd.ArrowDtype(kind)


def _sorts(classes: pd.DataFrame) -> pd.DataFrame:
    by = list(classes.columns)
    return classes.groupby(by, sort=True).size().rename(CLASSES).reset_index()
