"""What one node did for a session, counted from its ended ranges. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from client.report.floors import Pace
from common.messages import BreakerState, NodeLoad, RangeOutcome, Transfer

# Neither says anything against a node.
HARMLESS: frozenset[RangeOutcome] = frozenset({"complete", "cancelled"})
# Of a shorter range the time is known too badly for a rate.
MIN_PACED_SEC = 0.1
_KEPT_SPANS = 64


class BusyTime:
    """The length of the union of spans that are told in the order of their ends."""

    def __init__(self) -> None:
        self._closed_sec = 0.0
        self._spans: list[tuple[float, float]] = []

    def add(self, from_sec: float, until_sec: float) -> None:
        """Take in a span."""
        while self._spans and self._spans[-1][1] >= from_sec:
            from_sec = min(from_sec, self._spans.pop()[0])
        self._spans.append((from_sec, until_sec))
        if len(self._spans) > _KEPT_SPANS:
            begin_sec, end_sec = self._spans.pop(0)
            self._closed_sec += end_sec - begin_sec

    @property
    def total_sec(self) -> float:
        return self._closed_sec + sum(end - begin for begin, end in self._spans)


@dataclass(slots=True)
class NodeTally:
    """Counts of one node."""

    received_bytes: int = 0
    busy: BusyTime = field(default_factory=BusyTime)
    outcomes: Counter[str] = field(default_factory=Counter)
    suspensions: int = 0
    least_first_byte_sec: float | None = None
    _first_byte_sum_sec: float = 0.0
    _first_bytes: int = 0
    best_mbps: float = 0.0
    _breaker: BreakerState = "closed"

    def transfer(self, at_sec: float, msg: Transfer) -> tuple[float, float]:
        """Count a range that has ended; return when its bytes came."""
        self.received_bytes += max(0, msg.size_bytes)
        self.outcomes[msg.outcome] += 1
        busy_sec = min(max(0.0, msg.busy_sec), at_sec)
        if msg.size_bytes > 0:
            self.busy.add(at_sec - busy_sec, at_sec)
            if msg.goodput_mbps is not None and busy_sec >= MIN_PACED_SEC:
                self.best_mbps = max(self.best_mbps, msg.goodput_mbps)
            if msg.first_byte_sec is not None:
                known = self.least_first_byte_sec
                first_sec = max(0.0, msg.first_byte_sec)
                self.least_first_byte_sec = first_sec if known is None else min(known, first_sec)
                self._first_byte_sum_sec += first_sec
                self._first_bytes += 1
        return at_sec - busy_sec, at_sec

    def load(self, msg: NodeLoad) -> None:
        """Take in what the scheduler says of the node."""
        if msg.breaker == "open" and self._breaker != "open":
            self.suspensions += 1
        self._breaker = msg.breaker
        self.best_mbps = max(self.best_mbps, msg.rate_mbps or 0.0)

    @property
    def failures(self) -> dict[str, int]:
        """How often ranges ended badly, by how."""
        return {name: n for name, n in sorted(self.outcomes.items()) if name not in HARMLESS}

    @property
    def goodput_mbps(self) -> float | None:
        """Its bytes over the time in which any of its ranges flowed."""
        busy_sec = self.busy.total_sec
        return self.received_bytes * 8e-6 / busy_sec if busy_sec > 0 else None

    @property
    def first_byte_sec(self) -> float | None:
        """How long its first bytes took on average."""
        return self._first_byte_sum_sec / self._first_bytes if self._first_bytes else None

    @property
    def pace(self) -> Pace | None:
        """The best that was seen of it; None when it never sent anything."""
        if self.least_first_byte_sec is None:
            return None
        return Pace(rate_mbps=self.best_mbps, first_byte_sec=self.least_first_byte_sec)
