"""What a case declares for its reconciliation must still be the same when columns arrive masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from handover.errors import CaseInvalid
from handover.model.catalog import Catalog
from handover.model.masking import MaskedColumn, Masks
from handover.model.reconciliation import Balance, Count, Item, Parent, TableName
from handover.model.strict_yaml import StrictLoader, line_of
from handover.pseudonymise.images import column_image
from handover.stages.context import Context

Column = tuple[TableName, str]


@dataclass(frozen=True)
class Uses:
    """The columns whose values an item shows or sums, and the pairs by which its rows meet."""

    values: tuple[Column, ...]
    meeting: tuple[tuple[Column, Column], ...] = ()


def require_reconcilable(context: Context, catalog: Catalog, masks: Masks) -> None:
    """Raise CaseInvalid when declared items read what arrives masked; names line, item and column."""
    parts: dict[str, Sequence[Item]] = {
        "counts": context.case.reconciliation.counts,
        "balances": context.case.reconciliation.balances,
        "relations": context.case.reconciliation.relations,
    }
    known = _Known(catalog, masks)
    found = [
        ((part, number), f"{item.name} {said}")
        for part, items in parts.items()
        for number, item in enumerate(items)
        for said in known.problems(item)
    ]
    if not found:
        return
    root = _written(context)
    lines = [
        f"line {line_of(root, ('reconciliation', *place))}, reconciliation {said}" for place, said in found
    ]
    raise CaseInvalid(
        f"case {context.case.case} reconciles what arrives masked:\n  " + "\n  ".join(lines),
        hint="name other columns, take the item out, or write treatment: {strategy: clear} in the data map; "
        "verification compares every masked column with what it must have become",
        fields=[f"reconciliation.{part}.{number}" for (part, number), _ in found],
    )


def _written(context: Context) -> yaml.Node | None:
    path = context.settings.cases / f"{context.case.case}.yaml"
    return yaml.compose(path.read_text(encoding="utf-8"), Loader=StrictLoader)


class _Known:
    """What is known of columns when a run is planned."""

    def __init__(self, catalog: Catalog, masks: Masks) -> None:
        self._masks: Mapping[tuple[str, str], tuple[MaskedColumn, ...]] = masks.away
        self._generated = {
            (table.schema_name, table.name): {column.name for column in table.columns if column.generated}
            for table in catalog.tables
        }

    def problems(self, item: Item) -> Iterator[str]:
        """Yield what an item cannot be asked any more."""
        uses = _uses(item)
        for table, name in dict.fromkeys(uses.values):
            if self._mask(table, name):
                yield f"reads column {name} of {table.label}, which arrives masked"
            elif self._computed(table, name):
                yield f"reads column {name} of {table.label}, computed there perhaps from masked ones"
        for here, there in dict.fromkeys(uses.meeting):
            if not self._meet(here, there):
                yield f"joins {here[0].label}.{here[1]} and {there[0].label}.{there[1]}, masked unlike"

    def _mask(self, table: TableName, name: str) -> MaskedColumn | None:
        masked = self._of((table.schema_name, table.name))
        return next((one for one in masked if one.column == name), None)

    def _of(self, place: tuple[str, str]) -> tuple[MaskedColumn, ...]:
        return self._masks.get(place, ())

    def _computed(self, table: TableName, name: str) -> bool:
        """Say whether a column may be computed from masked ones; of a partitioned table its parts say."""
        place = (table.schema_name, table.name)
        masked = self._of(place)
        alike = [place] if place in self._generated else [p for p in self._generated if self._of(p) == masked]
        return bool(masked) and any(name in self._generated[one] for one in alike)

    def _meet(self, here: Column, there: Column) -> bool:
        """Say whether rows meet as they did: both columns are clear, or one domain keeps values apart."""
        mine, theirs = self._mask(*here), self._mask(*there)
        if mine is None or theirs is None:
            return mine is theirs and not (self._computed(*here) or self._computed(*there))
        return mine.pseudonym == theirs.pseudonym and column_image(mine).keeps_apart


def _uses(item: Item) -> Uses:
    def of(*names: object) -> tuple[Column, ...]:
        return tuple((item.table, name) for name in names if isinstance(name, str))

    if isinstance(item, Count):
        return Uses(of(*item.by, item.year))
    if isinstance(item, Balance):
        amounts = of(item.debit, item.credit)
        if not isinstance(item.period, Parent):
            return Uses((*amounts, *of(item.period)))
        parent = item.period
        meeting = zip(of(*parent.here), [(parent.table, name) for name in parent.key], strict=True)
        return Uses((*amounts, (parent.table, parent.column)), tuple(meeting))
    children = tuple(item.children())
    joined = [
        ((item.table, mine), (child.table, theirs))
        for child in children
        for mine, theirs in zip(item.key, child.by or item.key, strict=True)
    ]
    amounts = (*of(item.total, item.equals), *((child.table, child.column) for child in children))
    return Uses((*amounts, *of(*item.show_by)), tuple(joined))
