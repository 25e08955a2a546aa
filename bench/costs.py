"""The arithmetic of the bench: costs of runs, medians, ratios, the table and the file of figures. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from statistics import median


@dataclass(frozen=True)
class Cost:
    """What a piece of work took: wall seconds, processor seconds of its programs and of the two servers."""

    wall: float = 0.0
    client: float = 0.0
    server: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.wall + other.wall,
            self.client + other.client,
            self.server + other.server,
        )

    @property
    def cpu(self) -> float:
        """Return all processor seconds."""
        return self.client + self.server


@dataclass(frozen=True)
class Figure:
    """One line of bench.json; ``peer`` and ``ratio`` are None where nothing is compared."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    ratio: float | None = None


def total(costs: Iterable[Cost]) -> Cost:
    """Add costs of steps that followed one another."""
    return reduce(Cost.__add__, costs, Cost())


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the median of each part; of an even number of runs, the mean of the middle two."""
    return Cost(
        median(cost.wall for cost in costs),
        median(cost.client for cost in costs),
        median(cost.server for cost in costs),
    )


def compared(name: str, ours: Sequence[Cost], peer: str, theirs: Sequence[Cost]) -> Figure:
    """Return our median wall time beside a peer's; below 1 we are faster."""
    mine, other = middle(ours).wall, middle(theirs).wall
    return Figure(name, round(mine, 3), "s", peer, round(mine / other, 3))


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Align cells in columns: the first to the left, numbers to the right."""
    cells = [list(head), *map(list, lines)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def cost_table(runs: Mapping[str, Sequence[Cost]], base: str | None) -> str:
    """Show medians of all competitors, with wall time as a multiple of the base's and the range of rounds."""
    one = middle(runs[base]).wall if base else None
    lines = []
    for name, costs in runs.items():
        cost = middle(costs)
        ratio = f"{cost.wall / one:.2f}" if one else "-"
        span = f"{min(c.wall for c in costs):.1f}-{max(c.wall for c in costs):.1f}"
        cells = [
            name,
            f"{cost.wall:.1f}",
            span,
            ratio,
            f"{cost.client:.1f}",
            f"{cost.server:.1f}",
        ]
        lines.append([*cells, f"{cost.cpu:.1f}"])
    return table(["", "wall s", "range", "ratio", "client CPU", "server CPU", "CPU s"], lines)


def merged(old: Iterable[Mapping[str, object]], new: Iterable[Figure]) -> list[Mapping[str, object]]:
    """Put new figures in place of old ones of the same name, so that parts may be measured one by one."""
    fresh = {figure.name: asdict(figure) for figure in new}
    kept = [item for item in old if item.get("name") not in fresh]
    return [*kept, *fresh.values()]
