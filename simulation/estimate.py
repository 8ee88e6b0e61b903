"""From what was seen of nodes to links that can be played on: gaps between measurements are filled.

No I/O, no clock, no randomness. A rate between two measurements is on the straight line between them; before the first
and after the last it stays as that was. A node nobody ever measured is taken for the median of the others.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from dataclasses import dataclass
from statistics import median

from cluster.profiles import LinkProfile
from cluster.shaping import RateSchedule, TraceStep
from simulation.fault_events import FaultEvent
from simulation.request import NodeSeen, Request
from simulation.world import NodePlan

# A node that was busy for less of a second says little about its rate in it.
MIN_BUSY_SEC = 0.1
# Unless it sent this much.
MIN_BYTES = 64 * 1024
# Where nothing at all was measured.
ASSUMED_BYTES_PER_SEC = 10e6 / 8
ASSUMED_LATENCY_MS = 50.0
# After the last measured second, for longer than anything is played.
AFTERWARDS_SEC = 1e6
# A link that never carried a byte needs some rate; so little carries nothing while anybody plays.
STILL_BYTES_PER_SEC = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Nodes by URL, and which share of the time of all nodes was measured."""

    nodes: dict[str, NodePlan]
    observed_ratio: float


def estimate(request: Request) -> Estimate:
    """Return the links on which a session was played, as far as its measurements tell."""
    measured = [_measured(node) for node in request.nodes]
    means = [_mean(rates) for rates in measured if rates]
    usual = median(means) if means else ASSUMED_BYTES_PER_SEC
    busy_sec = sum(
        min(busy, request.span_sec - start) for n in request.nodes for start, _, busy in n.seconds
    )
    length_sec = len(request.nodes) * request.span_sec
    return Estimate(
        nodes={
            node.url: _plan(number, node, rates, usual, request)
            for number, (node, rates) in enumerate(zip(request.nodes, measured, strict=True))
        },
        observed_ratio=min(1.0, max(0.0, busy_sec) / length_sec) if length_sec else 0.0,
    )


def _measured(node: NodeSeen) -> list[tuple[float, float]]:
    """Return (middle of a second, bytes per second) for each that says enough."""
    return [
        (start + 0.5, size / busy)
        for start, size, busy in sorted(node.seconds)
        if busy >= MIN_BUSY_SEC or (busy > 0 and size >= MIN_BYTES)
    ]


def _mean(rates: list[tuple[float, float]]) -> float:
    return sum(rate for _, rate in rates) / len(rates)


def rate_at(rates: list[tuple[float, float]], at_sec: float) -> float:
    """Return the rate at a time, interpolated between the nearest measurements, of which there is one at least."""
    after = bisect_right(rates, (at_sec, math.inf))
    if after == 0:
        return rates[0][1]
    if after == len(rates):
        return rates[-1][1]
    (from_sec, from_rate), (until_sec, until_rate) = rates[after - 1], rates[after]
    return from_rate + (until_rate - from_rate) * (at_sec - from_sec) / (until_sec - from_sec)


def _plan(
    number: int, node: NodeSeen, rates: list[tuple[float, float]], usual: float, request: Request
) -> NodePlan:
    span_sec = request.span_sec
    if not rates:
        told = node.bandwidth_mbps
        rates = [(0.0, usual if told is None else told * 1e6 / 8)]
    latencies = sorted(node.latencies)
    # Seconds as they were measured: none of them is cut in two.
    first_sec = min((s - math.floor(s) for s, _, _ in node.seconds[:1]), default=0.0)
    edges = [0.0] + [first_sec + n for n in range(math.ceil(span_sec - first_sec) + 1)]
    edges = sorted({edge for edge in edges if edge <= span_sec} | {span_sec})
    steps = [
        TraceStep(
            duration_sec=until - start,
            bytes_per_sec=rate_at(rates, (start + until) / 2),
            latency_ms=_latency_ms(latencies, start),
        )
        for start, until in itertools.pairwise(edges)
        if until > start
    ]
    last = TraceStep(
        duration_sec=AFTERWARDS_SEC,
        bytes_per_sec=max(STILL_BYTES_PER_SEC, rate_at(rates, span_sec)),
        latency_ms=_latency_ms(latencies, span_sec),
    )
    faults = [
        FaultEvent(node=number, kind=kind, at_sec=at, for_sec=_length_sec(at, until))
        for kind, at, until in node.spells
        if until is None or until > at
    ]
    places = {chunk.number: place for place, chunk in enumerate(request.chunks)}
    faults += [
        FaultEvent(node=number, kind="missing", chunk=places[chunk], for_sec=until)
        for chunk, until in node.lacks
        if chunk in places
    ]
    return NodePlan(
        profile=LinkProfile(no_range=node.accepts_ranges is False),
        faults=tuple(faults),
        schedule=RateSchedule([*steps, last]),
    )


def _length_sec(at_sec: float, until_sec: float | None) -> float | None:
    return None if until_sec is None else until_sec - at_sec


def _latency_ms(latencies: list[tuple[float, float]], at_sec: float) -> float:
    """Return the newest latency at a time; before the first one, that."""
    if not latencies:
        return ASSUMED_LATENCY_MS
    return latencies[max(0, bisect_right(latencies, (at_sec, math.inf)) - 1)][1]
