"""Which bytes of a chunk nobody brings yet, however its parts are coded. Pure functions.

No I/O, no clock, no randomness.

A replicated chunk has one part and needs one copy of every position; an erasure-coded chunk has five parts of equal
length and needs any three of them at every position. A parity is so another source for the same positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scheduler.bytemap import Span, subtract


def short_spans(covers: Iterable[Iterable[Span]], size: int, needed: int) -> list[Span]:
    """Return the spans of [0, size) that fewer than `needed` of `covers` contain; each cover's spans are disjoint."""
    if needed == 1:
        return subtract([(0, size)], [span for cover in covers for span in cover])
    edges: dict[int, int] = {0: 0, size: 0}
    for cover in covers:
        for start, end in cover:
            edges[start] = edges.get(start, 0) + 1
            edges[end] = edges.get(end, 0) - 1
    found: list[Span] = []
    depth, begin = 0, None
    for position in sorted(edges):
        depth += edges[position]
        if begin is not None and depth >= needed:
            found.append((begin, position))
            begin = None
        elif begin is None and depth < needed and position < size:
            begin = position
    if begin is not None:
        found.append((begin, size))
    return [(a, b) for a, b in found if a < b]


def gaps(spans: Iterable[Span], size: int) -> list[Span]:
    """Return what of [0, size) none of `spans` contains; they may overlap, and be empty."""
    found: list[Span] = []
    at = 0
    for start, end in sorted(spans):
        if start >= end:
            continue
        if start > at:
            found.append((at, min(start, size)))
        at = max(at, end)
    if at < size:
        found.append((at, size))
    return found


def shallowest(covers: Iterable[Iterable[Span]], within: list[Span]) -> int:
    """Return the first position of `within` (not empty) that the fewest of `covers` contain."""
    covers = [list(cover) for cover in covers]
    edges = {edge for cover in covers for span in cover for edge in span}
    places = sorted(
        {start for start, _ in within}
        | {edge for edge in edges if any(start < edge < end for start, end in within)}
    )
    return min(places, key=lambda at: sum(any(a <= at < b for a, b in c) for c in covers))


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the same bytes as disjoint spans in order."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def missing_bytes(covers: Mapping[int, Iterable[Span]], size: int, needed: int) -> int:
    """Return how many bytes must still come until `needed` parts cover every position."""
    edges: dict[int, int] = {0: 0, size: 0}
    for cover in covers.values():
        for start, end in cover:
            edges[start] = edges.get(start, 0) + 1
            edges[end] = edges.get(end, 0) - 1
    total, depth, last = 0, 0, 0
    for position in sorted(edges):
        total += max(0, needed - depth) * (position - last)
        depth += edges[position]
        last = position
    return total
