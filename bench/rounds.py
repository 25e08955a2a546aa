"""What is measured: databases of each shape, competitors in turn, round after round."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

from bench import engine, peers
from bench.arena import Arena
from bench.costs import Cost, Figure, compared, cost_table, middle, table
from bench.shapes import EVEN, SKEWED, Shape, company, generate, keyed, narrow

ENGINE = "engine"
# Shapes that the peers copy too; the others are about the engine alone.
WEIGHTS = {"even": EVEN, "skewed": SKEWED}
AIRFLOW = "airflow"
MASKED = "masked"
ERASE = "erase"
PARTS = (*WEIGHTS, "uuid", MASKED, "scope", ERASE, "rss", AIRFLOW)
PEAK_ROWS = {"peak_rss_mb_1m": 1_000_000, "peak_rss_mb_10m": 10_000_000}
# What each comparison is called in bench.json.
FIGURES = {
    peers.DUMP_RESTORE: "dump_restore",
    peers.GZIP_1: "dump_restore_gzip1",
    peers.UNCOMPRESSED: "dump_restore_uncompressed",
    peers.PIPE: "pipe",
    peers.PGCOPYDB: "pgcopydb",
}

Say = Callable[[str], None]


@dataclass
class Runs:
    """All runs over one database: of the engine in full, of every competitor its cost."""

    engine: list[engine.EngineRun] = field(default_factory=list)
    costs: dict[str, list[Cost]] = field(default_factory=dict)

    def add(self, name: str, cost: Cost) -> None:
        """Note one run of a competitor."""
        self.costs.setdefault(name, []).append(cost)


@dataclass(frozen=True)
class Bench:
    """Measures on one arena; ``size`` is in bytes of COPY text."""

    place: Arena
    size: float
    rounds: int
    competitors: tuple[str, ...]
    say: Say

    def beside_peers(self, name: str) -> list[Figure]:
        """Let the engine and its peers move one database in turn."""
        runs = Runs()
        source = self._generate(company(name, WEIGHTS[name], self.size))
        for _ in range(self.rounds):
            self._engine(runs, ENGINE, source)
            for peer in self.competitors:
                runs.add(peer, peers.run(self.place, peer, source, self._empty()))
        self.place.source.drop_database(name)
        self.say(cost_table(runs.costs, peers.DUMP_RESTORE if peers.DUMP_RESTORE in runs.costs else None))
        self._say_phases(runs.engine)
        if peers.PGCOPYDB not in runs.costs:
            self.say(f"{peers.PGCOPYDB}: not installed or not asked for, so not measured")
        return list(figures_beside(name, runs))

    def uuid_beside_serial(self) -> list[Figure]:
        """Let the engine move the same rows under a random and under a serial key."""
        runs = Runs()
        sources = {name: self._generate(keyed(name, self.size)) for name in ("serial", "uuid")}
        for _ in range(self.rounds):
            for name, source in sources.items():
                self._engine(runs, name, source)
        for name in sources:
            self.place.source.drop_database(name)
        self.say(cost_table(runs.costs, "serial"))
        return [compared("uuid_vs_serial", runs.costs["uuid"], "serial", runs.costs["serial"])]

    def masked_beside_plain(self) -> list[Figure]:
        """Let the engine move the same rows with five columns masked, and as they are."""
        runs = Runs()
        source = self._generate(company(MASKED, EVEN, self.size))
        for _ in range(self.rounds):
            self._engine(runs, "plain", source)
            self._engine(runs, MASKED, source, masks=True)
        self.place.source.drop_database(MASKED)
        self.say(cost_table(runs.costs, "plain"))
        return [compared("masked_vs_plain_transfer", runs.costs[MASKED], "plain", runs.costs["plain"])]

    def peaks(self) -> list[Figure]:
        """Look at the memory of the lanes' processes over tables of two lengths; other stages are shown."""
        found = {}
        for rows in PEAK_ROWS.values():
            shape = narrow(rows)
            found[rows] = engine.run(self.place, self._generate(shape), self._empty()).peaks
            self.place.source.drop_database(shape.name)
        stages = next(iter(found.values()))
        lines = [[s, *(f"{peaks[s]:.0f}" for peaks in found.values())] for s in stages]
        self.say(table(["peak MB by stage", *(f"{rows:,} rows" for rows in found)], lines))
        return [
            Figure(name, round(max(found[rows][stage] for stage in engine.LANE_STAGES), 1), "MB")
            for name, rows in PEAK_ROWS.items()
        ]

    def _engine(self, runs: Runs, name: str, source: str, *, masks: bool = False) -> None:
        found = engine.run(self.place, source, self._empty(), masks=masks)
        runs.engine.append(found)
        runs.add(name, found.whole)

    def _generate(self, shape: Shape) -> str:
        source = self.place.fresh(self.place.source, shape.name)
        size = generate(source, shape)
        self.say(f"\ndatabase {shape.name}: {size / 1e6:,.0f} MB as COPY text")
        return source

    def _empty(self) -> str:
        return self.place.fresh(self.place.target, "target")

    def _say_phases(self, runs: list[engine.EngineRun]) -> None:
        whole = middle([run.whole for run in runs]).wall
        lines = []
        for phase in runs[0].phases:
            cost = middle([run.phases[phase] for run in runs])
            peak = median(run.peaks[phase] for run in runs)
            share = "-" if phase in engine.APART else f"{100 * cost.wall / whole:.0f} %"
            cells = [
                f"  {phase}",
                f"{cost.wall:.1f}",
                share,
                f"{cost.client:.1f}",
                f"{cost.server:.1f}",
            ]
            lines.append([*cells, f"{peak:.0f}"])
        self.say(
            table(
                [
                    "engine by phase",
                    "wall s",
                    "share",
                    "client CPU",
                    "server CPU",
                    "peak MB",
                ],
                lines,
            )
        )


def figures_beside(name: str, runs: Runs) -> Iterable[Figure]:
    """Return the figures of one database that was moved by several."""
    for peer, short in FIGURES.items():
        if peer in runs.costs:
            yield compared(f"engine_{name}_vs_{short}", runs.costs[ENGINE], peer, runs.costs[peer])
    for phase in engine.APART:
        wall = middle([run.phases[phase] for run in runs.engine]).wall
        yield Figure(f"{phase.replace(' ', '_')}_{name}_s", round(wall, 3), "s")
