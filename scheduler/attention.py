"""When nodes that send a range will be through with it. No I/O, no clock, no randomness: time is an argument."""

from __future__ import annotations

import heapq

# Calls that no longer count are thrown out once there are so many times as many of them as of those that do.
WASTE_RATIO = 4
MIN_WASTE = 64


class Attention:
    """Knows until when nodes are busy, and names each when its next request may leave."""

    def __init__(self) -> None:
        self._free_at_sec: dict[str, float] = {}
        self._call_at_sec: dict[str, float] = {}
        self._calls: list[tuple[float, str]] = []

    def expect(self, node_url: str, free_at_sec: float, call_at_sec: float) -> None:
        """Note until when a node is busy, and name it at a moment before that."""
        self._free_at_sec[node_url] = free_at_sec
        if self._call_at_sec.get(node_url) == call_at_sec:
            return
        self._call_at_sec[node_url] = call_at_sec
        heapq.heappush(self._calls, (call_at_sec, node_url))
        if len(self._calls) > MIN_WASTE + WASTE_RATIO * len(self._call_at_sec):
            self._calls = [(at_sec, url) for url, at_sec in self._call_at_sec.items()]
            heapq.heapify(self._calls)

    def forget(self, node_url: str) -> None:
        """Forget about a node: its ranges are others, or news of them have come."""
        self._free_at_sec.pop(node_url, None)
        self._call_at_sec.pop(node_url, None)

    def busy_at(self, node_url: str, now_sec: float) -> bool:
        """Whether a node is known to be busy at a moment."""
        free_at_sec = self._free_at_sec.get(node_url)
        return free_at_sec is not None and free_at_sec > now_sec

    def due(self, now_sec: float) -> list[str]:
        """Return the nodes whose moment has come; each is named once."""
        found: list[str] = []
        calls = self._calls
        while calls and calls[0][0] <= now_sec:
            at_sec, node_url = heapq.heappop(calls)
            if self._call_at_sec.get(node_url) == at_sec:
                self.forget(node_url)
                found.append(node_url)
        return found
