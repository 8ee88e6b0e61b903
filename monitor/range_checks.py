"""Which node is asked for one byte of a chunk, to learn whether it answers ranges. No I/O, no clock, no randomness.

A node's pings say nothing certain about `Range`. Who is to read from it has to know before the first request: a node
without it sends whole chunks. Data that flows tells the same for nothing, so nodes at work are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# What a node can do changes when it is set up anew; that mostly takes it away for a while, and seldom goes unseen.
RENEW_SEC = 600.0
# An answer that told nothing (the chunk has moved, the node is busy) may be another one a minute later.
RETRY_SEC = 60.0
# A node that sent data less than this ago is at work: even a byte would be in the way.
AT_WORK_SEC = 10.0
# One failed ping is an accident of the network.
AWAY_PINGS = 2


@dataclass(slots=True)
class _State:
    due_sec: float = 0.0
    in_flight: bool = False
    failed_pings: int = 0
    data_sec: float | None = None


class RangeChecks:
    """Decides, at each answered ping, whether a check goes with it."""

    def __init__(self) -> None:
        self._samples: Mapping[str, str] = {}
        self._nodes: dict[str, _State] = {}

    def learn(self, samples: Mapping[str, str]) -> None:
        """Take over, for each node, the URL of a chunk that should lie there."""
        self._samples = samples

    def forget(self, node_url: str) -> None:
        """Forget a node that is not pinged any more."""
        self._nodes.pop(node_url, None)

    def note_data(self, node_url: str, *, told: bool, now_sec: float) -> None:
        """Note that a node sends data; `told`: it showed whether it answers ranges."""
        state = self._nodes.setdefault(node_url, _State())
        state.data_sec = now_sec
        if told:
            state.due_sec = now_sec + RENEW_SEC

    def on_ping(self, node_url: str, *, answered: bool, now_sec: float) -> str | None:
        """Return the URL to ask for a byte of now, if any; the check is in flight until `finished`."""
        state = self._nodes.setdefault(node_url, _State())
        if not answered:
            state.failed_pings += 1
            return None
        if state.failed_pings >= AWAY_PINGS:
            state.due_sec = now_sec
        state.failed_pings = 0
        at_work = state.data_sec is not None and now_sec - state.data_sec < AT_WORK_SEC
        if state.in_flight or at_work or now_sec < state.due_sec:
            return None
        url = self._samples.get(node_url)
        state.in_flight = url is not None
        return url

    def finished(self, node_url: str, *, honoured: bool | None, now_sec: float) -> None:
        """Note what a check told; None: nothing."""
        state = self._nodes.get(node_url)
        if state is not None:
            state.in_flight = False
            state.due_sec = now_sec + (RETRY_SEC if honoured is None else RENEW_SEC)
