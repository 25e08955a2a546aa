"""The data map of a run: confirmed by a person, and it knows everything that the source holds."""

from __future__ import annotations

import yaml

from handover.errors import DataMapInvalid
from handover.model.catalog import Catalog
from handover.model.datamap import DataMap, load_datamap, map_path, require_confirmed, unmapped
from handover.model.plan import Plan
from handover.model.strict_yaml import StrictLoader, line_of
from handover.stages.context import Context


def confirmed_datamap(context: Context, catalog: Catalog) -> DataMap | None:
    """Return the case's data map; None where none is there and no gate asks for one.

    Raises DataMapInvalid when it is a proposal, or does not know a table or column of the source.
    """
    folder, case = context.settings.datamaps, context.case
    path = map_path(folder, case.mapped_as)
    if not case.policy and not path.is_file():
        return None
    datamap = require_confirmed(load_datamap(folder, case.mapped_as))
    unknown = unmapped(datamap, catalog)
    if unknown:
        text = path.read_text(encoding="utf-8")
        lines = [f"line {_line(text, datamap, one)}, {one} is not in the map" for one in unknown]
        raise DataMapInvalid(
            f"data map {path.name} does not know all that the source holds:\n  " + "\n  ".join(lines),
            hint=f"`handover classify {case.case}` proposes entries for them; a person confirms them",
            unknown=unknown,
        )
    return datamap


def planned_datamap(context: Context, plan: Plan) -> DataMap | None:
    """Return the data map with which a run was planned, if it was; raises DataMapInvalid for another."""
    if not plan.datamap_digest:
        return None
    datamap = require_confirmed(load_datamap(context.settings.datamaps, context.case.mapped_as))
    if datamap.sha256_of_json() != plan.datamap_digest:
        raise DataMapInvalid(
            f"data map {context.case.mapped_as}.yaml is not the one that the run was planned with",
            hint="put it back as it was; a changed map needs a new run, which is approved anew",
        )
    return datamap


def _line(text: str, datamap: DataMap, unknown: str) -> int:
    """Return the line of the columns to which an entry has to be added; of the data sets for a table."""
    place: tuple[str | int, ...] = ("datasets",)
    for number, dataset in enumerate(datamap.datasets):
        if any(unknown.startswith(f"column {label}.") for label in dataset.labels):
            place = ("datasets", number, "columns")
    return line_of(yaml.compose(text, Loader=StrictLoader), place)


def new_columns(before: Catalog, now: Catalog) -> list[str]:
    """Return a line for each table and column that came, went or has another type since ``before``."""
    then, since = _columns(before), _columns(now)
    lines = [f"{name} is new" for name in since if name not in then]
    lines += [f"{name} is gone" for name in then if name not in since]
    changed = [name for name, kind in since.items() if name in then and then[name] != kind]
    return lines + [f"{name} was {then[name]}, is {since[name]} now" for name in changed]


def _columns(catalog: Catalog) -> dict[str, str]:
    """Return the type of each column, by its name for people; a table stands there by itself."""
    found = {f"table {table.label}": "" for table in catalog.tables}
    for table in catalog.tables:
        found |= {f"column {table.label}.{column.name}": column.type for column in table.columns}
    return found
