"""A node's link: its bucket and round trip with a clock, a lock and a source of jitter."""

import random
import threading
import time
from dataclasses import asdict

from cluster.faults import UNSHAPED_RATE_MBPS
from cluster.profiles import LinkProfile, load_schedule
from cluster.shaping import Grant, LinkBucket, RateSchedule
from cluster.slow_start import CongestionWindow

# How much an unlimited link sends at a time; faults take effect between two pieces.
_UNSHAPED_PIECE_BYTES = 256 * 1024


class Link:
    """Pace the bodies of one node and delay its answers. Safe to use from several threads."""

    def __init__(self, profile: LinkProfile, *, seed: str) -> None:
        self._profile = profile
        self._schedule = load_schedule(profile)
        self._origin_sec = time.monotonic() - profile.trace_offset_sec
        self._lock = threading.Lock()
        self._rng = random.Random(seed)
        self._rate_ratio = 1.0
        # An unlimited link needs a bucket only while it is made slow.
        schedule = self._schedule or RateSchedule.constant(UNSHAPED_RATE_MBPS)
        self._bucket = LinkBucket(schedule)

    def restart(self) -> None:
        """Begin again at the profile's place in its trace."""
        with self._lock:
            self._origin_sec = time.monotonic() - self._profile.trace_offset_sec
            self._bucket.restart(self._now_sec())

    @property
    def shaped(self) -> bool:
        """Say whether bodies are paced at all times."""
        return self._schedule is not None

    def set_rate_ratio(self, rate_ratio: float) -> None:
        """Keep only this share of the rate from the next piece on."""
        with self._lock:
            self._rate_ratio = rate_ratio
            self._bucket.set_rate_ratio(rate_ratio)

    def answer_at_sec(self, *, accepted_sec: float, arrived_sec: float) -> float:
        """Return when (monotonic) the first byte may leave for a request that arrived then.

        A connection is set up one round trip after it was accepted, and the request that came
        over it takes one more.
        """
        with self._lock:
            jitter_ms = self._rng.uniform(0.0, self._profile.jitter_ms)
        rtt_sec = self.rtt_sec(arrived_sec)
        return max(accepted_sec + rtt_sec, arrived_sec) + rtt_sec + jitter_ms / 1000

    def rtt_sec(self, at_sec: float) -> float:
        """Return the round trip at the monotonic time `at_sec`."""
        if self._profile.rtt_ms is not None:
            return self._profile.rtt_ms / 1000
        if self._schedule is None:
            return 0.0
        return self._schedule.step_at(at_sec - self._origin_sec).latency_ms / 1000

    def new_window(self) -> CongestionWindow | None:
        """Return the window of a new connection, None where it begins at full speed."""
        return CongestionWindow() if self._profile.slow_start else None

    def open_transfer(self) -> None:
        """Count a body as under way."""
        with self._lock:
            self._bucket.open_transfer(self._now_sec())

    def close_transfer(self) -> None:
        """Count a body as over."""
        with self._lock:
            self._bucket.close_transfer()

    def reserve(self, wanted_bytes: int) -> tuple[int, Grant | None]:
        """Return how many of `wanted_bytes` to send next, and their grant when they must wait."""
        with self._lock:
            if not self.shaped and self._rate_ratio == 1.0:
                return min(wanted_bytes, _UNSHAPED_PIECE_BYTES), None
            now_sec = self._now_sec()
            size_bytes = min(wanted_bytes, self._bucket.quantum_bytes(now_sec))
            return size_bytes, self._bucket.reserve(size_bytes, now_sec)

    def give_back(self, grant: Grant) -> None:
        """Return a grant that will not be used."""
        with self._lock:
            self._bucket.give_back(grant, self._now_sec())

    def ready_at_sec(self, grant: Grant) -> float:
        """Return when (monotonic) the bytes of a grant may be sent."""
        return grant.ready_sec + self._origin_sec

    def status(self) -> dict[str, object]:
        """Return the rate in force and the bucket's log."""
        with self._lock:
            rate_mbps = None
            if self._schedule is not None:
                step = self._schedule.step_at(self._now_sec())
                rate_mbps = step.bytes_per_sec * 8 / 1e6 * self._rate_ratio
            return {
                "shaped": self.shaped,
                "rate_mbps": rate_mbps,
                # Unix time at which the trace was at its first step.
                "origin_unix_sec": time.time() - self._now_sec(),
                **asdict(self._bucket.log()),
            }

    def _now_sec(self) -> float:
        return time.monotonic() - self._origin_sec
