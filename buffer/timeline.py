"""Where each chunk lies on the film's time axis. No I/O, no clock, no randomness.

Durations are estimates until the chunk's media was measured; positions follow what is known.
"""

from __future__ import annotations


class Timeline:
    """Start times of `count` chunks of nominally `chunk_duration_sec`, the film lasting about `film_sec`."""

    def __init__(self, count: int, chunk_duration_sec: float, film_sec: float) -> None:
        self._durations = [chunk_duration_sec] * count
        last_sec = film_sec - chunk_duration_sec * (count - 1)
        if count and 0 < last_sec < chunk_duration_sec:
            self._durations[-1] = last_sec
        self._known = [False] * count
        self._starts: list[float] = []
        self._add_up()

    def _add_up(self) -> None:
        total = 0.0
        self._starts = []
        for duration_sec in self._durations:
            self._starts.append(total)
            total += duration_sec
        self._starts.append(total)

    def set_duration(self, sequence_num: int, duration_sec: float) -> None:
        """Note the measured duration of a chunk; later chunks move."""
        changed = self._durations[sequence_num] != duration_sec
        self._durations[sequence_num] = duration_sec
        self._known[sequence_num] = True
        if changed:
            self._add_up()

    def duration_sec(self, sequence_num: int) -> float:
        return self._durations[sequence_num]

    def start_sec(self, sequence_num: int) -> float:
        """Return where a chunk begins; the number after the last gives the film's end."""
        return self._starts[sequence_num]

    @property
    def end_sec(self) -> float:
        return self._starts[-1]

    @property
    def known(self) -> bool:
        """Whether every duration was measured."""
        return all(self._known)

    def chunk_at(self, position_sec: float) -> int:
        """Return the chunk that holds a position, clamped to the film."""
        low, high = 0, len(self._durations) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._starts[middle] <= position_sec:
                low = middle
            else:
                high = middle - 1
        return low
