"""The command: measures what was asked for, prints the tables, writes ``$HANDOVER_HOME/bench.json``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bench import erasing, masking, overhead, peers, proving, requesting, scoping, sweeping
from bench.arena import Arena, arena
from bench.costs import Figure, merged, table
from bench.masking import MASKING
from bench.proving import PROVE
from bench.requesting import REQUEST
from bench.rounds import AIRFLOW, ERASE, MASKED, PARTS, WEIGHTS, Bench
from bench.shapes import WIDTHS
from bench.sweeping import SWEEP
from handover.local.home import Home

# A little more than the 1.5 GB for which targets are set: generated rows vary in length.
DEFAULT_GB = 1.6
DEFAULT_ROUNDS = 3
_MEAN_WIDTH = len(WIDTHS) / sum(1 / width for width in WIDTHS.values())


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure the engine beside its peers."
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--gb",
        type=float,
        default=DEFAULT_GB,
        help="size as COPY text (default %(default)s)",
    )
    size.add_argument("--rows", type=int, help="rows of the even database, in place of its size")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, help="(default %(default)s)")
    parser.add_argument(
        "--only",
        action="append",
        choices=(*PARTS, PROVE, SWEEP, REQUEST, MASKING),
        help="measure this part; may be repeated",
    )
    parser.add_argument("--no-peers", action="store_true", help="measure the engine alone")
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1 or (chosen.rows or chosen.gb) <= 0:
        parser.error("rounds, rows and size must be positive")
    return chosen


def size_of(chosen: argparse.Namespace) -> float:
    """Return the size in bytes that was asked for."""
    return float(chosen.rows * _MEAN_WIDTH if chosen.rows else chosen.gb * 1e9)


def measure(place: Arena, chosen: argparse.Namespace, parts: Sequence[str]) -> Iterator[Figure]:
    """Measure the parts that need the two clusters."""
    competitors = () if chosen.no_peers else peers.available()
    bench = Bench(place, size_of(chosen), chosen.rounds, competitors, partial(print, flush=True))
    for name in WEIGHTS:
        if name in parts:
            yield from bench.beside_peers(name)
    if "uuid" in parts:
        yield from bench.uuid_beside_serial()
    if MASKED in parts:
        yield from bench.masked_beside_plain()
    if "scope" in parts:
        yield scoping.beside_sql(place, chosen.rounds)
    if ERASE in parts:
        yield from erasing.beside_sql(place, chosen.rounds)
    if PROVE in parts:
        yield from proving.beside_reading(place, size_of(chosen))
    yield from _daily(place, parts)
    if "rss" in parts:
        yield from bench.peaks()


def _daily(place: Arena, parts: Sequence[str]) -> Iterator[Figure]:
    """Measure what is done to a source day by day."""
    if SWEEP in parts:
        yield from sweeping.on_an_idle_night(place)
    if REQUEST in parts:
        yield from requesting.answered(place)


def write(path: Path, figures: Sequence[Figure]) -> None:
    """Put the figures into the file, beside those of parts that were not measured now."""
    old = json.loads(path.read_text()) if path.exists() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(merged(old, figures), indent=1) + "\n")


def report(figures: Sequence[Figure]) -> str:
    """Return the table of figures."""
    lines = [
        [
            f.name,
            f"{f.value:.1f} {f.unit}",
            "" if f.ratio is None else f"{f.ratio:.2f}",
            f.peer or "",
        ]
        for f in figures
    ]
    return table(["figure", "value", "ratio", "to"], lines)


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for."""
    chosen = options(arguments)
    parts = chosen.only or (*PARTS, PROVE, SWEEP, REQUEST, MASKING)
    figures: list[Figure] = []
    if MASKING in parts:
        figures += masking.figures(chosen.rounds)
    if set(parts) - {AIRFLOW, MASKING}:
        with arena() as place:
            figures += measure(place, chosen, parts)
    if AIRFLOW in parts:
        figures.append(overhead.fixed_cost(chosen.rounds))
    path = Home.locate().root / "bench.json"
    write(path, figures)
    print(f"\n{report(figures)}\n{path}")
    return 0
