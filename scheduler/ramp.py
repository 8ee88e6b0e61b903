"""How the bytes of a node began to flow: whether its connections begin slowly, and whether they still may.

No I/O, no clock, no randomness: time is an argument.

TCP slow start shows as a rate that rises from one round trip to the next, and where round trips are longer than reports
apart as bursts with pauses between them.
"""

from __future__ import annotations

from dataclasses import dataclass

# A first window of ten segments fills any link here within so many round trips.
RAMP_ROUND_TRIPS = 6.0
# So many times as fast then as at first is more than chance.
RAMP_RATIO = 1.25
# Three reports without a byte are a pause.
PAUSE_SEC = 0.15


@dataclass(slots=True)
class Ramp:
    """The flow of one node's ranges together, and what was ever seen of how it begins."""

    begins_slowly: bool = False
    _begun_sec: float | None = None
    _heard_sec: float = 0.0
    _first_mbps: float | None = None
    _last_mbps: tuple[float, ...] = ()

    def heard(self, begun_sec: float, now_sec: float, round_trip_sec: float) -> None:
        """Note bytes; the flow they belong to began at `begun_sec` unless one goes on."""
        if self._begun_sec is None:
            self._begun_sec = begun_sec
        elif now_sec - self._heard_sec > PAUSE_SEC and self.is_young(now_sec, round_trip_sec):
            self.begins_slowly = True
        self._heard_sec = now_sec

    def sampled(self, rate_mbps: float, now_sec: float, round_trip_sec: float) -> None:
        """Note a sample of the rate."""
        self._last_mbps = (*self._last_mbps[-1:], rate_mbps)
        if self._first_mbps is None:
            self._first_mbps = rate_mbps
        elif rate_mbps > RAMP_RATIO * self._first_mbps and self.is_young(now_sec, round_trip_sec):
            self.begins_slowly = True

    def ended(self) -> None:
        """Note that nothing flows any more."""
        self._begun_sec = self._first_mbps = None
        self._last_mbps = ()

    def is_young(self, now_sec: float, round_trip_sec: float) -> bool:
        """Whether the flow may be slower than its link still."""
        begun_sec = self._begun_sec
        return begun_sec is None or now_sec - begun_sec < RAMP_ROUND_TRIPS * round_trip_sec

    def pace_mbps(self, now_sec: float, round_trip_sec: float) -> float | None:
        """Return how fast the link goes by the last samples; of bursts the faster one, the other may be a pause."""
        if not self._last_mbps:
            return None
        if self.is_young(now_sec, round_trip_sec):
            return max(self._last_mbps)
        return sum(self._last_mbps) / len(self._last_mbps)
