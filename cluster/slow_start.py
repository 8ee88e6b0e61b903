"""TCP slow start of one connection: how much may be on the way at a time.

No I/O, no clock, no randomness: time and rng are arguments.
"""

from collections import deque

SEGMENT_BYTES = 1448
INITIAL_WINDOW_BYTES = 10 * SEGMENT_BYTES
# A connection on which nothing is on the way for this long begins anew. Linux takes the round trip
# and at least 0.2 s from the last byte sent, and halves the window each time; this is the harder
# case.
IDLE_SEC = 0.2


class CongestionWindow:
    """Let a window of bytes go per round trip; it doubles with each one that uses it.

    Nothing is lost on these links, so the window has no ceiling but the one that the link's rate
    sets: it grows only while at least half of it is on the way, as in Linux.
    """

    def __init__(self) -> None:
        self._window_bytes = INITIAL_WINDOW_BYTES
        # (when its acknowledgement arrives, bytes)
        self._on_the_way: deque[tuple[float, int]] = deque()
        self._on_the_way_bytes = 0
        self._idle_from_sec: float | None = None
        # The most that was on the way during the last round trip, which ends with this byte.
        self._peak_bytes = 0
        self._peak_until_bytes = 0
        self._sent_bytes = 0

    @property
    def window_bytes(self) -> int:
        """Return how much may be on the way."""
        return self._window_bytes

    def note_sent(self, size_bytes: int, now_sec: float, rtt_sec: float) -> None:
        """Put bytes on the way; their acknowledgement arrives a round trip later."""
        self._take_acknowledgements(now_sec)
        self._on_the_way.append((now_sec + rtt_sec, size_bytes))
        self._on_the_way_bytes += size_bytes
        self._sent_bytes += size_bytes
        acknowledged_bytes = self._sent_bytes - self._on_the_way_bytes
        if (
            self._on_the_way_bytes > self._peak_bytes
            or acknowledged_bytes >= self._peak_until_bytes
        ):
            self._peak_bytes = self._on_the_way_bytes
            self._peak_until_bytes = self._sent_bytes
        self._idle_from_sec = now_sec + rtt_sec

    def room_bytes(self, now_sec: float) -> int:
        """Return how much may leave now; less than a segment counts as nothing."""
        self._take_acknowledgements(now_sec)
        if self._idle_from_sec is not None and now_sec - self._idle_from_sec > IDLE_SEC:
            self._window_bytes = INITIAL_WINDOW_BYTES
            self._idle_from_sec = None
        room_bytes = self._window_bytes - self._on_the_way_bytes
        return room_bytes if room_bytes >= SEGMENT_BYTES else 0

    def opens_at_sec(self, now_sec: float) -> float:
        """Return when to ask for room again: `now_sec` when there is some, else the next reply."""
        if self.room_bytes(now_sec) or not self._on_the_way:
            return now_sec
        return self._on_the_way[0][0]

    def _take_acknowledgements(self, now_sec: float) -> None:
        while self._on_the_way and self._on_the_way[0][0] <= now_sec:
            _, size_bytes = self._on_the_way.popleft()
            self._on_the_way_bytes -= size_bytes
            if 2 * self._peak_bytes > self._window_bytes:
                self._window_bytes += size_bytes
