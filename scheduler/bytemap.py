"""Which bytes of a part are held, and from whom. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

Span = tuple[int, int]


class Contribution(NamedTuple):
    """Bytes [start, end) of a part that came from one node."""

    start: int
    end: int
    node_url: str


class ByteMap:
    """Held bytes of one part of `size` bytes, each span with its source; spans never overlap."""

    __slots__ = ("_spans", "held_bytes", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.held_bytes = 0
        self._spans: list[Contribution] = []

    @property
    def contributions(self) -> tuple[Contribution, ...]:
        """Held spans in order; neighbours from one node are one span."""
        return tuple(self._spans)

    @property
    def complete(self) -> bool:
        return self.held_bytes == self.size

    def add(self, start: int, end: int, node_url: str) -> None:
        """Note bytes that arrived; those already held keep their source."""
        for a, b in self._missing_within(start, end):
            self._insert(a, b, node_url)

    def _missing_within(self, start: int, end: int) -> list[Span]:
        spans = self._spans
        at = len(spans)
        while at and spans[at - 1].start >= end:
            at -= 1
        if at == 0 or spans[at - 1].end <= start:
            # As nearly always: a range brings bytes that nobody else brought.
            return [(start, end)] if start < end else []
        return self.missing_within(start, end)

    def _insert(self, start: int, end: int, node_url: str) -> None:
        """Enter bytes of which none is held."""
        self.held_bytes += end - start
        spans = self._spans
        at = len(spans)
        while at and spans[at - 1].start > start:
            at -= 1
        after = at
        if at and spans[at - 1].end == start and spans[at - 1].node_url == node_url:
            at -= 1
            start = spans[at].start
        if after < len(spans) and spans[after].start == end and spans[after].node_url == node_url:
            end = spans[after].end
            after += 1
        spans[at:after] = [Contribution(start, end, node_url)]

    def remove(self, start: int, end: int) -> None:
        """Forget bytes that cannot be trusted."""
        kept: list[Contribution] = []
        for span in self._spans:
            if span.end <= start or span.start >= end:
                kept.append(span)
                continue
            if span.start < start:
                kept.append(Contribution(span.start, start, span.node_url))
            if span.end > end:
                kept.append(Contribution(end, span.end, span.node_url))
        self._spans = kept
        self.held_bytes = sum(span.end - span.start for span in kept)

    def missing_within(self, start: int, end: int) -> list[Span]:
        """Return the spans of [start, end) that are not held."""
        return subtract([(start, end)], ((span.start, span.end) for span in self._spans))

    def free(self, claims: Iterable[Span]) -> list[Span]:
        """Return what is neither held nor claimed: always derived, so that nothing can be orphaned."""
        return subtract(self.missing_within(0, self.size), claims)

    def bytes_by_node(self) -> dict[str, int]:
        """Return how many held bytes came from each node."""
        shares: dict[str, int] = {}
        for span in self._spans:
            shares[span.node_url] = shares.get(span.node_url, 0) + span.end - span.start
        return shares


def subtract(spans: list[Span], holes: Iterable[Span]) -> list[Span]:
    """Return `spans` without `holes`; empty spans vanish."""
    left = [span for span in spans if span[0] < span[1]]
    for hole_start, hole_end in holes:
        cut: list[Span] = []
        for start, end in left:
            if hole_end <= start or hole_start >= end:
                cut.append((start, end))
                continue
            if start < hole_start:
                cut.append((start, hole_start))
            if hole_end < end:
                cut.append((hole_end, end))
        left = cut
    return left
