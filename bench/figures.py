"""The figures of one run, from what the nodes noted. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.deliveries import Body, Film, bodies_of
from bench.quality import Outage, play, reaction_sec, ready_times, reuse_sec, traffic
from bench.runs import Outcome
from bench.scenarios import Scenario
from bench.stage import AppliedFault
from bench.supplies import full_speed_total_sec, optimum_of

# Faults that keep due bytes from coming; the time until they are asked for elsewhere is the reaction.
_STOPPING = frozenset({"down", "silent", "silent_data", "stall", "slow", "503", "truncate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is reported of a run; times in seconds after the clock's zero."""

    startup_sec: float
    stalls: int
    stalled_sec: float
    unplayed_sec: float
    best_startup_sec: float
    best_total_sec: float
    ratio: float
    startup_ratio: float
    avoidable_stall_sec: float
    waste_ratio: float
    requests: int
    sent_bytes: int
    lying_bytes: int
    useful_bytes: int
    cpu_sec: float
    # None when nothing came.
    cpu_sec_per_gb: float | None
    # Of each fault that kept due bytes from coming: what, and how long until they were asked for elsewhere.
    reactions: tuple[tuple[str, float], ...]
    # Of each fault that ended while the film was fetched: how long until the node brought bytes again.
    reuses: tuple[tuple[str, float | None], ...]
    ready_sec: tuple[float | None, ...]
    first_asked_sec: tuple[float | None, ...]
    # The least total on the same links if connections began at full speed; None where they do.
    full_speed_total_sec: float | None = None


def figures_of(outcome: Outcome, scenario: Scenario, film: Film, bodies: Sequence[Body]) -> Figures:
    """Compute a run's figures."""
    zero = outcome.zero_unix_sec
    end_sec = outcome.end_unix_sec - zero
    ready_sec = ready_times(film, bodies)
    playback = play(ready_sec, film.chunk_sec, end_sec)
    counted = traffic(film, bodies)
    played = as_it_was(scenario, outcome)
    best = optimum_of(played)
    must_stall_sec = max(0.0, best.window_sec - playback.startup_sec)
    outages = [
        (f"{fault.event.kind} {fault.event.node + 1}", _outage(fault, zero))
        for fault in outcome.faults
        if fault.event.kind in _STOPPING and fault.event.chunk is None
    ]
    reactions = [
        (name, reaction_sec(film, bodies, outage))
        for name, outage in outages
        if outage.from_sec > 0
    ]
    last_asked_sec = max((body.asked_sec for body in bodies), default=0.0)
    return Figures(
        startup_sec=playback.startup_sec,
        stalls=playback.stalls,
        stalled_sec=playback.stalled_sec,
        unplayed_sec=playback.unplayed_sec,
        best_startup_sec=best.startup_sec,
        best_total_sec=best.window_sec,
        ratio=playback.lost_sec / best.window_sec,
        startup_ratio=playback.startup_sec / best.startup_sec,
        avoidable_stall_sec=max(0.0, playback.stalled_sec + playback.unplayed_sec - must_stall_sec),
        waste_ratio=counted.waste_ratio,
        requests=counted.requests,
        sent_bytes=counted.sent_bytes,
        lying_bytes=counted.lying_bytes,
        useful_bytes=counted.useful_bytes,
        cpu_sec=outcome.cpu_sec,
        cpu_sec_per_gb=outcome.cpu_sec / (counted.useful_bytes / 1e9)
        if counted.useful_bytes
        else None,
        reactions=tuple((name, took) for name, took in reactions if took is not None),
        reuses=tuple(
            (name, reuse_sec(bodies, outage))
            for name, outage in outages
            if outage.until_sec is not None and outage.until_sec < last_asked_sec
        ),
        ready_sec=tuple(ready_sec),
        first_asked_sec=tuple(_first_asked_sec(bodies, n) for n in range(len(outcome.records))),
        full_speed_total_sec=full_speed_total_sec(played),
    )


def outcome_bodies(outcome: Outcome, film: Film) -> list[Body]:
    """Return the requests for the film's bytes at all nodes."""
    return [
        body
        for node, records in enumerate(outcome.records)
        for body in bodies_of(film, node, records, outcome.zero_unix_sec)
    ]


def _first_asked_sec(bodies: Sequence[Body], node: int) -> float | None:
    return min((body.asked_sec for body in bodies if body.node == node), default=None)


def _outage(fault: AppliedFault, zero: float) -> Outage:
    until = fault.until_unix_sec
    return Outage(
        node=fault.event.node,
        from_sec=fault.from_unix_sec - zero,
        until_sec=None if until is None else until - zero,
    )


def as_it_was(scenario: Scenario, outcome: Outcome) -> Scenario:
    """Return the scenario with its faults when they really were and its traces where they really were.

    Its times count from the manifest request, also where the run's clock began with the command.
    """
    zero = outcome.manifest_unix_sec
    return replace(
        scenario,
        nodes=tuple(
            replace(profile, trace_offset_sec=zero - origin_unix_sec)
            for profile, origin_unix_sec in zip(
                scenario.nodes, outcome.origin_unix_sec, strict=True
            )
        ),
        faults=tuple(
            replace(
                fault.event,
                at_sec=fault.from_unix_sec - zero,
                for_sec=None
                if fault.until_unix_sec is None
                else fault.until_unix_sec - fault.from_unix_sec,
            )
            for fault in outcome.faults
        ),
    )
