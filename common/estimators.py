"""Running estimates of latency, bandwidth and reliability. No I/O, no clock, no randomness.

Each is an exponentially weighted moving average that starts at its first sample.
"""

from __future__ import annotations

from dataclasses import dataclass

# Downwards the latency follows with 1 - exp(-3 s / 10 s): a slow ping is forgotten in about 10 s of pings every 3 s
# (Finagle's Peak EWMA with its default decay). Upwards it jumps.
LATENCY_WEIGHT_DOWN = 0.26
# Believe a slow-down at once, a speed-up only when it lasts.
BANDWIDTH_WEIGHT_DOWN = 0.6
BANDWIDTH_WEIGHT_UP = 0.3
# One failure among good samples costs a fifth of the reliability; five successes mostly repair it.
RELIABILITY_WEIGHT = 0.2
# RFC 6298 weights of the smoothed round trip and its variation.
_SRTT_WEIGHT = 0.125
_RTTVAR_WEIGHT = 0.25


@dataclass(slots=True)
class PeakLatency:
    """Latency in ms that jumps up with a slow sample and comes back slowly."""

    value_ms: float | None = None

    def add(self, sample_ms: float) -> None:
        if self.value_ms is None or sample_ms >= self.value_ms:
            self.value_ms = sample_ms
        else:
            self.value_ms += LATENCY_WEIGHT_DOWN * (sample_ms - self.value_ms)


@dataclass(slots=True)
class Goodput:
    """Bandwidth of a node in Mbit/s over the time it was busy; quick down, slow up."""

    value_mbps: float | None = None

    def add(self, sample_mbps: float) -> None:
        if self.value_mbps is None:
            self.value_mbps = sample_mbps
            return
        weight = BANDWIDTH_WEIGHT_DOWN if sample_mbps < self.value_mbps else BANDWIDTH_WEIGHT_UP
        self.value_mbps += weight * (sample_mbps - self.value_mbps)

    def raise_to(self, sample_mbps: float) -> None:
        if self.value_mbps is None or sample_mbps > self.value_mbps:
            self.value_mbps = sample_mbps


@dataclass(slots=True)
class Reliability:
    """Share of requests that went well, 0-1, recent ones weighing more."""

    value_ratio: float | None = None

    def add(self, sample_ratio: float) -> None:
        if self.value_ratio is None:
            self.value_ratio = sample_ratio
        else:
            self.value_ratio += RELIABILITY_WEIGHT * (sample_ratio - self.value_ratio)


@dataclass(slots=True)
class RoundTrip:
    """Smoothed round trip and variation in seconds (RFC 6298)."""

    srtt_sec: float | None = None
    rttvar_sec: float = 0.0

    def add(self, sample_sec: float) -> None:
        if self.srtt_sec is None:
            self.srtt_sec, self.rttvar_sec = sample_sec, sample_sec / 2
            return
        error = abs(sample_sec - self.srtt_sec)
        self.rttvar_sec += _RTTVAR_WEIGHT * (error - self.rttvar_sec)
        self.srtt_sec += _SRTT_WEIGHT * (sample_sec - self.srtt_sec)

    def silence_sec(self, floor_sec: float) -> float:
        """Return how long silence may last before it means something: SRTT + 4 RTTVAR, at least the floor."""
        if self.srtt_sec is None:
            return floor_sec
        return max(floor_sec, self.srtt_sec + 4 * self.rttvar_sec)


def node_score(*, bandwidth_mbps: float, reliability_ratio: float, latency_ms: float) -> float:
    """Return the seed's score: (bandwidth x reliability) / (1 + latency x 0.1), latency in ms."""
    return bandwidth_mbps * reliability_ratio / (1 + latency_ms * 0.1)
