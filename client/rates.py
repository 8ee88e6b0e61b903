"""How fast a session's bytes come, now and over the last minute.

No I/O, no clock, no randomness: time is an argument.
"""

from __future__ import annotations

from collections import deque

from common.messages import SchedulerStatus

# Shorter spans tell more of when snapshots were taken than of the network.
MIN_SPAN_SEC = 1.0
# The scheduler's snapshots are a quarter of a second apart; without one for so long nothing is known of now.
STALE_AFTER_SEC = 3.0
HISTORY_SEC = 60.0


class RateMeter:
    """Measures what arrives for one session, between snapshots of the scheduler."""

    def __init__(self) -> None:
        # Of the last span; 0 before the first.
        self.rate_mbps = 0.0
        # Which nodes deliver for the session at this moment.
        self.node_urls: tuple[str, ...] = ()
        self._since_unix_sec = 0.0
        self._since_bytes = 0
        # When each span ended, and its rate.
        self._spans: deque[tuple[float, float]] = deque()

    def note(self, msg: SchedulerStatus, session_id: str | None) -> None:
        """Take a snapshot of the scheduler; one that follows soon after another is left out."""
        mine = [f for f in msg.in_flight if f.session_id == session_id]
        self.node_urls = tuple(sorted({f.node_url for f in mine}))
        now_sec = msg.published_unix_sec
        span_sec = now_sec - self._since_unix_sec
        if span_sec < MIN_SPAN_SEC:
            return
        total_bytes = sum(t.received_bytes for t in msg.sessions if t.session_id == session_id)
        total_bytes += sum(f.received_until_bytes - f.start_bytes for f in mine)
        if self._since_unix_sec:
            # It falls when a range is lost or the scheduler starts anew.
            arrived_bytes = max(0, total_bytes - self._since_bytes)
            self.rate_mbps = arrived_bytes * 8e-6 / span_sec
            self._spans.append((now_sec, self.rate_mbps))
        while self._spans and now_sec - self._spans[0][0] > HISTORY_SEC:
            self._spans.popleft()
        self._since_unix_sec, self._since_bytes = now_sec, total_bytes

    def current_mbps(self, now_unix_sec: float) -> float | None:
        """Return the rate of the last span, None when there is none or it is no longer true."""
        if not self._spans or now_unix_sec - self._spans[-1][0] > STALE_AFTER_SEC:
            return None
        return self.rate_mbps

    def history(self, now_unix_sec: float) -> tuple[tuple[float, float], ...]:
        """Return the spans of the last minute, oldest first: how long ago each ended, and its rate."""
        ages = ((now_unix_sec - ended_sec, mbps) for ended_sec, mbps in self._spans)
        return tuple((max(0.0, age_sec), mbps) for age_sec, mbps in ages if age_sec <= HISTORY_SEC)
