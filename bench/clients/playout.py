"""A viewer's clock: when chunks may be asked for, when the picture stands.

No I/O, no clock, no randomness: time and rng are arguments.
"""

from __future__ import annotations

# What players hold ahead of the playhead: hls.js' maxBufferLength, and the original client's target.
AHEAD_SEC = 30.0


class Playout:
    """Plays chunks of equal length in order, from the moment the first one is there."""

    def __init__(
        self, chunks: int, chunk_duration_sec: float, *, ahead_sec: float = AHEAD_SEC
    ) -> None:
        self.chunks = chunks
        self.chunk_duration_sec = chunk_duration_sec
        self.started_sec: float | None = None
        self.stalls_sec: list[float] = []
        self._ahead_sec = ahead_sec
        self._arrived: set[int] = set()
        self._contiguous = 0
        self._position_sec = 0.0
        self._seen_sec = 0.0
        self._dry_since_sec: float | None = None

    @property
    def complete(self) -> bool:
        """Whether every chunk has arrived."""
        return len(self._arrived) == self.chunks

    @property
    def highest(self) -> int:
        """The largest index that has arrived, -1 before the first."""
        return max(self._arrived, default=-1)

    def arrive(self, index: int, now_sec: float) -> None:
        """Take a chunk; a second arrival changes nothing."""
        self._advance(now_sec)
        self._arrived.add(index)
        while self._contiguous in self._arrived:
            self._contiguous += 1
        if self.started_sec is None:
            self.started_sec = now_sec if self._contiguous else None
        elif self._dry_since_sec is not None and self._end_sec > self._position_sec:
            self.stalls_sec.append(now_sec - self._dry_since_sec)
            self._dry_since_sec = None

    def playhead_sec(self, now_sec: float) -> float:
        """Return the position in the film."""
        self._advance(now_sec)
        return self._position_sec

    def stalled_sec(self, now_sec: float) -> float:
        """Return how long the picture stood, the present stall included."""
        self._advance(now_sec)
        present_sec = 0.0 if self._dry_since_sec is None else now_sec - self._dry_since_sec
        return sum(self.stalls_sec) + present_sec

    def stalls(self, now_sec: float) -> int:
        """Return how often the picture stood, the present stall included."""
        self._advance(now_sec)
        return len(self.stalls_sec) + (self._dry_since_sec is not None)

    def held_sec(self, now_sec: float) -> float:
        """Return the length of all that has arrived and is not played, holes or not."""
        self._advance(now_sec)
        first = int(self._position_sec / self.chunk_duration_sec)
        held = sum(index > first for index in self._arrived) * self.chunk_duration_sec
        if first in self._arrived:
            held += (first + 1) * self.chunk_duration_sec - self._position_sec
        return held

    def wait_sec(self, index: int, now_sec: float) -> float | None:
        """Return how long to wait before `index` may be fetched; None: until something arrives."""
        self._advance(now_sec)
        missing_sec = index * self.chunk_duration_sec - self._position_sec - self._ahead_sec
        if missing_sec < 0:
            return 0.0
        if self.started_sec is None or self._dry_since_sec is not None:
            return None
        # A chunk that begins just at the limit waits for the playhead to move at all.
        return max(missing_sec, 1e-3)

    @property
    def _end_sec(self) -> float:
        return self._contiguous * self.chunk_duration_sec

    def _advance(self, now_sec: float) -> None:
        passed_sec, self._seen_sec = now_sec - self._seen_sec, now_sec
        if self.started_sec is None or self._dry_since_sec is not None:
            return
        target_sec = self._position_sec + passed_sec
        if target_sec > self._end_sec and self._contiguous < self.chunks:
            self._dry_since_sec = now_sec - (target_sec - self._end_sec)
        self._position_sec = min(target_sec, self._end_sec)
