"""When a node busy with a range should be looked at again. No I/O, no clock, no randomness: time is an argument."""

from __future__ import annotations

import heapq


class Attention:
    """Nodes by the moment from which their next request may leave; a moment too early costs one more look."""

    def __init__(self) -> None:
        self._at_sec: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []

    def expect(self, node_url: str, at_sec: float) -> None:
        """Name a node at a moment, if it is not to be named before."""
        if at_sec < self._at_sec.get(node_url, at_sec + 1.0):
            self._at_sec[node_url] = at_sec
            heapq.heappush(self._queue, (at_sec, node_url))

    def due(self, now_sec: float) -> list[str]:
        """Return the nodes whose moment has come, and forget it."""
        found: list[str] = []
        queue = self._queue
        while queue and queue[0][0] <= now_sec:
            at_sec, node_url = heapq.heappop(queue)
            if self._at_sec.get(node_url) == at_sec:
                del self._at_sec[node_url]
                found.append(node_url)
        return found
