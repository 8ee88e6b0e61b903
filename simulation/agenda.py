"""Virtual time: what happens when, in order. Pure.

No I/O, no clock, no randomness. Things due at the same time happen in the order in which they were written down.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

Action = Callable[[], None]


class Agenda:
    """A clock that jumps from one event to the next."""

    def __init__(self) -> None:
        self.now_sec = 0.0
        self.events = 0
        self._heap: list[tuple[float, int, Action]] = []
        self._ids = itertools.count()

    def at(self, when_sec: float, action: Action) -> None:
        """Do something at a time; what lies in the past is done next."""
        heapq.heappush(self._heap, (max(when_sec, self.now_sec), next(self._ids), action))

    def after(self, wait_sec: float, action: Action) -> None:
        """Do something later."""
        self.at(self.now_sec + wait_sec, action)

    def every(self, period_sec: float, action: Action, *, first_sec: float) -> None:
        """Do something again and again for as long as time runs."""

        def again() -> None:
            action()
            self.after(period_sec, again)

        self.at(first_sec, again)

    def run(self, until_sec: float, done: Callable[[], bool]) -> None:
        """Let time pass until something is done, at most to `until_sec`."""
        heap = self._heap
        while heap and heap[0][0] <= until_sec:
            if done():
                return
            self.now_sec, _, action = heapq.heappop(heap)
            self.events += 1
            action()
        if not done():
            self.now_sec = max(self.now_sec, until_sec)
