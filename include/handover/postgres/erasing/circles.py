"""Puts tables in an order in which none comes before those that lead to it; those in one circle together."""

from __future__ import annotations

from collections.abc import Iterable

Edge = tuple[int, int]


def components(nodes: Iterable[int], edges: Iterable[Edge]) -> list[tuple[int, ...]]:
    """Return the strongly connected components, each after all that lead to it; an edge leads (from, to)."""
    ways: dict[int, set[int]] = {node: set() for node in nodes}
    for here, there in edges:
        if here in ways and there in ways:
            ways[here].add(there)
    below = {node: _reached(node, ways) for node in ways}
    left, ordered = sorted(ways), []
    while left:
        # What nothing else that is left leads to, except what it leads to itself.
        first = next(
            node for node in left if all(node not in below[o] or o in below[node] for o in left if o != node)
        )
        circle = tuple(o for o in left if o == first or (o in below[first] and first in below[o]))
        ordered.append(circle)
        left = [node for node in left if node not in circle]
    return ordered


def _reached(start: int, ways: dict[int, set[int]]) -> set[int]:
    found: set[int] = set()
    waiting = [start]
    while waiting:
        for node in ways[waiting.pop()] - found:
            found.add(node)
            waiting.append(node)
    return found
