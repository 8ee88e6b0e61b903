"""Curves over a session of any length in memory of a fixed size. No I/O, no clock, no randomness.

Time is cut into equal buckets. When there are too many, two and two become one: a curve is never finer than a chart
can show, nothing is left out of it, and a minute of a short session is finer than one of a long one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# One for each unit of a chart's width; an even number.
MAX_BUCKETS = 720
FINEST_SEC = 0.25
# The last name stands for all nodes beyond that.
MAX_NAMES = 64
OTHERS = "other nodes"


@dataclass(slots=True)
class Level:
    """What the values of one bucket were: the lowest, the highest, and their mean."""

    low: float
    high: float
    total: float
    count: int

    @property
    def mean(self) -> float:
        return self.total / self.count

    def fold(self, other: Level) -> None:
        """Take in what another bucket saw."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.total, self.count = self.total + other.total, self.count + other.count


class LevelCurve:
    """A value that is looked at now and then."""

    def __init__(self) -> None:
        self.width_sec = FINEST_SEC
        self._buckets: dict[int, Level] = {}

    def add(self, at_sec: float, value: float) -> None:
        """Note a value."""
        while at_sec / self.width_sec >= MAX_BUCKETS:
            self.width_sec *= 2
            found, self._buckets = self._buckets, {}
            for index, level in found.items():
                self._fold(index // 2, level)
        self._fold(int(at_sec / self.width_sec), Level(value, value, value, 1))

    def _fold(self, index: int, level: Level) -> None:
        known = self._buckets.setdefault(index, level)
        if known is not level:
            known.fold(level)

    def points(self) -> list[tuple[float, Level]]:
        """Return the middle of every bucket that saw a value, with what it saw."""
        return [
            ((index + 0.5) * self.width_sec, self._buckets[index])
            for index in sorted(self._buckets)
        ]


class RateCurve:
    """Bytes over time, by the name of who sent them."""

    def __init__(self) -> None:
        self.width_sec = FINEST_SEC
        self.totals: dict[str, float] = {}
        self._buckets: dict[int, dict[str, float]] = {}

    def add(self, name: str, from_sec: float, until_sec: float, size_bytes: int) -> None:
        """Spread bytes evenly over a stretch of time."""
        if name not in self.totals and len(self.totals) >= MAX_NAMES:
            name = OTHERS
        self.totals[name] = self.totals.get(name, 0.0) + size_bytes
        while until_sec / self.width_sec >= MAX_BUCKETS:
            self.width_sec *= 2
            found, self._buckets = self._buckets, {}
            for index, shares in found.items():
                for known, share in shares.items():
                    self._put(index // 2, known, share)
        first, last = int(from_sec / self.width_sec), int(until_sec / self.width_sec)
        span_sec = until_sec - from_sec
        if first == last or span_sec <= 0:
            self._put(last, name, size_bytes)
            return
        for index in range(first, last + 1):
            begin_sec = max(from_sec, index * self.width_sec)
            end_sec = min(until_sec, (index + 1) * self.width_sec)
            self._put(index, name, size_bytes * max(0.0, end_sec - begin_sec) / span_sec)

    def _put(self, index: int, name: str, share: float) -> None:
        shares = self._buckets.setdefault(index, {})
        shares[name] = shares.get(name, 0.0) + share

    def rows(self, names: Sequence[str]) -> list[tuple[float, ...]]:
        """Return the bytes of each bucket from the start on, by name and, last, of all others."""
        if not self._buckets:
            return []
        wanted = set(names)
        rows = []
        for index in range(max(self._buckets) + 1):
            shares = self._buckets.get(index, {})
            rest = sum(share for name, share in shares.items() if name not in wanted)
            rows.append((*(shares.get(name, 0.0) for name in names), rest))
        return rows

    def arrived(self) -> list[tuple[float, float]]:
        """Return (start of a bucket, bytes that had come by its end) for every bucket with bytes."""
        found, total = [], 0.0
        for index in sorted(self._buckets):
            total += sum(self._buckets[index].values())
            found.append((index * self.width_sec, total))
        return found
