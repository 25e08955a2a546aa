"""Measures the engine beside its peers on the same two servers; ratios, not times, hold across machines."""

from handover.errors import Terminal


class BenchFailed(Terminal):
    """A measurement could not be made; nothing is reported for it."""
