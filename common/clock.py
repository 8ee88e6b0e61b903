"""Time as an argument: the clocks that shells hand to pure cores."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that only rise; the zero is arbitrary."""

    def now_sec(self) -> float: ...


class MonotonicClock:
    """The system's monotonic clock."""

    def now_sec(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that stands until it is told to move; for tests and simulations."""

    def __init__(self, now_sec: float = 0.0) -> None:
        self._now_sec = now_sec

    def now_sec(self) -> float:
        return self._now_sec

    def advance(self, duration_sec: float) -> None:
        """Move forward by `duration_sec`; going back is a bug of the caller."""
        if duration_sec < 0:
            raise ValueError(f"a clock does not go back: {duration_sec}")
        self._now_sec += duration_sec
