"""The link of one storage node: a rate over time and one bucket that all its transfers share.

No I/O, no clock, no randomness: time and rng are arguments. All times are seconds on one clock of
the caller's choice that does not go backwards.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

# A late sender may catch up with this much of the link's time: it covers timer and scheduler delays
# without letting a visible burst through.
BURST_SEC = 0.02
# One grant is about this much of the link's time: short enough to be fair, long enough to be cheap.
QUANTUM_SEC = 0.008
# A grant is never below one Ethernet segment and never above 16 KiB.
MIN_QUANTUM_BYTES = 1448
MAX_QUANTUM_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStep:
    """One stretch of a network trace; a rate of 0 is an outage."""

    duration_sec: float
    bytes_per_sec: float
    latency_ms: float


class RateSchedule:
    """A trace played in a loop, beginning at time 0."""

    def __init__(self, steps: Sequence[TraceStep]) -> None:
        if not steps or any(s.duration_sec <= 0 or s.bytes_per_sec < 0 for s in steps):
            raise ValueError("a trace needs steps of positive duration and no negative rate")
        self._steps = tuple(steps)
        self._ends_sec = list(accumulate(step.duration_sec for step in steps))
        self._ends_bytes = list(accumulate(s.duration_sec * s.bytes_per_sec for s in steps))
        if self._ends_bytes[-1] <= 0:
            raise ValueError("a trace needs at least one step with a rate above 0")

    @classmethod
    def constant(cls, rate_mbps: float, latency_ms: float = 0.0) -> "RateSchedule":
        """Build a schedule that never changes."""
        step = TraceStep(duration_sec=1.0, bytes_per_sec=rate_mbps * 1e6 / 8, latency_ms=latency_ms)
        return cls([step])

    @property
    def steps(self) -> tuple[TraceStep, ...]:
        """Return one round of the trace."""
        return self._steps

    def step_at(self, now_sec: float) -> TraceStep:
        """Return the step in force at `now_sec`."""
        within_sec = now_sec % self._ends_sec[-1]
        return self._steps[min(bisect_right(self._ends_sec, within_sec), len(self._steps) - 1)]

    def bytes_until(self, now_sec: float) -> float:
        """Return what the link can carry from time 0 to `now_sec`."""
        periods, within_sec = divmod(now_sec, self._ends_sec[-1])
        index = min(bisect_right(self._ends_sec, within_sec), len(self._steps) - 1)
        step = self._steps[index]
        before_end_sec = self._ends_sec[index] - within_sec
        within_bytes = self._ends_bytes[index] - before_end_sec * step.bytes_per_sec
        return periods * self._ends_bytes[-1] + within_bytes

    def time_when(self, carried_bytes: float) -> float:
        """Return the first time at which `carried_bytes` can have been carried."""
        periods, within_bytes = divmod(carried_bytes, self._ends_bytes[-1])
        index = min(bisect_left(self._ends_bytes, within_bytes), len(self._steps) - 1)
        step = self._steps[index]
        at_sec = self._ends_sec[index]
        if step.bytes_per_sec > 0:
            at_sec -= (self._ends_bytes[index] - within_bytes) / step.bytes_per_sec
        return periods * self._ends_sec[-1] + at_sec


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Leave to send `size_bytes` at `ready_sec`, when the link has carried them."""

    size_bytes: int
    start_sec: float
    ready_sec: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLog:
    """What a bucket has given since it was made.

    `granted_bytes + lost_bytes` is what the link could carry while transfers were under way;
    `lost_bytes` went by unused because no sender came in time.
    """

    granted_bytes: int
    lost_bytes: float
    busy_sec: float


class LinkBucket:
    """Deal the link's time to the transfers that ask for it, first come, first served.

    A transfer asks again only after it has sent its last grant, so transfers under way at the same
    time share the rate evenly. An idle link saves nothing up.
    """

    def __init__(self, schedule: RateSchedule, *, burst_sec: float = BURST_SEC) -> None:
        self._schedule = schedule
        self._burst_sec = burst_sec
        self._rate_ratio = 1.0
        self._transfers = 0
        self._next_free_sec = 0.0
        self._granted_bytes = 0
        self._lost_bytes = 0.0
        self._busy_sec = 0.0

    def set_rate_ratio(self, rate_ratio: float) -> None:
        """Make the link `rate_ratio` times as fast as its schedule says, for grants from now on."""
        if rate_ratio <= 0:
            raise ValueError(f"rate_ratio must be above 0, got {rate_ratio}")
        self._rate_ratio = rate_ratio

    def restart(self, now_sec: float) -> None:
        """Follow a clock that was set to `now_sec`."""
        self._next_free_sec = now_sec

    def open_transfer(self, now_sec: float) -> None:
        """Count a transfer as under way; the first after idleness begins with an empty bucket."""
        if self._transfers == 0:
            self._next_free_sec = max(self._next_free_sec, now_sec)
        self._transfers += 1

    def close_transfer(self) -> None:
        """Count a transfer as over, however it ended."""
        self._transfers -= 1

    def quantum_bytes(self, now_sec: float) -> int:
        """Return how much a transfer should ask for at a time."""
        rate = self._schedule.step_at(now_sec).bytes_per_sec * self._rate_ratio
        return max(MIN_QUANTUM_BYTES, min(MAX_QUANTUM_BYTES, int(rate * QUANTUM_SEC)))

    def reserve(self, size_bytes: int, now_sec: float) -> Grant:
        """Take the link's next free time for `size_bytes`; send them at the grant's `ready_sec`."""
        start_sec = max(self._next_free_sec, now_sec - self._burst_sec)
        before = self._schedule.bytes_until(start_sec)
        if start_sec > self._next_free_sec:
            unused = before - self._schedule.bytes_until(self._next_free_sec)
            self._lost_bytes += unused * self._rate_ratio
            self._busy_sec += start_sec - self._next_free_sec
        ready_sec = self._schedule.time_when(before + size_bytes / self._rate_ratio)
        ready_sec = max(ready_sec, start_sec)
        self._next_free_sec = ready_sec
        self._granted_bytes += size_bytes
        self._busy_sec += ready_sec - start_sec
        return Grant(size_bytes=size_bytes, start_sec=start_sec, ready_sec=ready_sec)

    def give_back(self, grant: Grant, now_sec: float) -> None:
        """Return a grant that will not be used; only the last one given can still be undone."""
        if grant.ready_sec == self._next_free_sec and grant.ready_sec > now_sec:
            free_sec = max(grant.start_sec, now_sec)
            unused_ratio = (grant.ready_sec - free_sec) / (grant.ready_sec - grant.start_sec)
            self._next_free_sec = free_sec
            self._granted_bytes -= grant.size_bytes
            self._lost_bytes += grant.size_bytes * (1.0 - unused_ratio)
            self._busy_sec -= grant.ready_sec - free_sec

    def log(self) -> LinkLog:
        """Return what was given so far."""
        return LinkLog(
            granted_bytes=self._granted_bytes,
            lost_bytes=self._lost_bytes,
            busy_sec=self._busy_sec,
        )
