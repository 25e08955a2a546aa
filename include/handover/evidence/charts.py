"""Bars for the report: lengths in thousandths of the longest one, exact and without floats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

FULL = 1000
MOST_BARS = 12
# Far beyond what numeric(131072 digits) holds nothing useful can be drawn, and Decimal itself overflows.
MOST_DIGITS = 200_000


def lengths(values: Iterable[int | Decimal]) -> list[int]:
    """Return each value's length; what is not zero shows at least a sliver, whatever its sign."""
    sizes = [abs(Decimal(value)) for value in values]
    longest = max(sizes, default=Decimal(0))
    return [max(1, int(size * FULL / longest)) if size else 0 for size in sizes]


def largest_tables(tables: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the tables with most rows, each with its bar, and last the others together, without one."""
    ordered = sorted(tables, key=lambda table: (-table["rows"], table["table"]))
    shown, rest = ordered[:MOST_BARS], ordered[MOST_BARS:]
    found = [
        {"label": table["table"], "rows": table["rows"], "length": length, "others": 0}
        for table, length in zip(shown, lengths(table["rows"] for table in shown), strict=True)
    ]
    if rest:
        found.append({"label": "", "rows": sum(t["rows"] for t in rest), "length": 0, "others": len(rest)})
    return found


def figure_bars(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bars that a reconciliation table asks for in ``chart``, empty when it does not.

    ``chart`` is {"label": [columns], "value": [columns]} by their places. Rows whose values are no numbers
    (withheld ones) have no bar; of many rows those with the largest values are shown.
    """
    chart = table.get("chart")
    if not chart:
        return {}
    bars = [bar for row in table["rows"] if (bar := _bar(row, chart)) is not None]
    bars.sort(key=lambda bar: -max(abs(value) for value in bar["values"]))
    shown = bars[:MOST_BARS]
    found = iter(lengths(value for bar in shown for value in bar["values"]))
    rows = [
        {
            "label": bar["label"],
            "bars": [{"text": text, "length": next(found)} for text in bar["texts"]],
        }
        for bar in shown
    ]
    names = [table["columns"][place] for place in chart["value"]]
    return {"names": names, "rows": rows, "more": len(bars) - len(shown)} if rows else {}


def _bar(row: Sequence[str], chart: Mapping[str, Any]) -> dict[str, Any] | None:
    texts = [row[place] for place in chart["value"]]
    values = [number(text) for text in texts]
    if not texts or any(value is None for value in values):
        return None
    return {"label": " · ".join(row[place] for place in chart["label"]), "values": values, "texts": texts}


def number(text: str) -> Decimal | None:
    """Return the finite number that a text says, None when it says none."""
    try:
        value = Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value.adjusted()) < MOST_DIGITS else None
