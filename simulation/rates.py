"""What a link carries over time, and its round trip.

Reads the recorded traces a profile names; no clock, no randomness.
"""

from __future__ import annotations

from cluster.profiles import LinkProfile, load_schedule
from cluster.shaping import RateSchedule, TraceStep

# An unlimited link, for sums: 100 Gbit/s.
UNLIMITED_BYTES_PER_SEC = 100e9 / 8


def schedule_of(profile: LinkProfile) -> RateSchedule:
    """Return a link's rate over time."""
    schedule = load_schedule(profile)
    if schedule is not None:
        return schedule
    step = TraceStep(duration_sec=1.0, bytes_per_sec=UNLIMITED_BYTES_PER_SEC, latency_ms=0.0)
    return RateSchedule([step])


def rtt_sec(profile: LinkProfile, schedule: RateSchedule, at_sec: float) -> float:
    """Return a link's round trip without its jitter."""
    if profile.rtt_ms is not None:
        return profile.rtt_ms / 1000
    return schedule.step_at(profile.trace_offset_sec + at_sec).latency_ms / 1000
