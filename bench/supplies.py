"""What the links of a scenario can carry, and the optimum on them.

Reads the recorded traces a scenario names; no clock, no randomness.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.optimum import Film, Optimum, Part, Span, Step, Supply, optimum, ramped, whole_bodies
from bench.scenarios import FaultEvent, Scenario
from cluster.faults import FaultKind, rate_ratio
from cluster.profiles import LinkProfile
from cluster.shaping import RateSchedule
from cluster.slow_start import INITIAL_WINDOW_BYTES
from simulation.rates import rtt_sec, schedule_of

# Bytes of these faults are of no use, or do not come. Half a body (stall, truncate) is of use.
_USELESS: frozenset[FaultKind] = frozenset({"down", "silent", "silent_data", "503", "corrupt"})
DATA_FRAGMENTS = 3
# Where connections begin slowly, the floor has this many to each node, all used from the first moment. A browser opens
# six; a store with many viewers is not happy with more, and each one more gains less.
FLOOR_CONNECTIONS = 4
# Longer than any film here is played.
HORIZON_SEC = 1200.0


def supply_of(
    profile: LinkProfile, faults: Iterable[FaultEvent], *, horizon_sec: float = HORIZON_SEC
) -> Supply:
    """Return what a link can carry under its faults, from its first round trip on.

    Where its connections begin slowly that is what `FLOOR_CONNECTIONS` of them can carry.
    """
    schedule = schedule_of(profile)
    faults = [f for f in faults if f.chunk is None]
    steps = _schedule_steps(schedule, profile.trace_offset_sec, horizon_sec)
    edges = {start for start, _ in steps}
    edges.update(f.at_sec for f in faults)
    edges.update(f.end_sec for f in faults if f.end_sec < math.inf)
    found: list[Step] = []
    at = 0
    for edge in sorted(edges):
        while at + 1 < len(steps) and steps[at + 1][0] <= edge:
            at += 1
        ratio = math.prod(_kept_ratio(f.kind) for f in faults if f.at_sec <= edge < f.end_sec)
        found.append((edge, steps[at][1] * ratio))
    first_sec = rtt_sec(profile, schedule, 0.0)
    supply = Supply(found, ready_sec=first_sec)
    if not profile.slow_start:
        return supply
    window_bytes = FLOOR_CONNECTIONS * INITIAL_WINDOW_BYTES
    return ramped(supply, ready_sec=first_sec, rtt_sec=first_sec, window_bytes=window_bytes)


def _kept_ratio(kind: FaultKind) -> float:
    return 0.0 if kind in _USELESS or kind == "missing" else rate_ratio(kind)


def _schedule_steps(schedule: RateSchedule, offset_sec: float, horizon_sec: float) -> list[Step]:
    rates = {step.bytes_per_sec for step in schedule.steps}
    if len(rates) == 1:
        return [(0.0, rates.pop())]
    found: list[Step] = []
    start_sec = -(offset_sec % sum(step.duration_sec for step in schedule.steps))
    while start_sec < horizon_sec:
        for step in schedule.steps:
            if start_sec + step.duration_sec > 0:
                found.append((max(0.0, start_sec), step.bytes_per_sec))
            start_sec += step.duration_sec
    return found


def film_of(scenario: Scenario) -> Film:
    """Return where the chunks of a scenario can be had, and when not."""
    missing: dict[tuple[int, int], list[Span]] = {}
    for fault in scenario.faults:
        if fault.kind == "missing" and fault.chunk is not None:
            spans = missing.setdefault((fault.node, fault.chunk), [])
            spans.append((fault.at_sec, fault.end_sec))

    def part(nodes: Sequence[int], chunk: int, max_bytes: float) -> Part:
        absent = {n: tuple(missing[n, chunk]) for n in nodes if (n, chunk) in missing}
        return Part(nodes=tuple(nodes), max_bytes=max_bytes, absent=absent)

    size = scenario.chunk_bytes
    if scenario.coded:
        # Three bytes of a chunk take one byte of each of three fragments.
        share = size / DATA_FRAGMENTS
        chunks = tuple(
            tuple(part((node,), chunk, share) for node in range(len(scenario.nodes)))
            for chunk in range(scenario.chunks)
        )
    else:
        chunks = tuple(
            (part(sorted(scenario.nodes_of(chunk)), chunk, size),)
            for chunk in range(scenario.chunks)
        )
    return Film(size_bytes=size, chunk_sec=scenario.chunk_sec, parts=chunks)


def without_slow_start(scenario: Scenario) -> Scenario:
    """Return the same scenario on links where connections begin at full speed."""
    return replace(
        scenario, nodes=tuple(replace(profile, slow_start=False) for profile in scenario.nodes)
    )


def full_speed_total_sec(scenario: Scenario) -> float | None:
    """Return the least total if connections began at full speed; None where they do."""
    if not any(profile.slow_start for profile in scenario.nodes):
        return None
    return optimum_of(without_slow_start(scenario)).window_sec


def optimum_of(scenario: Scenario) -> Optimum:
    """Return what is possible at best in a scenario; where no node answers ranges, the floor of whole bodies."""
    supplies = [
        supply_of(profile, [f for f in scenario.faults if f.node == number])
        for number, profile in enumerate(scenario.nodes)
    ]
    film = film_of(scenario)
    if scenario.whole_bodies:
        cuts = [profile.cut_response_after_sec for profile in scenario.nodes]
        return whole_bodies(supplies, film, cut_after_sec=cuts)
    return optimum(supplies, film)
